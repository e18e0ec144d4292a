"""Names are parsed once: hostile ones are refused before a path or an environment has them."""

from __future__ import annotations

import string
import traceback
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.errors import InvalidName
from acni.spec.names import (
    MAX_ENVIRONMENT_ENTRY,
    MAX_FILE_NAME,
    ContainerId,
    IfName,
    NetworkName,
    cni_args_text,
    is_of_one_attachment,
    parse_cni_args,
    parse_cni_args_text,
    parse_container_id,
    parse_ifname,
    parse_netns_path,
    parse_network_name,
    parse_plugin_type,
    parse_recorded_cni_args,
    record_name,
)

_ASCII = [chr(code) for code in range(128)]

Parse = Callable[[object], object]


class _Opened(NamedTuple):
    """As acni.netns.Namespace: the path is an attribute."""

    path: object


class _PathLike:
    def __init__(self, path: object) -> None:
        self._path = path

    def __fspath__(self) -> object:
        return self._path


class _Process(int):
    """A number that shows itself as something else."""

    def __str__(self) -> str:
        return "../run/netns/blue"


def _is_taken(parse: Parse, value: object) -> bool:
    try:
        parse(value)
    except InvalidName:
        return False
    return True


# Container IDs and network names have one grammar (R1, R14).
_BAD_NAMES = [
    pytest.param("", id="empty"),
    pytest.param("abc\n", id="trailing newline"),
    pytest.param("\nabc", id="leading newline"),
    pytest.param("a\nb", id="inner newline"),
    pytest.param("..", id="parent"),
    pytest.param(".", id="here"),
    pytest.param(".hidden", id="leading dot"),
    pytest.param("-a", id="leading hyphen"),
    pytest.param("_a", id="leading underscore"),
    pytest.param("a/b", id="slash"),
    pytest.param("../a", id="climbing"),
    pytest.param("a\\b", id="backslash"),
    pytest.param("a\0b", id="NUL"),
    pytest.param("a b", id="space"),
    pytest.param("a\tb", id="tab"),
    pytest.param("a;b", id="semicolon"),
    pytest.param("a=b", id="equals"),
    pytest.param("a:b", id="colon"),
    pytest.param("a%b", id="percent"),
    pytest.param("é", id="non-ASCII letter"),
    pytest.param("a\u0661", id="Arabic digit"),
    pytest.param("\u0430", id="Cyrillic a"),
    pytest.param("a\u200b", id="zero width space"),
    pytest.param("a\ud800", id="lone surrogate"),
    pytest.param(None, id="null"),
    pytest.param(5, id="number"),
    pytest.param(True, id="true"),
    pytest.param(b"abc", id="bytes"),
    pytest.param(["abc"], id="list"),
]


@pytest.mark.rule("R14")
@pytest.mark.parametrize("value", _BAD_NAMES)
def test_a_bad_container_id_is_refused(value: object) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_container_id(value)
    assert caught.value.place == "container ID"


@pytest.mark.rule("R1")
@pytest.mark.parametrize("value", _BAD_NAMES)
def test_a_bad_network_name_is_refused(value: object) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_network_name(value)
    assert caught.value.place == "network name"


@pytest.mark.rule("R1")
def test_a_network_name_with_a_newline_is_refused() -> None:
    """R1: ``$`` would have taken it."""
    with pytest.raises(InvalidName, match=r"'net\\n' is not allowed"):
        parse_network_name("net\n")


@pytest.mark.rule("R1", "R14")
@pytest.mark.parametrize("value", ["a", "0", "A.b_c-d", "9" * 64, "a..b", "k8s-pod-network", "a."])
@pytest.mark.parametrize("parse", [parse_container_id, parse_network_name])
def test_a_good_name_is_taken_as_it_is(parse: Parse, value: str) -> None:
    assert parse(value) == value


