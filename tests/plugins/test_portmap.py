"""portmap, by traffic: who reaches a container by a port of the host, and as whom."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from acni.netlink.wire import KernelWire
from acni.plugins.catalog import BUILT_IN
from acni.skel import Bounds
from acni.skel.delegation import Delegates
from acni.skel.respond import LOST, put_back, respond
from acni.spec import Request
from tests.mutation import CHECKOUT
from tests.netlink.nft import all_elements, listed, nft
from tests.plugins.answering import Answer, Ask, ask_ours, ask_reference, valid
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
from tests.plugins.striking import Failing, of_no_nf_tables
from tests.plugins.traffic import TCP, UDP, seen_from

pytestmark = pytest.mark.netns

BRIDGE: Mapping[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "bridge",
    "isDefaultGateway": True,
    "hairpinMode": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]],
    },
}
OTHER: Mapping[str, Any] = {
    **BRIDGE,
    "name": "other",
    "bridge": "cni1",
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.10.0.0/24"}], [{"subnet": "fd00:10::/64"}]],
    },
}
Ports = Sequence[Mapping[str, Any]]


def port(number: int, protocol: str = "tcp", *, to: int = 7000, **others: Any) -> dict[str, Any]:
    return {"hostPort": number, "containerPort": to, "protocol": protocol, **others}


EVERYWHERE4 = "0.0.0.0"  # noqa: S104 (nobody binds to it)
BOTH: Ports = (port(8080), port(8080, "udp"))
ANY: Ports = (port(0), port(0, "udp"))


def portmap(ports: Ports = BOTH, **members: Any) -> dict[str, Any]:
    wanted = {"runtimeConfig": {"portMappings": list(ports)}} if ports else {}
    return {"cniVersion": "1.0.0", "name": "net", "type": "portmap", **wanted, **members}


def publish(host: Host, ports: Ports = BOTH, *, container: str = "c1", **members: Any) -> Answer:
    """Attach a container by a bridge, if it is not, and publish ports of it."""
    if (container, "eth0") not in host.last:
        assert host.run("ADD", BRIDGE, container=container).status == 0
    return host.run("ADD", portmap(ports, **members), container=container, previous=True)


def elements(host: Host) -> dict[str, int]:
    there = all_elements(host.namespace)
    return {name: len(found) for name, found in there.items() if found and name != "ways"}


def seen(
    host: Host, client: str | None, address: str, kind: int = TCP, **others: Any
) -> str | None:
    """Whom the container c1 sees, when somebody sends to a port of the host."""
    origin = host.namespace if client is None else host.container(client)
    others = {"port": 8080, "listens": 7000, **others}
    return seen_from(origin, host.container("c1"), address, kind=kind, **others)


WAYS: Mapping[str, tuple[str | None, str, str | None]] = {
    "from outside": (OUTSIDE, HOST4, OUTSIDE4),
    "from outside, IPv6": (OUTSIDE, HOST6, OUTSIDE6),
    "from the host": (None, HOST4, HOST4),
    "from the host, IPv6": (None, HOST6, HOST6),
    "from localhost": (None, "127.0.0.1", "10.9.0.1"),
    "from localhost, IPv6": (None, "::1", None),
    "from itself": ("c1", HOST4, "10.9.0.1"),
    "from itself, IPv6": ("c1", HOST6, "fd00:9::1"),
    "from the neighbour": ("c2", HOST4, "10.9.0.1"),
    "from the neighbour, IPv6": ("c2", HOST6, "fd00:9::1"),
    "from the neighbour, by the gateway": ("c2", "10.9.0.1", "10.9.0.1"),
    "from another network": ("c3", HOST4, "10.10.0.2"),
    "from another network, IPv6": ("c3", HOST6, "fd00:10::2"),
}


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(ask_ours, id="ours"),
        pytest.param(ask_reference, id="reference", marks=pytest.mark.deep),
    ],
)
@pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
def test_a_port_of_the_host_leads_to_the_container_from_everywhere(
    tmp_path: Path, ask: Ask, kind: int
) -> None:
    with host_of(ask, tmp_path / "leases") as host:
        look_for_no_duplicates(host, "c1", "c2", "c3")
        add_outside(host)
        let_bridges_alone(host)
        host.run("ADD", BRIDGE, container="c2")
        host.run("ADD", OTHER, container="c3")
        answer = publish(host)
        assert answer.status == 0, answer
        host.settle()
        table = {
            way: seen(host, client, address, kind, is_refused=whom is None)
            for way, (client, address, whom) in WAYS.items()
        }
        assert table == {way: whom for way, (_, _, whom) in WAYS.items()}


def let_bridges_alone(host: Host) -> None:
    """Let the firewall not see what bridges pass on (br_netfilter)."""
    for tables in ("iptables", "ip6tables"):
        host.write(f"bridge/bridge-nf-call-{tables}", "0")


def test_a_neighbour_is_seen_as_itself_where_the_firewall_sees_the_answer(host: Host) -> None:
    """br_netfilter passes on a bridge what would be routed otherwise, answers included."""
    host.run("ADD", BRIDGE, container="c2")
    publish(host)
    assert seen(host, "c2", "10.9.0.1") == "10.9.0.2"
    let_bridges_alone(host)
    assert seen(host, "c2", "10.9.0.1") == "10.9.0.1"


def test_what_is_asked_for_gets_the_hosts_address(host: Host) -> None:
    add_outside(host)
    assert publish(host, masqAll=True).status == 0
    assert seen(host, OUTSIDE, HOST4) == "10.9.0.1"
    assert seen(host, OUTSIDE, HOST6) == "fd00:9::1"


def test_without_snat_nothing_does(host: Host) -> None:
    add_outside(host)
    let_bridges_alone(host)
    host.run("ADD", BRIDGE, container="c2")
    assert publish(host, snat=False).status == 0
    assert seen(host, OUTSIDE, HOST4) == OUTSIDE4
    assert seen(host, "c2", HOST4, is_refused=True) is None
    assert seen(host, None, "127.0.0.1", is_refused=True) is None
    assert host.see()["host/setting ipv4 cni0 route_localnet"] == "0"


def test_a_port_at_one_address_is_none_at_others(host: Host) -> None:
    add_outside(host)
    at_one = [port(8080, hostIP=HOST4), port(8081, hostIP=EVERYWHERE4), port(8082, hostIP=HOST6)]
    assert publish(host, at_one).status == 0
    assert seen(host, OUTSIDE, HOST4) == OUTSIDE4
    assert seen(host, "c1", "10.9.0.1", is_refused=True) is None
    assert seen(host, OUTSIDE, HOST4, port=8081) == OUTSIDE4
    assert seen(host, OUTSIDE, HOST6, port=8081, is_refused=True) is None
    assert seen(host, OUTSIDE, HOST6, port=8082) == OUTSIDE6
    assert seen(host, None, "127.0.0.1", port=8081) == "10.9.0.1"


def test_localhost_leads_to_the_container_again_after_somebody_took_that_away(host: Host) -> None:
    assert publish(host).status == 0
    host.write("ipv4/conf/cni0/route_localnet", "0")
    host.run("ADD", BRIDGE, container="c2")
    assert host.run("ADD", portmap([port(8090)]), container="c2", previous=True).status == 0
    assert seen(host, None, "127.0.0.1") == "10.9.0.1"


def test_localhost_is_not_let_in_from_a_wire(host: Host) -> None:
    """CVE-2020-8558: route_localnet alone would let a container talk to the host's 127.0.0.0/8."""
    publish(host)
    host.ip("route", "add", "127.0.0.2/32", "via", "10.9.0.1", inside="c1")
    assert not reaches_localhost(host)
    nft(host.namespace, "flush chain inet acni martians")
    assert reaches_localhost(host)


