"""Results of all versions: read loosely, refused where nothing can be made of them."""

from __future__ import annotations

import ipaddress
import json
import pickle
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.spec import (
    SUPPORTED_VERSIONS,
    Dns,
    Interface,
    IpConfig,
    PortMapping,
    Result,
    Route,
    parse_result,
)
from acni.spec.jsontext import object_members
from acni.spec.result import ResultError
from acni.spec.versions import RESULT_SHAPES

_OLDEST = """{
  "cniVersion": "%s",
  "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
  "ip6": {"ip": "2001:db8::5/64"},
  "dns": {}
}"""
_MIDDLE = """{
  "cniVersion": "%s",
  "interfaces": [
    {"name": "cni0", "mac": "00:11:22:33:44:55"},
    {"name": "eth0", "mac": "99:88:77:66:55:44", "sandbox": "/var/run/netns/blue"}
  ],
  "ips": [
    {"version": "4", "address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 1},
    {"version": "6", "address": "2001:db8::5/64", "interface": 1}
  ],
  "routes": [{"dst": "0.0.0.0/0"}],
  "dns": {"nameservers": ["10.1.0.1"]}
}"""
_NEWEST = """{
  "cniVersion": "%s",
  "interfaces": [
    {"name": "cni0", "mac": "00:11:22:33:44:55", "mtu": 1500},
    {"name": "eth0", "mac": "99:88:77:66:55:44", "sandbox": "/var/run/netns/blue", "pciID": "x"}
  ],
  "ips": [
    {"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 1},
    {"address": "2001:db8::5/64", "interface": 1}
  ],
  "routes": [{"dst": "0.0.0.0/0", "mtu": 1400, "scope": 0}]
}"""


def _ips(*ips: object, **members: object) -> tuple[IpConfig, ...]:
    document = {"interfaces": [{"name": "a"}, {"name": "b"}], "ips": list(ips), **members}
    return parse_result(json.dumps(document), "1.0.0").ips


@pytest.mark.rule("R62")
@pytest.mark.parametrize(
    ("version", "document"),
    [
        *(pytest.param(version, _MIDDLE, id=version) for version in ("0.3.0", "0.3.1", "0.4.0")),
        *(pytest.param(version, _NEWEST, id=version) for version in ("1.0.0", "1.1.0")),
    ],
)
def test_a_result_with_interfaces_is_read(version: str, document: str) -> None:
    """R62: 0.3.0 says ``ips`` too."""
    result = parse_result((document % version).encode(), version)
    assert result.cni_version == version
    assert [
        (interface.name, interface.mac, interface.sandbox) for interface in result.interfaces
    ] == [
        ("cni0", "00:11:22:33:44:55", None),
        ("eth0", "99:88:77:66:55:44", "/var/run/netns/blue"),
    ]
    has_more = document is _NEWEST
    on_host, in_container = result.interfaces
    assert on_host.mtu == (1500 if has_more else None)
    assert in_container.pci_id == ("x" if has_more else None)
    assert result.ips == (
        IpConfig(address="10.1.0.5/16", gateway="10.1.0.1", interface=1),
        IpConfig(address="2001:db8::5/64", gateway=None, interface=1),
    )
    assert result.ipv4 == ipaddress.ip_address("10.1.0.5")
    assert result.ipv6 == ipaddress.ip_address("2001:db8::5")
    assert json.loads(result.raw) == json.loads(document % version)


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_result_of_the_oldest_shape_is_read(version: str) -> None:
    result = parse_result((_OLDEST % version).encode(), version)
    assert result.interfaces == ()
    assert result.ips == (
        IpConfig(address="10.1.0.5/16", gateway="10.1.0.1", interface=None),
        IpConfig(address="2001:db8::5/64", gateway=None, interface=None),
    )
    assert json.loads(result.raw) == json.loads(_OLDEST % version)