@pytest.mark.rule("R1", "R14")
@pytest.mark.parametrize("parse", [parse_container_id, parse_network_name])
def test_a_name_begins_with_an_ascii_letter_or_digit_and_goes_on_with_three_more(
    parse: Parse,
) -> None:
    first = string.ascii_letters + string.digits
    assert {c for c in _ASCII if _is_taken(parse, c)} == set(first)
    assert {c for c in _ASCII if _is_taken(parse, "a" + c)} == set(first + "_.-")


@pytest.mark.rule("R56")
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(".", id="here"),
        pytest.param("..", id="parent"),
        pytest.param("all", id="sysctl's all"),
        pytest.param("default", id="sysctl's default"),
        pytest.param("eth0\n", id="trailing newline"),
        pytest.param("eth 0", id="space"),
        pytest.param("eth\t0", id="tab"),
        pytest.param("eth\v0", id="vertical tab"),
        pytest.param("a/b", id="slash"),
        pytest.param("eth0:1", id="colon"),
        pytest.param("eth%d", id="the kernel's template"),
        pytest.param("eth\0", id="NUL"),
        pytest.param("eth\x1b", id="escape"),
        pytest.param("eth\x7f", id="delete"),
        pytest.param("eth\u00a00", id="no-break space"),
        pytest.param("eth\u2028", id="line separator"),
        pytest.param("\u3000", id="ideographic space"),
        pytest.param("x\xe0", id="a letter whose second byte is a space to the kernel"),
        pytest.param("a" * 16, id="16 characters"),
        pytest.param("é" * 7 + "ab", id="16 bytes in 9 characters"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param(None, id="null"),
        pytest.param(0, id="number"),
        pytest.param(b"eth0", id="bytes"),
    ],
)
def test_a_bad_interface_name_is_refused(value: object) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_ifname(value)
    assert caught.value.place == "interface name"


@pytest.mark.rule("R56")
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("eth0", id="the usual one"),
        pytest.param("lo", id="loopback"),
        pytest.param("a" * 15, id="15 characters"),
        pytest.param("é" * 7 + "a", id="15 bytes in 8 characters"),
        pytest.param("eth0.100", id="VLAN"),
        pytest.param("...", id="three dots"),
        pytest.param("veth@x", id="at sign"),
    ],
)
def test_a_good_interface_name_is_taken_as_it_is(value: str) -> None:
    assert parse_ifname(value) == value


@pytest.mark.rule("R56")
def test_in_an_interface_name_every_other_ascii_character_is_taken() -> None:
    refused = {c for c in _ASCII if not _is_taken(parse_ifname, "e" + c)}
    controls = {c for c in _ASCII if c < " "} | {"\x7f"}
    assert refused == controls | set(" /:%")


@pytest.mark.rule("R7")
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(".", id="here"),
        pytest.param("..", id="parent"),
        pytest.param("../../bin/reboot", id="CVE-2021-20206"),
        pytest.param("/bin/sh", id="absolute"),
        pytest.param("a/b", id="slash"),
        pytest.param("bridge/", id="trailing slash"),
        pytest.param("a\0b", id="NUL"),
        pytest.param("-a", id="leading hyphen"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param("a" * 256, id="256 bytes"),
        pytest.param("é" * 128, id="256 bytes in 128 characters"),
        pytest.param(None, id="null"),
        pytest.param(3, id="number"),
        pytest.param({}, id="object"),
    ],
)
def test_a_bad_plugin_type_is_refused(value: object) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_plugin_type(value)
    assert caught.value.place == "plugin type"


