"""Results converted between the three shapes that the versions have."""

from __future__ import annotations

import json

import pytest

from acni.spec import ResultError, parse_result
from acni.spec.conversion import fold_keys

OLDEST = (
    '{"cniVersion":"0.2.0","dns":{"domain":"d"},"z":1e2,'
    '"ip4":{"ip":"192.0.2.7/24","gateway":"192.0.2.1","y":1e2,"routes":[{"dst":"0.0.0.0/0","x":1e2}]},'
    '"ip6":{"ip":"2001:db8::7/64"}}'
)
LISTED = (
    '{"cniVersion":"0.4.0","dns":{"domain":"d"},"z":1e2,'
    '"ips":[{"version":"4","address":"192.0.2.7/24","gateway":"192.0.2.1","y":1e2},'
    '{"version":"6","address":"2001:db8::7/64"}],"routes":[{"dst":"0.0.0.0/0","x":1e2}]}'
)
OLDER = (
    '{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","x":1e2}],'
    '"ips":[{"version":"4","address":"192.0.2.7/24","interface":0,"y":1e2},'
    '{"version":"6","address":"2001:db8::7/64"}],"routes":[{"dst":"0.0.0.0/0"}],"z":1e2}'
)
NEWER = (
    '{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","x":1e2}],'
    '"ips":[{"address":"192.0.2.7/24","interface":0,"y":1e2},'
    '{"address":"2001:db8::7/64"}],"routes":[{"dst":"0.0.0.0/0"}],"z":1e2}'
)


@pytest.mark.rule("R42")
def test_an_older_result_becomes_a_newer_one_and_everything_else_stays_as_written() -> None:
    result = parse_result(OLDER, "1.1.0")
    assert result.raw == NEWER
    assert [ip.address for ip in result.ips] == ["192.0.2.7/24", "2001:db8::7/64"]


@pytest.mark.rule("R42")
def test_a_newer_result_becomes_an_older_one_and_back() -> None:
    """R42: the family is looked up in the address."""
    assert parse_result(NEWER, "0.4.0").raw == OLDER
    assert parse_result(parse_result(NEWER, "0.3.1").raw, "1.1.0").raw == NEWER


def test_what_an_older_version_has_no_word_for_is_dropped() -> None:
    interface = {"name": "eth0", "mtu": 1500, "socketPath": "/s", "pciID": "p", "mac": "m"}
    newer = json.dumps({"cniVersion": "1.1.0", "interfaces": [interface]})
    older = json.loads(parse_result(newer, "0.4.0").raw)
    assert older["interfaces"] == [{"name": "eth0", "mac": "m"}]


@pytest.mark.parametrize("key", ["ips", "interfaces"])
def test_an_element_that_is_no_object_is_no_result(key: str) -> None:
    with pytest.raises(ResultError):
        parse_result(json.dumps({"cniVersion": "1.0.0", key: [7]}), "0.4.0")


@pytest.mark.parametrize("key", ["ips", "interfaces"])
def test_null_stays_null(key: str) -> None:
    converted = parse_result(json.dumps({"cniVersion": "1.0.0", key: None}), "0.4.0")
    assert json.loads(converted.raw)[key] is None


@pytest.mark.rule("R42")
@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_the_oldest_shape_becomes_a_list_and_back(version: str) -> None:
    """R42: IPv4 comes first; fields that nobody knows travel along."""
    oldest = OLDEST.replace("0.2.0", version)
    assert parse_result(oldest, "0.4.0").raw == LISTED
    assert parse_result(LISTED, version).raw == oldest
    newest = LISTED.replace("0.4.0", "1.1.0").replace('"version":"4",', "")
    assert parse_result(oldest, "1.1.0").raw == newest.replace('"version":"6",', "")
    assert parse_result(parse_result(oldest, "1.0.0").raw, version).raw == oldest