@pytest.mark.rule("R42")
@pytest.mark.parametrize("selected", SUPPORTED_VERSIONS)
@pytest.mark.parametrize("printed", SUPPORTED_VERSIONS)
def test_whatever_version_was_printed_the_selected_one_is_stamped(
    printed: str, selected: str
) -> None:
    address = "192.0.2.7/24"
    ip4, ips = {"ip4": {"ip": address}}, {"ips": [{"version": "4", "address": address}]}
    said = ip4 if printed in RESULT_SHAPES[0] else ips
    result = parse_result(json.dumps({"cniVersion": printed, **said}), selected)
    assert result.cni_version == json.loads(result.raw)["cniVersion"] == selected
    assert [ip.address for ip in result.ips] == [address]
    assert ("ip4" in json.loads(result.raw)) == (selected in RESULT_SHAPES[0])


@pytest.mark.rule("R42")
@pytest.mark.parametrize(
    ("printed", "raw"),
    [
        pytest.param('{"x":1e2}', '{"cniVersion":"1.0.0","x":1e2}', id="R42 none: in front"),
        pytest.param("{}", '{"cniVersion":"1.0.0"}', id="R42 empty result"),
        pytest.param('{"cniVersion":""}', '{"cniVersion":"1.0.0"}', id="R42 empty text"),
        pytest.param('{"cniVersion":null}', '{"cniVersion":"1.0.0"}', id="R42 null"),
        pytest.param(
            '{"x":[ ],"cniVersion":"1.1.0","y":2}',
            '{"x":[ ],"cniVersion":"1.0.0","y":2}',
            id="R42 in its place",
        ),
        pytest.param(
            '{"cniVersion":"0.1.0","cniVersion":"1.0.0"}',
            '{"cniVersion":"1.0.0"}',
            id="R42 of two the last counts",
        ),
    ],
)
def test_the_version_is_stamped_and_nothing_else_changes(printed: str, raw: str) -> None:
    assert parse_result(printed, "1.0.0").raw == raw


@pytest.mark.rule("R42")
@pytest.mark.parametrize(
    "version",
    ["0.5.0", "1.2.0", "2.0.0", "1", "1.0", "latest", "1.0.0\n", "\u0661.0.0", "é"],
    ids=ascii,
)
def test_an_unknown_version_is_refused(version: str) -> None:
    """R42: never taken for the selected one."""
    with pytest.raises(ResultError, match="unknown version") as caught:
        parse_result(json.dumps({"cniVersion": version}), "1.0.0")
    assert str(caught.value).isascii()


@pytest.mark.rule("R61")
@pytest.mark.parametrize(
    "document",
    [
        pytest.param("{}", id="R61 empty"),
        pytest.param('{"interfaces":null,"ips":null,"routes":null,"dns":null}', id="R61 nulls"),
        pytest.param('{"interfaces":[],"ips":[]}', id="R61 empty lists"),
        pytest.param('{"dns":{"nameservers":["1.1.1.1"]}}', id="R61 dns only"),
        pytest.param('{"code":0,"ips":[]}', id="a result that has a code"),
        pytest.param('{"ip4":{"ip":"10.0.0.2/24"}}', id="the oldest shape's key is unknown here"),
        pytest.param(' \n{"routes":[]}\r\n', id="white space around"),
    ],
)
@pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_a_result_without_interfaces_and_addresses_is_taken(document: str, version: str) -> None:
    result = parse_result(document.encode(), version)
    assert result.interfaces == ()
    assert result.ips == ()
    assert result.ipv4 is None
    assert result.ipv6 is None


@pytest.mark.rule("R61")
@pytest.mark.parametrize(
    ("written", "mac"),
    [
        ("00:11:22:33:44:55", "00:11:22:33:44:55"),
        ("0c:42:a1:00:00:00:00:00:0c:42", "0c:42:a1:00:00:00:00:00:0c:42"),
        ("not a mac", None),
        ("0", None),
        ("", None),
        (None, None),
        (5, None),
        ([], None),
        ({}, None),
        (False, None),
    ],
)
def test_an_odd_mac_is_none(written: object, mac: str | None) -> None:
    interface = {"name": "eth0", "mac": written, "sandbox": "/n"}
    result = parse_result(json.dumps({"interfaces": [interface]}), "1.0.0")
    assert result.interfaces == (Interface(name="eth0", mac=mac, sandbox="/n"),)
    assert result.mac == mac