def reaches_localhost(host: Host) -> bool:
    with (
        closing(host.namespace.call(lambda: socket.socket(socket.AF_INET, UDP))) as listener,
        closing(host.container("c1").call(lambda: socket.socket(socket.AF_INET, UDP))) as caller,
    ):
        listener.bind(("127.0.0.2", 9))
        listener.settimeout(0.4)
        caller.sendto(b"hello", ("127.0.0.2", 9))
        try:
            return listener.recv(10) == b"hello"
        except TimeoutError:
            return False


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


@pytest.mark.rule("P1")
@pytest.mark.parametrize(
    "ports",
    [
        pytest.param([port(9090), port(8080)], id="at each address"),
        pytest.param([port(9090), port(8080, hostIP=HOST4)], id="at one address"),
    ],
)
@pytest.mark.parametrize("other", [{}, {"hostIP": HOST4}], ids=["at each", "at one"])
def test_a_port_that_another_container_has_is_refused_whole(
    host: Host, ports: Ports, other: Mapping[str, Any]
) -> None:
    host.run("ADD", BRIDGE, container="c2")
    publish(host, [port(8080, **other)])
    before = elements(host)
    answer = publish(host, ports, container="c2")
    assert (answer.printed["code"], answer.printed["reason"]) == (110, "port-taken")
    assert "8080/tcp" in answer.printed["msg"]
    assert "acni net c1 eth0" in answer.printed["msg"]
    assert elements(host) == before
    assert publish(host, [port(8080, "udp"), port(8081)], container="c2").status == 0


