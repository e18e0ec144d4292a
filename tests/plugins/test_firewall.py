"""firewall, by traffic: whom a policy lets to a container, and what becomes of others' policies."""

from __future__ import annotations

import errno
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from acni.netlink.wire import KernelWire
from tests.netlink.nft import all_elements, listed, nft
from tests.plugins.answering import Answer, Ask, ask_ours, ask_reference, valid
from tests.plugins.hosts import Host, host_of
from tests.plugins.outside import HOST4, OUTSIDE, OUTSIDE4, add_outside
from tests.plugins.publishing import BRIDGE, OTHER, let_bridges_alone, port
from tests.plugins.striking import Failing
from tests.plugins.traffic import TCP, UDP, seen_from

pytestmark = pytest.mark.netns

# A third network, whose chain has no firewall.
PLAIN: Mapping[str, Any] = {
    **BRIDGE,
    "name": "plain",
    "bridge": "cni2",
    "ipam": {"type": "host-local", "subnet": "10.11.0.0/24"},
}
ROUTED: Mapping[str, Any] = {
    **BRIDGE,
    "name": "routed",
    "type": "ptp",
    "ipam": {
        "type": "host-local",
        "subnet": "10.12.0.0/24",
        "routes": [{"dst": "0.0.0.0/0"}],
    },
}
POLICIES = ("same-bridge", "isolated")


def firewall(policy: str | None = None, *, net: str = "net", **members: Any) -> dict[str, Any]:
    said = {} if policy is None else {"ingressPolicy": policy}
    return {"cniVersion": "1.0.0", "name": net, "type": "firewall", **said, **members}


def attach(
    host: Host, container: str = "c1", config: Mapping[str, Any] = BRIDGE, *, to: int | None = None
) -> None:
    """Attach a container, and have a port of the host lead to it if one is given."""
    assert host.run("ADD", config, container=container).status == 0
    if to is not None:
        ports = {"runtimeConfig": {"portMappings": [port(to), port(to, "udp")]}}
        portmap = {"cniVersion": "1.0.0", "name": config["name"], "type": "portmap", **ports}
        assert host.run("ADD", portmap, container=container, previous=True).status == 0


def guard(
    host: Host,
    container: str = "c1",
    policy: str | None = None,
    *,
    net: str = "net",
    **members: Any,
) -> Answer:
    """Ask for a policy, of a container that is attached."""
    asked = firewall(policy, net=net, **members)
    return host.run("ADD", asked, container=container, previous=True)


def elements(host: Host) -> dict[str, int]:
    """How many elements each set has, but for those that stay with a bridge."""
    there = all_elements(host.namespace)
    kept = ("ways", "apart")
    return {name: len(found) for name, found in there.items() if found and name not in kept}


GUARDED = {name + family: 1 for name in ("owners", "guarded", "homes") for family in "46"}
ISOLATED = GUARDED | {"isolated4": 1, "isolated6": 1}


def aparts(host: Host) -> list[str]:
    return [*all_elements(host.namespace).get("apart", ())]


WAYS: Mapping[str, tuple[str | None, str, str]] = {
    "from its neighbour": ("c2", "c1", "10.9.0.2"),
    "from its neighbour, IPv6": ("c2", "c1", "fd00:9::2"),
    "from its neighbour, by a port": ("c2", "c1", HOST4),
    "from itself, by a port": ("c1", "c1", HOST4),
    "from another bridge": ("c3", "c1", "10.9.0.2"),
    "from another bridge, IPv6": ("c3", "c1", "fd00:9::2"),
    "from another bridge, by a port": ("c3", "c1", HOST4),
    "to another bridge": ("c1", "c3", "10.10.0.2"),
    "from a bridge without a policy": ("c4", "c1", "10.9.0.2"),
    "to a bridge without a policy": ("c1", "c4", "10.11.0.2"),
    "from the host": (None, "c1", "10.9.0.2"),
    "from outside": (OUTSIDE, "c1", "10.9.0.2"),
    "from outside, by a port": (OUTSIDE, "c1", HOST4),
    "to the outside": ("c1", OUTSIDE, OUTSIDE4),
}
_BETWEEN_BRIDGES = {
    "from another bridge",
    "from another bridge, IPv6",
    "from another bridge, by a port",
    "to another bridge",
}
_ROUTED_BETWEEN_NEIGHBOURS = {"from its neighbour, by a port", "from itself, by a port"}
_BETWEEN_NEIGHBOURS = {"from its neighbour", "from its neighbour, IPv6"}
CLOSED: Mapping[str, set[str]] = {
    "open": set(),
    "same-bridge": _BETWEEN_BRIDGES,
    "isolated": _BETWEEN_BRIDGES | _ROUTED_BETWEEN_NEIGHBOURS | _BETWEEN_NEIGHBOURS,
}