@pytest.mark.parametrize(
    ("written", "sandbox"), [("/n", "/n"), ("0a1b", "0a1b"), ("", None), (None, None), (5, None)]
)
def test_an_odd_sandbox_is_none(written: object, sandbox: str | None) -> None:
    result = parse_result(
        json.dumps({"interfaces": [{"name": "eth0", "sandbox": written}]}), "1.0.0"
    )
    assert result.interfaces == (Interface(name="eth0", mac=None, sandbox=sandbox),)


@pytest.mark.rule("R61")
@pytest.mark.parametrize(
    ("written", "interface"),
    [
        pytest.param(0, 0, id="the first"),
        pytest.param(1, 1, id="the last"),
        pytest.param(2, None, id="R61 one too many"),
        pytest.param(10**30, None, id="R61 far too many"),
        pytest.param(-1, None, id="R61 minus one"),
        pytest.param(None, None, id="R61 null"),
        pytest.param("0", None, id="R61 text"),
        pytest.param(1.0, None, id="R61 float"),
        pytest.param(True, None, id="R61 true is not 1"),
        pytest.param([], None, id="R61 list"),
    ],
)
def test_an_interface_index_is_a_place_in_the_list_or_none(
    written: object, interface: int | None
) -> None:
    """R61: whoever follows it never falls off the list."""
    (ip,) = _ips({"address": "10.0.0.2/24", "interface": written})
    assert ip.interface == interface


@pytest.mark.rule("R61")
def test_an_interface_index_without_interfaces_is_none() -> None:
    """R61: AWS's plugin prints such."""
    (ip,) = _ips({"address": "10.0.0.2/24", "interface": 0}, interfaces=None)
    assert ip.interface is None


@pytest.mark.parametrize(
    ("address", "ip"),
    [
        ("10.0.0.2/24", "10.0.0.2/24"),
        ("10.0.0.2/0", "10.0.0.2/0"),
        ("10.0.0.2/32", "10.0.0.2/32"),
        ("2001:DB8::5/64", "2001:db8::5/64"),
        ("::ffff:10.0.0.2/120", "::ffff:a00:2/120"),
        ("::1/128", "::1/128"),
    ],
)
def test_an_address_keeps_its_text_and_becomes_an_object_when_asked(address: str, ip: str) -> None:
    (config,) = _ips({"address": address})
    assert config.address == address
    assert config.ip == ipaddress.ip_interface(ip)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("10.0.0.2", id="no prefix length"),
        pytest.param("10.0.0.2/", id="empty prefix length"),
        pytest.param("10.0.0.2/33", id="too long"),
        pytest.param("10.0.0.2/-1", id="negative"),
        pytest.param("10.0.0.2/+8", id="plus"),
        pytest.param("10.0.0.2/ 8", id="space"),
        pytest.param("10.0.0.2/8\n", id="newline"),
        pytest.param("10.0.0.2/\u0668", id="Arabic digit"),
        pytest.param("10.0.0.2/255.255.255.0", id="netmask"),
        pytest.param("10.0.0.2/0.0.0.255", id="hostmask"),
        pytest.param("10.0.0.2/24/24", id="two"),
        pytest.param("10.0.0.02/24", id="zero-padded"),
        pytest.param("10.0.0/24", id="three octets"),
        pytest.param("10.0.0.256/24", id="octet too large"),
        pytest.param("fe80::1%eth0/64", id="zone"),
        pytest.param("2001:db8::/129", id="IPv6 too long"),
        pytest.param("", id="empty"),
        pytest.param("/24", id="only a prefix length"),
        pytest.param("dhcp", id="text"),
        pytest.param(None, id="null"),
        pytest.param(167772162, id="number"),
        pytest.param(["10.0.0.2/24"], id="list"),
    ],
)
@pytest.mark.parametrize("version", ["0.2.0", "0.4.0", "1.0.0"])
def test_what_is_no_address_is_refused(address: object, version: str) -> None:
    document = {"ips": [{"address": address}], "ip4": {"ip": address}}
    with pytest.raises(ResultError, match=r"\$\.(ips\[0\]\.address|ip4\.ip)$"):
        parse_result(json.dumps(document), version)


