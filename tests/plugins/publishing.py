"""Ports of the host that are published by ``portmap``, and what is seen of them."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tests.netlink.nft import all_elements
from tests.plugins import dualstack
from tests.plugins.answering import Answer
from tests.plugins.hosts import Host
from tests.plugins.traffic import TCP, UDP, seen_from

BRIDGE: Mapping[str, Any] = {**dualstack.BRIDGE, "hairpinMode": True}
OTHER = dualstack.beside(BRIDGE)
Ports = Sequence[Mapping[str, Any]]

_MOST_SECONDS = 5.0


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


def let_bridges_alone(host: Host) -> None:
    """Let the firewall not see what bridges pass on (br_netfilter)."""
    for tables in ("iptables", "ip6tables"):
        host.write(f"bridge/bridge-nf-call-{tables}", "0")


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


def listener_in(
    host: Host, container: str, family: socket.AddressFamily = socket.AF_INET
) -> socket.socket:
    made = host.container(container).call(lambda: socket.socket(family, UDP))
    made.bind(("", 7000))
    made.settimeout(20)
    return made


RETURNS = "add rule ip nat PREROUTING tcp dport 8080 return"
CHAIN = "add chain ip nat PREROUTING { type nat hook prerouting priority -100; }"


def start_flows(host: Host, port: int) -> None:
    """Send to a port by either family, again where the kernel does not know yet that the bridge's
    address of IPv6 is the host's: it notes that in a thread of its own (addrconf_dad_work).
    """
    until = time.monotonic() + _MOST_SECONDS
    for family, address in (("ipv4", "10.9.0.1"), ("ipv6", "fd00:9::1")):
        while family not in flows(host):
            assert time.monotonic() < until, family
            host.namespace.call(partial(send_to, address, port))


def send_to(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, UDP)) as caller:
        caller.sendto(b"one", (address, port))


def flows(host: Host) -> list[str]:
    """The connections of UDP to the port that is led elsewhere, by their families."""
    there = host.namespace.call(lambda: Path("/proc/thread-self/net/nf_conntrack").read_text())
    return sorted(line.split()[0] for line in there.splitlines() if " sport=7000 " in line)


def picked(answer: Answer) -> list[int]:
    assert answer.status == 0, answer
    return [one["hostPort"] for one in answer.printed["portMappings"]]
