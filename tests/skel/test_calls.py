"""From a request to a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from acni import netns
from acni.skel import Call, Fields, Kept
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from acni.spec.attachment import AttachmentId
from tests.skel.asking import Probe, bounds, request, said

NETNS = "/proc/self/ns/net"
RESULT = {"cniVersion": "1.1.0", "ips": [{"address": "10.88.0.2/16"}]}


def test_a_call_says_what_the_request_says() -> None:
    probe = Probe()
    config = {"mtu": 1450, "prevResult": RESULT}
    probe.answer(request("CHECK", config, NETNS=NETNS, ARGS="A=1;B=2", PATH="/a:/b"))
    (call,) = probe.calls
    assert (call.command, call.container_id, call.ifname) == ("CHECK", "c1", "eth0")
    assert (call.network, call.cni_version) == ("net", "1.1.0")
    assert (call.args, call.plugin_dirs) == ({"A": "1", "B": "2"}, ("/a", "/b"))
    assert call.fields.number("mtu", least=0, most=9000) == 1450
    assert call.previous is not None
    assert call.previous.ips[0].address == "10.88.0.2/16"
    assert call.valid is None


@pytest.mark.netns
def test_the_namespace_is_open_as_long_as_the_call_lasts() -> None:
    with netns.anonymous() as box:
        probe = Probe(lambda call: seen.append(_identity(call)))
        seen: list[object] = []
        assert probe.answer(request("CHECK", NETNS=box.path)).status == 0
        assert seen == [box.identity()]
    assert probe.calls[0].netns is not None
    assert probe.calls[0].netns.path == box.path


def _identity(call: object) -> object:
    opened = call.netns  # type: ignore[attr-defined]
    with opened.entered():
        return netns.identity("/proc/thread-self/ns/net")


@pytest.mark.netns
def test_the_thread_is_back_after_it_was_inside() -> None:
    home = netns.identity("/proc/thread-self/ns/net")
    with netns.anonymous() as box:
        probe = Probe(_identity)  # type: ignore[arg-type]
        probe.answer(request("DEL", NETNS=box.path))
    assert netns.identity("/proc/thread-self/ns/net") == home


@pytest.mark.rule("P3")
@pytest.mark.parametrize("path", ["", "/run/netns/gone", "/dev/null"])
def test_a_del_goes_without_a_namespace_that_is_gone(path: str) -> None:
    probe = Probe()
    assert probe.answer(request("DEL", NETNS=path)).status == 0
    assert probe.calls[0].netns is None


@pytest.mark.rule("P10")
@pytest.mark.parametrize(
    ("command", "variables", "named"),
    [
        ("ADD", {"CONTAINERID": "", "NETNS": ""}, ("CNI_CONTAINERID", "CNI_NETNS")),
        ("CHECK", {"IFNAME": "", "NETNS": NETNS}, ("CNI_IFNAME",)),
        ("DEL", {"CONTAINERID": "", "IFNAME": ""}, ("CNI_CONTAINERID", "CNI_IFNAME")),
        ("GC", {"PATH": ""}, ("CNI_PATH",)),
        ("ADD", {"NETNS": "/run/netns/gone"}, ("CNI_NETNS",)),
        ("DEL", {"CONTAINERID": "../c1"}, ("CNI_CONTAINERID",)),
        ("DEL", {"IFNAME": "a/b"}, ("CNI_IFNAME",)),
        ("DEL", {"ARGS": "A"}, ("CNI_ARGS",)),
        ("", {}, ("CNI_COMMAND",)),
        ("UPDATE", {}, ("CNI_COMMAND",)),
    ],
)
def test_variables_that_are_missing_or_wrong_are_named(
    command: str, variables: dict[str, str], named: tuple[str, ...]
) -> None:
    probe = Probe()
    response = probe.answer(request(command, {}, **variables))
    assert said(response)["code"] == 4
    assert all(name in said(response)["msg"] for name in named)
    assert probe.calls == []


@pytest.mark.parametrize(
    ("stdin", "code"),
    [
        (b"", 6),
        (b"[]", 6),
        (b'{"cniVersion": "1.1.0", "name": "n", "x": NaN}', 6),
        (b'\xff{"cniVersion": "1.1.0", "name": "n"}', 6),
        (b'{"cniVersion": 1, "name": "n"}', 7),
        (b'{"cniVersion": "1.1.0"}', 7),
        (b'{"cniVersion": "1.1.0", "name": "a/b"}', 7),
        (b'{"cniVersion": "9.0.0", "name": "n"}', 1),
        (b'{"cniVersion": "1.1.0", "name": "n", "prevResult": {"ips": 1}}', 6),
    ],
)
def test_a_configuration_that_is_none_is_refused_with_its_code(stdin: bytes, code: int) -> None:
    probe = Probe()
    assert said(probe.answer(request("DEL", stdin)))["code"] == code
    assert probe.calls == []


@pytest.mark.parametrize(
    ("command", "version", "has_it"),
    [
        ("CHECK", "0.3.1", False),
        ("CHECK", "0.4.0", True),
        ("GC", "1.0.0", False),
        ("GC", "1.1.0", True),
        ("STATUS", "1.0.0", False),
        ("STATUS", "1.1.0", True),
        ("DEL", "0.1.0", True),
    ],
)
def test_a_verb_is_refused_where_the_version_does_not_have_it(
    command: str, version: str, *, has_it: bool
) -> None:
    config = {"cniVersion": version, "cni.dev/valid-attachments": []}
    response = Probe().answer(request(command, config, NETNS=NETNS))
    assert response.status == (0 if has_it else 1)
    assert has_it or said(response)["code"] == 1


def test_without_a_version_it_is_the_first() -> None:
    probe = Probe()
    probe.answer(request("DEL", b'{"name": "n"}'))
    assert probe.calls[0].cni_version == "0.1.0"


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_gc_says_what_is_valid(key: str) -> None:
    probe = Probe()
    probe.answer(request("GC", {key: [{"containerID": "c1", "ifname": "eth0"}]}))
    probe.answer(request("GC", {key: []}))
    assert [call.valid for call in probe.calls] == [{AttachmentId("c1", "eth0")}, frozenset()]


def test_a_gc_that_says_nothing_of_it_frees_nothing() -> None:
    probe = Probe()
    assert said(probe.answer(request("GC")))["code"] == 7
    assert probe.calls == []


def calls_of(*configs: Mapping[str, object], version: str = "1.1.0") -> Sequence[Call]:
    """Have a plugin called by one runner."""
    probe, kept = Probe(), Kept()
    for number, config in enumerate(configs):
        said = {"cniVersion": version, **config}
        asked = request("CHECK", said, CONTAINERID=f"c{number}", NETNS=NETNS)
        respond(probe.verbs(), asked, bounds=bounds(), delegates=Delegates(), kept=kept)
    assert len(probe.calls) == len(configs)
    return probe.calls


def parse_mtu(fields: Fields, cni_version: str) -> list[object]:
    return [fields.get("mtu"), cni_version]


def test_a_configuration_is_parsed_once_whatever_plugins_before_had_as_their_result() -> None:
    other = {**RESULT, "ips": [{"address": "10.88.0.3/16"}]}
    same, again, behind, different = calls_of(
        {"mtu": 1450}, {"mtu": 1450, "prevResult": RESULT}, {"PrevResult": other}, {"mtu": 1400}
    )
    first = same.parsed(parse_mtu)
    assert first == [1450, "1.1.0"]
    assert again.parsed(parse_mtu) is first
    assert behind.parsed(parse_mtu) == [None, "1.1.0"]
    assert different.parsed(parse_mtu) == [1400, "1.1.0"]
    assert same.parsed(lambda fields, _: fields.get("mtu")) == 1450


@pytest.mark.parametrize("size", [1, 1 << 15])
def test_what_parses_a_configuration_does_not_see_what_is_one_container_s(size: int) -> None:
    (call,) = calls_of({"prevResult": RESULT, "of": "x" * size})
    assert call.parsed(lambda fields, _: sorted(fields.value)) == [
        "cniVersion",
        "name",
        "of",
        "type",
    ]


def test_a_result_that_plugins_pass_on_is_read_once() -> None:
    first, second, third, none = calls_of(
        {"prevResult": RESULT},
        {"prevResult": RESULT, "mtu": 1},
        {"prevResult": {"ips": []}, "PREVRESULT": {**RESULT, "dns": {}}},
        {"prevResult": None},
    )
    assert first.previous is not None
    assert second.previous is first.previous
    assert third.previous is not None
    assert third.previous is not first.previous
    assert third.previous.ips == first.previous.ips
    assert none.previous is None


def test_of_a_long_request_nothing_is_remembered() -> None:
    long = {"prevResult": RESULT, "of": "x" * (1 << 15)}
    first, second = calls_of(long, long)
    assert second.previous == first.previous
    assert second.previous is not first.previous
    assert second.parsed(parse_mtu) is not first.parsed(parse_mtu)