@pytest.mark.rule("R61")
@pytest.mark.parametrize("gateway", ["", None, ...])
@pytest.mark.parametrize("version", ["0.2.0", "0.4.0", "1.0.0"])
def test_a_gateway_may_be_missing_or_empty(gateway: object, version: str) -> None:
    fields = {"address": "10.0.0.2/24", "ip": "10.0.0.2/24", "gateway": gateway}
    known = {key: value for key, value in fields.items() if value is not ...}
    (ip,) = parse_result(json.dumps({"ips": [known], "ip4": known}), version).ips
    assert ip.gateway is None


@pytest.mark.parametrize("gateway", ["10.0.0.1/24", "x", " ", 1, [], {}, True])
def test_what_is_no_gateway_is_refused(gateway: object) -> None:
    with pytest.raises(ResultError, match=r"at \$\.ips\[0\]\.gateway"):
        _ips({"address": "10.0.0.2/24", "gateway": gateway})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param("", "got the end of the text", id="empty"),
        pytest.param("null", r"expected '\{'", id="null"),
        pytest.param("[]", r"expected '\{'", id="list"),
        pytest.param('"x"', r"expected '\{'", id="text"),
        pytest.param("{} {}", "text after the JSON object", id="two results"),
        pytest.param("done\n{}", r"expected '\{'", id="a log before"),
        pytest.param('{"ips":[', "Expecting value", id="cut off"),
        pytest.param('{"interfaces":{}}', r"list at \$\.interfaces", id="interfaces"),
        pytest.param('{"interfaces":"eth0"}', r"list at \$\.interfaces", id="interfaces as text"),
        pytest.param('{"interfaces":[null]}', r"\$\.interfaces\[0\]$", id="null interface"),
        pytest.param('{"interfaces":[{}]}', r"\$\.interfaces\[0\]\.name", id="no interface name"),
        pytest.param('{"interfaces":[{"name":5}]}', r"\[0\]\.name", id="number as a name"),
        pytest.param('{"ips":{}}', r"list at \$\.ips", id="ips"),
        pytest.param('{"ips":false}', r"list at \$\.ips", id="false for ips"),
        pytest.param('{"ips":["10.0.0.2/24"]}', r"object at \$\.ips\[0\]", id="ip as text"),
        pytest.param('{"ips":[{}]}', r"\$\.ips\[0\]\.address", id="no address"),
        pytest.param('{"cniVersion":1}', r"str at \$\.cniVersion", id="version as a number"),
        pytest.param('{"code":7,"msg":"x"}', "an error object", id="error object"),
        pytest.param('{"cniVersion":"1.0.0","code":7}', "an error object", id="error with version"),
        pytest.param('{"x":NaN}', "NaN", id="NaN"),
        pytest.param('{"x":1e999}', "out of range", id="overflow"),
        pytest.param('{"x":' + "9" * 5000 + "}", "4300 digits", id="5,000-digit integer"),
        pytest.param('{"x":' + "[" * 60_000, "nested deeper than 100", id="nested"),
        pytest.param("{" + "[],[]," * 174_762, "brackets and commas", id="1 MiB of lists"),
    ],
)
def test_what_is_no_result_is_refused(document: str, message: str) -> None:
    with pytest.raises(ResultError, match=message):
        parse_result(document.encode(), "1.0.0")


@pytest.mark.parametrize("raw", [b"\xff", b"\xef\xbb\xbf{}", b'{"a":"\xed\xa0\x80"}'])
def test_a_result_that_is_not_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(ResultError):
        parse_result(raw, "1.0.0")


@pytest.mark.parametrize("document", ['{"ip4":[]}', '{"ip6":"x"}', '{"ip4":{}}'])
def test_a_bad_result_of_the_oldest_shape_is_refused(document: str) -> None:
    with pytest.raises(ResultError, match=r"\$\.ip[46]"):
        parse_result(document, "0.2.0")