@pytest.mark.parametrize(
    ("kind", "place", "is_taken"),
    [
        (TCP, ("", 8080), True),
        (TCP, ("127.0.0.1", 8080), True),
        (UDP, ("", 8080), True),
        (UDP, ("", 8081), False),
    ],
)
def test_a_port_at_which_a_program_listens_is_refused(
    host: Host, kind: int, place: tuple[str, int], is_taken: bool
) -> None:
    host.run("ADD", BRIDGE)
    with closing(host.namespace.call(lambda: socket.socket(socket.AF_INET, kind))) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        if kind == TCP:
            listener.listen()
        answer = publish(host)
    assert answer.printed.get("reason") == ("port-taken" if is_taken else None)
    assert elements(host) == {} if is_taken else answer.status == 0
    assert publish(host).status == 0


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


@pytest.mark.parametrize("address", [HOST4, HOST6])
def test_a_flow_of_udp_follows_the_port_and_not_the_container_that_had_it(
    host: Host, address: str
) -> None:
    """One that goes on: the kernel would translate it as its first packet for as long."""
    outside = add_outside(host)
    host.run("ADD", BRIDGE, container="c2")
    publish(host)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        closing(outside.call(lambda: socket.socket(family, UDP))) as caller,
        closing(listener_in(host, "c1", family)) as first,
        closing(listener_in(host, "c2", family)) as second,
    ):
        caller.connect((address, 8080))
        caller.send(b"one")
        assert first.recv(10) == b"one"
        assert host.run("DEL", portmap(), previous=True).status == 0
        assert publish(host, container="c2").status == 0
        caller.send(b"two")
        assert second.recv(10) == b"two"


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


def listener_in(
    host: Host, container: str, family: socket.AddressFamily = socket.AF_INET
) -> socket.socket:
    made = host.container(container).call(lambda: socket.socket(family, UDP))
    made.bind(("", 7000))
    made.settimeout(20)
    return made


def test_a_flow_of_udp_that_was_there_before_is_led_to_the_container(host: Host) -> None:
    outside = add_outside(host)
    host.run("ADD", BRIDGE)
    with (
        closing(outside.call(lambda: socket.socket(socket.AF_INET, UDP))) as caller,
        closing(listener_in(host, "c1")) as listener,
    ):
        # Connections are followed from the first chain of nat on.
        publish(host, [port(1)])
        caller.sendto(b"one", (HOST4, 8080))
        publish(host)
        caller.sendto(b"two", (HOST4, 8080))
        assert listener.recv(10) == b"two"


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


