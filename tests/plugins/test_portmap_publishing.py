"""Who gets which port of the host: those that are named, and those that are picked."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from acni.netlink.messages import unpack
from acni.netlink.nfmessages import kind_of
from acni.netlink.nftables import NEWSETELEM, SUBSYSTEM
from acni.netlink.wire import KernelWire
from tests.mutation import CHECKOUT
from tests.netlink.nft import all_elements, nft
from tests.plugins.answering import Answer, ask_reference
from tests.plugins.hosts import Host, host_of
from tests.plugins.outside import (
    HOST4,
    HOST6,
    OUTSIDE,
    OUTSIDE4,
    add_outside,
)
from tests.plugins.publishing import (
    ANY,
    BRIDGE,
    CHAIN,
    RETURNS,
    Ports,
    elements,
    listener_in,
    picked,
    port,
    portmap,
    publish,
    seen,
)
from tests.plugins.traffic import TCP, UDP

pytestmark = pytest.mark.netns


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


EACH_PORT: Ports = [port(8080)]
AT_ONE: Ports = [port(8080, hostIP=HOST4)]


@pytest.mark.parametrize(
    ("ours", "theirs", "has_table"),
    [
        pytest.param(EACH_PORT, EACH_PORT, True, id="at each"),
        pytest.param(EACH_PORT, AT_ONE, True, id="at each, and at one"),
        pytest.param(AT_ONE, EACH_PORT, True, id="at one, and at each"),
        pytest.param(AT_ONE, AT_ONE, True, id="at one"),
        pytest.param(EACH_PORT, AT_ONE, False, id="at each, and at one, without a table"),
        pytest.param(AT_ONE, EACH_PORT, False, id="at one, and at each, without a table"),
    ],
)
def test_of_two_that_want_a_port_at_the_same_time_one_gets_it(
    host: Host, monkeypatch: pytest.MonkeyPatch, ours: Ports, theirs: Ports, has_table: bool
) -> None:
    """Another process publishes it before each message that an ADD sends, and after the last."""
    host.run("ADD", BRIDGE, container="c2")
    for number in range(1, 40):
        if not has_table:
            nft(host.namespace, "add table inet acni ; delete table inet acni")
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


def adds_element(data: bytes) -> bool:
    return any(one.kind == kind_of(SUBSYSTEM, NEWSETELEM) for one in unpack(data))


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
        if not others and adds_element(data) and begins.to_bytes(2, "big") + bytes(2) in data:
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
    printed = host.namespace.call(lambda: all_of(2, "tests.plugins.picking", "56"))
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
