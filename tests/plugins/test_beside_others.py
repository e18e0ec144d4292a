"""Pods of ours and pods of others on one node: both are reached and reach others, and what is
deleted of one side leaves the other side's alone.

The others are Debian's plugins, which use iptables, and rules as the nftables backend of newer ones
lays them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve, frozen

from tests.netlink.nft import all_elements, nft
from tests.plugins.answering import ask_ours, ask_reference
from tests.plugins.hosts import Host, host_of
from tests.plugins.laid import lay, take_up
from tests.plugins.outside import (
    HOST4,
    HOST6,
    OUTSIDE,
    OUTSIDE4,
    OUTSIDE6,
    add_outside,
    look_for_no_duplicates,
)
from tests.plugins.publishing import BRIDGE, OTHER, let_bridges_alone, port, portmap
from tests.plugins.traffic import BRIEFLY, TCP, UDP, seen_from

pytestmark = [pytest.mark.deep, pytest.mark.netns]

FIREWALL: Final = {"cniVersion": "1.0.0", "name": "other", "type": "firewall"}
# A chain, a rule or an element of a pod's.
OF_A_POD: Final = re.compile(r"CNI-DN-|CNI-[0-9a-f]{20}|10\.(9|10)\.0\.[2-9]|fd00:(9|10)::[2-9]")


@frozen
class Side:
    """Whose pod, and how it comes and goes.

    Attributes:
        name: The container's.
        port: Its port of the host.
        gateway: The address of its bridge.
        prefixes: What the addresses of its network begin with.
        attach: Attaches it.
        detach: Detaches it.
        check: Raises where its plugins find something missing.
    """

    name: str
    port: int
    gateway: str
    prefixes: tuple[str, str]
    attach: Callable[[Host], None]
    detach: Callable[[Host], None]
    check: Callable[[Host], None]


def ports(number: int, network: str) -> dict[str, Any]:
    return {**portmap([port(number), port(number, "udp")]), "name": network}


OURS_BRIDGE: Final = {**BRIDGE, "ipMasq": True}
OURS: Final = (OURS_BRIDGE, ports(8080, "net"), {**FIREWALL, "name": "net"})
OF_DEBIAN: Final = ({**OTHER, "ipMasq": True}, ports(8081, "other"), FIREWALL)


def attach_ours(host: Host) -> None:
    for config in OURS:
        done(host, "ADD", config, "c1")


def check_ours(host: Host) -> None:
    for config in OURS:
        done(host, "CHECK", config, "c1")


def detach_ours(host: Host) -> None:
    for config in reversed(OURS):
        done(host, "DEL", config, "c1")


def attach_debians(host: Host) -> None:
    for config in OF_DEBIAN:
        done(host, "ADD", config, "t1", is_theirs=True)


def check_debians(host: Host) -> None:
    for config in OF_DEBIAN:
        if config["type"] != "portmap":  # 1.1.1 looks for rules of IPv4 among those of IPv6
            done(host, "CHECK", config, "t1", is_theirs=True)


def detach_debians(host: Host) -> None:
    for config in reversed(OF_DEBIAN):
        done(host, "DEL", config, "t1", is_theirs=True)


def attach_laid(host: Host) -> None:
    done(host, "ADD", OTHER, "t1")
    host.write("ipv4/conf/cni1/route_localnet", "1")
    interfaces = [ip["address"] for ip in host.last["t1", "eth0"]["ips"]]
    lay(host, "t1", *interfaces, port=8081, leads_to=7000, protocols=("tcp", "udp"))


def detach_laid(host: Host) -> None:
    take_up(host, "t1")
    done(host, "DEL", OTHER, "t1")


def done(
    host: Host, verb: str, config: Mapping[str, Any], container: str, *, is_theirs: bool = False
) -> None:
    ask = ask_reference if is_theirs else ask_ours
    is_first = verb == "ADD" and config["type"] == "bridge"
    answer = host.run(verb, config, container=container, previous=not is_first, ask=ask)
    assert answer.status == 0, answer


OUR_NETWORK, THEIR_NETWORK = ("10.9.0.", "fd00:9::"), ("10.10.0.", "fd00:10::")
WE: Final = Side("c1", 8080, "10.9.0.1", OUR_NETWORK, attach_ours, detach_ours, check_ours)
DEBIAN: Final = Side(
    "t1", 8081, "10.10.0.1", THEIR_NETWORK, attach_debians, detach_debians, check_debians
)
LAID: Final = Side("t1", 8081, "10.10.0.1", THEIR_NETWORK, attach_laid, detach_laid, lambda _: None)


@pytest.mark.parametrize("are_we_first", [True, False], ids=["ours first", "ours last"])
@pytest.mark.parametrize("they", [DEBIAN, LAID], ids=["Debian's", "laid"])
def test_pods_of_others_and_ours_live_on_one_node(
    tmp_path: Path, they: Side, are_we_first: bool
) -> None:
    first, last = (WE, they) if are_we_first else (they, WE)
    with host_of(ask_ours, tmp_path / "leases") as host:
        look_for_no_duplicates(host, first.name, last.name)
        add_outside(host)
        let_bridges_alone(host)
        first.attach(host)
        last.attach(host)
        require_both(host, first, last)
        first.detach(host)
        require_alone(host, last, gone=first)
        first.attach(host)
        require_both(host, first, last)
        last.detach(host)
        require_alone(host, first, gone=last)
        first.detach(host)
        assert left(host) == []


@pytest.mark.parametrize("they", [DEBIAN, LAID], ids=["Debian's", "laid"])
def test_a_port_that_others_lead_to_a_pod_stays_theirs(tmp_path: Path, they: Side) -> None:
    """Theirs is a rule of nat that stands before ours, like an administrator's."""
    with host_of(ask_ours, tmp_path / "leases") as host:
        look_for_no_duplicates(host, they.name, WE.name)
        add_outside(host)
        they.attach(host)
        done(host, "ADD", OURS_BRIDGE, "c1")
        done(host, "ADD", ports(they.port, "net"), "c1")
        assert seen(host, they, OUTSIDE, HOST4) == OUTSIDE4
        they.detach(host)
        assert seen(host, evolve(WE, port=they.port), OUTSIDE, HOST4) == OUTSIDE4


