"""portmap, by verb: what each does, finds and leaves."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from acni.netlink.wire import KernelWire
from acni.plugins.catalog import BUILT_IN
from acni.skel import Bounds
from acni.skel.delegation import Delegates
from acni.skel.respond import LOST, put_back, respond
from acni.spec import Request
from tests.netlink.nft import all_elements, listed, nft
from tests.plugins.answering import Answer, valid
from tests.plugins.hosts import Host
from tests.plugins.outside import (
    HOST4,
    HOST6,
    OUTSIDE,
    OUTSIDE4,
    add_outside,
)
from tests.plugins.publishing import (
    ANY,
    BOTH,
    BRIDGE,
    CHAIN,
    EVERYWHERE4,
    RETURNS,
    Ports,
    elements,
    flows,
    listener_in,
    picked,
    port,
    portmap,
    publish,
    seen,
    send_to,
    start_flows,
)
from tests.plugins.striking import Failing, of_no_nf_tables
from tests.plugins.traffic import UDP, seen_from

pytestmark = pytest.mark.netns


def test_every_protocol_has_its_element(host: Host) -> None:
    assert publish(host, [port(5000, name) for name in ("tcp", "UDP", "sctp")]).status == 0
    there = {
        one[0]["elem"]["val"]["concat"][0] for one in all_elements(host.namespace)["hostports4"]
    }
    assert there == {"tcp", "udp", "sctp"}


def test_its_result_is_the_one_before_it(host: Host) -> None:
    host.run("ADD", BRIDGE)
    before = host.last["c1", "eth0"]
    assert publish(host).printed == before
    assert publish(host, ()).printed == before


def test_without_ports_nothing_is_made(host: Host) -> None:
    assert publish(host, ()).status == 0
    assert host.run("CHECK", portmap(()), previous=True).status == 0
    assert host.run("DEL", portmap(()), previous=True).status == 0
    assert listed(host.namespace, "table") == []


def test_an_add_may_be_repeated(host: Host) -> None:
    for _ in range(2):
        assert publish(host).status == 0
    assert elements(host)["hostports4"] == 2


@pytest.mark.rule("P3")
@pytest.mark.parametrize("previous", [True, False])
@pytest.mark.parametrize("is_gone", [True, False])
@pytest.mark.parametrize("ports", [BOTH, ()], ids=["with ports", "without"])
def test_a_delete_takes_back_what_was_published(
    host: Host, previous: bool, is_gone: bool, ports: Ports
) -> None:
    host.run("ADD", BRIDGE, container="c2")
    publish(host, [port(9090)], container="c2")
    once = elements(host)
    publish(host)
    for _ in range(2):
        answer = host.run("DEL", portmap(ports), previous=previous, is_gone=is_gone)
        assert answer.status == 0
        assert elements(host) == once


@pytest.mark.rule("P3")
def test_a_delete_does_what_it_can_with_a_configuration_that_is_refused(host: Host) -> None:
    publish(host)
    for members in ({"snat": 5}, {"conditionsV4": ["-s", "192.0.2.0/24"]}):
        assert host.run("DEL", portmap(**members), previous=True).status == 0
        assert elements(host) == {}


@pytest.mark.rule("P3")
@pytest.mark.parametrize(
    ("ports", "members"),
    [
        ([port(8080)], {}),
        ([port(9999, "udp")], {}),
        ([port(8080, hostIP=HOST4)], {}),
        ([port(8080, hostIP="::1")], {}),
        (BOTH, {"snat": False}),
        (BOTH, {"masqAll": False}),
    ],
    ids=str,
)
def test_a_delete_with_other_ports_takes_back_those_that_were_published(
    host: Host, ports: Ports, members: Mapping[str, Any]
) -> None:
    """An executable has its ports from a caller that may have changed its mind; what is left of a
    container leads to the next one that has its address.
    """
    host.run("ADD", BRIDGE, container="c2")
    publish(host, [port(9090)], container="c2")
    once = elements(host)
    publish(host, [*BOTH, port(8081)], masqAll=True)
    assert host.run("DEL", portmap(ports, **members), previous=True).status == 0
    assert elements(host) == once


@pytest.mark.rule("P3")
@pytest.mark.parametrize("plugin", ["portmap", "firewall"])
def test_where_the_kernel_has_no_nf_tables_a_delete_finds_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch, plugin: str
) -> None:
    """An ADD without ports, and of an open firewall, needs none; its DEL looks for some."""
    host.run("ADD", BRIDGE)
    monkeypatch.setattr(KernelWire, "send", of_no_nf_tables(KernelWire.send))
    assert host.run("DEL", {**portmap(()), "type": plugin}, previous=True).status == 0


@pytest.mark.parametrize("ports", [[port(8080)], ANY], ids=["named", "picked"])
@pytest.mark.parametrize("previous", [True, False])
def test_a_delete_leaves_what_other_plugins_need_for_as_long_as_the_link_is_there(
    host: Host, ports: Ports, previous: bool
) -> None:
    assert host.run("ADD", {**BRIDGE, "ipMasq": True}).status == 0
    firewall = {**portmap(()), "type": "firewall", "ingressPolicy": "isolated"}
    assert host.run("ADD", firewall, previous=True).status == 0
    kept = elements(host)
    publish(host, ports)
    assert host.run("DEL", portmap(ports), previous=previous).status == 0
    assert elements(host) == {name: kept[name] for name in kept if not name.startswith("owners")}


def test_a_delete_that_comes_again_leaves_the_next_ones_alone(host: Host) -> None:
    """The same address and the same port are another container's meanwhile."""
    config = {
        **BRIDGE,
        "ipam": {"type": "static", "addresses": [{"address": "10.9.0.7/24"}]},
    }
    host.run("ADD", config)
    publish(host)
    host.run("DEL", portmap(), previous=True)
    host.run("DEL", config, previous=True)
    host.run("ADD", config, container="c2")
    publish(host, container="c2")
    before = elements(host)
    assert host.run("DEL", portmap(), previous=True).status == 0
    assert elements(host) == before
    assert host.run("CHECK", portmap(), container="c2", previous=True).status == 0


