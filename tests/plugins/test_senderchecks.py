"""bridge with macspoofchk, by traffic: what a container sends with another's hardware address goes
nowhere, whatever it is.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from acni.netlink.messages import Message
from acni.netlink.netfilter import Netfilter
from acni.netlink.wire import KernelWire
from tests.netlink.nft import all_elements, listed, nft
from tests.plugins.answering import Ask, ask_ours, ask_reference, valid
from tests.plugins.frames import ARP, IPV4, IPV6, LOCAL_EXPERIMENT, VLAN, ends
from tests.plugins.hosts import Host, host_of
from tests.plugins.outside import look_for_no_duplicates
from tests.plugins.striking import Failing, of_no_nf_tables
from tests.plugins.traffic import UDP, seen_from

pytestmark = pytest.mark.netns

BASE: Mapping[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "bridge",
    "isDefaultGateway": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]],
    },
}
CONFIG: Mapping[str, Any] = {**BASE, "macspoofchk": True}
NEWER: Mapping[str, Any] = {**CONFIG, "cniVersion": "1.1.0"}
FORGED = bytes.fromhex("c20000000001")
KINDS = (ARP, IPV4, IPV6, VLAN, LOCAL_EXPERIMENT)
ONE = {"owners": 1, "checked": 1, "senders": 1}


def elements(host: Host) -> dict[str, int]:
    there = all_elements(host.namespace)
    return {name: len(found) for name, found in there.items() if found}


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(ask_ours, id="ours"),
        pytest.param(ask_reference, id="reference", marks=pytest.mark.deep),
    ],
)
def test_a_container_sends_with_its_own_hardware_address_and_with_no_other(
    tmp_path: Path, ask: Ask
) -> None:
    with host_of(ask, tmp_path / "leases") as host:
        look_for_no_duplicates(host, "c1", "c2", "c3")
        for container, config in (("c1", CONFIG), ("c2", CONFIG), ("c3", BASE)):
            answer = host.run("ADD", config, container=container)
            assert answer.status == 0, answer
        c1, c2, c3 = (host.container(name) for name in ("c1", "c2", "c3"))
        for client, server, end in ((c1, c2, 3), (c3, c1, 2)):
            assert seen_from(client, server, f"10.9.0.{end}") is not None
            assert seen_from(client, server, f"fd00:9::{end}", kind=UDP) is not None
        theirs = host.ip("-j", "link", "show", "eth0", inside="c2")[0]["address"]
        mac = bytes.fromhex(theirs.replace(":", ""))
        for place, link in ((c2, "eth0"), (host.namespace, "cni0")):
            with ends(c1, place, link=link) as frames:
                forged = [(source, kind) for source in (FORGED, mac) for kind in KINDS]
                own = [(frames.mac, kind) for kind in KINDS]
                assert frames.arrive(*forged, *own) == [10, 11, 12, 13, 14]
            with ends(c3, place, link=link) as frames:
                assert frames.arrive(*forged) == [*range(10)]
        assert knows(host, mac) != port_of(host, "c1")
        # What is for the bridge itself is no firewall's, or another hook's; it learns from it.
        with ends(c1, c2) as frames:

            def takes_over(last: int) -> bool:
                to = bytes.fromhex("0180c20000") + bytes([last])
                assert frames.arrive((mac, LOCAL_EXPERIMENT), to=to) == []
                return knows(host, mac) == port_of(host, "c1")

            # STP, LACP, 802.1X, LLDP; more than once, as who is taken over may say something.
            took_over = any(takes_over(last) for last in (0, 2, 3, 14) * 3)
            assert took_over == (ask is ask_reference)
        host.ip("link", "set", "eth0", "address", FORGED.hex(":"), inside="c1")
        for address in ("10.9.0.3", "fd00:9::3"):
            assert seen_from(c1, c2, address, is_refused=True) is None


def knows(host: Host, mac: bytes) -> str:
    """By which port the bridge sends to a hardware address."""
    shown = host.namespace.call(_fdb)
    return next(str(one["ifname"]) for one in shown if one["mac"] == mac.hex(":"))


def _fdb() -> list[Any]:
    run = subprocess.run(["bridge", "-j", "fdb", "show"], capture_output=True, check=True)
    found: list[Any] = json.loads(run.stdout)
    return found


def port_of(host: Host, container: str) -> str:
    return str(host.last[container, "eth0"]["interfaces"][1]["name"])


def test_the_check_is_there_before_the_port_is(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    send, seen = KernelWire.send, list[dict[str, int]]()

    def sending(wire: KernelWire, data: bytes) -> None:
        if b"veth" in data and b"eth0" in data:  # both ends of the pair
            seen.append(elements(host))
        send(wire, data)

    monkeypatch.setattr(KernelWire, "send", sending)
    assert host.run("ADD", NEWER).status == 0
    assert seen[-1] == ONE


def test_a_container_that_takes_its_hardware_address_again_is_heard_again(host: Host) -> None:
    for container in ("c1", "c2"):
        host.run("ADD", NEWER, container=container)
    own = host.ip("-j", "link", "show", "eth0", inside="c1")[0]["address"]
    host.ip("link", "set", "eth0", "address", FORGED.hex(":"), inside="c1")
    assert seen_from(*pods(host), "10.9.0.3", is_refused=True) is None
    answer = host.run("CHECK", NEWER, previous=True)
    assert answer.printed["reason"] == "mac-differs"
    host.ip("link", "set", "eth0", "address", own, inside="c1")
    host.ip("neigh", "flush", "all", inside="c1")
    assert seen_from(*pods(host), "10.9.0.3") == "10.9.0.2"
    assert host.run("CHECK", NEWER, previous=True).status == 0


def pods(host: Host) -> tuple[Any, Any]:
    return host.container("c1"), host.container("c2")


@pytest.mark.rule("P3")
@pytest.mark.parametrize("previous", [True, False])
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_delete_takes_out_what_was_put_in(host: Host, previous: bool, is_gone: bool) -> None:
    for container in ("c1", "c2"):
        host.run("ADD", NEWER, container=container)
    for _ in range(2):
        assert host.run("DEL", NEWER, previous=previous, is_gone=is_gone).status == 0
        assert elements(host) == ONE


def test_a_delete_knows_what_was_put_in_though_a_later_plugin_says_otherwise(host: Host) -> None:
    """The last result has the address that tuning gave."""
    host.run("ADD", NEWER)
    told = host.last["c1", "eth0"]
    inside = {**told["interfaces"][2], "mac": FORGED.hex(":")}
    host.last["c1", "eth0"] = {**told, "interfaces": [*told["interfaces"][:2], inside]}
    assert host.run("DEL", NEWER, previous=True).status == 0
    assert elements(host) == {}


def test_who_was_never_checked_has_nothing_looked_for(host: Host) -> None:
    host.run("ADD", BASE)
    assert listed(host.namespace, "table") == []
    assert host.run("DEL", BASE).status == 0
    assert listed(host.namespace, "table") == []


@pytest.mark.rule("P3")
@pytest.mark.parametrize("previous", [True, False])
def test_where_the_kernel_has_no_nf_tables_a_delete_finds_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch, previous: bool
) -> None:
    """What an ADD made that was refused there is undone by a DEL, which is not."""
    host.run("ADD", BASE)
    monkeypatch.setattr(KernelWire, "send", of_no_nf_tables(KernelWire.send))
    assert host.run("DEL", {**CONFIG, "ipMasq": True}, previous=previous).status == 0
    assert host.leases() == []


def test_what_is_left_of_an_attachment_gives_way_to_its_next_one(host: Host) -> None:
    """Its namespace took the link along, and nobody was told to delete."""
    host.run("ADD", NEWER)
    host.ip("link", "del", "eth0", inside="c1")
    host.run("ADD", NEWER, container="c2")
    again = {**NEWER, "runtimeConfig": {"mac": FORGED.hex(":")}}
    free = {**again, "ipam": {"type": "static", "addresses": [{"address": "10.9.0.77/24"}]}}
    assert host.run("ADD", free).status == 0
    assert elements(host) == dict.fromkeys(ONE, 2)
    with ends(*pods(host)) as frames:
        assert frames.mac == FORGED
        assert frames.arrive((FORGED, ARP), (b"\2\0\0\0\0\7", ARP)) == [0]


@pytest.mark.rule("P4")
def test_check_finds_what_is_missing(host: Host) -> None:
    host.run("ADD", NEWER)
    assert host.run("CHECK", NEWER, previous=True).status == 0
    port = port_of(host, "c1")
    nft(host.namespace, f"delete element bridge acni checked {{ {port} }}")
    answer = host.run("CHECK", NEWER, previous=True)
    assert (answer.printed["code"], answer.printed["reason"]) == (105, "rule-missing")
    assert answer.printed["msg"].startswith("checked of the table acni of bridges")
    nft(host.namespace, "flush ruleset")
    assert host.run("CHECK", NEWER, previous=True).printed["reason"] == "rule-missing"
    assert host.run("CHECK", {**NEWER, "macspoofchk": False}, previous=True).status == 0


def test_a_port_that_got_another_name_is_told_by_check(host: Host) -> None:
    """The firewall does not know it by that."""
    host.run("ADD", NEWER)
    host.ip("link", "set", port_of(host, "c1"), "name", "other")
    assert host.run("CHECK", NEWER, previous=True).printed["reason"] == "rule-missing"
    assert host.run("DEL", NEWER, previous=True).status == 0
    assert elements(host) == {}


@pytest.mark.rule("P6")
def test_gc_takes_out_what_is_not_valid(host: Host) -> None:
    for container in ("c1", "c2"):
        host.run("ADD", NEWER, container=container)
    other = {**NEWER, "name": "other", "bridge": "cni1"}
    other["ipam"] = {"type": "host-local", "subnet": "10.10.0.0/24"}
    host.run("ADD", other, container="c3")
    assert host.run("GC", {**NEWER, **valid("c1")}).status == 0
    assert elements(host) == dict.fromkeys(ONE, 2)
    assert host.run("CHECK", NEWER, previous=True).status == 0


def test_a_table_of_bridges_that_was_put_to_sleep_is_named_and_no_port_relies_on_it(
    host: Host,
) -> None:
    host.run("ADD", CONFIG)
    nft(host.namespace, "add table bridge acni { flags dormant; }")
    for verb, container, code in (("STATUS", "c1", 51), ("CHECK", "c1", 117), ("ADD", "c2", 117)):
        answer = host.run(verb, NEWER, container=container, previous=verb == "CHECK")
        assert (answer.printed["code"], answer.printed["reason"]) == (code, "table-asleep")
        assert "the table bridge acni sleeps" in answer.printed["msg"]
    assert elements(host) == ONE
    nft(host.namespace, "add table bridge acni")
    assert host.run("CHECK", CONFIG, previous=True).status == 0


@pytest.mark.rule("P5")
def test_status_asks_whether_senders_can_be_checked(host: Host) -> None:
    assert host.run("STATUS", NEWER).status == 0
    assert listed(host.namespace, "table") == []
    nft(host.namespace, "add table bridge acni { set checked { type ipv4_addr; } ; }")
    assert host.run("STATUS", NEWER).printed["code"] == 50
    assert host.run("STATUS", {**NEWER, "macspoofchk": False}).status == 0


@pytest.mark.rule("P1", "P5")
def test_a_kernel_whose_bridges_ask_no_firewall_says_so(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it had no chains of this kind: it does not know what is asked for by another word."""
    real = Netfilter.transact

    def transact(firewall: Netfilter, messages: list[Message], **others: Any) -> None:
        unknown = [
            Message(one.kind, one.flags, one.body.replace(b"filter\0", b"fitter\0"))
            for one in messages
        ]
        real(firewall, unknown, **others)

    monkeypatch.setattr(Netfilter, "transact", transact)
    answer = host.run("ADD", NEWER)
    assert (answer.printed["code"], answer.printed["reason"]) == (100, "kernel-feature")
    assert (host.leases(), host.links(), listed(host.namespace, "table")) == (
        [],
        ["lo", "cni0"],
        [],
    )
    answer = host.run("STATUS", NEWER)
    assert (answer.printed["code"], answer.printed["reason"]) == (50, "kernel-feature")
    assert host.run("ADD", BASE).status == 0
    assert host.run("DEL", NEWER, previous=True).status == 0


