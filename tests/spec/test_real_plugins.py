"""What real plugins print: odd shapes with the project that prints them, and what is read of each.

The shapes were read from the projects' sources and issues, those of the reference plugins were seen
by running them; names and addresses are our own. A shape is here for its oddness: an interface
index that leads nowhere, a MAC address that is a number, a result before an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import pytest
from attrs import frozen

from acni.errors import (
    CheckFailed,
    NotReady,
    PluginError,
    PluginFailed,
    PluginProtocolError,
    TryAgain,
)
from acni.spec import Command, Ending, Response, Result, Step, parse_network, parse_result, plan
from acni.spec.names import parse_plugin_type
from acni.spec.response import read_response
from acni.spec.versionreply import read_versions

Printed = Mapping[str, object] | str

NETNS = "/run/netns/web"
DEFAULT = {"dst": "0.0.0.0/0"}
UNSPECIFIED = "0.0.0.0"  # noqa: S104 - nothing is bound to it


def _text(printed: Printed) -> str:
    """Write an object as Go's plugins do."""
    return printed if isinstance(printed, str) else json.dumps(printed, indent=4)


def _step(command: Command, version: str, plugin: str) -> Step:
    network = {"cniVersion": version, "name": "pods", "plugins": [{"type": plugin}]}
    (step,) = plan(command, parse_network(json.dumps(network).encode()))
    return step


@frozen(kw_only=True)
class Added:
    """A successful ADD and what the plugin's users need of it.

    Attributes:
        version: The selected version.
        printed: What is on standard output.
        stderr: What is on standard error.
        addresses: Each address as written.
        places: For each, the place of its interface, or None.
        gateway: The gateway of the container.
        routes: Destination and gateway of each route.
        mac: The hardware address in the container.
        inside: The interfaces that have a sandbox.
    """

    version: str
    printed: Printed
    stderr: str = ""
    addresses: tuple[str, ...] = ()
    places: tuple[int | None, ...] = ()
    gateway: str | None = None
    routes: tuple[tuple[str, str | None], ...] = ()
    mac: str | None = None
    inside: tuple[str, ...] = ()