RETURNS = "add rule ip nat PREROUTING tcp dport 8080 return"
CHAIN = "add chain ip nat PREROUTING { type nat hook prerouting priority -100; }"


@pytest.mark.parametrize("rule", [RETURNS, RETURNS.replace("return", "accept")])
def test_a_port_that_somebodys_rule_may_want_left_alone_is_refused(host: Host, rule: str) -> None:
    """CVE-2019-9946: the rule says nothing to the kernel that would keep ours from the port."""
    add_outside(host)
    for command in ("add table ip nat", CHAIN, rule):
        nft(host.namespace, command)
    answer = publish(host)
    assert (answer.printed["code"], answer.printed["reason"]) == (111, "nat-rule")
    assert "in the chain PREROUTING of the table ip nat" in answer.printed["msg"]
    assert elements(host) == {}
    assert publish(host, [port(8081)]).status == 0
    assert publish(host, overrideNatRules=True).status == 0
    assert seen(host, OUTSIDE, HOST4) == OUTSIDE4


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


def start_flows(host: Host, port: int) -> None:
    """The kernel takes an address of IPv6 for the host's some moments after a bridge's first port,
    and leads nothing to a container until then.
    """
    while set(flows(host)) != {"ipv4", "ipv6"}:
        for address in ("10.9.0.1", "fd00:9::1"):
            host.namespace.call(partial(send_to, address, port))


def send_to(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, UDP)) as caller:
        caller.sendto(b"one", (address, port))


def flows(host: Host) -> list[str]:
    """The connections of UDP to the port that is led elsewhere, by their families."""
    there = host.namespace.call(lambda: Path("/proc/thread-self/net/nf_conntrack").read_text())
    return sorted(line.split()[0] for line in there.splitlines() if " sport=7000 " in line)


EACH_PORT: Ports = [port(8080)]
AT_ONE: Ports = [port(8080, hostIP=HOST4)]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(EACH_PORT, EACH_PORT, id="at each"),
        pytest.param(EACH_PORT, AT_ONE, id="at each, and at one"),
        pytest.param(AT_ONE, EACH_PORT, id="at one, and at each"),
        pytest.param(AT_ONE, AT_ONE, id="at one"),
    ],
)
def test_of_two_that_want_a_port_at_the_same_time_one_gets_it(
    host: Host, monkeypatch: pytest.MonkeyPatch, ours: Ports, theirs: Ports
) -> None:
    """Another process publishes it before each message that an ADD sends, and after the last."""
    host.run("ADD", BRIDGE, container="c2")
    for number in range(1, 40):
        meanwhile = Meanwhile(number, partial(publish, host, theirs, container="c2"))
        with monkeypatch.context() as patch:
            patch.setattr(KernelWire, "send", meanwhile.of(KernelWire.send))
            answer = publish(host, ours)
        answers = {"c1": answer, "c2": meanwhile.result}
        if meanwhile.result is None:
            assert number > 5
            return
        got = [name for name, one in answers.items() if one is not None and one.status == 0]
        assert len(got) == 1, (number, answers)
        marks = {f"acni net {name} eth0" for name in got}
        assert owners(host, "published4") == marks, number
        for name in got:
            wanted = {"c1": ours, "c2": theirs}[name]
            assert host.run("DEL", portmap(wanted), container=name, previous=True).status == 0
        assert elements(host) == {}
    pytest.fail("it never came to an end")


def owners(host: Host, name: str) -> set[str]:
    return {one["elem"]["comment"] for one in all_elements(host.namespace)[name]}


@define
class Meanwhile:
    """Something that is done before a message to the kernel.

    Attributes:
        at: Before which, from 1.
        do: What is done.
        result: What that came to; None, it was not done.
    """

    at: int
    do: Callable[[], Answer]
    result: Answer | None = None
    count: int = 0

    def of(self, send: Callable[[KernelWire, bytes], None]) -> Callable[[KernelWire, bytes], None]:
        def sending(wire: KernelWire, data: bytes) -> None:
            self.count += 1
            if self.count == self.at:
                self.result = self.do()
            send(wire, data)

        return sending