@pytest.mark.rule("R33")
def test_a_result_read_again_is_the_same() -> None:
    """R33: a record holds the raw text."""
    odd = '{"n":123456789012345678901234567890,"f":1e2,"s":"\\u00e9é\\ud800"}'
    document = f'{{"z":{odd},"ips":[{{"address":"10.0.0.2/24"}}],"a":[ 1.0 ]}}'
    result = parse_result(document.encode(), "1.1.0")
    assert parse_result(result.raw, "1.1.0") == result
    assert parse_result(result.raw.encode(), "1.1.0") == result
    members = object_members(result.raw)
    assert list(members) == ["cniVersion", "z", "ips", "a"]
    assert (members["z"].text, members["a"].text) == (odd, "[ 1.0 ]")


def test_the_first_address_of_each_family_counts() -> None:
    result = parse_result(
        '{"ips":[{"address":"2001:db8::1/64"},{"address":"10.0.0.1/8"},{"address":"10.0.0.2/8"}]}',
        "1.0.0",
    )
    assert str(result.ipv4) == "10.0.0.1"
    assert str(result.ipv6) == "2001:db8::1"


_NO_DNS = Dns(nameservers=(), domain=None, search=(), options=())


def test_routes_and_dns_are_read() -> None:
    route = {
        "dst": "10.9.0.0/16",
        "gw": "10.0.0.1",
        "mtu": 1400,
        "advmss": 1360,
        "priority": 0,
        "table": 100,
        "scope": 0,
    }
    dns = {
        "nameservers": ["10.1.0.1", "fd00::1"],
        "domain": "example.org",
        "search": ["example.org", "example.com"],
        "options": ["ndots:2"],
    }
    routes = [route, {"dst": "::/0"}]
    result = parse_result(json.dumps({"routes": routes, "dns": dns}), "1.1.0")
    assert result.routes == (
        Route(
            dst="10.9.0.0/16",
            gw="10.0.0.1",
            mtu=1400,
            advmss=1360,
            priority=0,
            table=100,
            scope=0,
        ),
        Route(dst="::/0"),
    )
    assert result.dns == Dns(
        nameservers=("10.1.0.1", "fd00::1"),
        domain="example.org",
        search=("example.org", "example.com"),
        options=("ndots:2",),
    )


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_routes_of_the_oldest_shape_stand_beside_their_addresses(version: str) -> None:
    document = """{"ip6": {"ip": "2001:db8::5/64", "routes": [{"dst": "::/0"}]},
        "ip4": {"ip": "10.1.0.5/16", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]},
        "routes": [{"dst": "10.2.0.0/16"}], "dns": {"domain": "a"}}"""
    result = parse_result(document, version)
    assert result.routes == (Route(dst="0.0.0.0/0", gw="10.1.0.1"), Route(dst="::/0"))
    assert result.dns.domain == "a"


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0"])
def test_what_1_1_0_added_to_routes_is_read_in_every_version(version: str) -> None:
    (route,) = parse_result('{"routes":[{"dst":"::/0","mtu":1400}]}', version).routes
    assert route == Route(dst="::/0", mtu=1400)


@pytest.mark.rule("R61")
@pytest.mark.parametrize(
    "routes",
    [
        None,
        [],
        {},
        "x",
        5,
        [None],
        [5],
        [{}],
        [{"dst": None}],
        [{"dst": ""}],
        [{"dst": "10.0.0.1"}],
    ],
    ids=ascii,
)
@pytest.mark.parametrize("version", ["0.2.0", "1.0.0"])
def test_what_is_no_route_is_left_out(routes: object, version: str) -> None:
    """R61: the text still has it, and nothing of ours depends on it."""
    document = {"routes": routes, "ip4": {"ip": "10.0.0.2/24", "routes": routes}}
    result = parse_result(json.dumps(document), version)
    assert result.routes == ()
    assert json.loads(result.raw)["routes"] == routes


@pytest.mark.parametrize("gw", ["", None, "x", 5, [], "10.0.0.1/24"], ids=ascii)
def test_an_odd_gateway_of_a_route_is_none(gw: object) -> None:
    result = parse_result(json.dumps({"routes": [{"dst": "0.0.0.0/0", "gw": gw}]}), "1.0.0")
    assert result.routes == (Route(dst="0.0.0.0/0"),)
    assert result.gateway is None