ADDED: Final[Mapping[str, Added]] = {
    # 1.1.1 prints an empty dns in every version.
    "bridge 1.1.1 in 1.0.0, with host-local": Added(
        version="1.0.0",
        printed={
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "cni0", "mac": "3e:0c:c5:00:00:01"},
                {"name": "veth3e2f8f42", "mac": "3e:0c:c5:00:00:02"},
                {"name": "eth0", "mac": "a6:a0:06:00:00:03", "sandbox": NETNS},
            ],
            "ips": [{"interface": 2, "address": "10.20.0.2/24", "gateway": "10.20.0.1"}],
            "routes": [DEFAULT],
            "dns": {},
        },
        addresses=("10.20.0.2/24",),
        places=(2,),
        gateway="10.20.0.1",
        routes=(("0.0.0.0/0", None),),
        mac="a6:a0:06:00:00:03",
        inside=("eth0",),
    ),
    # 1.9 sorts the keys and leaves an empty dns out; with vlan and isGateway, a host interface
    # comes after the container's.
    "bridge 1.9 in 1.1.0, with a gateway on a VLAN": Added(
        version="1.1.0",
        printed={
            "cniVersion": "1.1.0",
            "interfaces": [
                {"mac": "3e:0c:c5:00:00:01", "name": "cni0"},
                {"mac": "3e:0c:c5:00:00:02", "name": "veth3e2f8f42"},
                {"mac": "a6:a0:06:00:00:03", "name": "eth0", "sandbox": NETNS},
                {"mac": "3e:0c:c5:00:00:01", "name": "cni0.100"},
            ],
            "ips": [{"address": "10.20.0.2/24", "gateway": "10.20.0.1", "interface": 2}],
        },
        addresses=("10.20.0.2/24",),
        places=(2,),
        gateway="10.20.0.1",
        mac="a6:a0:06:00:00:03",
        inside=("eth0",),
    ),
    "bridge 1.1.1 in 0.4.0, where an address has a version": Added(
        version="0.4.0",
        printed={
            "cniVersion": "0.4.0",
            "interfaces": [
                {"name": "cni0", "mac": "3e:0c:c5:00:00:01"},
                {"name": "veth0cfc4354", "mac": "3e:0c:c5:00:00:02"},
                {"name": "eth0", "mac": "7a:b0:b8:00:00:03", "sandbox": NETNS},
            ],
            "ips": [
                {"version": "4", "interface": 2, "address": "10.20.0.3/24", "gateway": "10.20.0.1"}
            ],
            "routes": [DEFAULT],
            "dns": {},
        },
        addresses=("10.20.0.3/24",),
        places=(2,),
        gateway="10.20.0.1",
        routes=(("0.0.0.0/0", None),),
        mac="7a:b0:b8:00:00:03",
        inside=("eth0",),
    ),
    # 0.2.0 has no word for an interface: its users get neither name nor MAC address.
    "bridge 1.1.1 in 0.2.0, without interfaces": Added(
        version="0.2.0",
        printed={
            "cniVersion": "0.2.0",
            "ip4": {"ip": "10.20.0.4/24", "gateway": "10.20.0.1", "routes": [DEFAULT]},
            "dns": {},
        },
        addresses=("10.20.0.4/24",),
        places=(None,),
        gateway="10.20.0.1",
        routes=(("0.0.0.0/0", None),),
    ),
    "bridge 1.1.1 in 0.4.0, without IPAM": Added(
        version="0.4.0",
        printed={
            "cniVersion": "0.4.0",
            "interfaces": [
                {"name": "cni0", "mac": "3e:0c:c5:00:00:01"},
                {"name": "vethf8df771d", "mac": "96:aa:b3:00:00:02"},
                {"name": "eth2", "mac": "9e:a9:23:00:00:03", "sandbox": NETNS},
            ],
            "dns": {},
        },
        mac="9e:a9:23:00:00:03",
        inside=("eth2",),
    ),
    # A configuration without a version: the answer is of 0.1.0, and says so.
    "host-local 1.1.1 of a configuration without version": Added(
        version="0.1.0",
        printed={
            "cniVersion": "0.1.0",
            "ip4": {"ip": "10.20.0.2/24", "gateway": "10.20.0.1", "routes": [DEFAULT]},
            "dns": {},
        },
        addresses=("10.20.0.2/24",),
        places=(None,),
        gateway="10.20.0.1",
        routes=(("0.0.0.0/0", None),),
    ),
    # IPAM leaves interfaces and the index out, as the specification wants it.
    "host-local 1.1.1 in 0.3.1": Added(
        version="0.3.1",
        printed={
            "cniVersion": "0.3.1",
            "ips": [{"version": "4", "address": "10.20.0.2/24", "gateway": "10.20.0.1"}],
            "routes": [DEFAULT],
            "dns": {},
        },
        addresses=("10.20.0.2/24",),
        places=(None,),
        gateway="10.20.0.1",
        routes=(("0.0.0.0/0", None),),
    ),
    "host-local 1.9 in 1.1.0, one address of each family": Added(
        version="1.1.0",
        printed={
            "cniVersion": "1.1.0",
            "ips": [
                {"address": "10.20.0.2/24", "gateway": "10.20.0.1"},
                {"address": "2001:db8:20::2/64", "gateway": "2001:db8:20::1"},
            ],
            "routes": [DEFAULT, {"dst": "::/0", "gw": "2001:db8:20::fe", "mtu": 1400, "table": 5}],
        },
        addresses=("10.20.0.2/24", "2001:db8:20::2/64"),
        places=(None, None),
        gateway="10.20.0.1",
        routes=(("0.0.0.0/0", None), ("::/0", "2001:db8:20::fe")),
    ),
    "static 1.1.1 in 1.0.0, without gateway and with host bits in a route": Added(
        version="1.0.0",
        printed={
            "cniVersion": "1.0.0",
            "ips": [{"address": "192.0.2.7/24"}],
            "routes": [{"dst": "198.51.100.9/24"}],
            "dns": {"nameservers": ["192.0.2.53"]},
        },
        addresses=("192.0.2.7/24",),
        places=(None,),
        routes=(("198.51.100.9/24", None),),
    ),
    # A lease with classless routes (option 121) and no router (option 3): the gateway is in a route
    # only, and a route of the link has an unspecified address for one.
    "dhcp 1.9 in 1.0.0, the gateway in a route only": Added(
        version="1.0.0",
        printed={
            "cniVersion": "1.0.0",
            "ips": [{"address": "192.0.2.130/25"}],
            "routes": [
                {"dst": "198.51.100.0/24", "gw": UNSPECIFIED, "scope": 253},
                {"dst": "0.0.0.0/0", "gw": "192.0.2.129"},
            ],
        },
        addresses=("192.0.2.130/25",),
        places=(None,),
        gateway="192.0.2.129",
        routes=(("198.51.100.0/24", UNSPECIFIED), ("0.0.0.0/0", "192.0.2.129")),
    ),
    # The host's end has no master, the container's is second.
    "ptp 1.1.1 in 1.0.0": Added(
        version="1.0.0",
        printed={
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "veth7ee327f1", "mac": "ca:77:61:00:00:01"},
                {"name": "eth0", "mac": "a2:ae:d7:00:00:02", "sandbox": NETNS},
            ],
            "ips": [{"interface": 1, "address": "10.20.0.2/24", "gateway": "10.20.0.1"}],
            "routes": [DEFAULT],
            "dns": {"nameservers": ["10.20.0.53"]},
        },
        addresses=("10.20.0.2/24",),
        places=(1,),
        gateway="10.20.0.1",
        routes=(("0.0.0.0/0", None),),
        mac="a2:ae:d7:00:00:02",
        inside=("eth0",),
    ),
    # One interface, no end on the host; the first address has no gateway, the second has.
    "macvlan 1.1.1 in 0.4.0, with static": Added(
        version="0.4.0",
        printed={
            "cniVersion": "0.4.0",
            "interfaces": [{"name": "eth1", "mac": "52:98:e2:00:00:01", "sandbox": NETNS}],
            "ips": [
                {"version": "4", "interface": 0, "address": "192.0.2.2/24"},
                {
                    "version": "6",
                    "interface": 0,
                    "address": "2001:db8:8::2/64",
                    "gateway": "2001:db8:8::1",
                },
            ],
            "dns": {},
        },
        addresses=("192.0.2.2/24", "2001:db8:8::2/64"),
        places=(0, 0),
        gateway="2001:db8:8::1",
        mac="52:98:e2:00:00:01",
        inside=("eth1",),
    ),
    # It makes the newest result, labels it with the configuration's version and is not converted:
    # addresses without version in 0.4.0.
    "loopback 1.1.1 in 0.4.0, addresses without version": Added(
        version="0.4.0",
        printed={
            "cniVersion": "0.4.0",
            "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": NETNS}],
            "ips": [
                {"interface": 0, "address": "127.0.0.1/8"},
                {"interface": 0, "address": "::1/128"},
            ],
            "dns": {},
        },
        addresses=("127.0.0.1/8", "::1/128"),
        places=(0, 0),
        mac="00:00:00:00:00:00",
        inside=("lo",),
    ),
    # The same label on 0.2.0, whose shape it is not: nothing of it is known there.
    "loopback 1.1.1 in 0.2.0, in the shape of 1.0.0": Added(
        version="0.2.0",
        printed={
            "cniVersion": "0.2.0",
            "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": NETNS}],
            "ips": [{"interface": 0, "address": "127.0.0.1/8"}],
            "dns": {},
        },
    ),
    # Chained: the previous result with another MAC address.
    "tuning 1.1.1 in 1.0.0, chained": Added(
        version="1.0.0",
        printed={
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:77", "sandbox": NETNS}],
            "ips": [{"interface": 0, "address": "192.0.2.2/24"}],
            "dns": {},
        },
        addresses=("192.0.2.2/24",),
        places=(0,),
        mac="02:00:00:00:00:77",
        inside=("eth0",),
    ),
    # Its previous result had an address without version; it comes back with an empty one.
    "portmap 1.1.1 in 0.4.0, an empty version": Added(
        version="0.4.0",
        printed={
            "cniVersion": "0.4.0",
            "ips": [{"version": "", "address": "192.0.2.2/24"}],
            "dns": {},
        },
        addresses=("192.0.2.2/24",),
        places=(None,),
    ),
    # Its previous result was an empty object.
    "portmap 1.1.1 in 0.4.0, an empty chained result": Added(
        version="0.4.0", printed={"cniVersion": "0.4.0", "dns": {}}
    ),
    # The one interface has the name of the host's end, but the MAC address and the namespace of the
    # container's; gateways are removed, no index is set.
    "calico in 1.0.0, the host's name for the container's interface": Added(
        version="1.0.0",
        printed={
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "calia1b2c3d4e5f", "mac": "f2:31:5b:00:00:01", "sandbox": NETNS}
            ],
            "ips": [{"address": "10.30.7.66/32"}, {"address": "2001:db8:30::42/128"}],
        },
        addresses=("10.30.7.66/32", "2001:db8:30::42/128"),
        places=(None, None),
        mac="f2:31:5b:00:00:01",
        inside=("calia1b2c3d4e5f",),
    ),
    # IPv6 first, the index of the interface before it is there (it is appended at the end), routes
    # with the agent's MTU; the gateway is the node's own address.
    "cilium in 1.0.0, IPv6 first": Added(
        version="1.0.0",
        printed={
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "lxc5e1f0a7b9c2d", "mac": "de:ad:be:00:00:01"},
                {"name": "eth0", "mac": "de:ad:be:00:00:02", "sandbox": NETNS},
            ],
            "ips": [
                {
                    "interface": 1,
                    "address": "2001:db8:31::a7/128",
                    "gateway": "2001:db8:31::1",
                },
                {"interface": 1, "address": "10.31.0.167/32", "gateway": "10.31.0.1"},
            ],
            "routes": [
                {"dst": "2001:db8:31::1/128"},
                {"dst": "::/0", "gw": "2001:db8:31::1", "mtu": 1450},
                {"dst": "10.31.0.1/32"},
                {"dst": "0.0.0.0/0", "gw": "10.31.0.1", "mtu": 1450},
            ],
            "dns": {},
        },
        addresses=("2001:db8:31::a7/128", "10.31.0.167/32"),
        places=(1, 1),
        gateway="2001:db8:31::1",
        routes=(
            ("2001:db8:31::1/128", None),
            ("::/0", "2001:db8:31::1"),
            ("10.31.0.1/32", None),
            ("0.0.0.0/0", "10.31.0.1"),
        ),
        mac="de:ad:be:00:00:02",
        inside=("eth0",),
    ),
    # A third interface that does not exist carries notes for DEL: on a branch network interface,
    # its MAC address is the number of the VLAN. The real ones have none.
    "aws-cni in 0.4.0, a VLAN number as MAC address": Added(
        version="0.4.0",
        printed={
            "cniVersion": "0.4.0",
            "interfaces": [
                {"name": "vlan1f00d8c2a9e"},
                {"name": "eth0", "sandbox": NETNS},
                {"name": "dummy1f00d8c2a9e", "mac": "14"},
            ],
            "ips": [{"version": "4", "interface": 1, "address": "10.32.4.9/32"}],
            "dns": {},
        },
        addresses=("10.32.4.9/32",),
        places=(1,),
        inside=("eth0",),
    ),
    # The interface has no MAC address and no namespace, the address no index.
    "azure-vnet in 0.3.0, an interface with nothing but a name": Added(
        version="0.3.0",
        printed={
            "cniVersion": "0.3.0",
            "interfaces": [{"name": "eth0"}],
            "ips": [{"version": "4", "address": "10.33.0.35/16", "gateway": "10.33.0.1"}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.33.0.1"}],
            "dns": {"nameservers": ["10.33.0.53"]},
        },
        addresses=("10.33.0.35/16",),
        places=(None,),
        gateway="10.33.0.1",
        routes=(("0.0.0.0/0", "10.33.0.1"),),
    ),
    # On bare metal the index counts the agent's interfaces, of which the result has one.
    "azure-vnet in 0.3.0, an index beyond the interfaces": Added(
        version="0.3.0",
        printed={
            "cniVersion": "0.3.0",
            "interfaces": [{"name": "eth0"}],
            "ips": [
                {"version": "4", "interface": 0, "address": "10.33.8.0/24", "gateway": "10.33.8.1"},
                {"version": "4", "interface": 1, "address": "10.33.9.0/24", "gateway": "10.33.9.1"},
            ],
            "dns": {},
        },
        addresses=("10.33.8.0/24", "10.33.9.0/24"),
        places=(0, None),
        gateway="10.33.8.1",
    ),
    # It hands on bridge's result and shows the delegate's configuration on standard error.
    "flannel in 0.3.1, delegating to bridge": Added(
        version="0.3.1",
        printed={
            "cniVersion": "0.3.1",
            "interfaces": [
                {"name": "cni0", "mac": "5a:2f:10:00:00:01"},
                {"name": "veth4c9e02b1", "mac": "5a:2f:10:00:00:02"},
                {"name": "eth0", "mac": "5a:2f:10:00:00:03", "sandbox": NETNS},
            ],
            "ips": [
                {"version": "4", "interface": 2, "address": "10.34.1.12/24", "gateway": "10.34.1.1"}
            ],
            "routes": [{"dst": "10.34.0.0/16"}, {"dst": "0.0.0.0/0", "gw": "10.34.1.1"}],
            "dns": {},
        },
        stderr='{"cniVersion":"0.3.1","hairpinMode":true,"ipMasq":false,"ipam":{"type":"host-local"}}',
        addresses=("10.34.1.12/24",),
        places=(2,),
        gateway="10.34.1.1",
        routes=(("10.34.0.0/16", None), ("0.0.0.0/0", "10.34.1.1")),
        mac="5a:2f:10:00:00:03",
        inside=("eth0",),
    ),
    # It prints the default network's result as that network made it, here one of 1.0.0.
    "multus in 0.3.1, a delegate's newer result": Added(
        version="0.3.1",
        printed={
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "cbr0", "mac": "5a:2f:10:00:00:01", "mtu": 1450},
                {"name": "eth0", "mac": "5a:2f:10:00:00:03", "sandbox": NETNS},
            ],
            "ips": [{"interface": 1, "address": "10.34.1.13/24", "gateway": "10.34.1.1"}],
        },
        addresses=("10.34.1.13/24",),
        places=(1,),
        gateway="10.34.1.1",
        mac="5a:2f:10:00:00:03",
        inside=("eth0",),
    ),
    # Its plug for networks that need nothing: all lists are empty and left out.
    "passthru of multus in 1.1.0, a version and nothing else": Added(
        version="1.1.0", printed={"cniVersion": "1.1.0"}
    ),
    # It always prints the newest version that its library knows.
    "sriov in 0.3.1, a result of 0.4.0": Added(
        version="0.3.1",
        printed={
            "cniVersion": "0.4.0",
            "interfaces": [{"name": "net1", "mac": "be:ef:00:00:00:01", "sandbox": NETNS}],
            "ips": [
                {"version": "4", "interface": 0, "address": "10.35.0.5/24", "gateway": "10.35.0.1"}
            ],
            "dns": {},
        },
        addresses=("10.35.0.5/24",),
        places=(0,),
        gateway="10.35.0.1",
        mac="be:ef:00:00:00:01",
        inside=("net1",),
    ),
    # For DPDK the device stays without an address; this result is printed unconverted.
    "sriov in 0.4.0 for DPDK, without a version": Added(
        version="0.4.0",
        printed={"interfaces": [{"name": "net1", "sandbox": NETNS}], "dns": {}},
        inside=("net1",),
    ),
    # First in a chain, by mistake or for a test: an empty result of the configuration's version.
    "istio-cni in 0.3.1, without a previous result": Added(
        version="0.3.1", printed={"cniVersion": "0.3.1", "dns": {}}
    ),
    # After calico: the previous result through the library's newest types and back.
    "istio-cni in 0.3.1, after calico": Added(
        version="0.3.1",
        printed={
            "cniVersion": "0.3.1",
            "interfaces": [
                {"name": "cali0f1e2d3c4b5", "mac": "f2:31:5b:00:00:02", "sandbox": NETNS}
            ],
            "ips": [{"version": "4", "address": "10.30.7.67/32"}],
            "dns": {},
        },
        stderr='{"level":"info","time":"2024-05-02T07:00:00Z","msg":"excluded, no proxy"}\n',
        addresses=("10.30.7.67/32",),
        places=(None,),
        mac="f2:31:5b:00:00:02",
        inside=("cali0f1e2d3c4b5",),
    ),
    # After flannel; it only speaks on standard error.
    "linkerd-cni in 1.0.0, after flannel": Added(
        version="1.0.0",
        printed={
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "cni0", "mac": "5a:2f:10:00:00:01"},
                {"name": "eth0", "mac": "5a:2f:10:00:00:04", "sandbox": NETNS},
            ],
            "ips": [{"interface": 1, "address": "10.34.1.14/24", "gateway": "10.34.1.1"}],
        },
        stderr='time="2024-05-02T07:00:00Z" level=debug msg="linkerd-cni: plugin is finished"\n',
        addresses=("10.34.1.14/24",),
        places=(1,),
        gateway="10.34.1.1",
        mac="5a:2f:10:00:00:04",
        inside=("eth0",),
    ),
    # Its version is a constant; the sandbox is the container's ID, the name that of an endpoint, no
    # address has an index; the results of several networks are appended to each other.
    "danm in 0.4.0, a container ID as sandbox and a result of 0.3.1": Added(
        version="0.4.0",
        printed={
            "cniVersion": "0.3.1",
            "interfaces": [
                {"name": "danmep-5d0c", "sandbox": "c0ffee0123"},
                {"name": "danmep-77aa", "sandbox": "c0ffee0123"},
            ],
            "ips": [
                {"version": "4", "address": "10.36.0.4/24"},
                {"version": "4", "address": "10.37.0.4/24"},
                {"version": "6", "address": "2001:db8:37::4/64"},
            ],
            "dns": {},
        },
        addresses=("10.36.0.4/24", "10.37.0.4/24", "2001:db8:37::4/64"),
        places=(None, None, None),
        inside=("danmep-5d0c", "danmep-77aa"),
    ),
    # The host's end is named after the container; its shim, or the node's server, makes the result.
    "ovn-k8s-cni-overlay in 0.4.0, both families": Added(
        version="0.4.0",
        printed={
            "cniVersion": "0.4.0",
            "interfaces": [
                {"name": "c0ffee0123abcde", "mac": "0a:58:0a:00:00:01"},
                {"name": "eth0", "mac": "0a:58:0a:8a:02:0b", "sandbox": NETNS},
            ],
            "ips": [
                {
                    "version": "4",
                    "interface": 1,
                    "address": "10.138.2.11/23",
                    "gateway": "10.138.2.1",
                },
                {
                    "version": "6",
                    "interface": 1,
                    "address": "2001:db8:38:2::b/64",
                    "gateway": "2001:db8:38:2::1",
                },
            ],
            "dns": {},
        },
        addresses=("10.138.2.11/23", "2001:db8:38:2::b/64"),
        places=(1, 1),
        gateway="10.138.2.1",
        mac="0a:58:0a:8a:02:0b",
        inside=("eth0",),
    ),
    # The families in the order of the subnet's text; on an underlay one may have no gateway.
    "kube-ovn in 1.0.0, one of two families without gateway": Added(
        version="1.0.0",
        printed={
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "eth0", "mac": "00:00:00:7c:11:0a", "sandbox": NETNS}],
            "ips": [
                {"interface": 0, "address": "2001:db8:39::a/112"},
                {"interface": 0, "address": "10.39.0.10/16", "gateway": "10.39.0.1"},
            ],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.39.0.1"}],
            "dns": {},
        },
        addresses=("2001:db8:39::a/112", "10.39.0.10/16"),
        places=(0, 0),
        gateway="10.39.0.1",
        routes=(("0.0.0.0/0", "10.39.0.1"),),
        mac="00:00:00:7c:11:0a",
        inside=("eth0",),
    ),
    # Its first releases told of no interface at all.
    "kube-ovn's first releases in 0.3.1, without interfaces": Added(
        version="0.3.1",
        printed={
            "cniVersion": "0.3.1",
            "ips": [{"version": "4", "address": "10.39.0.11/16", "gateway": "10.39.0.1"}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.39.0.1"}],
            "dns": {},
        },
        addresses=("10.39.0.11/16",),
        places=(None,),
        gateway="10.39.0.1",
        routes=(("0.0.0.0/0", "10.39.0.1"),),
    ),
    # The agent answers, the plugin copies the bytes; gateway and default route are computed.
    "antrea in 0.3.0, the agent's bytes": Added(
        version="0.3.0",
        printed=json.dumps(
            {
                "cniVersion": "0.3.0",
                "interfaces": [
                    {"name": "web-5f7c-1a2b3c", "mac": "62:f0:4e:00:00:01"},
                    {"name": "eth0", "mac": "62:f0:4e:00:00:02", "sandbox": NETNS},
                ],
                "ips": [
                    {
                        "version": "4",
                        "interface": 1,
                        "address": "10.40.1.6/24",
                        "gateway": "10.40.1.1",
                    }
                ],
                "routes": [{"dst": "0.0.0.0/0", "gw": "10.40.1.1"}],
                "dns": {},
            },
            separators=(",", ":"),
        ),
        addresses=("10.40.1.6/24",),
        places=(1,),
        gateway="10.40.1.1",
        routes=(("0.0.0.0/0", "10.40.1.1"),),
        mac="62:f0:4e:00:00:02",
        inside=("eth0",),
    ),
    # IPAM: its addresses, then those written down in the configuration, each with its own gateway.
    "whereabouts in 0.3.1, a gateway for the second address only": Added(
        version="0.3.1",
        printed={
            "cniVersion": "0.3.1",
            "ips": [
                {"version": "4", "address": "10.41.2.225/28"},
                {"version": "4", "address": "10.41.9.9/24", "gateway": "10.41.9.1"},
            ],
            "dns": {},
        },
        addresses=("10.41.2.225/28", "10.41.9.9/24"),
        places=(None, None),
        gateway="10.41.9.1",
    ),
    # The interface has a name only, the address its index all the same.
    "terway in 0.3.0, an interface without sandbox": Added(
        version="0.3.0",
        printed={
            "cniVersion": "0.3.0",
            "interfaces": [{"name": "eth0"}],
            "ips": [
                {
                    "version": "4",
                    "interface": 0,
                    "address": "10.42.3.18/24",
                    "gateway": "10.42.3.253",
                }
            ],
            "dns": {},
        },
        addresses=("10.42.3.18/24",),
        places=(0,),
        gateway="10.42.3.253",
    ),
    # Release 0.5 of the Go library had no way to leave the index out.
    "plugins of the Go library's release 0.5, the index -1": Added(
        version="0.3.0",
        printed={
            "cniVersion": "0.3.0",
            "ips": [
                {
                    "version": "4",
                    "interface": -1,
                    "address": "10.43.30.2/24",
                    "gateway": "10.43.30.1",
                }
            ],
            "routes": [DEFAULT],
            "dns": {},
        },
        addresses=("10.43.30.2/24",),
        places=(None,),
        gateway="10.43.30.1",
        routes=(("0.0.0.0/0", None),),
    ),
    # Go writes a nil slice as null and a nil net.IP as empty text, unless told to omit them.
    "Go types of a plugin's own, null and empty text for what is nil": Added(
        version="1.0.0",
        printed={
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "eth0", "mac": "", "sandbox": ""}],
            "ips": [{"interface": None, "address": "10.43.31.2/24", "gateway": ""}],
            "routes": None,
            "dns": {"nameservers": None, "domain": "", "search": None, "options": None},
        },
        addresses=("10.43.31.2/24",),
        places=(None,),
    ),
    "shell scripts, an empty object": Added(version="0.4.0", printed="{}\n"),
    # Calico and others before they filled the version in: an answer of 0.2.0 without its number, in
    # a network of 0.2.0.
    "plugins of 2016 in 0.2.0, without version and with two routes": Added(
        version="0.2.0",
        printed={
            "ip4": {
                "ip": "10.44.60.121/32",
                "gateway": "10.44.0.1",
                "routes": [{"dst": "10.44.0.1/32"}, {"dst": "0.0.0.0/0", "gw": "10.44.0.1"}],
            },
            "dns": {},
        },
        addresses=("10.44.60.121/32",),
        places=(None,),
        gateway="10.44.0.1",
        routes=(("10.44.0.1/32", None), ("0.0.0.0/0", "10.44.0.1")),
    ),
}