def picked(answer: Answer) -> list[int]:
    assert answer.status == 0, answer
    return [one["hostPort"] for one in answer.printed["portMappings"]]


def forgotten(host: Host, container: str = "c1") -> None:
    """Let the result be as a program in Go passes it on."""
    told = dict(host.last[container, "eth0"])
    del told["portMappings"]
    host.last[container, "eth0"] = told


def test_a_port_is_picked_where_none_is_named_and_the_result_says_which(host: Host) -> None:
    add_outside(host)
    asked = [port(0), port(8080, to=7001), port(0, "udp", hostIP=HOST4)]
    answer = publish(host, asked)
    tcp, named, udp = picked(answer)
    assert answer.printed["portMappings"] == [
        {"hostPort": tcp, "containerPort": 7000, "protocol": "tcp"},
        {"hostPort": 8080, "containerPort": 7001, "protocol": "tcp"},
        {"hostPort": udp, "containerPort": 7000, "protocol": "udp", "hostIP": HOST4},
    ]
    assert {tcp, udp} <= set(range(61000, 65536)) - {8080, named}
    assert tcp != udp
    for client, address in ((OUTSIDE, HOST4), (OUTSIDE, HOST6), (None, "127.0.0.1")):
        assert seen(host, client, address, port=tcp) is not None
    assert seen(host, OUTSIDE, HOST4, UDP, port=udp) == OUTSIDE4


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


@pytest.mark.rule("P1")
def test_an_add_that_is_repeated_has_the_same_port_and_what_is_not_asked_for_goes(
    host: Host,
) -> None:
    first = picked(publish(host, [*ANY, port(0, to=7001)]))
    assert picked(publish(host, ANY)) == first[:2]
    assert elements(host)["hostports4"] == 2
    # Also if it is not where the search begins any more.
    host.write("ipv4/ip_local_reserved_ports", ",".join(map(str, first)))
    assert picked(publish(host, ANY)) == first[:2]


def test_what_is_behind_the_same_address_stays_when_a_port_goes(host: Host) -> None:
    host.run("ADD", {**BRIDGE, "ipMasq": True})
    publish(host, [port(0), port(0, to=7001)])
    publish(host, [port(0)])
    there = elements(host)
    assert (there["masquerade4"], there["owners4"], there["hostports4"]) == (1, 1, 1)


@pytest.mark.parametrize("place", ["program", "container", "beside", "rule"])
def test_a_port_that_somebody_has_is_not_picked(host: Host, place: str) -> None:
    (begins,) = picked(publish(host, [port(0)]))
    assert host.run("DEL", portmap([port(0)]), previous=True).status == 0
    with closing(host.namespace.call(socket.socket)) as listener:
        if place == "program":
            listener.bind(("127.0.0.1", begins))
            listener.listen()
        elif place == "rule":
            for command in ("add table ip nat", CHAIN, RETURNS.replace("8080", str(begins))):
                nft(host.namespace, command)
        else:
            host.run("ADD", BRIDGE, container="c2")
            at: dict[str, Any] = {"hostIP": HOST4} if place == "beside" else {}
            assert publish(host, [port(begins, **at)], container="c2").status == 0
        assert picked(publish(host, [port(0)])) == [begins + 1]