@pytest.mark.parametrize("previous", [True, False])
def test_with_the_port_the_flow_is_gone(host: Host, previous: bool) -> None:
    outside = add_outside(host)
    publish(host)
    with (
        closing(outside.call(lambda: socket.socket(socket.AF_INET, UDP))) as caller,
        closing(listener_in(host, "c1")) as first,
    ):
        caller.sendto(b"one", (HOST4, 8080))
        assert first.recv(10) == b"one"
        assert host.run("DEL", portmap(), previous=previous).status == 0
        caller.sendto(b"two", (HOST4, 8080))
        first.settimeout(0.3)
        with pytest.raises(TimeoutError):
            first.recv(10)


def test_a_flow_of_udp_that_came_while_the_port_was_gone_is_led_to_the_container(
    host: Host,
) -> None:
    """One that goes on: until the kernel forgets it, it would be the host's."""
    outside = add_outside(host)
    publish(host, [port(8080, "udp"), port(8080)])
    with (
        closing(outside.call(lambda: socket.socket(socket.AF_INET, UDP))) as caller,
        closing(listener_in(host, "c1")) as listener,
    ):
        nft(host.namespace, "flush ruleset")
        # Connections are followed for whoever asks about them.
        for command in ("add table ip nat", CHAIN, "add rule ip nat PREROUTING ct state new"):
            nft(host.namespace, command)
        caller.sendto(b"one", (HOST4, 8080))
        asked = portmap([port(8080, "udp"), port(8080)])
        for is_missing in (True, False):
            answer = host.run("CHECK", asked, previous=True, ask=restore)
            assert answer.printed == {"lost": is_missing}
        caller.sendto(b"two", (HOST4, 8080))
        assert listener.recv(10) == b"two"
    assert seen(host, OUTSIDE, HOST4) == OUTSIDE4
    assert seen(host, "c1", HOST4) == "10.9.0.1"
    assert seen(host, None, "127.0.0.1") == "10.9.0.1"