def test_the_oldest_shape_takes_the_first_address_of_each_family_and_its_routes() -> None:
    newest = {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "eth0"}],
        "ips": [
            {"address": "2001:db8::7/64", "interface": 0},
            {"address": "2001:db8::8/64"},
            {"address": "192.0.2.7/24", "gateway": "192.0.2.1", "interface": 0},
            {"address": "192.0.2.8/24"},
        ],
        "routes": [
            {
                **{"dst": "10.0.0.0/8", "gw": "192.0.2.9", "mtu": 1400, "advmss": 1360},
                **{"priority": 10, "table": 7, "scope": 253},
            },
            {"dst": "::/0"},
            {"dst": "11.0.0.0/8"},
        ],
    }
    assert json.loads(parse_result(json.dumps(newest), "0.2.0").raw) == {
        "cniVersion": "0.2.0",
        "ip4": {
            "ip": "192.0.2.7/24",
            "gateway": "192.0.2.1",
            "routes": [{"dst": "10.0.0.0/8", "gw": "192.0.2.9"}, {"dst": "11.0.0.0/8"}],
        },
        "ip6": {"ip": "2001:db8::7/64", "routes": [{"dst": "::/0"}]},
    }


def test_routes_of_a_family_without_an_address_are_dropped() -> None:
    newest = '{"ips":[{"address":"192.0.2.7/24"}],"routes":[{"dst":"::/0"}],"cniVersion":"1.0.0"}'
    assert json.loads(parse_result(newest, "0.1.0").raw) == {
        "cniVersion": "0.1.0",
        "ip4": {"ip": "192.0.2.7/24"},
    }


@pytest.mark.parametrize("printed", ["{}", '{"ips":[]}', '{"ips":null,"routes":[{"dst":"::/0"}]}'])
def test_the_oldest_shape_needs_an_address(printed: str) -> None:
    stamped = parse_result(printed, "1.0.0").raw
    with pytest.raises(ResultError, match=r"1\.0\.0 as 0\.2\.0: no address"):
        parse_result(stamped, "0.2.0")


@pytest.mark.parametrize("empty", ['{"cniVersion":"0.2.0"}', '{"cniVersion":"0.2.0","ip4":null}'])
def test_nothing_is_invented_for_an_oldest_result_without_an_address(empty: str) -> None:
    assert parse_result(empty, "1.0.0").raw == '{"cniVersion":"1.0.0"}'


@pytest.mark.parametrize(
    ("address", "family"),
    [
        pytest.param("192.0.2.7/24", "4", id="IPv4"),
        pytest.param("2001:db8::7/64", "6", id="IPv6"),
        pytest.param("::ffff:192.0.2.7/120", "4", id="IPv4 in IPv6: what Go takes it for"),
    ],
)
def test_the_family_is_what_the_address_says(address: str, family: str) -> None:
    newest = json.dumps({"cniVersion": "1.0.0", "ips": [{"address": address}]})
    assert json.loads(parse_result(newest, "0.3.0").raw)["ips"][0]["version"] == family
    assert f"ip{family}" in json.loads(parse_result(newest, "0.2.0").raw)


@pytest.mark.parametrize("address", ["::z/64", "seven", 7, None, {"a": 1}])
def test_what_is_no_address_is_no_result_in_any_shape(address: object) -> None:
    newest = json.dumps({"cniVersion": "1.0.0", "ips": [{"address": address}]})
    for version in ("0.2.0", "0.4.0"):
        with pytest.raises(ResultError, match="address"):
            parse_result(newest, version)


@pytest.mark.parametrize("place", ["ips", "routes"])
def test_an_entry_that_is_no_object_cannot_become_the_oldest_shape(place: str) -> None:
    newest = {"cniVersion": "1.0.0", "ips": [{"address": "192.0.2.7/24"}], "routes": []}
    with pytest.raises(ResultError):
        parse_result(json.dumps(newest | {place: [7]}), "0.2.0")


