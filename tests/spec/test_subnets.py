"""Subnets that could not work are refused where they are written down."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.errors import ConfigError
from acni.spec.subnets import parse_bridge_subnets, parse_subnet, parse_subnets


@pytest.mark.parametrize(
    ("subnet", "why"),
    [
        ("0.0.0.0/0", "contains 0.0.0.0/8"),
        ("0.0.0.0/1", "contains 0.0.0.0/8"),
        ("0.1.0.0/16", "is in 0.0.0.0/8"),
        ("64.0.0.0/2", "contains 127.0.0.0/8, which never leaves its host"),
        ("127.0.0.0/8", "is in 127.0.0.0/8"),
        ("127.5.0.0/16", "is in 127.0.0.0/8"),
        ("128.0.0.0/1", "contains 224.0.0.0/4, which is multicast"),
        ("239.1.0.0/16", "is in 224.0.0.0/4"),
        ("::/0", "contains ::/127"),
        ("::/126", "contains ::/127"),
        ("::ffff:10.0.0.0/104", "is IPv4 in IPv6"),
        ("fe80::/64", "is in fe80::/10, which every link has by itself"),
        ("8000::/1", "contains fe80::/10"),
        ("ff02::/64", "is in ff00::/8, which is multicast"),
        ("10.0.0.0/31", "is too small"),
        ("fd00::/127", "is too small"),
    ],
)
def test_what_no_container_can_have_is_refused(subnet: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        parse_subnet(subnet, place="here")
    assert caught.value.place == "here"
    assert caught.value.expected


@pytest.mark.parametrize(
    "subnet",
    [
        "10.0.0.0/8",
        "10.0.0.0/30",
        "169.254.7.0/24",
        "240.0.0.0/4",
        "255.255.255.0/24",
        "::1:0:0/96",
        "fd00::/126",
        "fec0::/10",
        "2001:db8::/32",
    ],
)
def test_what_works_on_linux_is_allowed(subnet: str) -> None:
    assert str(parse_subnet(subnet, place="here")) == subnet


@given(
    st.one_of(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 30)),
        st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 126)),
    )
)
def test_of_what_is_allowed_the_first_address_and_the_last_are_a_hosts(
    chosen: tuple[int, int],
) -> None:
    try:
        network = parse_subnet(ip_network(chosen, strict=False), place="here")
    except ConfigError:
        return
    for number in (1, 2, network.num_addresses - 2):
        address = network[number]
        assert not address.is_loopback
        assert not address.is_multicast
        assert not address.is_unspecified
        assert not (isinstance(address, IPv6Address) and address.is_link_local)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (5, "got int"),
        (None, "got NoneType"),
        ("net", "got 'net'"),
        ("fe80::%eth0/64", "expected a subnet"),
        ("10.88.3.4/16", "has host bits set"),
    ],
    ids=str,
)
def test_what_is_no_subnet_is_refused(value: object, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_subnet(value, place="here")


@pytest.mark.parametrize(
    ("subnets", "place", "why"),
    [
        ([], "here", "no subnet"),
        (["10.1.0.0/16", "10.1.2.0/24"], "here[1]", "10.1.2.0/24 overlaps 10.1.0.0/16"),
        (["10.1.0.0/16", "127.0.0.0/8"], "here[1]", "never leaves its host"),
    ],
    ids=str,
)
def test_of_several_the_one_that_cannot_be_is_named(
    subnets: list[object], place: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        parse_subnets(subnets, place="here")
    assert caught.value.place == place


def test_a_bridge_has_one_subnet_of_ipv4_and_any_number_of_ipv6() -> None:
    subnets = ["fd00:1::/64", "10.1.0.0/16", "fd00:2::/64", "10.2.0.0/16"]
    assert [*map(str, parse_subnets(subnets, place="here"))] == subnets
    assert [*map(str, parse_bridge_subnets(subnets[:3], place="here"))] == subnets[:3]
    with pytest.raises(ConfigError, match="is a second one of IPv4") as caught:
        parse_bridge_subnets(subnets, place="here")
    assert caught.value.place == "here[3]"
