"""Members of a configuration that the plugins have in common that make links."""

from __future__ import annotations

import pytest

from acni.plugins.linksettings import (
    parse_hardware_address,
    parse_mtu,
    parse_own_dns,
)
from acni.skel import PluginError
from acni.skel.reading import Fields


def test_a_hardware_address_has_one_kind_of_separator_and_any_letters() -> None:
    for text in ("0a:00:00:00:00:0f", "0A:00:00:00:00:0F", "0a-00-00-00-00-0f"):
        assert parse_hardware_address(text) == bytes.fromhex("0a000000000f")


@pytest.mark.parametrize("text", ["c2:11:22:33:44:55", "C2-11-22-33-44-55"])
def test_a_hardware_address_is_written_in_two_ways(text: str) -> None:
    assert parse_hardware_address(text).hex() == "c21122334455"


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


@pytest.mark.parametrize(("mtu", "parsed"), [(None, None), (0, None), (68, 68), (65535, 65535)])
def test_an_mtu_of_zero_is_none(mtu: int | None, parsed: int | None) -> None:
    assert parse_mtu(Fields({"mtu": mtu})) == parsed


@pytest.mark.parametrize("mtu", [-1, 1, 67, 65536, "1500", True])
def test_an_mtu_that_no_packet_fits_is_refused(mtu: object) -> None:
    with pytest.raises(PluginError, match=r"at \$\.mtu"):
        parse_mtu(Fields({"mtu": mtu}))


def test_dns_that_says_nothing_is_none() -> None:
    assert parse_own_dns(Fields({})) is None
    assert parse_own_dns(Fields({"dns": {"search": [], "domain": ""}})) is None
    told = parse_own_dns(Fields({"dns": {"domain": "a.b"}}))
    assert told is not None
    assert told.domain == "a.b"
