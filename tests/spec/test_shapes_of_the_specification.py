"""The specification's shapes, each in an example of our own: what a runtime sends, what it reads.

The walk follows one attachment through ADD, CHECK and DEL of a list with three plugins, the first
of which delegates its addresses, and compares every request as a JSON value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from acni.errors import CheckFailed, NotReady, PluginError, PluginFailed, TryAgain
from acni.spec import (
    SUPPORTED_VERSIONS,
    Attachment,
    Bandwidth,
    Command,
    Dns,
    Ending,
    Interface,
    IpConfig,
    NetworkConfig,
    Parameters,
    PortMapping,
    Response,
    Result,
    Route,
    Step,
    build_request,
    parse_network,
    parse_plugin,
    parse_result,
    parse_single,
    plan,
    read_response,
)
from acni.spec.names import ContainerId, NetnsPath, parse_plugin_type
from acni.spec.request import network_parameters
from acni.spec.versionreply import read_versions, version_request

NETNS: Final = "/run/netns/till"

IPAM: Final = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.77.0.0/16", "gateway": "10.77.255.254"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "198.51.100.0/24", "gw": "10.77.255.1"}],
}
LIST: Final[dict[str, Any]] = {
    "cniVersion": "0.4.0",
    "cniVersions": ["0.4.0", "1.0.0", "1.1.0", "7.0.0"],
    "name": "shop-floor",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "shop0",
            "isGateway": True,
            "our-own": ["passed", {"on": 1.5}],
            "ipam": IPAM,
            "dns": {"nameservers": ["10.77.0.53"], "search": ["shop.example"]},
            "args": {"cni": {"labels": [{"key": "floor", "value": "2"}]}},
        },
        {
            "type": "tuning",
            "capabilities": {"mac": True, "bandwidth": False},
            "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": False},
    ],
}
MAC: Final = "02:77:00:00:00:09"
PORTS: Final = [{"hostPort": 8443, "containerPort": 443, "protocol": "tcp"}]
# What each plugin gets of its own configuration: "capabilities" never, the name and the version of
# the list always.
BRIDGE: Final[dict[str, Any]] = {
    "cniVersion": "1.1.0",
    "name": "shop-floor",
    "type": "bridge",
    "bridge": "shop0",
    "isGateway": True,
    "our-own": ["passed", {"on": 1.5}],
    "ipam": IPAM,
    "dns": {"nameservers": ["10.77.0.53"], "search": ["shop.example"]},
    "args": {"cni": {"labels": [{"key": "floor", "value": "2"}]}},
}
TUNING: Final[dict[str, Any]] = {
    "cniVersion": "1.1.0",
    "name": "shop-floor",
    "type": "tuning",
    "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"},
    "runtimeConfig": {"mac": MAC},
}
PORTMAP: Final[dict[str, Any]] = {
    "cniVersion": "1.1.0",
    "name": "shop-floor",
    "type": "portmap",
    "snat": False,
    "runtimeConfig": {"portMappings": PORTS},
}
# An IPAM plugin's result has no interfaces and no index.
ALLOCATED: Final[Mapping[str, Any]] = {
    "cniVersion": "1.1.0",
    "ips": [{"address": "10.77.3.9/16", "gateway": "10.77.255.254"}],
    "routes": IPAM["routes"],
}


def _result(mac: str) -> dict[str, Any]:
    """Make the result of the delegating plugin, or the one after the MAC address was changed."""
    return {
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "shop0", "mac": "02:77:00:00:00:01"},
            {"name": "veth90ab", "mac": "02:77:00:00:00:02"},
            {"name": "net0", "mac": mac, "sandbox": NETNS, "mtu": 1450},
        ],
        "ips": [{"address": "10.77.3.9/16", "gateway": "10.77.255.254", "interface": 2}],
        "routes": IPAM["routes"],
        "dns": {"nameservers": ["10.77.0.53"], "search": ["shop.example"]},
    }


FIRST: Final = _result("02:77:00:00:00:03")
FINAL: Final = _result(MAC)


def _attachment() -> Attachment:
    return Attachment(
        container_id=ContainerId("till-7"),
        netns=NetnsPath(NETNS),
        ifname="net0",
        cni_args={"IgnoreUnknown": "1", "SHIFT": "late"},
        capability_args={
            "mac": MAC,
            "portMappings": [PortMapping(host=8443, container=443)],
            "bandwidth": Bandwidth(ingress_rate=1_000_000, ingress_burst=1_000_000),
            "aliases": ["nobody-declares-it"],
        },
    )


def _parameters(attachment: Attachment) -> Parameters:
    return Parameters(
        container_id=attachment.container_id,
        netns=attachment.netns,
        ifname=attachment.ifname,
        cni_args=attachment.cni_args,
        capability_texts=attachment.capability_texts,
        plugin_dirs=["/opt/shop/bin", "/usr/lib/cni"],
        inherited={"PATH": "/usr/sbin:/usr/bin"},
    )


def _environment(command: str) -> dict[str, str]:
    return {
        "PATH": "/usr/sbin:/usr/bin",
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "till-7",
        "CNI_NETNS": NETNS,
        "CNI_IFNAME": "net0",
        "CNI_ARGS": "IgnoreUnknown=1;SHIFT=late",
        "CNI_PATH": "/opt/shop/bin:/usr/lib/cni",
    }


def _printed(value: object) -> Response:
    return Response(ending=Ending.EXITED, stdout=json.dumps(value, indent=2).encode())


def _shop_floor() -> NetworkConfig:
    return parse_network(json.dumps(LIST).encode())


@pytest.mark.rule(
    "R6", "R8", "R9", "R17", "R19", "R32", "R34", "R35", "R37", "R38", "R39", "R40", "R49"
)
@pytest.mark.parametrize(
    "network",
    [
        pytest.param(_shop_floor(), id="R9 as written"),
        pytest.param(parse_network(_shop_floor().effective().encode()), id="R9 as recorded"),
    ],
)
def test_an_attachment_walks_through_add_check_and_delete(network: NetworkConfig) -> None:
    """R6, R8, R9, R17, R19, R32, R34, R35, R37 to R40, R49: with the configuration as the
    administrator wrote it, and with the one that the record keeps.
    """
    assert network.cni_version == "1.1.0"
    parameters = _parameters(_attachment())
    previous: Result | None = None
    for step, config, printed in zip(
        plan(Command.ADD, network),
        (BRIDGE, TUNING | {"prevResult": FIRST}, PORTMAP | {"prevResult": FINAL}),
        (FIRST, FINAL, FINAL),
        strict=True,
    ):
        raw = previous.raw if previous else None
        request = build_request(step, network, parameters, previous=raw)
        assert json.loads(request.stdin) == config
        assert request.environment == _environment("ADD")
        previous = read_response(step, _printed(printed), network.cni_version)
    assert previous is not None
    assert previous.mac == MAC

    for command, configs in (
        (Command.CHECK, (BRIDGE, TUNING, PORTMAP)),
        (Command.DEL, (PORTMAP, TUNING, BRIDGE)),
    ):
        for step, config in zip(plan(command, network), configs, strict=True):
            request = build_request(step, network, parameters, previous=previous.raw)
            assert json.loads(request.stdin) == config | {"prevResult": FINAL}
            assert request.environment == _environment(command.value)
            silent = Response(ending=Ending.EXITED)
            assert read_response(step, silent, network.cni_version) is None


@pytest.mark.rule("R46")
def test_an_undo_before_any_result_runs_the_whole_chain_without_one() -> None:
    """R46: the first plugin failed, so that there is no previous result."""
    network = _shop_floor()
    configs = (PORTMAP, TUNING, BRIDGE)
    for step, config in zip(plan(Command.DEL, network), configs, strict=True):
        request = build_request(step, network, _parameters(_attachment()))
        assert json.loads(request.stdin) == config


def test_the_result_of_a_delegated_plugin_is_a_result_without_interfaces() -> None:
    result = parse_result(json.dumps(ALLOCATED), "1.1.0")
    assert result.interfaces == ()
    assert result.ips == (
        IpConfig(address="10.77.3.9/16", gateway="10.77.255.254", interface=None),
    )
    assert [(route.dst, route.gw) for route in result.routes] == [
        ("0.0.0.0/0", None),
        ("198.51.100.0/24", "10.77.255.1"),
    ]
    assert str(result.gateway) == "10.77.255.254"


@pytest.mark.rule("R16")
def test_a_status_asks_each_plugin_with_its_configuration_and_about_no_attachment() -> None:
    """R16: ``capabilities`` is left out for the verbs on an attachment only."""
    network = _shop_floor()
    parameters = network_parameters(["/opt/shop/bin"], {"PATH": "/usr/bin"})
    steps = plan(Command.STATUS, network)
    assert len(steps) == len(LIST["plugins"])
    for step, plugin in zip(steps, LIST["plugins"], strict=True):
        request = build_request(step, network, parameters)
        common = {"cniVersion": "1.1.0", "name": "shop-floor"}
        assert json.loads(request.stdin) == common | plugin
        assert request.environment == {
            "PATH": "/usr/bin",
            "CNI_COMMAND": "STATUS",
            "CNI_CONTAINERID": "",
            "CNI_NETNS": "",
            "CNI_IFNAME": "",
            "CNI_ARGS": "",
            "CNI_PATH": "/opt/shop/bin",
        }


CAPABILITIES: Final[Mapping[str, object]] = {
    "portMappings": [
        {"hostPort": 8443, "containerPort": 443, "protocol": "tcp"},
        {"hostPort": 5353, "containerPort": 53, "protocol": "udp"},
    ],
    "ipRanges": [
        [
            {
                "subnet": "10.77.0.0/24",
                "rangeStart": "10.77.0.10",
                "rangeEnd": "10.77.0.90",
                "gateway": "10.77.0.254",
            },
            {"subnet": "10.78.0.0/24"},
        ],
        [{"subnet": "2001:db8:77::/64"}],
    ],
    "bandwidth": {
        "ingressRate": 8_000_000,
        "ingressBurst": 4_000_000,
        "egressRate": 16_000_000,
        "egressBurst": 8_000_000,
    },
    "dns": {
        "searches": ["shop.example", "example"],
        "servers": ["10.77.0.53", "2001:db8:77::53"],
        "options": ["ndots:2"],
    },
    "ips": ["10.77.0.20", "10.77.0.21/24", "2001:db8:77::20", "2001:db8:77::21/64"],
    "mac": MAC,
    "infinibandGUID": "02:77:00:00:00:00:00:09",
    "deviceID": "0000:3b:02.7",
    "aliases": ["till", "till-7.shop"],
    "cgroupPath": "/shop.slice/shop-till.slice",
}


def _step(command: Command, network: NetworkConfig) -> Step:
    (step,) = plan(command, network)
    return step


def _runtime_config(
    command: Command, declared: Mapping[str, bool], arguments: Mapping[str, object]
) -> object:
    plugin = {"type": "any", "capabilities": declared}
    network = parse_network(
        json.dumps({"cniVersion": "1.1.0", "name": "n", "plugins": [plugin]}).encode()
    )
    attachment = Attachment(
        container_id=ContainerId("till-7"), netns=NetnsPath(NETNS), capability_args=arguments
    )
    request = build_request(_step(command, network), network, _parameters(attachment))
    return json.loads(request.stdin).get("runtimeConfig")


@pytest.mark.rule("R38", "R51")
@pytest.mark.parametrize("name", [pytest.param(name, id=f"R51 {name}") for name in CAPABILITIES])
@pytest.mark.parametrize("command", [Command.ADD, Command.CHECK, Command.DEL])
def test_a_well_known_capability_reaches_the_plugin_that_declares_it(
    command: Command, name: str
) -> None:
    """R38: of all that the runtime was given, that one alone, in the shape of the conventions."""
    sent = _runtime_config(command, {name: True}, CAPABILITIES)
    assert sent == {name: CAPABILITIES[name]}


@pytest.mark.rule("R38", "R51")
def test_all_well_known_capabilities_travel_together() -> None:
    declared = dict.fromkeys(CAPABILITIES, True)
    assert _runtime_config(Command.ADD, declared, CAPABILITIES) == CAPABILITIES


@pytest.mark.rule("R51")
@pytest.mark.parametrize(
    ("name", "typed"),
    [
        pytest.param(
            "portMappings",
            [
                PortMapping(host=8443, container=443),
                PortMapping(host=5353, container=53, protocol="udp"),
            ],
            id="R51 port mappings",
        ),
        pytest.param(
            "bandwidth",
            Bandwidth(
                ingress_rate=8_000_000,
                ingress_burst=4_000_000,
                egress_rate=16_000_000,
                egress_burst=8_000_000,
            ),
            id="R51 bandwidth",
        ),
    ],
)
def test_a_typed_capability_argument_has_the_shape_of_the_conventions(
    name: str, typed: object
) -> None:
    assert _runtime_config(Command.ADD, {name: True}, {name: typed}) == {name: CAPABILITIES[name]}


@pytest.mark.rule("R38")
def test_a_plugin_configuration_alone_may_declare_a_capability() -> None:
    """R38: as the specification and the conventions show one, without version and list."""
    plugin = parse_plugin(b'{"name": "p", "type": "forwarder", "capabilities": {"mac": true}}')
    assert plugin.capabilities == {"mac"}
    network = parse_single(b'{"name": "p", "type": "forwarder", "capabilities": {"mac": true}}')
    attachment = Attachment(
        container_id=ContainerId("till-7"), netns=NetnsPath(NETNS), capability_args={"mac": MAC}
    )
    request = build_request(_step(Command.ADD, network), network, _parameters(attachment))
    assert json.loads(request.stdin) == {
        "cniVersion": "0.1.0",
        "name": "p",
        "type": "forwarder",
        "runtimeConfig": {"mac": MAC},
    }


META: Final = {
    "cni": {
        "labels": [{"key": "app", "value": "till"}, {"key": "stage", "value": "live"}],
        "ips": ["10.77.0.30/24", "2001:db8:77::30"],
    }
}


@pytest.mark.rule("R52", "R63")
@pytest.mark.parametrize("command", [Command.ADD, Command.DEL])
def test_labels_and_addresses_in_args_reach_the_plugin_as_written(command: Command) -> None:
    """R52, R63: in a configuration of one plugin, of 0.2.0, with CNI_ARGS beside them."""
    config = {
        "cniVersion": "0.2.0",
        "name": "till",
        "type": "bridge",
        "args": META,
        "ipam": {"type": "static"},
    }
    network = parse_single(json.dumps(config).encode())
    attachment = Attachment(
        container_id=ContainerId("till-7"),
        netns=NetnsPath(NETNS),
        cni_args={"IP": "10.77.0.30/24"},
    )
    request = build_request(_step(command, network), network, _parameters(attachment))
    assert json.loads(request.stdin) == config
    assert request.environment["CNI_ARGS"] == "IP=10.77.0.30/24"


@pytest.mark.rule("R52")
def test_a_callers_labels_and_addresses_reach_every_plugin_of_the_list() -> None:
    """R52: beside what a plugin's own configuration says in args."""
    network = _shop_floor().with_args({"cni": {"ips": META["cni"]["ips"]}})
    sent = [
        json.loads(build_request(step, network, _parameters(_attachment())).stdin)["args"]
        for step in plan(Command.ADD, network)
    ]
    ips = {"ips": META["cni"]["ips"]}
    labels = {"labels": [{"key": "floor", "value": "2"}]}
    assert sent == [{"cni": labels | ips}, {"cni": ips}, {"cni": ips}]