@pytest.mark.rule("R7")
@pytest.mark.parametrize("value", ["bridge", "host-local", "a" * 255, "...", "my plugin.exe"])
def test_a_good_plugin_type_is_taken_as_it_is(value: str) -> None:
    """R7: only path characters are forbidden."""
    assert parse_plugin_type(value) == value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("netns/blue", id="relative"),
        pytest.param("./blue", id="here"),
        pytest.param("/var/run/\0netns", id="NUL"),
        pytest.param("/" + "a" * 4095, id="4096 bytes"),
        pytest.param("/" + "é" * 2048, id="4097 bytes in 2049 characters"),
        pytest.param("/\udcff", id="what os.fsdecode makes of a stray byte"),
        pytest.param(PurePosixPath("blue"), id="relative path object"),
        pytest.param(None, id="null"),
        pytest.param(True, id="true is no process"),
        pytest.param(0, id="no process"),
        pytest.param(-1, id="negative process"),
        pytest.param(4_194_305, id="process above the kernel's limit"),
        pytest.param(10**5000, id="number without a text"),
        pytest.param(1.0, id="float"),
        pytest.param(b"/run/netns/blue", id="bytes"),
        pytest.param(_Opened("blue"), id="object with a relative path"),
        pytest.param(_Opened(7), id="object with a number as its path"),
        pytest.param(_Opened(b"/run/netns/blue"), id="object with bytes as its path"),
        pytest.param(_PathLike(b"/run/netns/blue"), id="path object of bytes"),
    ],
)
def test_a_bad_namespace_path_is_refused(value: object) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_netns_path(value)
    assert caught.value.place == "netns"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("/run/netns/blue", "/run/netns/blue", id="text"),
        pytest.param(Path("/run/netns/blue"), "/run/netns/blue", id="path object"),
        pytest.param(_PathLike("/run/netns/blue"), "/run/netns/blue", id="another path object"),
        pytest.param(_Opened("/proc/1/fd/7"), "/proc/1/fd/7", id="opened namespace"),
        pytest.param(1, "/proc/1/ns/net", id="process"),
        pytest.param(4_194_304, "/proc/4194304/ns/net", id="last process"),
        pytest.param(_Process(7), "/proc/7/ns/net", id="process that shows itself otherwise"),
        pytest.param("/proc/1/ns/net", "/proc/1/ns/net", id="proc"),
        pytest.param("/" + "a" * 4094, "/" + "a" * 4094, id="4095 bytes"),
    ],
)
def test_an_absolute_namespace_path_is_taken(value: object, expected: str) -> None:
    assert parse_netns_path(value) == expected


@pytest.mark.rule("R53")
@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"A": "1;IgnoreUnknown=1"}, id="semicolon smuggles a pair"),
        pytest.param({"A": "x=y"}, id="equals in a value"),
        pytest.param({"A=B": "1"}, id="equals in a name"),
        pytest.param({"A;B": "1"}, id="semicolon in a name"),
        pytest.param({"": "1"}, id="empty name"),
        pytest.param({"A": "1\n"}, id="newline"),
        pytest.param({"A": "\0"}, id="NUL"),
        pytest.param({"A\0": "1"}, id="NUL in a name"),
        pytest.param({"A": "\ud800"}, id="lone surrogate"),
        pytest.param({"A": "\x1b[31m"}, id="escape"),
        pytest.param({"A": 1}, id="number"),
        pytest.param({"A": None}, id="null"),
        pytest.param({1: "A"}, id="number as a name"),
        pytest.param({None: "A"}, id="null as a name"),
        pytest.param([("A", "1")], id="pairs"),
        pytest.param("A=1", id="text"),
        pytest.param(None, id="nothing"),
        pytest.param({"A": "1" * MAX_ENVIRONMENT_ENTRY}, id="too long for the kernel"),
        pytest.param({f"K{n}": "1" * 1000 for n in range(140)}, id="too long together"),
    ],
)
def test_bad_cni_args_are_refused(value: object) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_cni_args(value)
    assert caught.value.place == "CNI_ARGS"
    assert caught.value.expected


@pytest.mark.rule("R53")
def test_an_error_about_cni_args_names_the_key_and_never_the_value() -> None:
    """R53: a value may be a secret."""
    with pytest.raises(InvalidName) as caught:
        parse_cni_args({"TOKEN": "hunter2;"})
    assert "TOKEN" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.rule("R53")
def test_an_error_about_cni_args_shows_a_long_name_shortened_and_in_ascii() -> None:
    name = "é" * 100
    with pytest.raises(InvalidName) as caught:
        parse_cni_args({name: ";"})
    assert caught.value.message == f"the value of {ascii(name)[:80]} is not allowed"


