"""What a container gets of the addresses that IPAM gave."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.plugins.layouts import Layout, lay_out, layout_of_result
from acni.skel import PluginError
from acni.spec.result import IpConfig, Route, parse_result


def ip(address: str, gateway: str | None = None) -> IpConfig:
    return IpConfig(address=address, gateway=gateway, interface=None)


def laid_out(
    *ips: IpConfig,
    routes: Sequence[Route] = (),
    is_gateway: bool = False,
    is_default_gateway: bool = False,
) -> Layout:
    return lay_out(
        ips,
        routes,
        place=2,
        is_gateway=is_gateway or is_default_gateway,
        is_default_gateway=is_default_gateway,
    )


def test_addresses_belong_to_the_third_interface() -> None:
    layout = laid_out(ip("10.1.2.3/24", "10.1.2.1"), ip("fd00::3/64"))
    assert [(one.address, one.gateway, one.interface) for one in layout.ips] == [
        ("10.1.2.3/24", "10.1.2.1", 2),
        ("fd00::3/64", None, 2),
    ]
    assert layout.addresses == (ip_interface("10.1.2.3/24"), ip_interface("fd00::3/64"))
    assert layout.gateways == ()
    assert layout.has_ipv6


def test_a_gateway_that_nobody_said_is_the_first_of_the_network() -> None:
    layout = laid_out(ip("10.1.2.3/24"), ip("fd00::3/64"), is_gateway=True)
    assert [one.gateway for one in layout.ips] == ["10.1.2.1", "fd00::1"]
    assert layout.gateways == (ip_interface("10.1.2.1/24"), ip_interface("fd00::1/64"))


def test_a_gateway_that_is_said_stays_as_it_is_written() -> None:
    layout = laid_out(ip("fd00::3/64", "FD00:0::fe"), is_gateway=True)
    assert layout.ips[0].gateway == "FD00:0::fe"
    assert layout.gateways == (ip_interface("fd00::fe/64"),)


@pytest.mark.parametrize(
    "address", ["255.255.255.255/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"]
)
def test_behind_the_last_address_of_all_there_is_no_gateway(address: str) -> None:
    with pytest.raises(PluginError) as caught:
        laid_out(ip(address), is_gateway=True)
    assert caught.value.code == 7


def test_a_gateway_of_two_addresses_is_one() -> None:
    layout = laid_out(ip("10.1.2.3/24"), ip("10.1.2.4/24"), is_gateway=True)
    assert layout.gateways == (ip_interface("10.1.2.1/24"),)


def test_a_default_route_of_each_family_is_added() -> None:
    layout = laid_out(
        ip("10.1.2.3/24"), ip("10.1.3.3/24"), ip("fd00::3/64"), is_default_gateway=True
    )
    assert layout.routes == (
        Route(dst="0.0.0.0/0", gw="10.1.2.1"),
        Route(dst="::/0", gw="fd00::1"),
    )


def test_a_default_route_with_a_gateway_is_enough() -> None:
    given_route = Route(dst="0.0.0.0/0", gw="10.1.2.77")
    layout = laid_out(ip("10.1.2.3/24"), routes=[given_route], is_default_gateway=True)
    assert layout.routes == (given_route,)


def test_a_route_asked_for_twice_is_one_way() -> None:
    layout = laid_out(
        ip("10.1.2.3/24"),
        routes=[Route(dst="0.0.0.0/0"), Route(dst="10.9.0.1/8"), Route(dst="10.0.0.0/8")],
        is_default_gateway=True,
    )
    assert len(layout.routes) == 4
    assert [(str(way.destination), str(way.gateway)) for way in layout.ways] == [
        ("0.0.0.0/0", "10.1.2.1"),
        ("10.0.0.0/8", "10.1.2.1"),
    ]


def test_routes_of_other_tables_and_metrics_are_others() -> None:
    routes = [Route(dst="10.0.0.0/8", table=table, priority=p) for table in (1, 2) for p in (3, 4)]
    assert len(laid_out(ip("10.1.2.3/24"), routes=routes).ways) == 4


def test_a_route_without_gateway_takes_the_first_of_its_family() -> None:
    layout = laid_out(
        ip("10.1.2.3/24", "10.1.2.1"),
        ip("10.1.3.3/24", "10.1.3.1"),
        routes=[Route(dst="10.9.0.0/16"), Route(dst="fd00:9::/64")],
    )
    assert [way.gateway for way in layout.ways] == [ip_address("10.1.2.1"), None]


def test_a_gateway_of_the_other_family_is_refused() -> None:
    with pytest.raises(PluginError, match="fd00::1 is no gateway to"):
        laid_out(ip("10.1.2.3/24"), routes=[Route(dst="10.9.0.0/16", gw="fd00::1")])


def test_no_address_is_refused() -> None:
    with pytest.raises(PluginError, match="no address"):
        laid_out()


def test_an_earlier_plugins_result_may_have_nothing() -> None:
    assert layout_of_result(parse_result("{}", "1.0.0"), is_gateway=True) == Layout()
    told = parse_result('{"ips": [{"address": "10.1.2.3/24", "interface": 0}]}', "1.0.0")
    layout = layout_of_result(told, is_gateway=True)
    assert layout.gateways == (ip_interface("10.1.2.1/24"),)


@given(st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_a_gateway_is_in_the_network_of_its_address(length: int, number: int) -> None:
    address = ip_interface((number, length))
    (gateway,) = laid_out(ip(str(address)), is_gateway=True).gateways
    assert gateway.network == address.network == ip_network(address.network)
