"""CHECK of ptp finds what is not as ADD left it, and allows what later plugins do."""

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
    "type": "ptp",
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "10.20.0.0/16"}],
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
        ("host", "link set {port} down", "interface-down"),
        ("host", "link set {port} address c2:00:00:00:00:01", "mac-differs"),
        ("host", "link del {port}", "interface-missing"),
        ("host", "address del 10.9.0.1/32 dev {port}", "address-missing"),
        ("host", "address del fd00:9::1/128 dev {port}", "address-missing"),
        ("host", "route del 10.9.0.2", "route-missing"),
        ("host", "-6 route del fd00:9::2", "route-missing"),
        ("c1", "link set eth0 down", "interface-down"),
        ("c1", "link set eth0 address c2:00:00:00:00:01", "mac-differs"),
        ("c1", "address del 10.9.0.2/24 dev eth0", "address-missing"),
        ("c1", "route del default", "route-missing"),
        ("c1", "route del 10.20.0.0/16", "route-missing"),
        ("c1", "route del 10.9.0.1", "route-missing"),
        ("c1", "-6 route del fd00:9::1", "route-missing"),
        ("c1", "route del 10.9.0.0/24", "route-missing"),
        ("c1", "route replace 10.9.0.0/24 dev eth0", "route-missing"),
        ("c1", "route replace 10.9.0.0/24 via 10.9.0.7 dev eth0 onlink", "route-missing"),
        ("c1", "-6 route del fd00:9::/64", "route-missing"),
    ],
)
def test_what_somebody_changed_is_found(host: Host, where: str, command: str, reason: str) -> None:
    port = host.last["c1", "eth0"]["interfaces"][0]["name"]
    words = command.format(port=port).split()
    host.ip(*words, inside=None if where == "host" else where)
    assert reason_of(host) == reason


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param(["address add 10.8.0.99/24 dev eth0"], id="another address"),
        pytest.param(["route add 10.30.0.0/16 via 10.9.0.1"], id="another route"),
        pytest.param(
            ["route del 10.20.0.0/16", "route add 10.20.0.0/16 via 10.9.0.1 table 100"],
            id="a route in another table",
        ),
        pytest.param(["link set eth0 mtu 1300"], id="another mtu"),
    ],
)
def test_what_later_plugins_do_is_allowed(host: Host, commands: Sequence[str]) -> None:
    for command in commands:
        host.ip(*command.split(), inside="c1")
    assert reason_of(host) is None


def test_a_route_to_its_own_network_that_was_asked_for_is_as_it_was_left(host: Host) -> None:
    route = {"dst": "10.9.0.0/24", "gw": "10.9.0.1", "mtu": 1300}
    config = {**CONFIG, "ipam": {**CONFIG["ipam"], "routes": [route]}}
    host.run("DEL", CONFIG)
    host.run("ADD", config)
    assert reason_of(host, config) is None


def test_a_lease_that_is_missing_is_found(host: Host) -> None:
    for lease in host.data_dir.glob("net/*.*.*.*"):
        lease.unlink()
    assert host.run("CHECK", CONFIG, previous=True).printed["reason"] == "lease-missing"