@pytest.mark.rule("R53")
def test_the_value_of_a_recorded_pair_may_hold_an_equals_sign() -> None:
    """R53: what another runtime took from its environment is deleted with what it was added."""
    assert parse_recorded_cni_args({"X": "X=Y"}) == {"X": "X=Y"}
    for pairs in ({"A": "1;B=2"}, {"A=B": "1"}, {"A;B": "1"}, {"": "1"}, {"A": "1\n"}, {"A": 1}):
        assert not _is_taken(parse_recorded_cni_args, pairs)


@pytest.mark.rule("R53")
def test_cni_args_may_be_as_long_as_an_environment_entry_can_be() -> None:
    """R53: ``CNI_ARGS=A=`` and the value, 131,071 bytes."""
    assert MAX_ENVIRONMENT_ENTRY == 131_071
    longest = "1" * (MAX_ENVIRONMENT_ENTRY - len("CNI_ARGS=A="))
    assert parse_cni_args({"A": longest}) == {"A": longest}
    with pytest.raises(InvalidName, match="too long"):
        parse_cni_args({"A": longest + "1"})


@pytest.mark.rule("R53")
def test_an_empty_value_in_cni_args_is_taken() -> None:
    """R53: records of other runtimes have ``K8S_POD_UID=``."""
    assert parse_cni_args_text("K8S_POD_UID=;IgnoreUnknown=1") == {
        "K8S_POD_UID": "",
        "IgnoreUnknown": "1",
    }


def test_parsed_cni_args_do_not_follow_the_callers_mapping() -> None:
    given_pairs = {"A": "1"}
    parsed = parse_cni_args(given_pairs)
    given_pairs["A"] = "1;B=2"
    assert parsed == {"A": "1"}


