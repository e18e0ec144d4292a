"""By which ways a port of the host is reached, by traffic: from everywhere, and as whom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.netlink.nft import nft
from tests.plugins.answering import Ask, ask_ours, ask_reference
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
from tests.plugins.publishing import (
    BRIDGE,
    EVERYWHERE4,
    OTHER,
    let_bridges_alone,
    port,
    portmap,
    publish,
    reaches_localhost,
    seen,
)
from tests.plugins.traffic import TCP, UDP

pytestmark = pytest.mark.netns
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
