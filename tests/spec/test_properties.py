"""What holds for every configuration, chain, version and text: parse and write are inverse, plans
follow their rule, and damage is a typed error or a valid value.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterable, Iterator

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from acni.errors import ConfigError, InvalidName, StoreError, VersionUnsupported
from acni.host.netns import NetnsIdentity
from acni.spec import (
    Command,
    NetworkConfig,
    Plugin,
    ResultError,
    parse_network,
    parse_plugin,
    parse_result,
    parse_single,
    plan,
)
from acni.spec.names import ContainerId, IfName, PluginType
from acni.spec.versions import common_version, offered_versions
from acni.store.record import Owed, Provenance, Record, read_record, write_record
from tests.spec.corpus import CORPUS
from tests.spec.outcome import Reader, outcome_of, request_of

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

# --- what is written is what was read ------------------------------------------

# Keys that mean something to the runtime, to a record's reader or to a result's.
_KNOWN = {
    *("cniversion", "cniversions", "name", "type", "plugins", "capabilities", "ipam", "args"),
    *("prevresult", "runtimeconfig", "disablecheck", "disablegc", "loadonlyinlinedplugins"),
    *("interfaces", "ips", "ip4", "ip6", "routes", "dns", "code", "ip"),
    *("mac", "mtu", "sandbox", "socketpath", "pciid", "version", "address", "gateway", "interface"),
    *("dst", "gw", "advmss", "priority", "table", "scope"),
    *("nameservers", "domain", "search", "options"),
}


def _is_unknown(key: str) -> bool:
    return key.casefold() not in _KNOWN and not key.startswith("cni.dev/")


_TEXTS = st.sampled_from(
    [
        text.core.decode()
        for texts in CORPUS.values()
        for text in texts
        if text.is_taken and len(text.raw) < 2_000
    ]
)
_SPACE = st.text(" \t\r\n", max_size=2)
_KEYS = (st.text(max_size=6) | st.sampled_from(["mtu ", "Plugin", "\ud800", "\0", '"'])).filter(
    _is_unknown
)
_MEMBERS = st.dictionaries(_KEYS, _TEXTS, max_size=4)
_TYPES = st.sampled_from(["bridge", "host-local", "t\xe9", 'a"b', "a b"])


@st.composite
def _objects(draw: st.DrawFn, given: dict[str, str], unknown: dict[str, str]) -> str:
    """Write an object: its members in any order, each key as it may be written, spaced anyhow."""
    members = draw(st.permutations([*given.items(), *unknown.items()]))
    written = [
        f"{draw(_SPACE)}{json.dumps(key, ensure_ascii=draw(_ascii_only(key)))}{draw(_SPACE)}:"
        f"{draw(_SPACE)}{text}{draw(_SPACE)}"
        for key, text in members
    ]
    return f"{draw(_SPACE)}{{{','.join(written) or draw(_SPACE)}}}{draw(_SPACE)}"


def _ascii_only(key: str) -> st.SearchStrategy[bool]:
    return st.just(True) if "\ud800" in key else st.booleans()


@st.composite
def _lists(draw: st.DrawFn) -> tuple[str, list[dict[str, str]], dict[str, str]]:
    """Write a configuration list: its text, the unknown members of each plugin and its own."""
    plugins = draw(st.lists(_MEMBERS, min_size=1, max_size=4))
    own = draw(_MEMBERS)
    texts = [
        draw(
            _objects({"type": json.dumps(draw(_TYPES), ensure_ascii=draw(st.booleans()))}, unknown)
        )
        for unknown in plugins
    ]
    given = {
        "cniVersion": json.dumps(draw(st.sampled_from(VERSIONS))),
        "name": '"net"',
        "plugins": "[" + ",".join(texts) + "]",
    }
    return draw(_objects(given, own)), plugins, own


def _written(members: dict[str, str]) -> list[str]:
    """A member may be written with its key in another spelling, its value may not."""
    return [f"{json.dumps(key)}:{text}" for key, text in members.items()]


@pytest.mark.rule("R6", "R29")
@given(_lists())
def test_a_configuration_is_the_same_after_it_was_written_and_read(
    written: tuple[str, list[dict[str, str]], dict[str, str]],
) -> None:
    """What a record keeps is what an ADD ran."""
    text, plugins, own = written
    network = parse_network(text.encode())
    again = parse_network(network.effective().encode())
    assert again.effective() == network.effective()
    assert again == network
    assert {key: network.members[key] for key in own} == own
    for unknown, plugin in zip(plugins, network.plugins, strict=True):
        assert parse_plugin(plugin.text.encode()) == plugin
        assert all(member in plugin.request for member in _written(unknown))


@pytest.mark.rule("R6", "R37")
@given(_lists(), st.sampled_from(list(Command)))
def test_every_request_of_a_chain_carries_each_unknown_member_as_it_was_written(
    written: tuple[str, list[dict[str, str]], dict[str, str]], command: Command
) -> None:
    text, plugins, _ = written
    network = parse_network(text.encode())
    try:
        steps = plan(command, network)
    except VersionUnsupported:
        return
    for step in steps:
        previous = '{"ips": [ ],"x":1e2}'
        stdin = request_of(step, network, previous).decode()
        assert all(member in stdin for member in _written(plugins[step.index]))
        assert list(json.loads(stdin))[:2] == ["cniVersion", "name"]
        assert (f'"prevResult":{previous}' in stdin) == step.takes_previous
        kept = [key for key in json.loads(stdin) if _is_unknown(key)]
        assert kept == [key for key in json.loads(network.plugins[step.index].text) if key in kept]


@pytest.mark.rule("R6", "R29")
@given(_MEMBERS, st.data())
def test_one_plugins_file_is_the_same_after_it_was_written_and_read(
    unknown: dict[str, str], data: st.DataObject
) -> None:
    text = data.draw(_objects({"name": '"net"', "type": '"first"'}, unknown))
    network = parse_single(text.encode())
    assert parse_network(network.effective().encode()).effective() == network.effective()
    assert all(member in network.plugins[0].request for member in _written(unknown))


@pytest.mark.rule("R6")
@given(_MEMBERS, _MEMBERS, st.sampled_from(VERSIONS), st.data())
def test_a_result_is_the_same_after_it_was_written_and_read(
    unknown: dict[str, str], inside: dict[str, str], version: str, data: st.DataObject
) -> None:
    """As prevResult, as record, as what the caller gets."""
    is_oldest = version in ("0.1.0", "0.2.0")
    address = data.draw(_objects({"ip" if is_oldest else "address": '"10.0.0.2/24"'}, inside))
    given = {"ip4": address} if is_oldest else {"ips": f"[{address}]"}
    given |= {"cniVersion": json.dumps(version)} if data.draw(st.booleans()) else {}
    text = data.draw(_objects(given, unknown))
    result = parse_result(text.encode(), version)
    again = parse_result(result.raw.encode(), version)
    assert (again, again.raw) == (result, result.raw)
    assert json.loads(result.raw)["cniVersion"] == version
    assert address in result.raw
    assert all(text in result.raw for text in unknown.values())
    assert json.loads(result.raw) == json.loads(text) | {"cniVersion": version}


@pytest.mark.rule("R6", "R33")
@given(_lists(), _MEMBERS, st.dictionaries(st.text(max_size=4), _TEXTS, max_size=3), st.data())
def test_a_record_is_the_same_after_it_was_written_and_read(
    written: tuple[str, list[dict[str, str]], dict[str, str]],
    unknown: dict[str, str],
    capability_texts: dict[str, str],
    data: st.DataObject,
) -> None:
    """Configuration, result and arguments come back as they were written."""
    network = parse_network(written[0].encode())
    result = data.draw(_objects({"cniVersion": json.dumps(network.cni_version)}, unknown)).strip()
    record = evolve(
        RECORD, network=network, result=result, capability_texts=capability_texts, provenance=None
    )
    assert read_record(record.name, write_record(record)) == record


# --- plans follow the rule --------------------------------------------------------


def _expected_plan(command: str, version: str, length: int) -> list[tuple[int, bool]] | None:
    """Which plugin runs when, and whether it is given a previous result; None: it is refused.

    Said a second time, verb by verb, from SPEC.md, section 3, and from the history of the versions:
    CHECK and DEL's prevResult came with 0.4.0, GC and STATUS with 1.1.0.
    """
    age = VERSIONS.index(version)
    has_0_4_0, has_1_1_0 = age >= 4, age >= 6
    forward = list(range(length))
    match command:
        case "ADD":
            return [(index, index > 0) for index in forward]
        case "DEL":
            return [(index, has_0_4_0) for index in reversed(forward)]
        case "CHECK":
            return [(index, True) for index in forward] if has_0_4_0 else None
        case "STATUS" | "GC":
            return [(index, False) for index in forward] if has_1_1_0 else []
        case _:
            raise AssertionError(f"no rule is written here for {command}")


@pytest.mark.rule("R17", "R19", "R32", "R34", "R35", "R36", "R57")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("command", Command, ids=str)
def test_a_plan_has_the_order_and_the_sources_of_its_verb_for_any_length(
    command: Command, version: str
) -> None:
    for length in range(1, 21):
        network = _chain(length, version)
        expected = _expected_plan(command.value, version, length)
        if expected is None:
            with pytest.raises(VersionUnsupported):
                plan(command, network)
            continue
        steps = plan(command, network)
        assert [(step.index, step.takes_previous) for step in steps] == expected
        assert all(step.plugin == network.plugins[step.index] for step in steps)
        assert all(step.command is command for step in steps)


def _chain(length: int, version: str, **members: object) -> NetworkConfig:
    plugins = [{"type": f"p{index % 3}", "n": index} for index in range(length)]
    document = {"cniVersion": version, "name": "net", "plugins": plugins} | members
    return parse_network(json.dumps(document).encode())


@pytest.mark.rule("R34")
@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_owed_of_a_chain_is_the_rest_of_its_plan(version: str) -> None:
    """A delete that halted at a plugin resumes there."""
    for length in range(1, 9):
        network = _chain(length, version)
        whole = [step.plugin.text for step in plan(Command.DEL, network)]
        for index in range(length):
            rest = plan(Command.DEL, network.up_to(index))
            assert [step.plugin.text for step in rest] == whole[length - 1 - index :]


@pytest.mark.rule("R2", "R3")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("member", "disabled"), [("disableCheck", Command.CHECK), ("disableGC", Command.GC)]
)
def test_what_a_network_disables_runs_nothing_and_every_other_plan_is_as_it_was(
    member: str, disabled: Command, version: str
) -> None:
    for length, command in itertools.product(range(1, 6), Command):
        network = _chain(length, version, **{member: True})
        if command is disabled:
            assert plan(command, network) == ()
        elif _expected_plan(command.value, version, length) is None:
            with pytest.raises(VersionUnsupported):
                plan(command, network)
        else:
            assert plan(command, network) == plan(command, _chain(length, version))


@pytest.mark.rule("R17", "R19", "R32")
@pytest.mark.parametrize("command", Command, ids=str)
def test_a_previous_result_stands_in_the_requests_that_the_plan_says_and_in_no_other(
    command: Command,
) -> None:
    for version, length in itertools.product(VERSIONS, range(1, 6)):
        network = _chain(length, version)
        expected = _expected_plan(command.value, version, length)
        if expected is None:
            continue
        for step, (_, takes) in zip(plan(command, network), expected, strict=True):
            with_one = request_of(step, network, '{"x":1e2}')
            assert (b'"prevResult":{"x":1e2}' in with_one) == takes
            assert b"prevResult" not in request_of(step, network)


# --- versions ---------------------------------------------------------------------

_UNKNOWN_VERSIONS = ("0.0.1", "0.3.2", "0.5.0", "0.10.0", "1.0.1", "1.1.1", "2.0.0", "10.0.0-rc1")


def _sorted(offered: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(offered, key=lambda version: tuple(map(int, version.split(".")))))


@pytest.mark.rule("R9")
def test_the_highest_is_selected_of_every_set_of_versions() -> None:
    """All 127 sets, beside versions that nobody knows, in both orders."""
    sets = 0
    for size in range(1, len(VERSIONS) + 1):
        for offered in itertools.combinations(VERSIONS, size):
            sets += 1
            for others in ((), ("",), _UNKNOWN_VERSIONS):
                for order in ((*offered, *others), (*others, *reversed(offered))):
                    assert offered_versions(order, "$") == _sorted(offered)
    assert sets == 127


@pytest.mark.rule("R9")
@given(
    st.lists(st.sampled_from(VERSIONS + _UNKNOWN_VERSIONS), max_size=6),
    st.sampled_from(("", *VERSIONS, *_UNKNOWN_VERSIONS)),
)
def test_a_configuration_offers_what_it_says_and_runs_in_the_highest_of_it(
    listed: list[str], alone: str
) -> None:
    """Of ``cniVersion`` and ``cniVersions`` together."""
    document = {
        "cniVersion": alone,
        "cniVersions": listed,
        "name": "net",
        "plugins": [{"type": "first"}],
    }
    offered = _sorted({version for version in (alone, *listed) if version in VERSIONS})
    raw = json.dumps(document).encode()
    if offered:
        network = parse_network(raw)
        assert network.versions == offered
        assert network.cni_version == offered[-1]
        assert parse_network(network.effective().encode()).versions == offered
        for version in VERSIONS:
            if version in offered:
                assert network.at_version(version).versions == (version,)
                assert json.loads(network.at_version(version).effective())["cniVersion"] == version
            else:
                with pytest.raises(VersionUnsupported):
                    network.at_version(version)
    elif alone or listed:
        with pytest.raises(VersionUnsupported):
            parse_network(raw)
    else:
        assert parse_network(raw).cni_version == "0.1.0"


@pytest.mark.rule("R9")
@given(
    st.sets(st.sampled_from(VERSIONS), min_size=1),
    st.lists(st.lists(st.sampled_from(VERSIONS + _UNKNOWN_VERSIONS)), max_size=4),
)
def test_the_common_version_is_the_highest_that_is_offered_and_that_every_plugin_lists(
    offered: set[str], answers: list[list[str]]
) -> None:
    in_common = [one for one in _sorted(offered) if all(one in listed for listed in answers)]
    assert common_version(_sorted(offered), answers) == (in_common[-1] if in_common else None)


# --- damage -----------------------------------------------------------------------

NETWORK = (
    b'{"cniVersion":"1.0.0","cniVersions":["0.4.0","1.1.0"],"name":"net","disableCheck":"false",\n'
    b' "plugins":[{"type":"bridge","capabilities":{"mac":true},"ipam":{"type":"host-local",\n'
    b' "ranges":[[{"subnet":"10.0.0.0/24"}]]},"mtu":1e2,"x":[1,-0.5,null,"\\u00e9\xc3\xa9"]},\n'
    b' {"type":"portmap","runtimeConfig":{}}]}'
)
RESULT = (
    b'{"cniVersion":"1.0.0","interfaces":[{"name":"cni0"},{"name":"eth0","mac":"02:00:00:00:00:01",'
    b'"mtu":1500,"sandbox":"/run/netns/c1"}],\n "ips":[{"address":"10.0.0.2/24","gateway":'
    b'"10.0.0.1","interface":1},{"address":"fd00::2/64"}],"routes":[{"dst":"0.0.0.0/0","gw":'
    b'"10.0.0.1","mtu":1400}],"dns":{"nameservers":["10.0.0.1"],"domain":"d"},"x":[1e2,"\xc3\xa9"]}'
)
OLDEST = (
    b'{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24","gateway":"10.0.0.1","routes":[{"dst":'
    b'"0.0.0.0/0"}]},"ip6":{"ip":"fd00::2/64"},"dns":{"search":["\xc3\xa9"]}}'
)
RECORD = Record(
    container_id=ContainerId("c1"),
    ifname=IfName("eth0"),
    network=parse_network(b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"first"}]}'),
    netns="/run/netns/c1",
    cni_args={"K": "V"},
    capability_texts={"mac": '"02:00:00:00:00:01"'},
    result='{"cniVersion":"1.0.0", "ips":[{"address":"10.0.0.2/24"}]}',
    provenance=Provenance(
        operation="0" * 32,
        boot="b",
        netns=NetnsIdentity("id", "7"),
        host_netns=NetnsIdentity("id", "1"),
        plugin_dirs=("/plugins",),
        plugins=(
            Plugin(type=PluginType("first"), path="/p/first", identity="1:2", runner="executable"),
        ),
        sequence=5,
        added_at="2026-01-01T00:00:00+00:00",
        owed=Owed(next=0, cause="why", origin="delete", attempts=2),
    ),
)


def _read_recorded_configuration(raw: bytes) -> object:
    """Read a damaged configuration out of a whole record."""
    document = json.loads(write_record(RECORD)) | {"config": base64.b64encode(raw).decode()}
    return read_record(None, json.dumps(document).encode())


_CONFIGURATION_ERRORS = (ConfigError, InvalidName, VersionUnsupported)
DAMAGED: dict[str, tuple[bytes, Reader, tuple[type[Exception], ...]]] = {
    "a list": (NETWORK, parse_network, _CONFIGURATION_ERRORS),
    "one plugin's file": (
        b'{"cniVersion":"0.4.0","name":"net","type":"bridge","ipam":{"type":"host-local"},"n":1e2}',
        parse_single,
        _CONFIGURATION_ERRORS,
    ),
    "a list in a record": (NETWORK, _read_recorded_configuration, (StoreError,)),
    "a result": (RESULT, lambda raw: parse_result(raw, "1.1.0"), (ResultError,)),
    "a result to convert": (RESULT, lambda raw: parse_result(raw, "0.4.0"), (ResultError,)),
    "a result of the oldest": (OLDEST, lambda raw: parse_result(raw, "0.1.0"), (ResultError,)),
    "a record": (write_record(RECORD), lambda raw: read_record(None, raw), (StoreError,)),
    "a record by its name": (
        write_record(RECORD),
        lambda raw: read_record(RECORD.name, raw),
        (StoreError,),
    ),
}
each_document = pytest.mark.parametrize("document", DAMAGED)


def _survivors(document: str, damaged: Iterator[bytes]) -> tuple[int, int]:
    """Read each damaged text: how many there were, and how many were read all the same."""
    _, read, errors = DAMAGED[document]
    texts = survivors = 0
    for raw in damaged:
        texts += 1
        try:
            outcome = outcome_of(read, raw, *errors)
        except Exception as error:
            error.add_note(f"the text was {raw!r}")
            raise
        survivors += not isinstance(outcome, errors)
    return texts, survivors


def _cut(raw: bytes) -> Iterator[bytes]:
    for at in range(len(raw)):
        yield raw[:at]


def _cut_and_filled(raw: bytes) -> Iterator[bytes]:
    """As a file system may leave a file after a crash: its length is there, its end is not."""
    for at in range(len(raw)):
        yield raw[:at] + b"\0" * (len(raw) - at)
    for tail in (1, 512, 4096):
        yield raw + b"\0" * tail


def _cut_out(raw: bytes) -> Iterator[bytes]:
    for at in range(len(raw)):
        yield raw[:at] + raw[at + 1 :]


def _flipped(raw: bytes) -> Iterator[bytes]:
    """Every byte, each as others: other bits, what JSON is made of, what UTF-8 has not."""
    for at, byte in enumerate(raw):
        for other in {byte ^ 1, byte ^ 0x20, byte ^ 0x80, *b'\0"},0', 0xFF} - {byte}:
            yield raw[:at] + bytes([other]) + raw[at + 1 :]


def _doubled(raw: bytes) -> Iterator[bytes]:
    for at in range(len(raw)):
        yield raw[:at] + raw[at : at + 1] + raw[at:]


@each_document
def test_a_text_cut_at_any_byte_is_a_typed_error(document: str) -> None:
    raw, _, _ = DAMAGED[document]
    assert _survivors(document, _cut(raw)) == (len(raw), 0)


@each_document
def test_a_text_whose_tail_is_nul_from_any_byte_on_is_a_typed_error(document: str) -> None:
    raw, _, _ = DAMAGED[document]
    assert _survivors(document, _cut_and_filled(raw)) == (len(raw) + 3, 0)


@each_document
@pytest.mark.parametrize("damage", [_cut_out, _doubled], ids=["less", "twice"])
def test_a_text_with_any_byte_less_or_twice_is_a_value_or_a_typed_error(
    document: str, damage: Callable[[bytes], Iterator[bytes]]
) -> None:
    raw, _, _ = DAMAGED[document]
    texts, survivors = _survivors(document, damage(raw))
    assert texts == len(raw)
    assert 0 < survivors < texts


@each_document
def test_a_text_with_any_byte_changed_is_a_value_or_a_typed_error(document: str) -> None:
    raw, _, _ = DAMAGED[document]
    texts, survivors = _survivors(document, _flipped(raw))
    assert texts > 7 * len(raw)
    assert 0 < survivors < texts


def test_two_halves_of_two_texts_are_a_value_or_a_typed_error() -> None:
    """What a torn write leaves: the beginning of the new file, the end of the old one."""
    older = write_record(evolve(RECORD, result=None, provenance=None))
    newer = write_record(RECORD)
    torn = (newer[:at] + older[at:] for at in range(max(len(older), len(newer))))
    texts, survivors = _survivors("a record", torn)
    assert texts == len(newer)
    assert survivors < texts


def test_the_damage_amounts_to_tens_of_thousands_of_texts() -> None:
    damages = (_cut, _cut_and_filled, _cut_out, _doubled, _flipped)
    amount = sum(sum(1 for _ in damage(raw)) for raw, *_ in DAMAGED.values() for damage in damages)
    assert amount > 30_000
