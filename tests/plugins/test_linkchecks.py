"""What CHECK compares: a result with what there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from acni.netlink.links import Link
from acni.plugins.linkchecks import (
    previous_of,
    require_mac,
    require_told_mac,
    require_up,
    told_interface,
)
from acni.skel import OpenNetns, PluginError
from acni.spec.result import Interface
from tests.plugins.calling import make_call

pytestmark = pytest.mark.rule("P4")

BOX = OpenNetns(path="/run/netns/c1", fd=-1)
PREVIOUS: Mapping[str, Any] = {
    "interfaces": [
        {"name": "eth0"},
        {"name": "eth0", "sandbox": "/run/netns/c2"},
        {"name": "eth0", "sandbox": "/run/netns/c1"},
    ],
    "ips": [],
}


def a_link(**members: Any) -> Link:
    plain = {"index": 7, "name": "veth7", "mac": b"\xc2\0\0\0\0\1", "mtu": 1500, "flags": 1}
    return Link(**{**plain, **members})


def told(mac: str | None, *, name: str = "veth7", sandbox: str | None = None) -> Interface:
    return Interface(name=name, mac=mac, sandbox=sandbox)


def test_the_containers_interface_is_that_of_its_name_and_its_namespace() -> None:
    call = make_call({}, previous=PREVIOUS)
    place, interface = told_interface(call, BOX, previous_of(call))
    assert (place, interface.sandbox) == (2, BOX.path)
    elsewhere = OpenNetns(path="/run/netns/c3", fd=-1)
    with pytest.raises(PluginError) as raised:
        told_interface(call, elsewhere, previous_of(call))
    assert (raised.value.code, raised.value.reason) == (105, "interface-missing")


def test_without_a_result_there_is_nothing_to_compare() -> None:
    with pytest.raises(PluginError, match=r"\$\.prevResult") as raised:
        previous_of(make_call({}))
    assert raised.value.code == 7


def test_a_hardware_address_is_compared_where_it_is_told() -> None:
    require_mac(a_link(), told(None))
    require_mac(a_link(), told("C2:00:00:00:00:01"))
    with pytest.raises(PluginError) as raised:
        require_mac(a_link(), told("c2:00:00:00:00:02"))
    assert raised.value.reason == "mac-differs"


def test_of_the_interfaces_those_of_the_host_are_the_hosts() -> None:
    other = "c2:00:00:00:00:02"
    require_told_mac(a_link(), [told(other, sandbox="/run/netns/c1"), told(other, name="veth8")])
    with pytest.raises(PluginError):
        require_told_mac(a_link(), [told(other)])


def test_a_link_that_is_down_is_no_use() -> None:
    require_up(a_link())
    with pytest.raises(PluginError) as raised:
        require_up(a_link(flags=0))
    assert raised.value.reason == "interface-down"
