"""Hardware addresses: which one a link gets, and how it is written."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

from acni.plugins.hardwareaddresses import (
    choose_mac,
    link_local,
    mac_text,
    parse_hardware_address,
    random_mac,
)


def test_a_hardware_address_follows_from_the_first_of_ipv4() -> None:
    addresses = [ip_interface("fd00::3/64"), ip_interface("10.1.2.3/24")]
    assert mac_text(choose_mac(addresses)) == "0a:58:0a:01:02:03"


def test_without_ipv4_a_hardware_address_is_anybodys_own() -> None:
    several = {choose_mac([ip_interface("fd00::3/64")]) for _ in range(64)}
    several |= {random_mac() for _ in range(64)} | {choose_mac([]) for _ in range(64)}
    assert len(several) == 192
    assert all(len(mac) == 6 and mac[0] & 3 == 2 for mac in several)


def test_a_link_local_address_follows_from_a_hardware_address() -> None:
    mac = bytes.fromhex("0a580a010203")
    assert str(link_local(mac)) == "fe80::858:aff:fe01:203/64"


def test_a_hardware_address_has_one_kind_of_separator_and_any_letters() -> None:
    for text in (
        "0a:00:00:00:00:0f",
        "0A:00:00:00:00:0F",
        "0a-00-00-00-00-0f",
        "0A-00-00-00-00-0F",
    ):
        assert parse_hardware_address(text) == bytes.fromhex("0a000000000f")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2:11:22:33:44",
        "c2:11:22:33:44:55:66:77",
        "c2:11:22:33:44:55\n",
        "c2:11-22:33:44:55",
        "c3:11:22:33:44:55",
        "00:00:00:00:00:00",
    ],
    ids=ascii,
)
def test_what_is_no_hardware_address_of_one_interface_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_hardware_address(text)