@pytest.mark.rule("R42")
def test_every_field_of_a_result_is_read() -> None:
    """R42: all that 1.1.0 has a word for."""
    everything = {
        "cniVersion": "1.1.0",
        "interfaces": [
            {
                "name": "net0",
                "mac": MAC,
                "mtu": 9000,
                "sandbox": NETNS,
                "socketPath": "/run/shop/net0.sock",
                "pciID": "0000:3b:02.7",
            }
        ],
        "ips": [{"address": "2001:db8:77::9/64", "gateway": "2001:db8:77::1", "interface": 0}],
        "routes": [
            {
                "dst": "2001:db8:78::/48",
                "gw": "2001:db8:77::2",
                "mtu": 1400,
                "advmss": 1340,
                "priority": 50,
                "table": 77,
                "scope": 253,
            }
        ],
        "dns": {
            "nameservers": ["2001:db8:77::53"],
            "domain": "shop.example",
            "search": ["shop.example", "example"],
            "options": ["ndots:2"],
        },
    }
    result = parse_result(json.dumps(everything), "1.1.0")
    assert json.loads(result.raw) == everything
    assert result.interfaces == (
        Interface(
            name="net0",
            mac=MAC,
            sandbox=NETNS,
            mtu=9000,
            socket_path="/run/shop/net0.sock",
            pci_id="0000:3b:02.7",
        ),
    )
    assert result.ips == (
        IpConfig(address="2001:db8:77::9/64", gateway="2001:db8:77::1", interface=0),
    )
    assert result.routes == (
        Route(
            dst="2001:db8:78::/48",
            gw="2001:db8:77::2",
            mtu=1400,
            advmss=1340,
            priority=50,
            table=77,
            scope=253,
        ),
    )
    assert result.dns == Dns(
        nameservers=("2001:db8:77::53",),
        domain="shop.example",
        search=("shop.example", "example"),
        options=("ndots:2",),
    )