DEEP = pytest.mark.deep


@pytest.mark.parametrize(
    ("policy", "ask", "kind", "is_seen"),
    [
        pytest.param("same-bridge", ask_ours, TCP, False, marks=DEEP, id="same-bridge"),
        pytest.param("isolated", ask_ours, TCP, False, id="isolated"),
        pytest.param("open", ask_ours, UDP, False, marks=DEEP, id="open, UDP"),
        pytest.param("same-bridge", ask_ours, UDP, True, marks=DEEP, id="same-bridge, seen"),
        pytest.param("isolated", ask_ours, UDP, True, marks=DEEP, id="isolated, seen"),
        # Debian's knows no "isolated".
        pytest.param("open", ask_reference, TCP, False, marks=DEEP, id="reference, open"),
        pytest.param("same-bridge", ask_reference, TCP, False, marks=DEEP, id="reference"),
        pytest.param("same-bridge", ask_reference, UDP, True, marks=DEEP, id="reference, seen"),
    ],
)
def test_a_policy_says_who_reaches_a_container(
    tmp_path: Path, policy: str, ask: Ask, kind: int, is_seen: bool
) -> None:
    """Also where the firewall sees what bridges pass on (br_netfilter)."""
    with host_of(ask, tmp_path / "leases") as host:
        add_outside(host, knows_the_way=True)
        if not is_seen:
            let_bridges_alone(host)
        attach(host, to=8080)
        for container, config in (("c2", BRIDGE), ("c3", OTHER), ("c4", PLAIN)):
            attach(host, container, config)
        for container, net in (("c1", "net"), ("c2", "net"), ("c3", "other")):
            assert guard(host, container, policy, net=net).status == 0
        host.settle()
        closed = CLOSED[policy]
        table = {way: reaches(host, way, kind, is_refused=way in closed) for way in WAYS}
        assert {way for way, is_there in table.items() if not is_there} == closed


def reaches(host: Host, way: str, kind: int = TCP, *, is_refused: bool = False) -> bool:
    client, server, address = WAYS[way]
    origin = host.namespace if client is None else host.container(client)
    at = {"port": 8080, "listens": 7000} if address == HOST4 else {"port": 7000}
    answer = seen_from(
        origin, host.container(server), address, kind=kind, is_refused=is_refused, **at
    )
    return answer is not None


def test_a_policy_is_the_containers_and_not_its_bridges(host: Host) -> None:
    """The reference guards all of a bridge as soon as one of its containers asks for it."""
    for container, config in (("c1", BRIDGE), ("c2", BRIDGE), ("c3", OTHER)):
        attach(host, container, config)
    assert guard(host, "c1", "isolated").status == 0
    assert guard(host, "c3", "same-bridge", net="other").status == 0
    assert not reaches(host, "from another bridge", is_refused=True)
    there = host.container("c3"), host.container("c2"), "10.9.0.3"
    assert seen_from(*there, kind=TCP, is_refused=True) is None  # the answer is for c3
    assert host.run("DEL", firewall("same-bridge", net="other"), container="c3").status == 0
    assert seen_from(*there, kind=TCP) == "10.10.0.2"


