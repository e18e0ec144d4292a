"""What ptp makes of the addresses that it was given."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from acni.plugins.ptp_layout import End, ends_of, ways_to_networks
from acni.skel import PluginError
from acni.spec.result import IpConfig


def ip(address: str, gateway: str | None) -> IpConfig:
    return IpConfig(address=address, gateway=gateway, interface=None)


def test_the_hosts_end_is_the_gateway_alone() -> None:
    four, six = ends_of([ip("10.9.0.2/24", "10.9.0.1"), ip("fd00:9::2/64", "fd00:9::1")])
    assert four == End(address=ip_interface("10.9.0.2/24"), gateway=ip_address("10.9.0.1"))
    assert four.gateway_interface == ip_interface("10.9.0.1/32")
    assert four.gateway_network == ip_network("10.9.0.1/32")
    assert four.container_network == ip_network("10.9.0.2/32")
    assert six.gateway_interface == ip_interface("fd00:9::1/128")
    assert (six.container_network, six.has_network) == (ip_network("fd00:9::2/128"), True)


@pytest.mark.parametrize("address", ["10.9.0.2/32", "fd00:9::2/128"])
def test_an_address_alone_has_no_network(address: str) -> None:
    gateway = "10.9.0.1" if "." in address else "fd00:9::1"
    assert not ends_of([ip(address, gateway)])[0].has_network


def test_a_network_is_reached_through_the_gateway_of_its_first_address() -> None:
    given = [
        ip("10.9.0.2/24", "10.9.0.1"),
        ip("10.9.0.3/24", "10.9.0.254"),
        ip("10.8.0.2/32", "10.8.0.1"),
    ]
    ends = ends_of(given)
    assert ways_to_networks(ends) == {ip_network("10.9.0.0/24"): ends[0]}


@pytest.mark.parametrize("gateway", [None, "fd00:9::1", "10.9.0.2", "0.0.0.0"])  # noqa: S104 (nothing is bound)
def test_an_address_without_a_gateway_of_its_family_is_refused(gateway: str | None) -> None:
    with pytest.raises(PluginError) as raised:
        ends_of([ip("10.9.0.2/24", gateway)])
    assert (raised.value.code, raised.value.reason) == (7, "no-gateway")
    assert "10.9.0.2/24" in raised.value.msg


@pytest.mark.parametrize(
    ("address", "gateway", "reason"),
    [
        ("0.0.0.0/0", "10.9.0.1", "no-address"),
        ("::/0", "fd00:9::1", "no-address"),
        ("fd00:9::2/64", "::", "no-gateway"),
    ],
)
def test_the_address_of_nobody_is_refused(address: str, gateway: str, reason: str) -> None:
    with pytest.raises(PluginError) as raised:
        ends_of([ip(address, gateway)])
    assert (raised.value.code, raised.value.reason) == (7, reason)