CODES: Final[Mapping[int, tuple[str, str]]] = {
    1: ("incompatible version", "1.1.0 is asked for, 0.4.0 is known"),
    2: ("unsupported field", "isGateway: true"),
    3: ("unknown container", "till-7"),
    4: ("invalid variable", "CNI_IFNAME"),
    5: ("no input", "standard input is closed"),
    6: ("no JSON", "character 7"),
    7: ("invalid configuration", "10.77.0.0/31 has no address to give"),
    11: ("later", "another run holds the lock"),
    50: ("not available", "no daemon"),
    51: ("not available", "no daemon, containers may lose their routes"),
    100: ("the plugin's own", "the first of them"),
    2_000: ("the plugin's own", "one of the last"),
}


@pytest.mark.rule("R13", "R43", "R44", "R45")
@pytest.mark.parametrize("code", [pytest.param(code, id=f"R43 {code}") for code in CODES])
@pytest.mark.parametrize("command", [Command.ADD, Command.DEL, Command.CHECK, Command.STATUS])
def test_each_code_of_the_table_is_read_with_its_message(command: Command, code: int) -> None:
    """R13, R43 to R45: 11 is "later" for every verb, 50 and 51 mean something to STATUS."""
    msg, details = CODES[code]
    said = {"cniVersion": "1.1.0", "code": code, "msg": msg, "details": details}
    response = Response(ending=Ending.EXITED, status=1, stdout=json.dumps(said).encode())
    network = parse_network(b'{"cniVersion":"1.1.0","name":"n","plugins":[{"type":"any"}]}')
    with pytest.raises(PluginError) as caught:
        read_response(_step(command, network), response, "1.1.0")
    error = caught.value
    assert (error.code, error.msg, error.details) == (code, msg, details)
    assert type(error) is _kind(command, code)


def _kind(command: Command, code: int) -> type[PluginFailed]:
    if code == 11:
        return TryAgain
    if command is Command.STATUS and code in (50, 51):
        return NotReady
    return CheckFailed if command is Command.CHECK else PluginFailed


@pytest.mark.rule("R9", "R16")
def test_a_plugin_is_asked_for_its_versions_and_its_answer_is_read() -> None:
    request = version_request({"PATH": "/usr/bin"})
    asked = json.loads(request.stdin)
    assert asked == {"cniVersion": "1.1.0"}
    assert request.environment["CNI_COMMAND"] == "VERSION"
    answer = asked | {"supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0", "7.0.0"]}
    versions = read_versions(parse_plugin_type("bridge"), _printed(answer))
    assert versions == ("0.3.1", "0.4.0", "1.0.0", "1.1.0", "7.0.0")
    assert asked["cniVersion"] == SUPPORTED_VERSIONS[-1]