@pytest.mark.parametrize(
    ("printed", "version", "message"),
    [
        pytest.param(
            '{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.7/24"},7]}',
            "0.4.0",
            "1.0.0 as 0.4.0: expected an object at $.ips[1]",
            id="an address",
        ),
        pytest.param(
            '{"cniVersion":"0.2.0","ip4":7}',
            "1.0.0",
            "0.2.0 as 1.0.0: expected an object at $.ip4",
            id="a family",
        ),
        pytest.param(
            '{"cniVersion":"0.2.0","ip4":{"ip":"192.0.2.7/24","routes":7}}',
            "0.4.0",
            "0.2.0 as 0.4.0: expected a list at $.ip4.routes",
            id="the routes of a family",
        ),
        pytest.param(
            '{"cniVersion":"0.2.0","ip4":{"gateway":"192.0.2.1"}}',
            "1.0.0",
            "expected an address with a prefix length at $.ips[0].address",
            id="a family without an address",
        ),
        pytest.param(
            '{"cniVersion":"1.0.0","ips":[{"gateway":"192.0.2.1"}]}',
            "0.4.0",
            "expected an address with a prefix length at $.ips[0].address",
            id="an entry without an address",
        ),
    ],
)
def test_an_error_says_where_a_result_cannot_be_converted(
    printed: str, version: str, message: str
) -> None:
    with pytest.raises(ResultError) as caught:
        parse_result(printed, version)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("route", "home"),
    [
        pytest.param({"gw": "192.0.2.1"}, "ip4", id="no destination"),
        pytest.param({"dst": "2001:db8::9"}, "ip6", id="a destination without a length"),
    ],
)
def test_a_route_goes_with_the_family_of_what_it_has(route: dict[str, str], home: str) -> None:
    ips = [{"address": "192.0.2.7/24"}, {"address": "2001:db8::7/64"}]
    newest = {"cniVersion": "1.0.0", "ips": ips, "routes": [route]}
    oldest = json.loads(parse_result(json.dumps(newest), "0.2.0").raw)
    assert {key for key in ("ip4", "ip6") if "routes" in oldest[key]} == {home}
    assert oldest[home]["routes"] == [route]


@pytest.mark.rule("R42")
def test_keys_are_spelled_as_go_reads_them() -> None:
    """R42: a plugin that names none of its fields prints them so, and libcni reads it."""
    printed = (
        '{"CNIVersion":"0.4.0","Interfaces":[{"Name":"eth0","Sandbox":"/n"}],'
        '"IPs":[{"Address":"192.0.2.7/24","Gateway":"192.0.2.1","Interface":0}],'
        '"Routes":[{"Dst":"0.0.0.0/0"}],"DNS":{"Nameservers":["192.0.2.53"]}}'
    )
    for version in ("0.4.0", "1.0.0", "0.2.0"):
        result = parse_result(printed, version)
        assert str(result.ipv4) == "192.0.2.7"
        assert str(result.gateway) == "192.0.2.1"
        assert [route.dst for route in result.routes] == ["0.0.0.0/0"]
        assert result.dns.nameservers == ("192.0.2.53",)
        assert list(json.loads(result.raw)).count("cniVersion") == 1
        assert "CNIVersion" not in json.loads(result.raw)
    assert parse_result(printed, "1.0.0").interfaces[0].sandbox == "/n"


@pytest.mark.rule("R42")
def test_every_key_of_a_result_is_spelled_as_the_specification_does() -> None:
    """R42: and no other, which may be anybody's."""
    keys = [
        *("cniVersion", "interfaces", "ips", "routes", "dns", "ip4", "ip6"),
        *("name", "mac", "mtu", "sandbox", "socketPath", "pciID"),
        *("version", "address", "gateway", "interface", "ip"),
        *("dst", "gw", "advmss", "priority", "table", "scope"),
        *("nameservers", "domain", "search", "options"),
    ]
    for spelled in (str.lower, str.upper, str.title):
        assert fold_keys({spelled(key): key for key in keys}) == {key: key for key in keys}
    assert fold_keys({"IPs": 1, "Unknown": 2}) == {"ips": 1, "Unknown": 2}


def test_of_two_spellings_the_last_counts_as_in_go() -> None:
    printed = '{"ips":[{"address":"192.0.2.7/24"}],"IPS":[{"address":"192.0.2.8/24"}]}'
    assert str(parse_result(printed, "1.0.0").ipv4) == "192.0.2.8"