@pytest.mark.parametrize("shape", [pytest.param(shape, id=name) for name, shape in ADDED.items()])
def test_what_a_plugin_prints_tells_its_users_what_they_need(shape: Added) -> None:
    result = _read_added(shape)
    assert tuple(ip.address for ip in result.ips) == shape.addresses
    assert tuple(ip.interface for ip in result.ips) == shape.places
    assert (None if result.gateway is None else str(result.gateway)) == shape.gateway
    assert tuple((route.dst, route.gw) for route in result.routes) == shape.routes
    assert result.mac == shape.mac
    inside = [interface.name for interface in result.interfaces if interface.sandbox]
    assert tuple(inside) == shape.inside


@pytest.mark.parametrize("shape", [pytest.param(shape, id=name) for name, shape in ADDED.items()])
def test_what_a_plugin_prints_goes_on_in_the_selected_version(shape: Added) -> None:
    """To the next plugin as prevResult, and into the record."""
    result = _read_added(shape)
    assert json.loads(result.raw)["cniVersion"] == shape.version == result.cni_version
    assert parse_result(result.raw, shape.version) == result


def _read_added(shape: Added) -> Result:
    response = Response(
        ending=Ending.EXITED, stdout=_text(shape.printed).encode(), stderr=shape.stderr.encode()
    )
    result = read_response(_step(Command.ADD, shape.version, "first"), response, shape.version)
    assert result is not None
    return result


