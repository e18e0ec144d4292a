"""Links on top of another one, made by us and seen by pyroute2; those that this kernel may lack are
compared with what pyroute2 would send.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg  # type: ignore[import-untyped]

from acni.netlink.errors import NetlinkError
from acni.netlink.links import change, get_link
from acni.netlink.lookup import index_of
from acni.netlink.messages import Message
from acni.netlink.sockets import Netlink
from acni.netlink.stacked import (
    IpvlanMode,
    MacvlanMode,
    Upper,
    new_ipvlan,
    new_macvlan,
    new_vlan,
)
from acni.netns import Namespace
from tests.netlink.oracle import asked, link_of

pytestmark = pytest.mark.netns

MAC = bytes.fromhex("c21122334455")
WHOLE = Upper(name="up0", lower=7, netns_fd=5, mac=MAC, mtu=1400)
PLAIN = Upper(name="up0", lower=7)


@pytest.fixture
def lower(host: Namespace, on_host: Netlink) -> int:
    asked(host, lambda oracle: oracle.link("add", ifname="low0", kind="veth", peer="far0"))
    return index_of(on_host, "low0")


@pytest.mark.parametrize("mode", MacvlanMode, ids=lambda mode: mode.name)
def test_a_macvlan_is_what_it_was_made_as(
    host: Namespace,
    pod: Namespace,
    on_host: Netlink,
    in_pod: Netlink,
    lower: int,
    mode: MacvlanMode,
) -> None:
    mac = None if mode is MacvlanMode.PASSTHRU else MAC
    upper = Upper(name="up0", lower=lower, netns_fd=pod.fd, mac=mac, mtu=1400)
    on_host.request(new_macvlan(upper, mode))
    link = get_link(in_pod, "up0")
    below = get_link(on_host, lower)
    assert (link.kind, link.macvlan_mode, link.mtu) == ("macvlan", mode, 1400)
    assert link.peer == lower
    assert link.mac == (below.mac if mac is None else mac)
    assert not link.is_up
    seen = link_of(pod, "up0")
    assert seen.get(("linkinfo", "data", "macvlan_mode")) == mode.name.lower()
    assert below.macvlan_mode is None


def test_a_macvlan_gets_its_name_where_it_goes(
    pod: Namespace, on_host: Netlink, in_pod: Netlink, lower: int
) -> None:
    """One of the name that it is to have is on the host."""
    upper = Upper(name="tmp0", lower=lower, netns_fd=pod.fd)
    on_host.request(new_macvlan(upper, MacvlanMode.BRIDGE))
    index = index_of(in_pod, "tmp0")
    in_pod.request(change(index, name="low0", alias="a mark"))
    assert get_link(in_pod, index).alias == "a mark"
    assert get_link(in_pod, index).name == "low0"


@pytest.mark.parametrize("vlan", [-1, 4095])
def test_what_is_no_vlan_is_refused(vlan: int) -> None:
    with pytest.raises(NetlinkError) as raised:
        new_vlan(PLAIN, vlan)
    assert raised.value.errno == errno.ERANGE


def told(kind: str, upper: Upper, data: list[tuple[str, Any]]) -> bytes:
    """Write a message as pyroute2 does, without its header."""
    info = {"attrs": [("IFLA_INFO_KIND", kind), ("IFLA_INFO_DATA", {"attrs": data})]}
    given = [
        ("IFLA_LINK", upper.lower),
        ("IFLA_ADDRESS", None if upper.mac is None else upper.mac.hex(":")),
        ("IFLA_MTU", upper.mtu),
        ("IFLA_NET_NS_FD", upper.netns_fd),
    ]
    message = ifinfmsg()
    message["attrs"] = [
        ("IFLA_IFNAME", upper.name),
        *((key, value) for key, value in given if value is not None),
        ("IFLA_LINKINFO", info),
    ]
    message.encode()
    return bytes(message.data[16:])


@pytest.mark.parametrize("upper", [WHOLE, PLAIN], ids=["whole", "plain"])
@pytest.mark.parametrize(
    ("make", "kind", "data"),
    [
        pytest.param(
            lambda upper: new_macvlan(upper, MacvlanMode.VEPA),
            "macvlan",
            [("IFLA_MACVLAN_MODE", "vepa")],
            id="macvlan",
        ),
        pytest.param(
            lambda upper: new_ipvlan(upper, IpvlanMode.L3S),
            "ipvlan",
            [("IFLA_IPVLAN_MODE", 2)],
            id="ipvlan",
        ),
        pytest.param(
            lambda upper: new_vlan(upper, 100), "vlan", [("IFLA_VLAN_ID", 100)], id="vlan"
        ),
    ],
)
def test_a_message_is_that_of_pyroute2(
    make: Callable[[Upper], Message], kind: str, data: list[tuple[str, Any]], upper: Upper
) -> None:
    # Which of them mark what is nested is told apart by neither kernel nor reader.
    theirs = bytearray(told(kind, upper, data))
    ours = make(upper)
    assert (ours.kind, ours.flags) == (16, 0x600)
    assert unmarked(ours.body) == bytes(theirs)


def unmarked(body: bytes) -> bytes:
    """Take the flag NLA_F_NESTED from what is nested."""
    return body.replace(b"\x12\x80", b"\x12\0").replace(b"\x02\x80", b"\x02\0")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        pytest.param(lambda upper: new_ipvlan(upper, IpvlanMode.L2), "ipvlan", id="ipvlan"),
        pytest.param(lambda upper: new_vlan(upper, 100), "vlan", id="vlan"),
    ],
)
def test_it_is_made_or_this_kernel_says_that_it_has_no_such_kind(
    on_host: Netlink, lower: int, make: Callable[[Upper], Message], kind: str
) -> None:
    (verdict,) = on_host.exchange([make(Upper(name="up0", lower=lower))]).verdicts
    assert verdict.code in (0, errno.EOPNOTSUPP)
    if not verdict.code:
        assert get_link(on_host, "up0").kind == kind