@pytest.mark.parametrize("at", [{}, {"hostIP": HOST4}], ids=["at each", "at one"])
def test_a_port_that_somebody_takes_at_the_last_moment_is_not_picked(
    host: Host, monkeypatch: pytest.MonkeyPatch, at: Mapping[str, Any]
) -> None:
    (begins,) = picked(publish(host, [port(0)]))
    assert host.run("DEL", portmap([port(0)]), previous=True).status == 0
    host.run("ADD", BRIDGE, container="c2")
    send = KernelWire.send
    others: list[Answer] = []

    def sending(wire: KernelWire, data: bytes) -> None:
        if not others and data.count(begins.to_bytes(2, "big") + bytes(2)) > 2:
            monkeypatch.setattr(KernelWire, "send", send)
            others.append(publish(host, [port(begins, **at)], container="c2"))
        send(wire, data)

    monkeypatch.setattr(KernelWire, "send", sending)
    assert picked(publish(host, [port(0)])) == [begins + 1]
    assert [one.status for one in others] == [0]


def test_a_rule_about_any_port_is_about_each_that_could_be_picked(host: Host) -> None:
    for command in ("add table ip nat", CHAIN, RETURNS.replace("8080", "{ 1, 2 }")):
        nft(host.namespace, command)
    assert publish(host, ANY).printed["reason"] == "nat-rule"
    assert elements(host) == {}
    assert len(picked(publish(host, ANY, overrideNatRules=True))) == 2


@pytest.mark.deep
@pytest.mark.rule("P7")
def test_two_processes_that_pick_at_once_never_pick_the_same_port(host: Host) -> None:
    """They want 112 of 120 ports, half of them at one address of the host."""
    host.write("ipv4/ip_local_port_range", "1024\t65415")
    printed = host.namespace.call(lambda: all_of(2, "tests.plugins.publishing", "56"))
    ports = [port for one in printed for port in map(int, one.split())]
    assert len(set(ports)) == len(ports) == 112
    assert set(ports) <= set(range(65416, 65536))
    assert elements(host)["hostports4"] == elements(host)["hostaddresses4"] == 56


def all_of(number: int, module: str, *words: str) -> list[str]:
    """Run processes that begin at once; return what each prints."""
    waiting, all_are_there = os.pipe()
    with ExitStack() as stack:
        stack.callback(os.close, waiting)
        with open(all_are_there, "wb"):  # noqa: PTH123 (a descriptor)
            processes = [
                subprocess.Popen(
                    [sys.executable, "-m", module, str(at), *words],
                    stdin=waiting,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=CHECKOUT,
                )
                for at in range(number)
            ]
            for process in processes:
                stack.enter_context(process)
                stack.callback(process.kill)
        return [process.communicate(timeout=200)[0] for process in processes]


@pytest.mark.deep
def test_the_reference_picks_none(tmp_path: Path) -> None:
    with host_of(ask_reference, tmp_path / "leases") as host:
        assert "host port" in publish(host, [port(0)]).printed["msg"]


def test_where_no_port_is_free_that_is_said(host: Host) -> None:
    host.write("ipv4/ip_local_reserved_ports", "49152-65534")
    answer = publish(host, ANY)
    assert (answer.printed["code"], answer.printed["reason"]) == (113, "no-port-free")
    assert "7000/udp" in answer.printed["msg"]
    assert elements(host) == {}
    assert picked(publish(host, [port(0)])) == [65535]


@pytest.mark.rule("P1")
def test_with_a_named_port_that_is_taken_none_is_picked(host: Host) -> None:
    publish(host, [port(8080)])
    host.run("ADD", BRIDGE, container="c2")
    before = elements(host)
    answer = publish(host, [port(0), port(8080)], container="c2")
    assert answer.printed["reason"] == "port-taken"
    assert elements(host) == before


@pytest.mark.rule("P2")
@pytest.mark.parametrize("version", ["0.2.0", "0.4.0", "1.1.0"])
def test_which_port_was_picked_is_said_in_every_version(host: Host, version: str) -> None:
    host.run("ADD", {**BRIDGE, "cniVersion": version})
    answer = publish(host, ANY, cniVersion=version)
    assert answer.printed["cniVersion"] == version
    tuned = {"cniVersion": version, "name": "net", "type": "tuning", "txQLen": 77}
    behind = host.run("ADD", tuned, previous=True)
    assert picked(behind) == picked(answer)