# The notes of aws-cni again, without a VLAN: the number of the device stands in the place of the
# namespace, 0 in that of the MAC address.
AWS_NOTES: Final = {
    "cniVersion": "1.0.0",
    "interfaces": [
        {"name": "eni1f00d8c2a9e"},
        {"name": "eth0", "sandbox": NETNS, "pciID": "254"},
        {"name": "dummy1f00d8c2a9e", "mac": "0", "sandbox": "0", "socketPath": "1"},
    ],
    "ips": [{"interface": 1, "address": "10.32.4.10/32"}],
}


def test_the_notes_of_aws_cni_do_not_hide_its_address() -> None:
    result = parse_result(json.dumps(AWS_NOTES), "1.0.0")
    (ip,) = result.ips
    assert ip.address == "10.32.4.10/32"
    assert ip.interface is not None
    assert result.interfaces[ip.interface].name == "eth0"
    assert result.interfaces[ip.interface].sandbox == NETNS


def test_the_notes_of_aws_cni_are_no_hardware_address() -> None:
    assert parse_result(json.dumps(AWS_NOTES), "1.0.0").mac is None


@frozen(kw_only=True)
class Failed:
    """A run that failed, and what its users learn.

    Attributes:
        command: The verb.
        stdout: What is on standard output.
        stderr: What is on standard error.
        status: The exit status.
        kind: The class of the error.
        code: The plugin's code.
        msg: Its message.
        reason: The stable word for the message.
    """

    command: Command = Command.ADD
    stdout: tuple[Printed, ...] = ()
    stderr: str = ""
    status: int = 1
    kind: type[PluginError] = PluginFailed
    code: int | None = None
    msg: str | None = None
    reason: str | None = None