def test_the_administrator_lets_through_what_a_policy_does_not(host: Host) -> None:
    attach(host)
    attach(host, "c3", OTHER)
    assert guard(host, "c1", "same-bridge").status == 0
    assert guard(host, "c3", "same-bridge", net="other").status == 0
    assert not reaches(host, "from another bridge", is_refused=True)
    nft(host.namespace, "add rule inet acni admin_forward ip saddr 10.10.0.0/24 accept")
    nft(host.namespace, "add rule inet acni admin_forward ip daddr 10.10.0.0/24 accept")
    assert reaches(host, "from another bridge")
    assert guard(host, "c1", "same-bridge").status == 0
    assert reaches(host, "from another bridge")


def test_open_puts_nothing_in(host: Host) -> None:
    attach(host)
    before = host.see()
    for policy in (None, "open", ""):
        answer = guard(host, "c1", policy)
        assert (answer.status, answer.printed) == (0, host.last["c1", "eth0"])
        assert host.run("CHECK", firewall(policy), previous=True).status == 0
        assert host.run("DEL", firewall(policy), previous=True).status == 0
    assert listed(host.namespace, "table") == []
    assert host.see() == before


@pytest.mark.rule("P2")
@pytest.mark.parametrize("policy", POLICIES)
def test_its_result_is_the_one_before_it_and_an_add_may_be_repeated(
    host: Host, policy: str
) -> None:
    attach(host)
    before = host.last["c1", "eth0"]
    for _ in range(2):
        assert guard(host, "c1", policy).printed == before
    assert elements(host) == (ISOLATED if policy == "isolated" else GUARDED)
    assert aparts(host) == ["cni0"]


@pytest.mark.rule("P3")
@pytest.mark.parametrize("previous", [True, False])
@pytest.mark.parametrize("is_gone", [True, False])
@pytest.mark.parametrize("policy", [*POLICIES, "open", 5])
def test_a_delete_takes_back_what_an_add_did_whatever_is_configured(
    host: Host, previous: bool, is_gone: bool, policy: Any
) -> None:
    for container in ("c2", "c1"):
        attach(host, container)
        assert guard(host, container, "isolated").status == 0
    for _ in range(2):
        answer = host.run("DEL", firewall(policy), previous=previous, is_gone=is_gone)
        assert answer.status == 0
        assert elements(host) == ISOLATED
    assert host.run("CHECK", firewall("isolated"), container="c2", previous=True).status == 0


@pytest.mark.rule("P3")
def test_a_delete_finds_what_is_there_though_the_links_are_gone(host: Host) -> None:
    attach(host)
    guard(host, "c1", "isolated")
    host.ip("link", "delete", "cni0")
    assert host.run("DEL", firewall("isolated"), previous=True).status == 0
    assert elements(host) == {}


def test_a_delete_that_comes_again_leaves_the_next_ones_alone(host: Host) -> None:
    """The same address is another container's meanwhile."""
    config = {**BRIDGE, "ipam": {"type": "static", "addresses": [{"address": "10.9.0.7/24"}]}}
    attach(host, "c1", config)
    guard(host, "c1", "isolated")
    host.run("DEL", config, previous=True)
    attach(host, "c2", config)
    assert guard(host, "c2", "isolated").status == 0
    before = elements(host)
    assert host.run("DEL", firewall("isolated"), previous=True).status == 0
    assert elements(host) == before
    assert host.run("CHECK", firewall("isolated"), container="c2", previous=True).status == 0


def test_a_result_that_names_no_interfaces_leaves_the_link_that_a_plugin_of_ours_made(
    host: Host,
) -> None:
    """As results before 0.3.0."""
    attach(host)
    attach(host, "c2")
    told = {key: host.last["c1", "eth0"][key] for key in ("cniVersion", "ips")}
    ips = [{key: ip[key] for key in ip if key != "interface"} for ip in told["ips"]]
    host.last["c1", "eth0"] = {**told, "ips": ips}
    assert guard(host, "c2", "isolated").status == 0
    assert guard(host, "c1", "isolated").status == 0
    assert not reaches(host, "from its neighbour", is_refused=True)
    assert host.run("CHECK", firewall("isolated"), previous=True).status == 0
    assert host.run("DEL", firewall("isolated"), previous=True).status == 0
    assert elements(host) == ISOLATED


