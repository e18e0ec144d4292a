"""CHECK of bridge finds what is not as ADD left it, and allows what later plugins do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.answering import ask_ours
from tests.plugins.hosts import Host, host_of

pytestmark = [pytest.mark.netns, pytest.mark.rule("P4")]

CONFIG: Mapping[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "bridge",
    "isDefaultGateway": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]],
        "routes": [{"dst": "10.20.0.0/16", "gw": "10.9.0.77"}],
    },
}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with host_of(ask_ours, tmp_path / "leases") as made:
        made.run("ADD", CONFIG)
        yield made


def reason_of(host: Host, config: Mapping[str, Any] = CONFIG) -> str | None:
    answer = host.run("CHECK", config, previous=True)
    assert answer.printed.get("code") in (None, 105), answer
    reason: str | None = answer.printed.get("reason")
    return reason


def test_what_was_just_added_is_as_it_was_left(host: Host) -> None:
    assert reason_of(host) is None


@pytest.mark.parametrize(
    ("where", "command", "reason"),
    [
        ("host", "link set cni0 down", "interface-down"),
        ("host", "link set {port} nomaster", "no-port"),
        ("host", "link set {port} down", "interface-down"),
        ("host", "link set {port} address c2:00:00:00:00:01", "mac-differs"),
        ("host", "link set cni0 address c2:00:00:00:00:01", "mac-differs"),
        ("host", "link del cni0", "interface-missing"),
        ("c1", "link set eth0 down", "interface-down"),
        ("c1", "link set eth0 address c2:00:00:00:00:01", "mac-differs"),
        ("c1", "link del eth0", "interface-missing"),
        ("c1", "address del 10.9.0.2/24 dev eth0", "address-missing"),
        ("c1", "address del fd00:9::2/64 dev eth0", "address-missing"),
        ("c1", "route del default", "route-missing"),
        ("c1", "route del 10.20.0.0/16", "route-missing"),
        ("c1", "-6 route del default", "route-missing"),
        ("c1", "route change 10.20.0.0/16 via 10.9.0.78", "route-missing"),
    ],
)
def test_what_somebody_changed_is_found(host: Host, where: str, command: str, reason: str) -> None:
    port = host.last["c1", "eth0"]["interfaces"][1]["name"]
    words = command.format(port=port).split()
    host.ip(*words, inside=None if where == "host" else where)
    assert reason_of(host) == reason


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param(["address add 10.9.0.99/24 dev eth0"], id="another address"),
        pytest.param(["route add 10.30.0.0/16 via 10.9.0.1"], id="another route"),
        pytest.param(["route replace default via 10.9.0.5"], id="another default gateway"),
        pytest.param(
            ["route del 10.20.0.0/16", "route add 10.20.0.0/16 via 10.9.0.77 table 100"],
            id="a route in another table",
        ),
        pytest.param(["link set eth0 mtu 1300"], id="another mtu"),
    ],
)
def test_what_later_plugins_do_is_allowed(host: Host, commands: Sequence[str]) -> None:
    for command in commands:
        host.ip(*command.split(), inside="c1")
    assert reason_of(host) is None


def test_another_kind_of_link_is_not_the_one_that_was_made(host: Host) -> None:
    host.ip("link", "del", "eth0", inside="c1")
    host.ip("link", "add", "eth0", "type", "bridge", inside="c1")
    assert reason_of(host) == "interface-missing"


def test_a_pair_whose_other_end_is_elsewhere_is_not_the_one_that_was_made(host: Host) -> None:
    """Though there is a link of that index on the host."""
    mac = host.last["c1", "eth0"]["interfaces"][2]["mac"]
    host.ip("link", "del", "eth0", inside="c1")
    host.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth1", inside="c1")
    host.ip("link", "set", "eth0", "address", mac, "up", inside="c1")
    assert reason_of(host) == "interface-missing"


def test_a_bridge_that_is_not_promiscuous_any_more_is_found(host: Host) -> None:
    config = {**CONFIG, "promiscMode": True}
    assert reason_of(host, config) == "not-promiscuous"
    host.ip("link", "set", "cni0", "promisc", "on")
    assert reason_of(host, config) is None
    # Somebody looks at it: that is no error.
    assert reason_of(host) is None


def test_a_result_without_the_interfaces_cannot_be_checked(host: Host) -> None:
    told = host.last["c1", "eth0"]
    for count in (0, 1):
        some = {**told, "interfaces": told["interfaces"][:count]}
        answer = host.run("CHECK", {**CONFIG, "prevResult": some})
        assert answer.printed["reason"] == "interface-missing"


def test_a_lease_that_is_missing_is_found(host: Host) -> None:
    for lease in host.data_dir.glob("net/*.*.*.*"):
        lease.unlink()
    answer = host.run("CHECK", CONFIG, previous=True)
    assert answer.printed["reason"] == "lease-missing"