_PANIC: Final = (
    "panic: runtime error: invalid memory address or nil pointer dereference\n"
    "[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x12e4f00]\n\n"
    "goroutine 1 [running]:\nmain.main()\n"
)
_FULL: Final = (
    "failed to allocate for range 0: no IP addresses available in range set: 10.20.0.1-10.20.0.254"
)

FAILED: Final[Mapping[str, Failed]] = {
    # A plugin that is written with the skeleton prints its result before the skeleton finds that
    # it ran in the container's namespace.
    "the skeleton, a result and then an error": Failed(
        stdout=(
            {"cniVersion": "1.1.0", "ips": [{"address": "10.20.0.2/24"}]},
            {
                "code": 8,
                "msg": "plugin's netns and netns from CNI_NETNS should not be the same",
            },
        ),
        code=8,
        msg="plugin's netns and netns from CNI_NETNS should not be the same",
    ),
    "bridge 1.1.1, a network of 1.1.0": Failed(
        stdout=(
            {
                "code": 1,
                "msg": "incompatible CNI versions",
                "details": 'config is "1.1.0", plugin supports ["0.4.0" "1.0.0"]',
            },
        ),
        code=1,
        msg="incompatible CNI versions",
    ),
    "bridge 1.1.1, no CNI_NETNS": Failed(
        stdout=({"code": 4, "msg": "required env variables [CNI_NETNS] missing"},),
        code=4,
        msg="required env variables [CNI_NETNS] missing",
    ),
    # It does not know the verb: neither ready nor unready.
    "bridge 1.1.1, STATUS": Failed(
        command=Command.STATUS,
        stdout=({"code": 4, "msg": "unknown CNI_COMMAND: STATUS"},),
        code=4,
        msg="unknown CNI_COMMAND: STATUS",
    ),
    "bridge 1.1.1, an interface that is there": Failed(
        stdout=({"code": 999, "msg": "container veth name provided (eth0) already exists"},),
        code=999,
        msg="container veth name provided (eth0) already exists",
        reason="interface-exists",
    ),
    # The delegate's error in the words of the delegating plugin.
    "bridge 1.1.1, an IPAM range that is full": Failed(
        stdout=({"code": 999, "msg": _FULL},), code=999, msg=_FULL, reason="addresses-exhausted"
    ),
    # 0.2.0 cannot say a result without an address: converting it fails after all was set up.
    "bridge 1.1.1 in 0.2.0, without IPAM": Failed(
        stdout=({"code": 999, "msg": "cannot convert: no valid IP addresses"},),
        code=999,
        msg="cannot convert: no valid IP addresses",
    ),
    "dhcp 1.1.1, no daemon": Failed(
        stdout=({"code": 999, "msg": "error dialing DHCP daemon: dial unix: no such file"},),
        code=999,
        msg="error dialing DHCP daemon: dial unix: no such file",
    ),
    # The release of 2018 has no code for what is not its own but 100.
    "macvlan 0.7, no such master": Failed(
        stdout=({"code": 100, "msg": 'failed to lookup master "eth7": Link not found'},),
        code=100,
        msg='failed to lookup master "eth7": Link not found',
    ),
    # A netlink dump that a signal or another change interrupts; the next DEL succeeds.
    "bandwidth 1.1.1, DEL under load": Failed(
        command=Command.DEL,
        stdout=(
            {
                "code": 999,
                "msg": "failed to get IP addresses for bwp0001: interrupted system call",
            },
        ),
        code=999,
        msg="failed to get IP addresses for bwp0001: interrupted system call",
    ),
    # A deferred function prints the result, whatever became of the ADD; then comes the error.
    "azure-vnet of 2018, a result and then an error": Failed(
        stdout=(
            {"cniVersion": "0.3.0", "interfaces": [{"name": "eth0"}], "dns": {}},
            {"code": 100, "msg": "Failed to allocate: no address is left"},
        ),
        code=100,
        msg="Failed to allocate: no address is left",
    ),
    # Another run holds the lock of its state; the message ends in a newline of its own.
    "azure-vnet, a locked store": Failed(
        stdout=({"code": 11, "msg": "Failed to start the plugin: timed out.\n"},),
        kind=TryAgain,
        code=11,
        msg="Failed to start the plugin: timed out.\n",
    ),
    "azure-vnet, DEL of an endpoint that is busy": Failed(
        command=Command.DEL,
        stdout=({"code": 11, "msg": "failed to delete the endpoint: busy"},),
        kind=TryAgain,
        code=11,
        msg="failed to delete the endpoint: busy",
    ),
    # Its log can be sent to standard output: each line is an object that has a msg.
    "aws-cni, its log on standard output": Failed(
        stdout=(
            '{"level":"info","ts":"2024-05-02T07:00:00.001Z","msg":"ADD of c0ffee"}\n',
            '{"level":"debug","ts":"2024-05-02T07:00:00.002Z","msg":"the MTU is 1500"}\n',
            {"code": 100, "msg": "add cmd: no address for the container"},
        ),
        code=100,
        msg="add cmd: no address for the container",
    ),
    # It gives this code to any failure of its daemon, an address that is taken among them.
    "kube-ovn, code 11 for everything": Failed(
        stdout=({"code": 11, "msg": "RPC failed", "details": "request ip return 500 no address"},),
        kind=TryAgain,
        code=11,
        msg="RPC failed",
    ),
    "kube-ovn, code 11 for DEL as well": Failed(
        command=Command.DEL,
        stdout=({"code": 11, "msg": "RPC failed", "details": "connect: connection refused"},),
        kind=TryAgain,
        code=11,
        msg="RPC failed",
    ),
    "antrea, an agent of another version": Failed(
        stdout=({"code": 202, "msg": "the agent speaks another version"},),
        code=202,
        msg="the agent speaks another version",
    ),
    "antrea, CHECK": Failed(
        command=Command.CHECK,
        stdout=({"code": 103, "msg": "container interface eth0 not found"},),
        kind=CheckFailed,
        code=103,
        msg="container interface eth0 not found",
    ),
    "cilium, CHECK of an unhealthy endpoint": Failed(
        command=Command.CHECK,
        stdout=({"code": 101, "msg": "Unhealthy", "details": "the agent says so"},),
        kind=CheckFailed,
        code=101,
        msg="Unhealthy",
    ),
    # "not now" is no difference.
    "cilium, CHECK without its agent": Failed(
        command=Command.CHECK,
        stdout=({"code": 11, "msg": "DaemonDown", "details": "unable to connect to the agent"},),
        kind=TryAgain,
        code=11,
        msg="DaemonDown",
    ),
    "cilium, STATUS without its agent": Failed(
        command=Command.STATUS,
        stdout=({"code": 50, "msg": "DaemonDown", "details": "unable to connect to the agent"},),
        kind=NotReady,
        code=50,
        msg="DaemonDown",
    ),
    "whereabouts, a CHECK that is not there": Failed(
        command=Command.CHECK,
        stdout=({"code": 999, "msg": "CNI CHECK method is not implemented"},),
        kind=CheckFailed,
        code=999,
        msg="CNI CHECK method is not implemented",
    ),
    # It wraps what the delegate says, and showed the delegate's configuration before.
    "flannel, a delegate's error": Failed(
        stdout=({"code": 999, "msg": f"failed to delegate add: {_FULL}"},),
        stderr='{"cniVersion":"0.3.1","ipam":{"type":"host-local"},"name":"cbr0"}',
        code=999,
        msg=f"failed to delegate add: {_FULL}",
        reason="addresses-exhausted",
    ),
    "multus, a delegate's error": Failed(
        stdout=(
            {
                "code": 999,
                "msg": '[shop/web-0/5a1c:pods]: error adding container to network "pods": timeout',
            },
        ),
        stderr="2024-05-02T07:00:00Z [error] [shop/web-0/5a1c:pods]: error adding container\n",
        code=999,
        msg='[shop/web-0/5a1c:pods]: error adding container to network "pods": timeout',
    ),
    "ovn-k8s-cni-overlay, an answer of its server": Failed(
        stdout=({"code": 999, "msg": "CNI request failed with status 400: 'timed out waiting'"},),
        stderr="E0502 07:00:00.000000 7 cnishim.go:180] CNI request failed with status 400\n",
        code=999,
        msg="CNI request failed with status 400: 'timed out waiting'",
    ),
    # Line by line what went wrong, in one message.
    "danm, several networks at once": Failed(
        stdout=(
            {
                "code": 999,
                "msg": "CNI network could not be set up: network:a failed\nnetwork:b failed",
            },
        ),
        code=999,
        msg="CNI network could not be set up: network:a failed\nnetwork:b failed",
    ),
    # The libraries of a data plane write their log to standard output, as text.
    "userspace, a text log before the error": Failed(
        stdout=(
            'time="2024-05-02T07:00:00+01:00" level=debug msg="Looking for the switch..."\n',
            'time="2024-05-02T07:00:00+01:00" level=info msg="Found it." id=948\n',
            {"code": 100, "msg": "could not create the interface"},
        ),
        code=100,
        msg="could not create the interface",
    ),
    # Before they caught panics: calico, azure, danm.
    "calico of 2020, a panic": Failed(
        status=2,
        stderr=_PANIC,
        kind=PluginProtocolError,
    ),
    # The lock of its namespaces is taken: it logs that, prints nothing and exits with success.
    "terway, success without a result": Failed(
        status=0, stderr='level=debug msg="lock timeout"\n', kind=PluginProtocolError
    ),
    "aws-cni, success with its log on standard output": Failed(
        status=0,
        stdout=(
            '{"level":"info","msg":"ADD of c0ffee"}\n',
            {"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.32.4.11/32"}]},
        ),
        kind=PluginProtocolError,
    ),
    # A bridge to Docker of the Kubernetes project.
    "to_docker, the code as text": Failed(
        stdout=('{"cniVersion": "0.1.0", "code": "15", "msg": "docker network connect failed"}',),
        code=15,
        msg="docker network connect failed",
    ),
    "a script, its code as exit status, too": Failed(
        stdout=(
            {"cniVersion": "0.4.0", "code": 100, "msg": "arg value is missing", "details": "x"},
        ),
        status=100,
        code=100,
        msg="arg value is missing",
    ),
    # What the newest text of the specification says in one place.
    "a plugin with the error on standard error only": Failed(
        stderr='starting\n{"cniVersion":"1.1.0","code":7,"msg":"no master","details":"eth7"}\n',
        code=7,
        msg="no master",
    ),
    "a script that does not know the verb": Failed(
        command=Command.CHECK,
        stdout=("unknown command: CHECK\n",),
        kind=PluginProtocolError,
    ),
}