@pytest.mark.parametrize("number", ["1", 1.5, True, None, [], {}], ids=ascii)
def test_an_odd_number_of_a_route_is_none(number: object) -> None:
    fields = dict.fromkeys(("mtu", "advmss", "priority", "table", "scope"), number)
    document = {"routes": [{"dst": "10.0.0.7/8", **fields}]}
    assert parse_result(json.dumps(document), "1.1.0").routes == (Route(dst="10.0.0.7/8"),)


@pytest.mark.rule("R61")
@pytest.mark.parametrize(
    "dns",
    [
        ...,
        None,
        {},
        [],
        "x",
        {"nameservers": None, "search": None, "options": None, "domain": None},
        {"nameservers": "10.0.0.1", "search": {}, "options": 5, "domain": ""},
        {"nameservers": [None, 5, []], "domain": []},
    ],
    ids=ascii,
)
def test_odd_dns_settings_are_empty(dns: object) -> None:
    document = {} if dns is ... else {"dns": dns}
    assert parse_result(json.dumps(document), "1.0.0").dns == _NO_DNS


def test_ports_of_the_host_are_read_where_they_are_said() -> None:
    ports: list[Any] = [
        {"hostPort": 61234, "containerPort": 80, "protocol": "tcp"},
        {"HostPort": 53, "ContainerPort": 5353, "Protocol": "udp", "HostIP": "192.0.2.1"},
        {"hostPort": 8080, "containerPort": 80, "hostIP": ""},
    ]
    result = parse_result(json.dumps({"portMappings": ports}), "1.0.0")
    assert result.port_mappings == (
        PortMapping(host=61234, container=80),
        PortMapping(host=53, container=5353, protocol="udp", host_ip="192.0.2.1"),
        PortMapping(host=8080, container=80),
    )
    assert parse_result("{}", "1.0.0").port_mappings == ()


@pytest.mark.parametrize(
    "odd",
    [5, {}, [5], [{}], [{"hostPort": "80", "containerPort": 80}], [{"hostPort": 70000}]],
    ids=ascii,
)
def test_odd_ports_of_the_host_are_none(odd: object) -> None:
    assert parse_result(json.dumps({"portMappings": odd}), "1.0.0").port_mappings == ()


@pytest.mark.rule("R42")
@pytest.mark.parametrize("selected", SUPPORTED_VERSIONS)
@pytest.mark.parametrize("printed", SUPPORTED_VERSIONS)
def test_ports_of_the_host_are_said_in_every_version(printed: str, selected: str) -> None:
    ports = [{"hostPort": 61234, "containerPort": 80, "protocol": "tcp"}]
    (shape,) = (shape for shape in range(3) if printed in RESULT_SHAPES[shape])
    document = (_OLDEST, _MIDDLE, _NEWEST)[shape] % printed
    said = json.dumps({**json.loads(document), "portMappings": ports})
    result = parse_result(said, selected)
    assert result.port_mappings == (PortMapping(host=61234, container=80),)


def test_routes_and_dns_are_read_once() -> None:
    result = parse_result('{"routes":[{"dst":"::/0"}]}', "1.0.0")
    assert result.routes is result.routes
    assert result.dns is result.dns


def test_a_result_that_was_looked_at_is_still_the_same_value() -> None:
    text = '{"ips":[{"address":"10.0.0.2/24"}],"routes":[{"dst":"0.0.0.0/0","gw":"10.0.0.1"}]}'
    result, other = parse_result(text, "1.0.0"), parse_result(text, "1.0.0")
    assert str(result.gateway) == "10.0.0.1"
    assert result.dns == _NO_DNS
    again = pickle.loads(pickle.dumps(result))  # noqa: S301 - our own bytes
    assert result == other == again
    assert hash(result) == hash(other) == hash(again)
    assert again.routes == result.routes


