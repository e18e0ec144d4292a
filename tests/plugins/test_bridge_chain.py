"""bridge behind another plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.answering import ask_ours
from tests.plugins.hosts import Host, host_of

pytestmark = pytest.mark.netns

TAP: Mapping[str, Any] = {
    "interfaces": [{"name": "tap0", "mac": "c2:00:00:00:00:09", "x-own": [1.0, None]}],
    "ips": [{"address": "10.9.0.7/24", "gateway": "10.9.0.1"}],
    "dns": {"nameservers": ["192.0.2.53"]},
    "x-more": {"kept": 1e2},
}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with host_of(ask_ours, tmp_path / "leases") as made:
        made.container("c1")
        made.ip("tuntap", "add", "tap0", "mode", "tap")
        yield made


def config(**members: Any) -> Mapping[str, Any]:
    return {
        "cniVersion": "1.0.0",
        "name": "net",
        "type": "bridge",
        "prevResult": TAP,
        **members,
    }


def master_of(host: Host, name: str) -> str | None:
    (link,) = host.ip("-j", "link", "show", name)
    master: str | None = link.get("master")
    return master


@pytest.mark.rule("P2", "P12")
def test_an_interface_of_another_plugin_becomes_a_port_and_its_result_goes_on(host: Host) -> None:
    told = host.run("ADD", config(hairpinMode=True)).printed
    assert master_of(host, "tap0") == "cni0"
    assert host.links(inside="c1") == ["lo"]
    (bridge,) = host.ip("-j", "link", "show", "cni0")
    added = {"name": "cni0", "mac": bridge["address"]}
    assert told == {**TAP, "cniVersion": "1.0.0", "interfaces": [*TAP["interfaces"], added]}
    (port,) = host.ip("-j", "-d", "link", "show", "tap0")
    assert port["linkinfo"]["info_slave_data"]["hairpin"] is True
    assert "ifalias" not in port
    checked = host.run("CHECK", {**config(), "prevResult": told})
    assert checked.status == 0, checked


def test_the_bridge_is_the_gateway_of_its_addresses(host: Host) -> None:
    assert host.run("ADD", config(isGateway=True)).status == 0
    addresses = host.ip("-j", "-4", "address", "show", "cni0")[0]["addr_info"]
    assert [one["local"] for one in addresses] == ["10.9.0.1"]


@pytest.mark.rule("P3")
def test_a_delete_gives_the_interface_back(host: Host) -> None:
    told = host.run("ADD", config()).printed
    for _ in range(2):
        assert host.run("DEL", {**config(), "prevResult": told}).status == 0
        assert master_of(host, "tap0") is None
    host.ip("link", "del", "tap0")
    assert host.run("DEL", {**config(), "prevResult": told}).status == 0


def test_a_check_finds_that_it_is_no_port_any_more(host: Host) -> None:
    told = host.run("ADD", config()).printed
    host.ip("link", "set", "tap0", "nomaster")
    checked = host.run("CHECK", {**config(), "prevResult": told})
    assert (checked.printed["code"], checked.printed["reason"]) == (105, "no-port")


def test_a_port_of_another_bridge_is_refused(host: Host) -> None:
    host.ip("link", "add", "br9", "type", "bridge")
    host.ip("link", "set", "tap0", "master", "br9")
    answer = host.run("ADD", config())
    assert (answer.printed["code"], answer.printed["reason"]) == (7, "port-of-another")
    assert master_of(host, "tap0") == "br9"
    assert host.run("DEL", config()).status == 0
    assert master_of(host, "tap0") == "br9"


def test_a_gateway_that_is_refused_gives_it_back(host: Host) -> None:
    host.ip("link", "add", "cni0", "type", "bridge")
    host.ip("address", "add", "10.8.0.1/24", "dev", "cni0")
    answer = host.run("ADD", config(isGateway=True))
    assert answer.printed["reason"] == "gateway-differs"
    assert master_of(host, "tap0") is None


@pytest.mark.rule("P11")
@pytest.mark.parametrize(
    "members",
    [
        {"ipam": {"type": "static"}},
        {"isDefaultGateway": True},
        {"disableContainerInterface": True},
    ],
    ids=["ipam", "default gateway", "down"],
)
def test_what_is_the_earlier_plugins_is_refused(host: Host, members: Mapping[str, Any]) -> None:
    answer = host.run("ADD", config(**members))
    assert (answer.printed["code"], answer.printed["reason"]) == (2, "unsupported")
    assert master_of(host, "tap0") is None


@pytest.mark.parametrize("version", ["0.4.0", "1.1.0"])
def test_a_result_of_another_shape_goes_on_in_it(host: Host, version: str) -> None:
    address = {"address": "10.9.0.7/24", "version": "4", "interface": 0}
    told = {"interfaces": [{"name": "tap0"}], "ips": [address]}
    answer = host.run("ADD", {**config(), "cniVersion": version, "prevResult": told})
    assert answer.printed["ips"] == told["ips"]
    assert [one["name"] for one in answer.printed["interfaces"]] == ["tap0", "cni0"]


def test_the_oldest_results_name_no_interface_so_a_pair_is_made(host: Host) -> None:
    ip = {"ip": "10.9.0.7/24"}
    members = {"cniVersion": "0.2.0", "prevResult": {"ip4": ip}, "ipam": {"type": "host-local"}}
    members["ipam"] = {"type": "host-local", "subnet": "10.9.0.0/24"}
    assert host.run("ADD", config(**members)).status == 0
    assert host.links(inside="c1") == ["lo", "eth0"]


def test_behind_what_made_nothing_on_the_host_a_pair_is_made(host: Host) -> None:
    """As behind loopback: what that one made is in the result, behind the pair."""
    sandbox = host.container("c1").path
    told = {
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": sandbox}],
        "ips": [{"address": "127.0.0.1/8", "interface": 0}],
        "routes": [{"dst": "10.7.0.0/16"}],
    }
    ipam = {"type": "host-local", "subnet": "10.9.0.0/24"}
    answer = host.run("ADD", config(prevResult=told, ipam=ipam))
    assert answer.status == 0, answer
    assert [one["name"] for one in answer.printed["interfaces"]][2:] == ["eth0", "lo"]
    assert [(one["address"], one["interface"]) for one in answer.printed["ips"]] == [
        ("10.9.0.2/24", 2),
        ("127.0.0.1/8", 3),
    ]
    assert answer.printed["routes"] == [{"dst": "10.7.0.0/16"}]
    following = {**config(ipam=ipam), "prevResult": answer.printed}
    checked = host.run("CHECK", following)
    assert checked.status == 0 or checked.printed["reason"] == "route-missing"
    assert host.run("DEL", following).status == 0
    assert host.links(inside="c1") == ["lo"]
