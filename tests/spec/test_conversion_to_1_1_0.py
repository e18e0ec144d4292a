"""Results of 1.1.0 made of those of every other version, and back, as libcni's converters do it."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from acni.spec import ResultError, parse_result
from tests.spec.models import MIDDLE, OLDEST, VERSIONS

_OTHERS: Final = VERSIONS[:-1]
_ROUTE: Final = {
    "dst": "0.0.0.0/0",
    "gw": "192.0.2.1",
    "mtu": 1400,
    "advmss": 1360,
    "priority": 5,
    "table": 7,
    "scope": 253,
}
_FULL: Final[dict[str, Any]] = {
    "cniVersion": "1.1.0",
    "interfaces": [
        {"name": "cni0", "mac": "02:00:00:00:00:01", "mtu": 1500},
        {
            "name": "eth0",
            "sandbox": "/run/netns/a",
            "socketPath": "/run/s",
            "pciID": "0000:00:02.0",
        },
    ],
    "ips": [
        {"address": "2001:db8::7/64", "interface": 1},
        {"address": "192.0.2.7/24", "gateway": "192.0.2.1", "interface": 1},
        {"address": "192.0.2.8/24", "interface": -1},
    ],
    "routes": [_ROUTE, {"dst": "2001:db8:1::5/48"}, {"dst": "10.1.2.3/8"}],
    "dns": {"nameservers": ["192.0.2.53"], "domain": "example.org"},
}
_AS_OLDEST: Final = {
    "ip4": {
        "ip": "192.0.2.7/24",
        "gateway": "192.0.2.1",
        "routes": [{"dst": "0.0.0.0/0", "gw": "192.0.2.1"}, {"dst": "10.1.2.3/8"}],
    },
    "ip6": {"ip": "2001:db8::7/64", "routes": [{"dst": "2001:db8:1::5/48"}]},
    "dns": _FULL["dns"],
}
_AS_MIDDLE: Final = {
    "interfaces": [
        {"name": "cni0", "mac": "02:00:00:00:00:01"},
        {"name": "eth0", "sandbox": "/run/netns/a"},
    ],
    "ips": [{"version": version, **ip} for version, ip in zip("644", _FULL["ips"], strict=True)],
    "routes": _FULL["routes"],
    "dns": _FULL["dns"],
}
_DOWN: Final = {
    **dict.fromkeys(OLDEST, _AS_OLDEST),
    **dict.fromkeys(MIDDLE, _AS_MIDDLE),
    "1.0.0": _FULL,
    "1.1.0": _FULL,
}
_FROM_OLDEST: Final = {
    "ips": [
        {"address": "192.0.2.7/24", "gateway": "192.0.2.1"},
        {"address": "2001:db8::7/64"},
    ],
    "routes": [
        {"dst": "0.0.0.0/0", "gw": "192.0.2.1"},
        {"dst": "10.1.2.3/8"},
        {"dst": "2001:db8:1::5/48"},
    ],
    "dns": _FULL["dns"],
}
_UP: Final = {
    **dict.fromkeys(OLDEST, _FROM_OLDEST),
    **dict.fromkeys(MIDDLE, _FULL | {"interfaces": _AS_MIDDLE["interfaces"]}),
    "1.0.0": _FULL,
    "1.1.0": _FULL,
}


def _converted(document: dict[str, Any], printed: str, wanted: str) -> dict[str, Any]:
    raw = parse_result(json.dumps(document | {"cniVersion": printed}), wanted).raw
    converted: dict[str, Any] = json.loads(raw)
    assert converted.pop("cniVersion") == wanted
    return converted


def _but_version(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "cniVersion"}


@pytest.mark.rule("R42")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_full_result_becomes_an_older_one(version: str) -> None:
    """R42: 1.0.0 keeps all, 0.3.0 to 0.4.0 the new fields of routes, 0.2.0 the destinations."""
    assert _converted(_FULL, "1.1.0", version) == _but_version(_DOWN[version])


@pytest.mark.rule("R42")
@pytest.mark.parametrize("version", VERSIONS)
def test_an_older_result_becomes_one_of_1_1_0(version: str) -> None:
    """R42: IPv4 comes first where families had no order, and no interface is invented."""
    assert _converted(_DOWN[version], version, "1.1.0") == _but_version(_UP[version])


@pytest.mark.rule("R42")
@pytest.mark.parametrize("version", _OTHERS)
@pytest.mark.parametrize(
    ("address", "family"),
    [
        pytest.param("192.0.2.7/24", "4", id="IPv4"),
        pytest.param("2001:db8::7/64", "6", id="IPv6"),
        pytest.param("::ffff:192.0.2.7/120", "4", id="IPv4 in IPv6"),
        pytest.param("::192.0.2.7/120", "6", id="IPv6 that ends as IPv4"),
    ],
)
def test_one_address_goes_down_and_up_again(version: str, address: str, family: str) -> None:
    """R42: the older versions say the family that the address has."""
    only = {"ips": [{"address": address}]}
    older = _converted(only, "1.1.0", version)
    if version in OLDEST:
        assert older == {f"ip{family}": {"ip": address}}
    elif version in MIDDLE:
        assert older == {"ips": [{"version": family, "address": address}]}
    else:
        assert older == only
    assert _converted(older, version, "1.1.0") == only


@pytest.mark.rule("R42", "R61")
@pytest.mark.parametrize("version", [*MIDDLE, "1.0.0"])
@pytest.mark.parametrize("index", [0, 1, -1, 7, None])
def test_an_index_stays_as_it_is_wherever_it_leads(version: str, index: int | None) -> None:
    """R61: and one that is absent stays absent."""
    interface = {} if index is None else {"interface": index}
    newest = {"interfaces": [{"name": "eth0"}], "ips": [{"address": "192.0.2.7/24", **interface}]}
    older = _converted(newest, "1.1.0", version)
    assert older["ips"][0].get("interface") == index
    assert _converted(older, version, "1.1.0") == newest


@pytest.mark.rule("R42")
@pytest.mark.parametrize("version", _OTHERS)
@pytest.mark.parametrize(
    "nothing",
    [
        pytest.param({}, id="empty"),
        pytest.param({"ips": []}, id="no address"),
        pytest.param({"ips": None, "interfaces": None, "routes": None}, id="null"),
        pytest.param({"routes": [{"dst": "::/0"}]}, id="a route"),
        pytest.param({"dns": {"domain": "d"}}, id="dns"),
    ],
)
def test_without_an_address_there_is_no_older_result_than_0_3_0(
    version: str, nothing: dict[str, Any]
) -> None:
    """R42: and every other version has the same."""
    if version in OLDEST:
        with pytest.raises(ResultError, match=f"1.1.0 as {version}: no address"):
            _converted(nothing, "1.1.0", version)
    else:
        assert _converted(nothing, "1.1.0", version) == nothing


@pytest.mark.rule("R42")
@pytest.mark.parametrize("version", OLDEST)
def test_routes_of_a_family_without_address_stay_behind(version: str) -> None:
    newest = {"ips": [{"address": "192.0.2.7/24"}], "routes": [{"dst": "::/0"}]}
    assert _converted(newest, "1.1.0", version) == {"ip4": {"ip": "192.0.2.7/24"}}


@pytest.mark.rule("R42")
@pytest.mark.parametrize("version", OLDEST)
@pytest.mark.parametrize("oldest", [{}, {"ip4": None, "ip6": None}, {"dns": {"domain": "d"}}])
def test_an_oldest_result_without_an_address_is_one_of_1_1_0(
    version: str, oldest: dict[str, Any]
) -> None:
    kept = {key: value for key, value in oldest.items() if key == "dns"}
    assert _converted(oldest, version, "1.1.0") == kept


@pytest.mark.rule("R42")
@pytest.mark.parametrize("version", _OTHERS)
def test_there_is_no_conversion_to_or_from_what_is_no_version(version: str) -> None:
    for unknown in ("0.5.0", "1.2.0", "2.0.0"):
        with pytest.raises(ResultError, match="unknown version"):
            _converted(_FULL, unknown, version)