@pytest.mark.parametrize("shape", [pytest.param(shape, id=name) for name, shape in FAILED.items()])
def test_a_failed_plugins_words_reach_whoever_asked(shape: Failed) -> None:
    stdout = "".join(map(_text, shape.stdout))
    response = Response(
        ending=Ending.EXITED,
        status=shape.status,
        stdout=stdout.encode(),
        stderr=shape.stderr.encode(),
    )
    with pytest.raises(PluginError) as caught:
        read_response(_step(shape.command, "1.1.0", "first"), response, "1.1.0")
    error = caught.value
    assert type(error) is shape.kind
    assert (error.code, error.msg, error.reason) == (shape.code, shape.msg, shape.reason)
    assert error.stderr == shape.stderr
    assert error.retryable == (shape.kind is TryAgain)


QUIET: Final[Mapping[str, tuple[Command, str, str]]] = {
    "bridge prints nothing on DEL": (Command.DEL, "", ""),
    "linkerd-cni logs that it has no DEL": (Command.DEL, "", 'level=info msg="delete called"\n'),
    "plugins of the 0.1.0 library print a result on DEL": (
        Command.DEL,
        '{\n    "ip4": {\n        "ip": "10.20.0.2/24"\n    },\n    "dns": {}\n}',
        "",
    ),
    "a script prints an empty object on DEL": (Command.DEL, "{}\n", ""),
    "calico says OK on CHECK": (Command.CHECK, "OK\n", ""),
    # The index is the kernel's, not a place in the result; nobody reads it.
    "azure-vnet prints a result on CHECK": (
        Command.CHECK,
        '{"cniVersion":"0.4.0","interfaces":[{"name":"eth0"}],'
        '"ips":[{"version":"4","interface":7,"address":"10.33.0.35/16"}],"dns":{}}',
        "",
    ),
    "whereabouts prints nothing on STATUS": (Command.STATUS, "", ""),
}