def test_what_lets_through_a_container_of_its_own_is_taken_back_where_its_add_fails(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in ("iptables-nft", "ip6tables-nft"):
        iptables(host, "-P FORWARD DROP", tool)
    subnets = [[{"subnet": "10.12.0.0/24"}], [{"subnet": "fd00:12::/64"}]]
    attach(host, "c1", {**ROUTED, "ipam": {"type": "host-local", "ranges": subnets}})
    append, appended = KernelWire.send, 0

    def sending(wire: KernelWire, data: bytes) -> None:
        nonlocal appended
        if b"openForwarding" in data and (appended := appended + 1) == 2:
            raise OSError(errno.ENOBUFS, "as the test wants it")
        append(wire, data)

    monkeypatch.setattr(KernelWire, "send", sending)
    assert guard(host, net="routed", openForwarding=True).status == 1
    assert (appended, rules(host), rules(host, "ip6tables-nft")) == (2, [], [])


def test_a_container_that_nobody_knows_the_way_to_is_not_let_through(host: Host) -> None:
    """A result without interfaces, as old plugins give it."""
    iptables(host, "-P FORWARD DROP")
    host.last["c1", "eth0"] = {"cniVersion": "1.0.0", "ips": [{"address": "10.9.0.2/24"}]}
    answer = guard(host, openForwarding=True)
    assert answer.printed["reason"] == "policy-drops"
    assert "true has rules" not in answer.printed["details"]
    assert guard(host, openForwarding=False).status == 0


@pytest.mark.rule("P4")
def test_check_finds_what_is_missing(host: Host) -> None:
    attach(host)
    guard(host, "c1", "isolated")

    def missing() -> str | None:
        return host.run("CHECK", firewall("isolated"), previous=True).printed.get("reason")

    assert missing() is None
    for element in (
        "owners4 { 10.9.0.2 }",
        "guarded6 { fd00:9::2 }",
        'homes4 { 10.9.0.2 . "cni0" }',
        "isolated6 { fd00:9::2 }",
        'apart { "cni0" }',
    ):
        nft(host.namespace, "delete element inet acni", element)
        assert missing() == "rule-missing", element
        guard(host, "c1", "isolated")
        assert missing() is None
    host.ip("link", "set", host_end(host), "type", "bridge_slave", "isolated", "off")
    assert missing() == "port-not-isolated"
    nft(host.namespace, "flush ruleset")
    assert missing() == "rule-missing"


def host_end(host: Host, container: str = "c1") -> str:
    """The name of the port that leads to a container."""
    told = host.last[container, "eth0"]["interfaces"]
    name: str = next(one["name"] for one in told if one["name"].startswith("veth"))
    return name


@pytest.mark.rule("P6")
def test_gc_takes_back_what_is_not_valid_and_what_no_bridge_has_any_more(host: Host) -> None:
    attach(host)
    attach(host, "c3", OTHER)
    guard(host, "c1", "isolated")
    guard(host, "c3", "same-bridge", net="other")
    assert sorted(aparts(host)) == ["cni0", "cni1"]
    gc = {**firewall(net="other"), "cniVersion": "1.1.0", **valid()}
    assert host.run("GC", gc).status == 0
    assert elements(host) == ISOLATED
    assert aparts(host) == ["cni0"]
    assert host.run("CHECK", firewall("isolated"), previous=True).status == 0
    for _ in range(2):
        gc = {**firewall(), "cniVersion": "1.1.0", **valid()}
        assert host.run("GC", gc).status == 0
        assert (elements(host), aparts(host)) == ({}, [])


@pytest.mark.rule("P5")
def test_status_asks_whether_a_policy_could_be_kept(host: Host) -> None:
    asked = {**firewall("isolated"), "cniVersion": "1.1.0"}
    assert host.run("STATUS", asked).status == 0
    nft(host.namespace, "add table inet acni { map owners4 { type ipv4_addr : ipv4_addr; } ; }")
    assert host.run("STATUS", asked).printed["code"] == 50
    assert host.run("STATUS", {**asked, "ingressPolicy": "open"}).status == 0


@pytest.mark.rule("P11")
@pytest.mark.parametrize(
    ("members", "code", "words"),
    [
        ({"backend": "firewalld"}, 2, "$.backend"),
        ({"firewalldZone": "trusted"}, 2, "$.firewalldZone"),
        ({"iptablesAdminChainName": "MINE"}, 2, "admin_forward"),
        ({"backend": "ipfw"}, 7, "$.backend"),
        ({"ingressPolicy": "closed"}, 7, "$.ingressPolicy"),
        ({"openForwarding": "yes"}, 7, "$.openForwarding"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_place(
    host: Host, members: dict[str, Any], code: int, words: str
) -> None:
    attach(host)
    answer = guard(host, **members)
    assert answer.printed["code"] == code
    assert words in answer.printed["msg"] + answer.printed["details"]
    assert listed(host.namespace, "table") == []


def test_both_backends_and_the_chain_that_is_there_by_default_are_served(host: Host) -> None:
    attach(host)
    for backend in ("", "iptables", "nftables"):
        assert guard(host, "c1", "isolated", backend=backend).status == 0
    assert guard(host, iptablesAdminChainName="CNI-ADMIN").status == 0
    iptables(host, "-N CNI-ADMIN")
    assert guard(host).status == 0
    answer = guard(host, iptablesAdminChainName="CNI-ADMIN")
    assert (answer.printed["code"], answer.printed["reason"]) == (2, "unsupported")
    assert "admin_forward" in answer.printed["details"]


@pytest.mark.rule("P1")
@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_it_stands_behind_another_plugin(host: Host, verb: str) -> None:
    answer = host.run(verb, firewall())
    assert (answer.printed["code"], answer.printed["reason"]) == (7, "not-chained")
    assert "$.prevResult" in answer.printed["msg"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_of_bridges_needs_one(host: Host, policy: str) -> None:
    attach(host, "c1", ROUTED)
    answer = guard(host, "c1", policy, net="routed")
    assert (answer.printed["code"], answer.printed["reason"]) == (7, "no-bridge")
    assert "$.prevResult.interfaces" in answer.printed["msg"]
    assert guard(host, net="routed").status == 0


def test_a_bridge_is_found_by_its_port_but_a_port_not_by_its_bridge(host: Host) -> None:
    attach(host)
    told = host.last["c1", "eth0"]
    bridge, end, _ = told["interfaces"]
    ips = [{key: ip[key] for key in ip if key != "interface"} for ip in told["ips"]]
    for interface, last in ((end, ""), (bridge, "no-bridge")):
        host.last["c1", "eth0"] = {**told, "interfaces": [interface], "ips": ips}
        assert guard(host, "c1", "same-bridge").status == 0
        assert guard(host, "c1", "isolated").printed.get("reason", "") == last


def iptables(host: Host, arguments: str, tool: str = "iptables-nft") -> str:
    command = [tool, *shlex.split(arguments)]
    run = host.namespace.call(
        lambda: subprocess.run(command, check=True, timeout=30, capture_output=True, text=True)
    )
    return run.stdout


@pytest.mark.parametrize("is_heeded", [False, True], ids=["unheeded", "heeded"])
def test_whatever_the_kernel_does_not_take_an_add_leaves_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch, is_heeded: bool
) -> None:
    """Each send of an ADD fails."""
    send = KernelWire.send
    attach(host)
    iptables(host, "-P FORWARD DROP")
    before = host.see()
    for number in range(1, 40):
        failing = Failing(number, is_heeded)
        nft(host.namespace, "add table inet acni")
        nft(host.namespace, "delete table inet acni")
        host.ip("link", "set", host_end(host), "type", "bridge_slave", "isolated", "off")
        iptables(host, "-F FORWARD")
        monkeypatch.setattr(KernelWire, "send", failing.given(send))
        answer = guard(host, "c1", "isolated", openForwarding=True)
        monkeypatch.setattr(KernelWire, "send", send)
        if failing.calls < number:
            assert answer.status == 0
            assert number > 10
            return
        if answer.status:
            assert elements(host) == {}, number
            assert host.see() == before, number
    pytest.fail("it never came to an end")


def drop_what_is_forwarded(host: Host, how: str) -> str:
    """Set a policy; return how an error names the chain."""
    if how == "nft":
        nft(host.namespace, "add table inet mine")
        base = "{ type filter hook forward priority -5; policy drop; }"
        nft(host.namespace, "add chain inet mine ward", base)
        return "the chain ward of the table inet mine"
    iptables(host, "-P FORWARD DROP", how)
    return f"the chain FORWARD of the table {how.replace('tables-nft', '')} filter"


HOW = ("iptables-nft", "ip6tables-nft", "nft")


@pytest.mark.parametrize("how", HOW)
def test_a_policy_that_drops_is_named_and_the_container_refused(host: Host, how: str) -> None:
    attach(host)
    assert guard(host).status == 0
    chain = drop_what_is_forwarded(host, how)
    refused = guard(host, "c1", "isolated")
    assert (refused.printed["code"], refused.printed["reason"]) == (112, "policy-drops")
    assert chain in refused.printed["msg"]
    assert ("true has rules appended" in refused.printed["details"]) == (how != "nft")
    assert elements(host) == {}
    checked = host.run("CHECK", firewall(), previous=True)
    assert (checked.printed["code"], checked.printed["reason"]) == (112, "policy-drops")
    asked = {**firewall(), "cniVersion": "1.1.0"}
    status = host.run("STATUS", asked).printed
    assert status.get("code") == (None if how == "ip6tables-nft" else 50)
    for verb in ("ADD", "CHECK", "STATUS"):
        said = firewall(openForwarding=False, cniVersion="1.1.0")
        assert host.run(verb, said, previous=verb != "STATUS").status == 0


@pytest.mark.parametrize(
    ("commands", "config"),
    [
        (["add chain ip a b { type filter hook input priority 0; policy drop; }"], BRIDGE),
        (["add chain ip a b { type filter hook forward priority 0; policy accept; }"], BRIDGE),
        (["add chain ip6 a b { type filter hook forward priority 0; policy drop; }"], PLAIN),
        (["add chain bridge a b { type filter hook forward priority 0; policy drop; }"], BRIDGE),
    ],
    ids=["of another hook", "that accepts", "of another family", "of bridges"],
)
def test_other_policies_drop_nothing_that_is_forwarded(
    host: Host, commands: Sequence[str], config: Mapping[str, Any]
) -> None:
    for family in ("ip", "ip6", "bridge"):
        nft(host.namespace, f"add table {family} a")
    for command in commands:
        nft(host.namespace, command)
    attach(host, "c1", config)
    assert guard(host, net=config["name"]).status == 0
    assert host.run("STATUS", {**firewall(), "cniVersion": "1.1.0"}).status == 0


def test_what_the_host_does_not_forward_is_not_refused(host: Host) -> None:
    host.ip("link", "add", "up0", "type", "bridge")
    config = {
        "cniVersion": "1.0.0",
        "name": "net",
        "type": "macvlan",
        "master": "up0",
        "ipam": {"type": "static", "addresses": [{"address": "10.13.0.2/24"}]},
    }
    attach(host, "c1", config)
    drop_what_is_forwarded(host, "nft")
    assert guard(host).status == 0


RULES4 = [
    '-A FORWARD -i cni0 -m comment --comment "acni: openForwarding" -j ACCEPT',
    "-A FORWARD -o cni0 -m conntrack --ctstate RELATED,ESTABLISHED"
    ' -m comment --comment "acni: openForwarding" -j ACCEPT',
    "-A FORWARD -o cni0 -m conntrack --ctstate DNAT"
    ' -m comment --comment "acni: openForwarding" -j ACCEPT',
]


def rules(host: Host, tool: str = "iptables-nft") -> list[str]:
    return [line for line in iptables(host, "-S FORWARD", tool).splitlines() if "-A" in line]


def test_what_a_policy_drops_is_let_through_where_that_is_asked_for(host: Host) -> None:
    """Behind what is there, once for a bridge, and no more than is meant."""
    add_outside(host, knows_the_way=True)
    for tool in ("iptables-nft", "ip6tables-nft"):
        iptables(host, "-P FORWARD DROP", tool)
    iptables(host, "-A FORWARD -p icmp -j ACCEPT")
    for container, to in (("c1", 8080), ("c2", None)):
        attach(host, container, to=to)
        assert guard(host, container, openForwarding=True).status == 0
    assert rules(host) == ["-A FORWARD -p icmp -j ACCEPT", *RULES4]
    assert rules(host, "ip6tables-nft") == RULES4
    assert host.run("CHECK", firewall(openForwarding=True), previous=True).status == 0
    status = {**firewall(openForwarding=True), "cniVersion": "1.1.0"}
    assert host.run("STATUS", status).status == 0
    for way, is_open in {
        "to the outside": True,
        "from outside, by a port": True,
        "from its neighbour, by a port": True,
        "from outside": False,
    }.items():
        assert reaches(host, way, is_refused=not is_open) == is_open, way


def test_a_rule_that_lets_through_is_iptables_to_delete_and_check_sees_it(host: Host) -> None:
    iptables(host, "-P FORWARD DROP")
    attach(host)
    guard(host, openForwarding=True)
    for rule in RULES4:
        iptables(host, rule.replace("-A", "-D", 1))
        checked = host.run("CHECK", firewall(openForwarding=True), previous=True)
        assert checked.printed["reason"] == "rule-missing"
        assert guard(host, openForwarding=True).status == 0
        assert sorted(rules(host)) == sorted(RULES4)


def test_another_ones_chain_is_never_touched(host: Host) -> None:
    attach(host)
    chain = drop_what_is_forwarded(host, "nft")
    iptables(host, "-P FORWARD DROP")
    answer = guard(host, openForwarding=True)
    assert (answer.printed["code"], answer.printed["reason"]) == (112, "policy-drops")
    assert chain in answer.printed["msg"]
    assert (rules(host), listed(host.namespace, "rule")) == ([], [])
    status = {**firewall(openForwarding=True), "cniVersion": "1.1.0"}
    assert host.run("STATUS", status).printed["code"] == 50


def close_what_is_forwarded(host: Host, how: str) -> str:
    """Drop everything by a last rule; return how an error names its chain."""
    if how == "nft":
        nft(host.namespace, "add table inet mine")
        nft(host.namespace, "add chain inet mine ward { type filter hook forward priority 0; }")
        nft(host.namespace, "add rule inet mine ward reject")
        return "the chain ward of the table inet mine rejects"
    iptables(host, "-A FORWARD -j DROP", how)
    return f"the chain FORWARD of the table {how.replace('tables-nft', '')} filter drops"


@pytest.mark.parametrize("how", HOW)
def test_a_rule_that_drops_everything_is_named_and_the_container_refused(
    host: Host, how: str
) -> None:
    attach(host)
    assert guard(host).status == 0
    words = close_what_is_forwarded(host, how)
    asked: tuple[dict[str, Any], ...] = ({}, {"openForwarding": True})
    for opens in asked:
        refused = guard(host, "c1", "isolated", **opens)
        assert (refused.printed["code"], refused.printed["reason"]) == (112, "rule-drops")
        assert words in refused.printed["msg"]
        assert "the rule with handle" in refused.printed["msg"]
        assert "insert rules before it that accept for cni0" in refused.printed["details"]
        assert elements(host) == {}
        checked = host.run("CHECK", firewall(**opens), previous=True)
        assert (checked.printed["code"], checked.printed["reason"]) == (112, "rule-drops")
        status = host.run("STATUS", firewall(cniVersion="1.1.0", **opens)).printed
        assert status.get("code") == (None if how == "ip6tables-nft" else 50)
    for verb in ("ADD", "CHECK", "STATUS"):
        said = firewall(openForwarding=False, cniVersion="1.1.0")
        assert host.run(verb, said, previous=verb != "STATUS").status == 0


def test_a_bridge_that_is_let_past_the_rule_by_what_was_appended_before_is_served(
    host: Host,
) -> None:
    """As where somebody closes the chain once the first container is there."""
    add_outside(host, knows_the_way=True)
    iptables(host, "-P FORWARD DROP")
    attach(host)
    assert guard(host, openForwarding=True).status == 0
    for words in ("-P FORWARD ACCEPT", "-A FORWARD -j DROP"):
        iptables(host, words)
    asked = firewall(openForwarding=True, cniVersion="1.1.0")
    for verb in ("ADD", "CHECK", "STATUS"):
        assert host.run(verb, asked, previous=verb != "STATUS").status == 0
    assert rules(host) == [*RULES4, "-A FORWARD -j DROP"]
    assert reaches(host, "to the outside")
    iptables(host, RULES4[0].replace("-A", "-D", 1))
    assert host.run("CHECK", asked, previous=True).printed["reason"] == "rule-drops"
    assert guard(host, openForwarding=True).printed["code"] == 112
    for rule in RULES4[1:]:
        iptables(host, rule.replace("-A", "-D", 1))
    assert host.run("STATUS", asked).printed["code"] == 50


def test_what_lets_a_bridge_through_goes_with_it(host: Host) -> None:
    iptables(host, "-P FORWARD DROP")
    attach(host)
    guard(host, openForwarding=True)
    gc = {**firewall(), "cniVersion": "1.1.0", **valid()}
    assert host.run("DEL", firewall(openForwarding=True), previous=True).status == 0
    assert host.run("GC", gc).status == 0
    assert rules(host) == RULES4
    iptables(host, "-A FORWARD -i cni0 -j ACCEPT")
    host.ip("link", "delete", "cni0")
    assert host.run("GC", gc).status == 0
    assert rules(host) == ["-A FORWARD -i cni0 -j ACCEPT"]


def test_what_lets_a_link_through_that_is_no_containers_alone_stays(host: Host) -> None:
    """As the bridge of Open vSwitch, which the kernel does not call one."""
    iptables(host, "-P FORWARD DROP")
    host.ip("link", "add", "ovs0", "type", "ifb")
    for container in ("c1", "c2"):
        attach(host, container, ROUTED)
        said = host.last[container, "eth0"]
        shared = {**said, "interfaces": [*said["interfaces"], {"name": "ovs0"}]}
        host.last[container, "eth0"] = shared
        assert guard(host, container, net="routed", openForwarding=True).status == 0
    asked = firewall(net="routed", openForwarding=True)
    assert host.run("DEL", asked, previous=True).status == 0
    assert host.run("CHECK", asked, container="c2", previous=True).status == 0
    assert len(rules(host)) == 2 * len(RULES4)


@pytest.mark.parametrize("previous", [True, False])
def test_what_lets_a_routed_container_through_is_its_own_and_goes_with_it(
    host: Host, previous: bool
) -> None:
    add_outside(host, knows_the_way=True)
    iptables(host, "-P FORWARD DROP")
    attach(host, "c1", ROUTED)
    assert guard(host, net="routed", openForwarding=True).status == 0
    assert rules(host) == [rule.replace("cni0", host_end(host)) for rule in RULES4]
    assert seen_from(host.container("c1"), host.container(OUTSIDE), OUTSIDE4) == "10.12.0.2"
    asked = firewall(net="routed", openForwarding=True)
    for _ in range(2):
        assert host.run("DEL", asked, previous=previous).status == 0
        assert rules(host) == []