@pytest.mark.parametrize(
    ("ports", "flush", "is_heeded"),
    [
        pytest.param([port(8080, "udp")], "flush ruleset", False, id="the table, unheeded"),
        # Which port was picked no result says: the table has to.
        pytest.param([port(0, "udp")], "flush table inet acni", True, id="its rules, heeded"),
    ],
)
def test_whatever_the_kernel_does_not_take_ports_are_put_back_whole_by_who_comes_next(
    host: Host, monkeypatch: pytest.MonkeyPatch, ports: Ports, flush: str, is_heeded: bool
) -> None:
    """So that a flow that came while the port was gone does not stay the host's. The last sends
    fail: before them it only looks.
    """
    outside, asked = add_outside(host), portmap(ports)
    said = publish(host, ports).printed.get("portMappings", ports)
    told = host.last["c1", "eth0"]
    host.last["c1", "eth0"] = {key: told[key] for key in told if key != "portMappings"}
    once = elements(host)

    def put_back_twice(number: int) -> int:
        """Fail this send of the first time; return how many there were."""
        with (
            closing(outside.call(lambda: socket.socket(socket.AF_INET, UDP))) as caller,
            closing(listener_in(host, "c1")) as listener,
        ):
            nft(host.namespace, flush)
            for command in ("add table ip nat", CHAIN, "add rule ip nat PREROUTING ct state new"):
                nft(host.namespace, command)
            caller.sendto(b"one", (HOST4, said[0]["hostPort"]))
            failing = Failing(number, is_heeded)
            with monkeypatch.context() as patch:
                patch.setattr(KernelWire, "send", failing.given(KernelWire.send))
                host.run("CHECK", asked, previous=True, ask=restore)
            assert host.run("CHECK", asked, previous=True, ask=restore).status == 0
            caller.sendto(b"two", (HOST4, said[0]["hostPort"]))
            assert listener.recv(10) == b"two", number
            assert elements(host) == once
            nft(host.namespace, "delete table ip nat")
        return failing.calls

    sends = put_back_twice(0)
    for number in range(sends - _PUTTING_BACK, sends):
        put_back_twice(number + 1)


# So many sends at most are the last two steps and what lies between them.
_PUTTING_BACK = 8


def restore(plugin: str, request: Request) -> Answer:
    """Have a plugin put back what is missing, as a runtime does."""
    bounds = Bounds(time.monotonic() + 20)
    response = respond(
        BUILT_IN[plugin], request, bounds=bounds, delegates=Delegates(), run=put_back
    )
    return Answer(response.status, {"lost": response.stdout == LOST})


@pytest.mark.rule("P4")
def test_check_finds_what_is_missing(host: Host) -> None:
    publish(host)
    assert host.run("CHECK", portmap(), previous=True).status == 0
    nft(host.namespace, "delete element inet acni hostports6 { udp . 8080 }")
    answer = host.run("CHECK", portmap(), previous=True)
    assert (answer.printed["code"], answer.printed["reason"]) == (105, "rule-missing")
    nft(host.namespace, "flush ruleset")
    assert host.run("CHECK", portmap(), previous=True).printed["reason"] == "rule-missing"


@pytest.mark.rule("P6")
def test_gc_takes_back_what_is_not_valid(host: Host) -> None:
    for number, container in enumerate(("c1", "c2")):
        publish(host, [port(8080 + number)], container=container)
    gc = {**portmap(()), "cniVersion": "1.1.0", **valid("c1")}
    assert host.run("GC", gc).status == 0
    assert elements(host)["hostports4"] == 1
    assert host.run("CHECK", portmap([port(8080)]), previous=True).status == 0


@pytest.mark.parametrize("verb", ["GC", "ADD"])
def test_whoever_takes_ports_back_has_their_connections_forgotten(host: Host, verb: str) -> None:
    """A GC, and who is given the address of a container that nobody detached: neither knows the
    ports but by the table.
    """
    addresses = [{"address": "10.9.0.7/24"}, {"address": "fd00:9::7/64"}]
    bridge = {**BRIDGE, "ipam": {"type": "static", "addresses": addresses}}
    for container in ("c1", "c2"):
        host.run("ADD", bridge, container=container)
    assert publish(host).status == 0
    start_flows(host, 8080)
    if verb == "GC":
        assert host.run("GC", {**portmap(()), "cniVersion": "1.1.0", **valid("c2")}).status == 0
    else:
        assert publish(host, [port(9090)], container="c2").status == 0
    assert flows(host) == []


_CONNECTIONS = 1  # NFNL_SUBSYS_CTNETLINK


