"""bridge with ipMasq, by traffic: whose address the outside, the host and other pods see."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from acni.netlink.wire import KernelWire
from tests.netlink.nft import all_elements, listed, nft
from tests.plugins import dualstack
from tests.plugins.answering import Ask, ask_ours, ask_reference, valid
from tests.plugins.hosts import Host, host_of
from tests.plugins.outside import (
    HOST4,
    HOST6,
    OUTSIDE,
    OUTSIDE4,
    OUTSIDE6,
    add_outside,
    look_for_no_duplicates,
)
from tests.plugins.striking import Failing
from tests.plugins.traffic import UDP, seen_from

pytestmark = pytest.mark.netns

CONFIG: Mapping[str, Any] = {**dualstack.BRIDGE, "ipMasq": True}
OTHER = dualstack.beside(CONFIG)
NEWER: Mapping[str, Any] = {**CONFIG, "cniVersion": "1.1.0"}


def elements(host: Host) -> dict[str, int]:
    there = all_elements(host.namespace)
    return {name: len(found) for name, found in there.items() if found}


ONE = {"owners4": 1, "masquerade4": 1, "owners6": 1, "masquerade6": 1}


def table_of(host: Host) -> dict[str, str | None]:
    """Who sees whom, with containers c1 and c2 of one network, and c3 of another."""
    for container, config in (("c1", CONFIG), ("c2", CONFIG), ("c3", OTHER)):
        answer = host.run("ADD", config, container=container)
        assert answer.status == 0, answer
    host.settle()
    ways = {
        "out": ("c1", OUTSIDE, OUTSIDE4, OUTSIDE6),
        "to the neighbour": ("c1", "c2", "10.9.0.3", "fd00:9::3"),
        "to another network": ("c1", "c3", "10.10.0.2", "fd00:10::2"),
        "to the gateway": ("c1", None, "10.9.0.1", "fd00:9::1"),
        "to the host": ("c1", None, HOST4, HOST6),
        "in": (OUTSIDE, "c1", "10.9.0.2", "fd00:9::2"),
        "from the host": (None, "c1", "10.9.0.2", "fd00:9::2"),
    }
    seen: dict[str, str | None] = {}
    for way, (client, server, *addresses) in ways.items():
        for address in addresses:
            version = "6" if ":" in address else "4"
            seen[f"{way} {version}"] = seen_from(place(host, client), place(host, server), address)
    return seen


def place(host: Host, name: str | None) -> Any:
    return host.namespace if name is None else host.container(name)


SEEN = {
    "out 4": HOST4,
    "out 6": HOST6,
    "to the neighbour 4": "10.9.0.2",
    "to the neighbour 6": "fd00:9::2",
    "to the gateway 4": "10.9.0.2",
    "to the gateway 6": "fd00:9::2",
    "to the host 4": "10.9.0.2",
    "to the host 6": "fd00:9::2",
    "in 4": OUTSIDE4,
    "in 6": OUTSIDE6,
    "from the host 4": "10.9.0.1",
    "from the host 6": "fd00:9::1",
}
# Ours translates nothing between pods that are masqueraded: the reference, but within a network.
BETWEEN_NETWORKS: Mapping[Ask, Mapping[str, str]] = {
    ask_ours: {"to another network 4": "10.9.0.2", "to another network 6": "fd00:9::2"},
    ask_reference: {"to another network 4": "10.10.0.1", "to another network 6": "fd00:10::1"},
}


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(ask_ours, id="ours"),
        pytest.param(ask_reference, id="reference", marks=pytest.mark.deep),
    ],
)
def test_what_leaves_the_host_has_its_address_and_nothing_else_does(
    tmp_path: Path, ask: Ask
) -> None:
    with host_of(ask, tmp_path / "leases") as host:
        look_for_no_duplicates(host, "c1", "c2", "c3")
        add_outside(host, knows_the_way=True)
        assert table_of(host) == {**SEEN, **BETWEEN_NETWORKS[ask]}


def test_udp_leaves_with_the_hosts_address_as_well(host: Host) -> None:
    outside = add_outside(host)
    host.run("ADD", NEWER)
    for address, seen in ((OUTSIDE4, HOST4), (OUTSIDE6, HOST6)):
        assert seen_from(host.container("c1"), outside, address, kind=UDP) == seen


@pytest.mark.rule("P3")
@pytest.mark.parametrize("previous", [True, False])
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_delete_takes_out_what_was_put_in(host: Host, previous: bool, is_gone: bool) -> None:
    for container in ("c1", "c2"):
        host.run("ADD", NEWER, container=container)
    for _ in range(2):
        assert host.run("DEL", NEWER, previous=previous, is_gone=is_gone).status == 0
        assert elements(host) == ONE
    assert host.leases() == ["10.9.0.3", "fd00:9::3"]


def test_a_delete_that_comes_again_leaves_the_next_ones_alone(host: Host) -> None:
    """The address was given to another one meanwhile."""
    static = {"type": "static", "addresses": [{"address": "10.9.0.7/24"}]}
    config = {**NEWER, "ipam": static}
    host.run("ADD", config)
    host.run("DEL", config, previous=True)
    host.run("ADD", config, container="c2")
    assert host.run("DEL", config, previous=True).status == 0
    assert elements(host) == {"owners4": 1, "masquerade4": 1}
    assert host.run("CHECK", config, container="c2", previous=True).status == 0


def test_who_was_never_masqueraded_has_nothing_looked_for(host: Host) -> None:
    host.run("ADD", {**NEWER, "ipMasq": False})
    assert listed(host.namespace, "table") == []
    assert host.run("DEL", {**NEWER, "ipMasq": False}).status == 0


@pytest.mark.rule("P3")
def test_a_caller_whose_configuration_has_changed_leaves_nothing(host: Host) -> None:
    """Behind another runtime nobody has recorded what an ADD was asked for."""
    host.run("ADD", NEWER)
    assert host.run("DEL", {**NEWER, "ipMasq": False}, previous=True).status == 0
    assert elements(host) == {}


@pytest.mark.rule("P4")
def test_check_finds_what_is_missing(host: Host) -> None:
    host.run("ADD", NEWER)
    assert host.run("CHECK", NEWER, previous=True).status == 0
    nft(host.namespace, "delete element inet acni masquerade6 { fd00:9::2 }")
    answer = host.run("CHECK", NEWER, previous=True)
    assert (answer.printed["code"], answer.printed["reason"]) == (105, "rule-missing")
    nft(host.namespace, "flush ruleset")
    assert host.run("CHECK", NEWER, previous=True).printed["reason"] == "rule-missing"


def test_after_a_flush_the_next_add_makes_the_table_anew(host: Host) -> None:
    outside = add_outside(host)
    host.run("ADD", NEWER)
    nft(host.namespace, "flush ruleset")
    host.run("ADD", NEWER, container="c2")
    assert seen_from(host.container("c2"), outside, OUTSIDE4) == HOST4
    assert host.run("DEL", NEWER, previous=True).status == 0
    assert elements(host) == ONE


@pytest.mark.rule("P6")
def test_gc_takes_out_what_is_not_valid(host: Host) -> None:
    for container in ("c1", "c2"):
        host.run("ADD", NEWER, container=container)
    host.run("ADD", {**OTHER, "cniVersion": "1.1.0"}, container="c3")
    assert host.run("GC", {**NEWER, **valid("c1")}).status == 0
    assert elements(host) == dict.fromkeys(ONE, 2)
    assert host.run("CHECK", NEWER, previous=True).status == 0


@pytest.mark.rule("P5")
def test_status_asks_whether_a_table_can_be_written(host: Host) -> None:
    assert host.run("STATUS", NEWER).status == 0
    assert listed(host.namespace, "table") == []
    nft(host.namespace, "add table inet acni { map owners4 { type ipv4_addr : ipv4_addr; } ; }")
    answer = host.run("STATUS", NEWER)
    assert answer.printed["code"] == 50
    assert host.run("STATUS", {**NEWER, "ipMasq": False}).status == 0


@pytest.mark.rule("P1")
def test_an_add_that_is_refused_leaves_nothing(host: Host) -> None:
    nft(host.namespace, "add table inet acni { map owners4 { type ipv4_addr : ipv4_addr; } ; }")
    before = elements(host)
    answer = host.run("ADD", NEWER)
    assert answer.status == 1
    assert (answer.printed["code"], answer.printed["reason"]) == (118, "table-foreign")
    assert answer.printed["msg"] == "the map owners4 of the table inet acni is not as acni has it"
    assert "expected: type ipv4_addr : mark;" in answer.printed["details"]
    assert host.run("DEL", NEWER).status == 0
    assert (elements(host), host.leases(), host.links()) == (before, [], ["lo", "cni0"])


def test_behind_another_plugin_its_addresses_are_masqueraded(host: Host) -> None:
    ips = [{"address": "10.9.0.7/24"}]
    previous = {"cniVersion": "1.1.0", "interfaces": [{"name": "tap0"}], "ips": ips}
    config = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "ipMasq": True}
    config["prevResult"] = previous
    host.ip("link", "add", "tap0", "type", "veth", "peer", "name", "tap1")
    assert host.run("ADD", config).status == 0
    assert elements(host) == {"owners4": 1, "masquerade4": 1}
    assert host.run("DEL", config).status == 0
    assert elements(host) == {}


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