TAP: Mapping[str, Any] = {"cniVersion": "1.1.0", "name": "net", "type": "bridge"}


def behind(host: Host, mac: str | None = FORGED.hex(":")) -> dict[str, Any]:
    """A configuration behind a plugin that made tap0."""
    inside = {"name": "eth0", "sandbox": host.container("c1").path}
    inside |= {} if mac is None else {"mac": mac}
    previous = {"cniVersion": "1.1.0", "interfaces": [{"name": "tap0"}, inside], "ips": []}
    return {**TAP, "macspoofchk": True, "prevResult": previous}


def test_behind_another_plugin_its_interface_is_checked(host: Host) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tap")
    config = behind(host)
    added = host.run("ADD", config)
    assert added.status == 0
    assert "tap0 . c2:00:00:00:00:01" in nft(host.namespace, "list ruleset").replace('"', "")
    whole = {**config, "prevResult": added.printed}
    assert host.run("CHECK", whole).status == 0
    nft(host.namespace, "flush set bridge acni senders")
    assert host.run("CHECK", whole).printed["reason"] == "rule-missing"
    host.ip("link", "del", "tap0")
    assert host.run("DEL", whole).status == 0
    assert elements(host) == {}


def test_without_a_result_its_interface_is_found_in_the_table(host: Host) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tap")
    assert host.run("ADD", behind(host)).status == 0
    assert elements(host) == ONE
    config = {key: value for key, value in behind(host).items() if key != "prevResult"}
    assert host.run("DEL", config, container="c2").status == 0
    assert elements(host) == ONE
    assert host.run("DEL", config).status == 0
    assert elements(host) == {}