@pytest.mark.rule("R53")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("A", id="no equals"),
        pytest.param("A=1;", id="trailing semicolon"),
        pytest.param(";", id="only a semicolon"),
        pytest.param("A=1;;B=2", id="empty pair"),
        pytest.param("A=1=2", id="two equals"),
        pytest.param("=1", id="no name"),
        pytest.param("A=1\n", id="newline"),
    ],
)
def test_bad_text_of_cni_args_is_refused(text: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_cni_args_text(text)
    assert caught.value.place == "CNI_ARGS"
    assert caught.value.expected


@pytest.mark.rule("R53")
def test_a_pair_of_cni_args_ends_its_name_at_the_first_equals_sign() -> None:
    with pytest.raises(InvalidName, match="the value of 'A' is not allowed"):
        parse_cni_args_text("A=1=2")


def test_the_empty_text_of_cni_args_is_no_pair() -> None:
    assert parse_cni_args_text("") == {}
    assert cni_args_text({}) == ""


_WORDS = st.text("abcXYZ019_.- é", min_size=1, max_size=8)


@pytest.mark.rule("R53")
@given(st.dictionaries(_WORDS, _WORDS | st.just(""), max_size=5))
def test_cni_args_survive_their_text(pairs: dict[str, str]) -> None:
    """R53: in the order in which they were given."""
    read = parse_cni_args_text(cni_args_text(pairs))
    assert list(read.items()) == list(pairs.items())


def test_a_record_is_named_as_libcni_names_it() -> None:
    name = record_name(NetworkName("net"), ContainerId("c1"), IfName("eth0"))
    assert name == "net-c1-eth0"


def test_names_that_are_too_long_together_are_refused() -> None:
    """Rule 3 of the module: the file name of the record is checked as a whole."""
    longest = ContainerId("c" * (MAX_FILE_NAME - len("net--eth0")))
    assert len(record_name(NetworkName("net"), longest, IfName("eth0"))) == MAX_FILE_NAME
    with pytest.raises(InvalidName, match="too long together") as caught:
        record_name(NetworkName("net"), ContainerId(longest + "c"), IfName("eth0"))
    assert caught.value.place == "network name, container ID, interface name"
    assert caught.value.expected == "at most 253 bytes together"
    assert caught.value.network == "net"
    assert caught.value.container_id == longest + "c"
    assert caught.value.ifname == "eth0"


def test_only_a_record_name_with_a_dash_in_one_of_its_parts_is_two_attachments() -> None:
    """All names that are made of up to three letters and dashes."""
    parts = [
        "".join(part)
        for length in (1, 2, 3)
        for part in product("a-", repeat=length)
        if part[0] != "-"
    ]
    ifnames = [*parts, "-", "-a", "a-"]
    owners: dict[str, set[tuple[str, str, str]]] = {}
    for network, container, ifname in product(parts, parts, ifnames):
        name = record_name(NetworkName(network), ContainerId(container), IfName(ifname))
        owners.setdefault(name, set()).add((network, container, ifname))
    assert any(len(several) > 1 for several in owners.values())
    for name, several in owners.items():
        assert len(several) == 1 or not is_of_one_attachment(name), name
    assert is_of_one_attachment("net-c1-eth0")


def test_a_record_name_is_measured_in_bytes() -> None:
    shorter = ContainerId("c" * (MAX_FILE_NAME - len("net--eth0")))
    with pytest.raises(InvalidName, match="256 bytes"):
        record_name(NetworkName("net"), shorter, IfName("ethé"))


@pytest.mark.parametrize(
    "parse",
    [parse_container_id, parse_network_name, parse_ifname, parse_plugin_type, parse_netns_path],
)
def test_an_error_shows_a_long_hostile_name_shortened_and_in_ascii(parse: Parse) -> None:
    with pytest.raises(InvalidName) as caught:
        parse("\x1b[31m\0" + "é" * 10_000)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        pytest.param(parse_container_id, "é" * 100, id="container ID"),
        pytest.param(parse_network_name, "a b", id="network name"),
        pytest.param(parse_ifname, "a b", id="interface name"),
        pytest.param(parse_ifname, "a" * 16, id="interface name of 16 bytes"),
        pytest.param(parse_ifname, "\ud800", id="interface name that has no bytes"),
        pytest.param(parse_plugin_type, "..", id="plugin type"),
        pytest.param(parse_plugin_type, "a/b", id="plugin type with a slash"),
        pytest.param(parse_plugin_type, "\ud800", id="plugin type that has no bytes"),
        pytest.param(parse_netns_path, "blue", id="namespace"),
        pytest.param(parse_netns_path, "/" + "a" * 4095, id="namespace of 4096 bytes"),
        pytest.param(parse_netns_path, "/\udcff", id="namespace that has no bytes"),
    ],
)
def test_an_error_shows_what_was_given_and_says_what_was_expected(parse: Parse, value: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse(value)
    shown, expected = ascii(value)[:80], caught.value.expected
    assert caught.value.message == f"{shown} is not allowed; expected {expected}"
    assert "UnicodeEncodeError" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("parse", [parse_container_id, parse_cni_args])
def test_an_error_about_what_is_no_text_names_its_type(parse: Parse) -> None:
    with pytest.raises(InvalidName) as caught:
        parse(None)
    assert caught.value.message == f"NoneType is not allowed; expected {caught.value.expected}"


@given(st.text() | st.none() | st.integers() | st.binary())
def test_any_value_is_a_name_or_a_typed_error(value: object) -> None:
    parses: list[Parse] = [
        parse_container_id,
        parse_network_name,
        parse_ifname,
        parse_plugin_type,
        parse_cni_args,
    ]
    for parse in parses:
        with suppress(InvalidName):
            assert parse(value) == value
    with suppress(InvalidName):
        assert parse_netns_path(value) in (value, f"/proc/{value}/ns/net")


@pytest.mark.rule("R53")
def test_cni_args_that_are_no_mapping_are_not_shown() -> None:
    """A caller that gives the text of the variable may give a secret."""
    with pytest.raises(InvalidName) as caught:
        parse_cni_args("TOKEN=hunter2")
    assert str(caught.value).startswith("CNI_ARGS: str is not allowed")
    assert "hunter2" not in repr(caught.value)
    assert caught.value.expected == "a mapping of names to values"