@pytest.mark.parametrize(
    ("command", "stdout", "stderr"),
    [pytest.param(*quiet, id=name) for name, quiet in QUIET.items()],
)
def test_what_a_plugin_prints_beside_a_success_changes_nothing(
    command: Command, stdout: str, stderr: str
) -> None:
    response = Response(ending=Ending.EXITED, stdout=stdout.encode(), stderr=stderr.encode())
    assert read_response(_step(command, "1.1.0", "first"), response, "1.1.0") is None


_ALL: Final = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

VERSIONS: Final[Mapping[str, tuple[int, str, tuple[str, ...]]]] = {
    # On one line, with the library's own newest version in the place of the request's.
    "bridge 1.1.1": (
        0,
        '{"cniVersion":"1.0.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0",'
        '"1.0.0"]}\n',
        _ALL[:6],
    ),
    "bridge 1.9": (0, json.dumps({"cniVersion": "1.1.0", "supportedVersions": _ALL}), _ALL),
    "passthru of multus begins with 0.3.0": (
        0,
        json.dumps({"cniVersion": "1.1.0", "supportedVersions": _ALL[2:]}),
        _ALL[2:],
    ),
    "linkerd-cni of 2021 ends with 0.3.1": (
        0,
        json.dumps({"cniVersion": "0.4.0", "supportedVersions": _ALL[:4]}),
        _ALL[:4],
    ),
    "a script's list, spread over lines": (
        0,
        '{\n    "cniVersion": "0.3.1",\n    "supportedVersions": [ "0.3.0", "0.3.1" ]\n}\n',
        _ALL[2:4],
    ),
    "plugins of the 0.2.0 library answer without a list": (
        0,
        '{"cniVersion":"0.2.0"}\n',
        _ALL[:2],
    ),
    "plugins of the 0.1.0 library do not know the verb": (
        1,
        '{\n    "code": 100,\n    "msg": "unknown CNI_COMMAND: VERSION"\n}',
        _ALL[:1],
    ),
}


@pytest.mark.parametrize(
    ("status", "stdout", "versions"),
    [pytest.param(*answer, id=name) for name, answer in VERSIONS.items()],
)
def test_the_versions_that_a_plugin_supports_are_understood(
    status: int, stdout: str, versions: tuple[str, ...]
) -> None:
    response = Response(ending=Ending.EXITED, status=status, stdout=stdout.encode())
    assert read_versions(parse_plugin_type("bridge"), response) == versions


PROJECTS: Final = """
    bridge host-local portmap ptp macvlan loopback tuning dhcp static
    calico cilium aws-cni azure-vnet flannel multus sriov istio-cni linkerd-cni danm
    ovn-k8s-cni-overlay kube-ovn antrea whereabouts
"""


def test_the_tables_hold_the_shapes_of_every_kind_of_plugin() -> None:
    assert len(ADDED) >= 25
    assert len(FAILED) >= 25
    names = [name.split(maxsplit=1)[0] for name in (*ADDED, *FAILED, *QUIET, *VERSIONS)]
    assert set(PROJECTS.split()) <= {name.removesuffix("'s").rstrip(",") for name in names}