def test_a_delete_that_comes_again_leaves_the_next_ones_interface_alone(host: Host) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tap")
    config = behind(host)
    host.run("ADD", config)
    host.run("ADD", config, container="c2")
    assert host.run("DEL", config).status == 0
    assert elements(host) == ONE
    assert host.run("DEL", config, container="c2").status == 0
    assert elements(host) == {}


@pytest.mark.rule("P11")
def test_where_nobody_says_the_hardware_address_it_is_refused(host: Host) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tap")
    for config in (behind(host, None), behind(host, "none")):
        answer = host.run("ADD", config)
        assert answer.printed["code"] == 7
        assert "at $.macspoofchk" in answer.printed["msg"]


@pytest.mark.parametrize("is_heeded", [False, True], ids=["unheeded", "heeded"])
def test_whatever_the_kernel_does_not_take_an_add_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_heeded: bool
) -> None:
    """Each send of an ADD fails, those to the firewall among them."""
    send = KernelWire.send
    for number in range(1, 40):
        failing = Failing(number, is_heeded)
        with host_of(ask_ours, tmp_path / str(number)) as host:
            host.container("c1")
            monkeypatch.setattr(KernelWire, "send", failing.given(send))
            answer = host.run("ADD", NEWER)
            monkeypatch.setattr(KernelWire, "send", send)
            if failing.calls < number:
                assert answer.status == 0
                assert number > 10
                return
            if answer.status:
                assert elements(host) == {}, number
                assert (host.leases(), host.links(inside="c1")) == ([], ["lo"])
    pytest.fail("it never came to an end")