@pytest.mark.parametrize(
    ("document", "gateway"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"ips": [("10.0.0.2/24", "10.0.0.1")]}, "10.0.0.1", id="the address has one"),
        pytest.param(
            {"ips": [("fd00::2/64", ""), ("10.0.0.2/24", "10.0.0.1"), ("10.1.0.2/24", "10.1.0.1")]},
            "10.0.0.1",
            id="the first that has one",
        ),
        pytest.param(
            {"ips": [("10.0.0.2/24", "10.0.0.1")], "routes": [("0.0.0.0/0", "10.0.0.254")]},
            "10.0.0.1",
            id="an address before a route",
        ),
        pytest.param(
            {"ips": [("10.0.0.2/24", None)], "routes": [("0.0.0.0/0", "10.0.0.254")]},
            "10.0.0.254",
            id="a default route",
        ),
        pytest.param(
            {"routes": [("10.0.0.0/10", "10.0.0.1"), ("::/0", None), ("0::/0", "fe80::1")]},
            "fe80::1",
            id="the first default route that has one",
        ),
        pytest.param({"routes": [("10.0.0.0/8", "10.0.0.1")]}, None, id="no default route"),
    ],
)
def test_the_gateway_is_an_addresss_or_a_default_routes(
    document: dict[str, list[tuple[str, str | None]]], gateway: str | None
) -> None:
    ips = [{"address": address, "gateway": gw} for address, gw in document.get("ips", ())]
    routes = [{"dst": dst, "gw": gw} for dst, gw in document.get("routes", ())]
    result = parse_result(json.dumps({"ips": ips, "routes": routes}), "1.0.0")
    assert result.gateway == (ipaddress.ip_address(gateway) if gateway else None)


@pytest.mark.parametrize(
    ("interfaces", "mac"),
    [
        pytest.param([], None, id="none"),
        pytest.param([("cni0", "00:00:00:00:00:01", "")], None, id="only the host's"),
        pytest.param(
            [("a", "00:00:00:00:00:01", "/x"), ("b", "00:00:00:00:00:02", "/x"), ("v", "3", None)],
            "00:00:00:00:00:02",
            id="the last in a sandbox",
        ),
        pytest.param([("a", "1", "/x"), ("b", None, "/x")], None, id="the last has none"),
    ],
)
def test_the_hardware_address_is_that_of_the_last_interface_in_a_sandbox(
    interfaces: list[tuple[str, str | None, str | None]], mac: str | None
) -> None:
    names = ("name", "mac", "sandbox")
    written = [dict(zip(names, interface, strict=True)) for interface in interfaces]
    assert parse_result(json.dumps({"interfaces": written}), "1.0.0").mac == mac


_KEYS = st.sampled_from(
    [
        *("cniVersion", "interfaces", "ips", "ip4", "name", "mac", "address", "ip", "gateway"),
        *("code", "sandbox", "routes", "dst", "gw", "dns", "nameservers"),
    ]
)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(
        ["", "eth0", "10.0.0.2/24", "10.0.0.1", "::/0", "fe80::1%1", "1.0.0", "0.4.0"]
    )
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
)


@given(
    st.dictionaries(_KEYS, _VALUES).map(lambda document: json.dumps(document).encode())
    | st.binary(),
    st.sampled_from(SUPPORTED_VERSIONS),
)
def test_any_bytes_are_a_result_or_a_typed_error(raw: bytes, version: str) -> None:
    with suppress(ResultError):
        _follow(parse_result(raw, version))


def _follow(result: Result) -> None:
    """Use everything that a result offers."""
    assert json.loads(result.raw)["cniVersion"] == result.cni_version
    assert result.ipv4 is None or result.ipv4.version == 4
    assert result.ipv6 is None or result.ipv6.version == 6
    for ip in result.ips:
        assert ip.interface is None or ip.interface < len(result.interfaces)
        assert str(ip.ip.ip)
    for route in result.routes:
        assert str(ipaddress.ip_interface(route.dst))
        assert route.gw is None or str(ipaddress.ip_address(route.gw))
    assert all(isinstance(server, str) for server in result.dns.nameservers)
    assert result.gateway is None or result.gateway.version in {4, 6}
    assert result.mac is None or result.interfaces
    assert all(port.container for port in result.port_mappings)