def require_both(host: Host, *sides: Side) -> None:
    host.settle()
    for side, other in (sides, sides[::-1]):
        assert all(of_network(host, side))
        side.check(host)
        require_works(host, side)
        # By its port from the other side's, which is masqueraded.
        assert seen(host, side, other.name, HOST4) == side.gateway


def require_alone(host: Host, side: Side, *, gone: Side) -> None:
    side.check(host)
    require_works(host, side)
    assert not any(of_network(host, gone))
    assert seen(host, gone, OUTSIDE, HOST4, is_refused=True) is None


def require_works(host: Host, side: Side) -> None:
    for kind in (TCP, UDP):
        assert seen(host, side, OUTSIDE, HOST4, kind) == OUTSIDE4
        assert seen(host, side, OUTSIDE, HOST6, kind) == OUTSIDE6
        assert seen(host, side, None, "127.0.0.1", kind) == side.gateway
        for address, by in ((OUTSIDE4, HOST4), (OUTSIDE6, HOST6)):
            pod, outside = host.container(side.name), host.container(OUTSIDE)
            assert seen_from(pod, outside, address, kind=kind) == by


def seen(
    host: Host,
    side: Side,
    client: str | None,
    address: str,
    kind: int = TCP,
    *,
    is_refused: bool = False,
) -> str | None:
    origin = host.namespace if client is None else host.container(client)
    return seen_from(
        origin,
        host.container(side.name),
        address,
        port=side.port,
        listens=7000,
        kind=kind,
        is_refused=is_refused,
        refused_seconds=BRIEFLY,
    )


def of_network(host: Host, side: Side) -> list[bool]:
    """Tell, of each family, whether the firewall knows pods of a side."""
    return [any(prefix in line for line in left(host)) for prefix in side.prefixes]


def left(host: Host) -> list[str]:
    """Return what there is of pods in the firewall."""
    lines = nft(host.namespace, "list", "ruleset").splitlines()
    assert "ways" in all_elements(host.namespace)
    return [line for line in lines if OF_A_POD.search(line)]
