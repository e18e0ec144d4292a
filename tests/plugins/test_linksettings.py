"""Members of a configuration that the plugins have in common that make links."""

from __future__ import annotations

import pytest

from acni.plugins.linksettings import parse_mtu, parse_own_dns
from acni.skel import PluginError
from acni.skel.reading import Fields


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