def test_connections_that_could_not_be_forgotten_are_when_the_address_is_taken_over_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever of it the kernel does not do: who comes again finds the ports as they were."""
    bridge = {**BRIDGE, "ipam": {"type": "static", "addresses": [{"address": "10.9.0.7/24"}]}}
    for container in ("c1", "c2"):
        host.run("ADD", bridge, container=container)
    for number in range(1, 10):
        assert publish(host).status == 0
        host.namespace.call(partial(send_to, "10.9.0.1", 8080))
        assert flows(host) == ["ipv4"]
        failing = Failing(number, of=_CONNECTIONS)
        with monkeypatch.context() as patch:
            patch.setattr(KernelWire, "send", failing.given(KernelWire.send))
            publish(host, [port(9090)], container="c2")
        assert publish(host, [port(9090)], container="c2").status == 0
        assert flows(host) == [], number
        host.run("DEL", portmap([port(9090)]), container="c2", previous=True)
        if failing.calls < number:
            assert number > 1
            return
    pytest.fail("it never came to an end")


@pytest.mark.rule("P5")
def test_status_asks_whether_a_table_can_be_written(host: Host) -> None:
    asked = {**portmap(()), "cniVersion": "1.1.0"}
    assert host.run("STATUS", asked).status == 0
    nft(host.namespace, "add table inet acni { map owners4 { type ipv4_addr : ipv4_addr; } ; }")
    assert host.run("STATUS", asked).printed["code"] == 50


def test_a_rule_that_is_made_later_is_told_by_check(host: Host) -> None:
    publish(host)
    for command in ("add table ip nat", CHAIN, RETURNS):
        nft(host.namespace, command)
    assert host.run("CHECK", portmap(), previous=True).printed["reason"] == "nat-rule"
    assert host.run("CHECK", portmap(overrideNatRules=True), previous=True).status == 0


@pytest.mark.rule("P5")
@pytest.mark.parametrize(
    ("tool", "rule", "ports"),
    [
        ("iptables-nft", "-t nat -A PREROUTING -p tcp --dport 8080 -j RETURN", "8080"),
        ("iptables-nft", "-t nat -A OUTPUT -p tcp --dport 8000:9000 -j ACCEPT", "8080, 8081"),
        ("nft", "add rule ip nat PREROUTING tcp dport 8081 accept", "8081"),
        ("nft", "add rule ip nat PREROUTING tcp dport { 8080, 22 } return", "8080, 8081"),
        ("nft", "add rule ip nat PREROUTING tcp dport 8082 return", None),
    ],
)
def test_a_rule_that_is_made_later_is_told_by_status(
    host: Host, tool: str, rule: str, ports: str | None
) -> None:
    """Of the ports of this network, where it does not go on regardless."""
    status = {**portmap(()), "cniVersion": "1.1.0"}
    if tool == "nft":
        for command in ("add table ip nat", CHAIN):
            nft(host.namespace, command)
    made = [tool, *rule.split()]
    publish(host, [port(8080), port(8081, hostIP=HOST4)])
    assert host.run("STATUS", status).status == 0
    host.namespace.call(lambda: subprocess.run(made, check=True, timeout=30))
    answer = host.run("STATUS", status)
    assert answer.printed.get("reason") == (None if ports is None else "nat-rule")
    if ports is not None:
        assert answer.printed["code"] == 50
        assert "table ip nat" in answer.printed["msg"]
        assert answer.printed["msg"].endswith(f"that lead to containers: {ports}")
    for others in ({"overrideNatRules": True}, {"name": "other"}):
        assert host.run("STATUS", {**status, **others}).status == 0
    assert host.run("DEL", portmap([port(8080), port(8081, hostIP=HOST4)])).status == 0
    assert host.run("STATUS", status).status == 0


def test_the_administrator_keeps_a_port(host: Host) -> None:
    """By admin_ports, and by a translation of his own, whenever it is made."""
    outside = add_outside(host)
    publish(host, [port(8080), port(8081)])
    nft(host.namespace, "add rule inet acni admin_ports tcp dport 8080 accept")
    assert seen(host, OUTSIDE, HOST4, is_refused=True) is None
    for command in (
        "add table ip mine",
        "add chain ip mine pre { type nat hook prerouting priority -100; }",
        "add rule ip mine pre tcp dport 8081 redirect to 6000",
    ):
        nft(host.namespace, command)
    there = seen_from(outside, host.namespace, HOST4, port=8081, listens=6000)
    assert there == OUTSIDE4


@pytest.mark.rule("P1", "P11")
@pytest.mark.parametrize(
    ("members", "code", "words"),
    [
        ({"conditionsV4": ["-s", "192.0.2.0/24"]}, 2, "$.conditionsV4"),
        ({"conditionsV6": ["-s", "::/0"]}, 2, "$.conditionsV6"),
        ({"externalSetMarkChain": "KUBE-MARK-MASQ"}, 2, "$.externalSetMarkChain"),
        ({"backend": "ipfw"}, 7, "$.backend"),
        ({"ports": [port(-1)]}, 7, "$.runtimeConfig.portMappings[0].hostPort"),
        ({"ports": [{"containerPort": 80}]}, 7, "no hostPort"),
        ({"ports": [port(80, to=65536)]}, 7, "portMappings[0].containerPort"),
        ({"ports": [{"hostPort": 80}]}, 7, "no containerPort"),
        ({"ports": [port(80, "icmp")]}, 7, "portMappings[0].protocol"),
        ({"ports": [port(80, hostIP="host")]}, 7, "portMappings[0].hostIP"),
        ({"ports": [port(80), port(80, to=81)]}, 7, "80 is there twice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_done_is_refused_with_its_place(
    host: Host, members: dict[str, Any], code: int, words: str
) -> None:
    members = dict(members)
    answer = publish(host, members.pop("ports", BOTH), **members)
    assert answer.printed["code"] == code
    assert words in answer.printed["msg"]
    assert elements(host) == {}


@pytest.mark.rule("P1")
@pytest.mark.parametrize("verb", ["ADD", "CHECK"])
def test_it_stands_behind_another_plugin(host: Host, verb: str) -> None:
    answer = host.run(verb, portmap())
    assert (answer.printed["code"], answer.printed["reason"]) == (7, "not-chained")
    assert "$.prevResult" in answer.printed["msg"]


def test_a_port_at_an_address_of_a_family_that_the_container_has_not_is_refused(
    host: Host,
) -> None:
    config = {**BRIDGE, "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}
    host.run("ADD", config)
    answer = publish(host, [port(80, hostIP=HOST6)])
    assert "$.runtimeConfig.portMappings[0].hostIP" in answer.printed["msg"]
    assert publish(host, [port(80, hostIP="::"), port(80, hostIP=EVERYWHERE4)]).status == 0


@pytest.mark.parametrize(
    "ports",
    [pytest.param(BOTH, id="named"), pytest.param(ANY, id="picked", marks=pytest.mark.deep)],
)
@pytest.mark.parametrize("is_heeded", [False, True], ids=["unheeded", "heeded"])
def test_whatever_the_kernel_does_not_take_an_add_leaves_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch, ports: Ports, is_heeded: bool
) -> None:
    """Each send of an ADD fails."""
    send = KernelWire.send
    host.run("ADD", BRIDGE)
    for number in range(1, 50):
        failing = Failing(number, is_heeded)
        nft(host.namespace, "flush ruleset")
        monkeypatch.setattr(KernelWire, "send", failing.given(send))
        answer = publish(host, ports)
        monkeypatch.setattr(KernelWire, "send", send)
        if failing.calls < number:
            assert answer.status == 0
            assert number > 6
            return
        if answer.status:
            assert elements(host) == {}, number
    pytest.fail("it never came to an end")


@pytest.mark.parametrize(
    ("previous", "ports"),
    [
        pytest.param(True, BOTH, id="with a result"),
        pytest.param(False, BOTH, id="without"),
        pytest.param(True, (), id="without ports"),
        pytest.param(False, (port(0), port(0, "udp")), id="picked, without"),
    ],
)
@pytest.mark.parametrize("is_heeded", [False, True], ids=["unheeded", "heeded"])
def test_whatever_the_kernel_does_not_take_a_delete_that_comes_again_takes_all_back(
    host: Host, monkeypatch: pytest.MonkeyPatch, previous: bool, ports: Ports, is_heeded: bool
) -> None:
    """Each send of a DEL fails, those that forget connections among them; and who is told that it
    is done need not come again.
    """
    for number in range(1, 40):
        answer = publish(host, ports or BOTH)
        said = answer.printed.get("portMappings", [{}])[-1]
        start_flows(host, said.get("hostPort", 8080))
        failing = Failing(number, is_heeded)
        with monkeypatch.context() as patch:
            patch.setattr(KernelWire, "send", failing.given(KernelWire.send))
            answer = host.run("DEL", portmap(ports), previous=previous)
        if answer.status:
            assert host.run("DEL", portmap(ports), previous=previous).status == 0
        assert elements(host) == {}, number
        assert not (ports and flows(host)), number
        if failing.calls < number:
            assert (answer.status, number > 2) == (0, True)
            return
    pytest.fail("it never came to an end")


def forgotten(host: Host, container: str = "c1") -> None:
    """Let the result be as a program in Go passes it on."""
    told = dict(host.last[container, "eth0"])
    del told["portMappings"]
    host.last[container, "eth0"] = told


@pytest.mark.rule("P3", "P4")
@pytest.mark.parametrize("is_told", [True, False], ids=["told", "forgotten"])
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_picked_port_is_checked_and_taken_back(host: Host, is_told: bool, is_gone: bool) -> None:
    host.run("ADD", BRIDGE, container="c2")
    publish(host, ANY, container="c2")
    once = elements(host)
    _, udp, _ = picked(publish(host, [*ANY, port(8080)]))
    if not is_told:
        forgotten(host)
    ports = [*ANY, port(8080)]
    assert host.run("CHECK", portmap(ports), previous=True).status == 0
    nft(host.namespace, f"delete element inet acni hostports6 {{ udp . {udp} }}")
    answer = host.run("CHECK", portmap(ports), previous=True)
    assert answer.printed["reason"] == "rule-missing"
    for _ in range(2):
        assert host.run("DEL", portmap(ports), previous=True, is_gone=is_gone).status == 0
        assert elements(host) == once
    assert host.run("CHECK", portmap(ANY), container="c2", previous=True).status == 0


@pytest.mark.rule("P3")
def test_a_picked_port_is_taken_back_without_a_result(host: Host) -> None:
    publish(host, ANY)
    assert host.run("DEL", portmap(ANY)).status == 0
    assert elements(host) == {}


@pytest.mark.rule("P3")
def test_a_delete_that_was_cut_short_is_done_again(host: Host) -> None:
    """Of many ports some may be gone, and what says that there are any."""
    publish(host, ANY)
    forgotten(host)
    for family, address in (("4", "10.9.0.2"), ("6", "fd00:9::2")):
        nft(host.namespace, f"delete element inet acni published{family} {{ {address} }}")
    assert host.run("DEL", portmap(ANY), previous=True).status == 0
    assert elements(host) == {}


def test_the_flow_of_a_picked_port_is_gone_with_it(host: Host) -> None:
    """Also where nobody says which it was."""
    outside = add_outside(host)
    udp = picked(publish(host, ANY))[1]
    forgotten(host)
    with (
        closing(outside.call(lambda: socket.socket(socket.AF_INET, UDP))) as caller,
        closing(listener_in(host, "c1")) as first,
    ):
        caller.sendto(b"one", (HOST4, udp))
        assert first.recv(10) == b"one"
        assert host.run("DEL", portmap(ANY), previous=True).status == 0
        caller.sendto(b"two", (HOST4, udp))
        first.settimeout(0.3)
        with pytest.raises(TimeoutError):
            first.recv(10)


def test_with_a_port_that_a_delete_does_not_name_its_flow_is_gone(host: Host) -> None:
    outside = add_outside(host)
    publish(host)
    with (
        closing(outside.call(lambda: socket.socket(socket.AF_INET, UDP))) as caller,
        closing(listener_in(host, "c1")) as first,
    ):
        caller.sendto(b"one", (HOST4, 8080))
        assert first.recv(10) == b"one"
        assert host.run("DEL", portmap([port(9999)]), previous=True).status == 0
        caller.sendto(b"two", (HOST4, 8080))
        first.settimeout(0.3)
        with pytest.raises(TimeoutError):
            first.recv(10)
