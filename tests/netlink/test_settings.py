"""A device's settings, set by netlink and seen in /proc/sys."""

from __future__ import annotations

import errno

import pytest
from attrs import evolve

from acni.netlink.bridges import new_bridge
from acni.netlink.errors import NetlinkError
from acni.netlink.links import get_link
from acni.netlink.lookup import index_of
from acni.netlink.settings import (
    Ipv4Setting,
    ipv4_of,
    read_sysctl,
    set_ipv4,
    write_sysctl,
)
from acni.netlink.sockets import Netlink
from acni.netns import Namespace

pytestmark = pytest.mark.netns


@pytest.fixture
def device(on_host: Netlink) -> int:
    on_host.request(new_bridge("br.0"))
    return index_of(on_host, "br.0")


@pytest.mark.parametrize("setting", Ipv4Setting, ids=lambda each: each.name)
def test_a_setting_of_ipv4_is_the_file_of_its_name(
    host: Namespace, on_host: Netlink, device: int, setting: Ipv4Setting
) -> None:
    path = f"ipv4/conf/br.0/{setting.name.lower()}"
    before = host.call(lambda: read_sysctl(path))
    for value in ("1", "0"):
        on_host.request(set_ipv4(device, setting, int(value)))
        assert host.call(lambda: read_sysctl(path)) == value
        assert ipv4_of(get_link(on_host, device), setting) == int(value)
    assert before in ("0", "1", "2")


def test_of_what_the_kernel_did_not_say_nothing_is_known(on_host: Netlink, device: int) -> None:
    link = evolve(get_link(on_host, device), of_families=b"")
    assert ipv4_of(link, Ipv4Setting.ROUTE_LOCALNET) is None


def test_what_is_written_is_read(host: Namespace, device: int) -> None:
    name = "ipv6/conf/br.0/disable_ipv6"
    host.call(lambda: write_sysctl(name, "1"))
    assert host.call(lambda: read_sysctl(name)) == "1"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        pytest.param("ipv4/conf/eth9/forwarding", "1", errno.ENOENT, id="no such device"),
        pytest.param("ipv4/ip_forward", "many", errno.EINVAL, id="no such value"),
        pytest.param("ipv4/conf/../ip_forward", "1", errno.EINVAL, id="a way around"),
        pytest.param("ipv4//ip_forward", "1", errno.EINVAL, id="an empty name"),
        pytest.param("ipv4/ip_forward\0", "1", errno.EINVAL, id="a NUL"),
    ],
)
def test_what_cannot_be_written_is_an_error(
    host: Namespace, name: str, value: str, code: int
) -> None:
    with pytest.raises(NetlinkError) as raised:
        host.call(lambda: write_sysctl(name, value))
    assert raised.value.errno == code
