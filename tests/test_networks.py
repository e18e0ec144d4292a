"""Networks from Python: ordinary configurations of the reference plugins."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni import networks
from acni.errors import AcniError, ConfigError, InvalidName, VersionUnsupported
from acni.spec import NetworkConfig, parse_network
from acni.spec.names import parse_ifname

Make = Callable[..., NetworkConfig]

_both = pytest.mark.parametrize("make", [networks.bridge, networks.routed])


def _plugins(network: NetworkConfig) -> list[dict[str, Any]]:
    return [json.loads(plugin.text) for plugin in network.plugins]


def _device(name: str) -> str:
    device = _plugins(networks.bridge(name, "10.88.0.0/16"))[0]["bridge"]
    assert isinstance(device, str)
    return device


def test_a_bridge_is_a_chain_of_the_reference_plugins() -> None:
    network = networks.bridge("dbnet", "10.88.0.0/16")
    assert (network.name, network.versions) == ("dbnet", ("1.0.0", "1.1.0"))
    assert (network.source, network.members, network.disable_check) == (None, {}, False)
    assert _plugins(network) == [
        {
            "type": "bridge",
            "bridge": "acni-dbnet",
            "isGateway": True,
            "hairpinMode": True,
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.88.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "firewall"},
    ]
    assert [sorted(plugin.capabilities) for plugin in network.plugins] == [[], ["portMappings"], []]


@_both
def test_without_ports_of_the_host_the_chain_is_the_plugin_that_attaches(
    make: Callable[..., NetworkConfig],
) -> None:
    whole, alone = (make("net", "10.88.0.0/16", ports=ports) for ports in (True, False))
    assert [plugin.type for plugin in whole.plugins[1:]] == ["portmap", "firewall"]
    assert alone.plugins == whole.plugins[:1]


def test_a_routed_network_is_a_chain_that_begins_with_ptp() -> None:
    network = networks.routed("jobs", "10.89.0.0/24", masquerade=True)
    first, *others = _plugins(network)
    assert first == {
        "type": "ptp",
        "ipMasq": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "10.89.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    assert [plugin["type"] for plugin in others] == ["portmap", "firewall"]
    assert network.versions == ("1.0.0", "1.1.0")


@_both
def test_several_subnets_are_a_range_each_and_a_default_route_a_family(make: Make) -> None:
    network = make(
        "net", "fd00:88::/64", ipaddress.ip_network("10.88.0.0/16"), "fd00:89::/64", masquerade=True
    )
    first = _plugins(network)[0]
    assert first["ipMasq"] is True
    assert first["ipam"] == {
        "type": "host-local",
        "ranges": [
            [{"subnet": "fd00:88::/64"}],
            [{"subnet": "10.88.0.0/16"}],
            [{"subnet": "fd00:89::/64"}],
        ],
        "routes": [{"dst": "::/0"}, {"dst": "0.0.0.0/0"}],
    }


@_both
def test_a_network_is_read_again_as_it_is(make: Make) -> None:
    network = make("net", "10.88.0.0/16", "fd00:88::/64")
    assert parse_network(network.effective().encode()) == network


@pytest.mark.parametrize(
    ("subnet", "written"),
    [
        ("10.88.0.0/255.255.0.0", "10.88.0.0/16"),
        ("10.88.0.0/30", "10.88.0.0/30"),
        ("FD00:0:0::/126", "fd00::/126"),
        (ipaddress.ip_network("fd00:88::/64"), "fd00:88::/64"),
    ],
    ids=str,
)
def test_a_subnet_is_written_in_its_shortest_form(subnet: str, written: str) -> None:
    assert _plugins(networks.bridge("net", subnet))[0]["ipam"]["ranges"] == [[{"subnet": written}]]


@pytest.mark.parametrize(
    ("subnets", "place", "message"),
    [
        pytest.param([], "subnets", "no subnet", id="none"),
        pytest.param([""], "subnets[0]", "got ''", id="empty"),
        pytest.param(["net"], "subnets[0]", "got 'net'", id="text"),
        pytest.param(["10.88.0.0/33"], "subnets[0]", "expected a subnet", id="too long a prefix"),
        pytest.param(["10.88.0.0/8/8"], "subnets[0]", "expected a subnet", id="two prefixes"),
        pytest.param(["fe80::%eth0/64"], "subnets[0]", "expected a subnet", id="zone"),
        pytest.param(["é"], "subnets[0]", "expected a subnet", id="not ASCII"),
        pytest.param(["1" * 9999], "subnets[0]", "expected a subnet", id="long"),
        pytest.param([None], "subnets[0]", "got NoneType", id="None"),
        pytest.param([167772160], "subnets[0]", "got int", id="number"),
        pytest.param([10**5000], "subnets[0]", "got int", id="number without a text"),
        pytest.param([("10.0.0.0", 8)], "subnets[0]", "got tuple", id="pair"),
        pytest.param([b"\x0a\0\0\0"], "subnets[0]", "got bytes", id="bytes"),
        pytest.param([["10.88.0.0/16"]], "subnets[0]", "got list", id="list"),
        pytest.param(
            ["10.88.0.0/16", "10.89.0.1/16"],
            "subnets[1]",
            "10.89.0.1/16 has host bits set",
            id="host bits",
        ),
        pytest.param(["fd00::1/64"], "subnets[0]", "has host bits set", id="host bits of IPv6"),
        pytest.param(["10.88.0.0"], "subnets[0]", "10.88.0.0/32 is too small", id="an address"),
        pytest.param(["10.88.0.0/31"], "subnets[0]", "is too small", id="/31"),
        pytest.param(["fd00::/127"], "subnets[0]", "is too small", id="/127"),
        pytest.param(["::ffff:10.0.0.0/120"], "subnets[0]", "is IPv4 in IPv6", id="mapped"),
        pytest.param(
            ["10.0.0.0/8", "fd00::/64", "10.88.0.0/16"],
            "subnets[2]",
            "10.88.0.0/16 overlaps 10.0.0.0/8",
            id="overlap",
        ),
        pytest.param(["fd00::/64", "fd00::/64"], "subnets[1]", "overlaps", id="twice"),
        pytest.param(
            ["fd00::/64", "127.0.0.0/8"], "subnets[1]", "never leaves its host", id="loopback"
        ),
        pytest.param(["0.0.0.0/0"], "subnets[0]", "contains 0.0.0.0/8", id="everything"),
    ],
)
@_both
def test_what_cannot_be_a_subnet_is_refused(
    make: Make, subnets: list[object], place: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make("net", *subnets)
    assert caught.value.place == place
    assert message in caught.value.message
    assert caught.value.expected
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 200


def test_a_bridge_is_the_gateway_of_one_subnet_of_ipv4() -> None:
    """A second one would be refused when the first container comes."""
    subnets = ("fd00:88::/64", "10.88.0.0/16", "10.89.0.0/16")
    with pytest.raises(ConfigError) as caught:
        networks.bridge("net", *subnets)
    assert caught.value.place == "subnets[2]"
    assert caught.value.message == "10.89.0.0/16 is a second one of IPv4, beside 10.88.0.0/16"
    assert len(_plugins(networks.routed("net", *subnets))[0]["ipam"]["ranges"]) == 3


def test_the_error_of_host_bits_says_what_was_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        networks.bridge("net", "10.88.3.4/16")
    assert caught.value.expected == "10.88.0.0/16"


@pytest.mark.rule("R1")
@pytest.mark.parametrize("name", ["", "-a", "a/b", "a\n", None, 5], ids=ascii)
@pytest.mark.parametrize(
    "make",
    [
        lambda name: networks.bridge(name, "10.88.0.0/16"),
        lambda name: networks.routed(name, "10.88.0.0/16"),
        lambda name: networks.from_plugins(name, {"type": "ptp"}),
    ],
    ids=["bridge", "routed", "from_plugins"],
)
def test_a_bad_name_is_refused(make: Make, name: object) -> None:
    with pytest.raises(InvalidName) as caught:
        make(name)
    assert caught.value.place == "network name"


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("n", "acni-n"),
        ("ten_chars.", "acni-ten_chars."),
        ("eleven_char", "acni_i54t5lqjtl"),
        ("Eleven_char", "acni_5qveztqsr4"),
        ("a" * 255, "acni_wdztept2hs"),
    ],
    ids=lambda text: text[:15],
)
def test_the_bridge_is_named_after_the_network_and_never_otherwise(name: str, device: str) -> None:
    """What a released acni named must be found again: these never change."""
    assert _device(name) == device


@given(st.lists(st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]{0,14}", fullmatch=True), unique=True))
def test_every_network_has_a_valid_bridge_of_its_own(names: list[str]) -> None:
    devices = [_device(name) for name in names]
    assert [parse_ifname(device) for device in devices] == devices
    assert len(set(devices)) == len(names)


def test_plugins_from_python_are_a_chain() -> None:
    network = networks.from_plugins(
        "net",
        {"type": "bridge", "ipam": {"type": "static"}, "mtu": 10**30},
        MappingProxyType({"type": "tuning", "capabilities": {"mac": True}, "é": ("ü", None)}),
        version="1.1.0",
    )
    assert (network.name, network.cni_version) == ("net", "1.1.0")
    assert _plugins(network) == [
        {"type": "bridge", "ipam": {"type": "static"}, "mtu": 10**30},
        {"type": "tuning", "capabilities": {"mac": True}, "é": ["ü", None]},
    ]
    assert network.plugins[1].capabilities == {"mac"}
    assert parse_network(network.effective().encode()) == network


@pytest.mark.parametrize(
    ("plugins", "place"),
    [
        pytest.param([], "$.plugins", id="none"),
        pytest.param([None], "plugins[0]", id="None"),
        pytest.param(['{"type":"a"}'], "plugins[0]", id="text"),
        pytest.param([[("type", "a")]], "plugins[0]", id="pairs"),
        pytest.param([{"type": "a"}, {"type": "b", "x": {1}}], "plugins[1]", id="set"),
        pytest.param([{"type": "a", "x": float("nan")}], "plugins[0]", id="NaN"),
        pytest.param([{"type": "a"}, {}], "$.plugins[1].type", id="no type"),
        pytest.param([{"type": "../a"}], "$.plugins[0].type", id="climbing type"),
        pytest.param([{"type": "a", "ipam": 5}], "$.plugins[0].ipam", id="ipam is a number"),
        pytest.param([{"type": "a", "x": [0] * 70_000}], "$", id="too large"),
    ],
)
def test_what_cannot_be_a_plugin_configuration_is_refused(plugins: list[Any], place: str) -> None:
    with pytest.raises(AcniError) as caught:
        networks.from_plugins("net", *plugins)
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("version", "place"),
    [(1.0, "version"), ([], "version"), ("", "version"), ("one", "$.cniVersion")],
)
def test_what_is_no_version_is_refused(version: Any, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        networks.from_plugins("net", {"type": "ptp"}, version=version)
    assert caught.value.place == place


@pytest.mark.rule("R9")
def test_a_version_that_is_not_known_is_refused() -> None:
    with pytest.raises(VersionUnsupported):
        networks.from_plugins("net", {"type": "ptp"}, version="9.0.0")


def test_importing_the_room_loads_no_loop_and_only_pure_rooms() -> None:
    program = "import acni.networks, json, sys; print(json.dumps(sorted(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    modules = set(json.loads(printed.stdout))
    assert modules & {"anyio", "asyncio", "socket", "subprocess", "trio"} == set()
    ours = {name.split(".")[1] for name in modules if name.startswith("acni.")}
    assert ours == {"errors", "networks", "spec"}


def test_containers_are_isolated_where_that_is_asked_for() -> None:
    shared = _plugins(networks.bridge("dbnet", "10.88.0.0/16"))[0]
    isolated = _plugins(networks.bridge("dbnet", "10.88.0.0/16", isolate=True))[0]
    assert isolated == shared | {"portIsolation": True}
