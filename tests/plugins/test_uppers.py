"""ipvlan and vlan: where the kernel lacks them an ADD and STATUS say so, and nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from acni.netlink.stacked import IpvlanMode, Upper, new_ipvlan, new_vlan
from acni.plugins import ipvlan, vlan
from acni.plugins.upper_settings import Settings
from acni.skel import Call, PluginError
from tests.plugins.answering import ask_ours, ask_reference
from tests.plugins.calling import make_call
from tests.plugins.hosts import Host, host_of

pytestmark = pytest.mark.netns

IPAM = {"type": "host-local", "subnet": "10.9.0.0/24"}
COMMON = {"cniVersion": "1.1.0", "name": "net", "master": "low0", "ipam": IPAM}
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "ipvlan": {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "ipvlan",
        "master": "low0",
        "ipam": IPAM,
    },
    "vlan": {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "vlan",
        "master": "low0",
        "vlanId": 100,
        "ipam": IPAM,
    },
}
UPPER = Upper(name="a", lower=1)
PREVIOUS = {
    "interfaces": [{"name": "tap0", "sandbox": ""}],
    "ips": [{"address": "10.9.0.7/24", "interface": 0}],
}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with host_of(ask_ours, tmp_path / "leases") as made:
        made.ip("link", "add", "low0", "type", "veth", "peer", "name", "far0")
        made.ip("link", "set", "low0", "up")
        made.ip("link", "set", "far0", "up")
        yield made


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_the_kernel_has_is_made_and_what_it_lacks_is_refused_and_leaves_nothing(
    host: Host, kind: str
) -> None:
    config = CONFIGS[kind]
    host.container("c1")
    before = host.see()
    answer, status = host.run("ADD", config), host.run("STATUS", config)
    if host.has_kind(kind):
        assert (answer.status, status.status) == (0, 0)
        assert host.run("CHECK", config, previous=True).status == 0
    else:
        assert (answer.printed["code"], answer.printed["reason"]) == (100, "kernel-feature")
        assert answer.printed["msg"].startswith(f"making the {kind} on low0: ")
        assert (status.printed["code"], status.printed["reason"]) == (50, "kernel-feature")
        assert host.see() == before
    assert host.run("DEL", config).status == 0
    assert host.run("DEL", config, is_gone=True).status == 0
    assert (host.leases(), host.links(inside="c1")) == ([], ["lo"])


@pytest.mark.deep
@pytest.mark.parametrize("kind", CONFIGS)
def test_the_reference_refuses_or_makes_the_same(host: Host, kind: str) -> None:
    config = {**CONFIGS[kind], "cniVersion": "1.0.0"}
    theirs = host.run("ADD", config, ask=ask_reference)
    assert (theirs.status == 0) is host.has_kind(kind)
    assert host.run("DEL", config, ask=ask_ours).status == 0
    assert (host.leases(), host.links(inside="c1")) == ([], ["lo"])


def test_each_key_is_read() -> None:
    of_ipvlan = ipvlan.parse_settings(
        make_call({"mode": "l3", "master": "low0", "mtu": 1400, "ipam": IPAM})
    )
    assert of_ipvlan.make(UPPER) == new_ipvlan(UPPER, IpvlanMode.L3)
    assert (of_ipvlan.master, of_ipvlan.mtu, of_ipvlan.is_inside) == ("low0", 1400, False)
    of_vlan = vlan.parse_settings(make_call({**CONFIGS["vlan"], "linkInContainer": True}))
    assert of_vlan.make(UPPER) == new_vlan(UPPER, 100)
    assert (of_vlan.master, of_vlan.mtu, of_vlan.is_inside) == ("low0", None, True)


def test_behind_another_plugin_ipvlan_takes_its_interface_and_its_addresses() -> None:
    settings = ipvlan.parse_settings(make_call({}, previous=PREVIOUS))
    assert (settings.master, settings.has_ipam, settings.takes_addresses) == ("tap0", False, True)
    own = ipvlan.parse_settings(make_call({"ipam": IPAM}, previous=PREVIOUS))
    assert (own.master, own.has_ipam, own.takes_addresses) == ("tap0", True, False)
    two = {**PREVIOUS, "interfaces": [{"name": "a"}, {"name": "b"}]}
    with pytest.raises(PluginError, match=r"no master at \$\.master"):
        ipvlan.parse_settings(make_call({}, previous=two))


@pytest.mark.rule("P11")
@pytest.mark.parametrize(
    ("parse", "config", "place"),
    [
        (ipvlan.parse_settings, {"mode": "l4"}, "$.mode"),
        (ipvlan.parse_settings, {}, "$.ipam.type"),
        (vlan.parse_settings, {"ipam": IPAM}, "$.master"),
        (vlan.parse_settings, {"master": "low0"}, "$.ipam.type"),
        (vlan.parse_settings, {**CONFIGS["vlan"], "vlanId": 4095}, "$.vlanId"),
    ],
    ids=["mode", "no ipam", "no master", "no ipam of vlan", "vlanId"],
)
def test_what_cannot_be_done_is_refused(
    parse: Callable[[Call], Settings], config: Mapping[str, Any], place: str
) -> None:
    with pytest.raises(PluginError) as raised:
        parse(make_call(config))
    assert raised.value.code == 7
    assert raised.value.msg.endswith(place)