UNSPECIFIED = "0.0.0.0"  # noqa: S104 (a gateway that is none)


@pytest.mark.parametrize(
    ("written", "gateway"),
    [
        pytest.param({"routes": [{"dst": "0.0.0.0/0", "gw": UNSPECIFIED}]}, None, id="of a link"),
        pytest.param({"ips": [{"address": "fd00::2/64", "gateway": "::"}]}, None, id="IPv6"),
        pytest.param(
            {"routes": [{"dst": "0.0.0.0/0", "gw": UNSPECIFIED}, {"dst": "::/0", "gw": "fd00::1"}]},
            "fd00::1",
            id="the next one counts",
        ),
    ],
)
def test_an_unspecified_gateway_is_none(written: dict[str, Any], gateway: str | None) -> None:
    """dhcp prints it for routes of the link."""
    found = parse_result(json.dumps(written), "1.0.0").gateway
    assert (str(found) if found else None) == gateway


def test_keys_fold_as_in_go_and_no_further() -> None:
    """Python's casefold takes two letters for a sharp s."""
    printed = '{"ips":[{"addre\u00df":"10.0.0.2/24","addre\u017fs":"10.0.0.3/24"}]}'
    assert str(parse_result(printed, "1.0.0").ipv4) == "10.0.0.3"


MANY = b",".join([b"0"] * 65_531)


@pytest.mark.rule("R17", "R33")
@pytest.mark.parametrize(
    ("printed", "selected", "message"),
    [
        pytest.param(
            b'{"x":[' + b"0," * 65_534 + b"0]}",
            "1.0.0",
            "with its version: more than 65536",
            id="the comma of the version",
        ),
        pytest.param(
            b'{"x":"' + b"a" * ((1 << 20) - 8) + b'"}',
            "1.0.0",
            "with its version: more than 1048576",
            id="the characters of the version",
        ),
        pytest.param(
            b'{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}],"x":[' + MANY + b"]}",
            "0.4.0",
            "1.0.0 as 0.4.0: more than 65536",
            id="what an older version says more",
        ),
        pytest.param(
            '{"cniVersion":"0.4.0","é":"'.encode() + b"a" * ((1 << 20) - 29) + b'"}',
            "1.0.0",
            "0.4.0 as 1.0.0: more than 1048576",
            id="an escaped key",
        ),
    ],
)
def test_what_could_not_be_read_back_from_a_record_is_no_result(
    printed: bytes, selected: str, message: str
) -> None:
    with pytest.raises(ResultError, match=message):
        parse_result(printed, selected)


@pytest.mark.parametrize("printed", ['{"code":7,"msg":"no"}', '{"Code":7,"Msg":"no"}'])
def test_an_error_object_is_no_result_in_any_case_of_its_keys(printed: str) -> None:
    with pytest.raises(ResultError, match="an error object"):
        parse_result(printed, "1.0.0")


def test_a_gateway_has_no_zone() -> None:
    printed = '{"ips":[{"address":"fe80::2/64","gateway":"fe80::1%eth0"}]}'
    with pytest.raises(ResultError, match="no address at"):
        parse_result(printed, "1.0.0")


def test_a_prefix_length_may_have_leading_zeros() -> None:
    zeros = "0" * 5000
    printed = {
        "ips": [{"address": f"10.0.0.2/{zeros}16"}],
        "routes": [{"dst": "0.0.0.0/00", "gw": "10.0.0.1"}],
    }
    result = parse_result(json.dumps(printed), "1.0.0")
    assert str(result.ipv4) == "10.0.0.2"
    assert str(result.ips[0].ip) == "10.0.0.2/16"
    assert str(result.gateway) == "10.0.0.1"


@pytest.mark.parametrize("selected", ["0.5.0", "", "1.2.0", "\ud800" * 100])
def test_a_version_that_acni_does_not_know_is_no_version_to_read_in(selected: str) -> None:
    with pytest.raises(ResultError, match="is no version that acni knows") as caught:
        parse_result("{}", selected)
    assert len(str(caught.value)) < 100
    assert str(caught.value).isascii()
