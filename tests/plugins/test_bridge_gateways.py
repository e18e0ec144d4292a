"""Which addresses a bridge gets, and which give way."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_interface

import pytest

from acni.plugins.bridge_gateways import addresses_in_the_way, gateways_to_give, overlapping
from acni.skel import PluginError


@pytest.mark.parametrize(
    ("present", "wanted", "in_the_way"),
    [
        pytest.param([], "10.1.2.1/24", (), id="none"),
        pytest.param(["10.1.2.1/24"], "10.1.2.1/24", None, id="the same"),
        pytest.param(["10.1.2.1/24"], "10.1.2.1/16", ("10.1.2.1/24",), id="another length"),
        pytest.param(["10.1.2.1/24"], "10.8.0.1/24", ("10.1.2.1/24",), id="another one of IPv4"),
        pytest.param(["10.8.0.1/24", "10.1.2.1/24"], "10.1.2.1/24", None, id="the second"),
        pytest.param(["fd00::1/64", "fe80::1/64"], "10.8.0.1/24", (), id="the other family"),
        pytest.param(["fd00::1/64"], "fd00:1::1/64", (), id="another network of IPv6"),
        pytest.param(["fd00::1/64"], "fd00::2/64", ("fd00::1/64",), id="the same network"),
        pytest.param(["fd00::1/64"], "fd00::1/16", ("fd00::1/64",), id="a larger network"),
        pytest.param(["fd00::1/16"], "fd00:9::1/64", ("fd00::1/16",), id="a smaller network"),
    ],
)
def test_which_addresses_are_in_the_way(
    present: Sequence[str], wanted: str, in_the_way: Sequence[str] | None
) -> None:
    there, one = [ip_interface(text) for text in present], ip_interface(wanted)
    found = addresses_in_the_way(there, one, is_forced=True)
    assert found == (None if in_the_way is None else tuple(map(ip_interface, in_the_way)))
    if in_the_way:
        with pytest.raises(PluginError) as raised:
            addresses_in_the_way(there, one, is_forced=False)
        assert (raised.value.code, raised.value.reason) == (101, "gateway-differs")
        assert "forceAddress" in raised.value.details
    else:
        assert addresses_in_the_way(there, one, is_forced=False) == found


def test_a_gateway_that_is_refused_is_refused_before_another_one_is_given() -> None:
    one, other = ip_interface("10.1.0.1/24"), ip_interface("10.2.0.1/24")
    with pytest.raises(PluginError):
        gateways_to_give([], [one, other], is_forced=False)
    assert gateways_to_give([], [one, other], is_forced=True) == [(one, ()), (other, (one,))]
    assert gateways_to_give([one], [one], is_forced=False) == []


@pytest.mark.parametrize(
    ("other", "is_ours", "is_refused"),
    [
        ("10.9.0.7/24", False, True),
        ("10.9.0.130/25", False, True),
        ("10.0.0.5/8", False, False),
        ("10.0.0.1/8", True, True),
        ("10.9.1.1/24", True, False),
        ("fd00:9::1/64", True, True),
        ("fe80::1/64", False, False),
    ],
)
def test_networks_overlap_where_the_host_would_know_one_way_to_what_both_have(
    other: str, is_ours: bool, is_refused: bool
) -> None:
    gateways = [ip_interface("10.9.0.1/24"), ip_interface("fd00:9::1/64")]
    found = overlapping([(ip_interface(other), is_ours)], gateways)
    assert (found is not None) is is_refused
