"""Links, made by us and seen by pyroute2, and the other way round."""

from __future__ import annotations

import errno

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from acni.netlink.bridges import new_bridge
from acni.netlink.errors import Malformed, NetlinkError
from acni.netlink.links import (
    Link,
    Peer,
    change,
    delete,
    find_by_alias,
    find_link,
    get_link,
    list_links,
    new_veth,
    read_link,
)
from acni.netlink.lookup import index_of
from acni.netlink.messages import Answer, Message, attribute, nested, text, u8, u32
from acni.netlink.sockets import Netlink
from acni.netlink.wire import KernelWire
from acni.netns import Namespace
from tests.netlink.oracle import asked, link_of
from tests.netlink.scripted import agrees, datagram, raw, scripted, verdict

pytestmark = pytest.mark.netns

MAC = bytes.fromhex("0a580a580002")
OTHER = bytes.fromhex("0e580a580002")


def test_a_pair_is_made_as_it_was_asked_for(
    host: Namespace, pod: Namespace, on_host: Netlink, in_pod: Netlink
) -> None:
    on_host.request(new_bridge("cni0"))
    bridge = index_of(on_host, "cni0")
    peer = Peer(name="eth0", netns_fd=pod.fd, mac=MAC, mtu=1400)
    pair = new_veth("veth1", peer=peer, mac=OTHER, mtu=1450, master=bridge, up=True)
    on_host.request(pair, change("veth1", alias="pod a"))

    here, there = link_of(host, "veth1"), link_of(pod, "eth0")
    assert here.get(("linkinfo", "kind")) == there.get(("linkinfo", "kind")) == "veth"
    assert (here.get("address"), here.get("mtu"), here.get("master")) == (
        "0e:58:0a:58:00:02",
        1450,
        bridge,
    )
    assert (here.get("ifalias"), here["flags"] & 1) == ("pod a", 1)
    assert (there.get("address"), there.get("mtu"), there["flags"] & 1) == (
        "0a:58:0a:58:00:02",
        1400,
        0,
    )
    assert (here.get("link"), there.get("link")) == (there["index"], here["index"])

    ours = get_link(on_host, "veth1")
    assert ours == Link(
        index=here["index"],
        name="veth1",
        mac=OTHER,
        mtu=1450,
        flags=ours.flags,
        kind="veth",
        master=bridge,
        peer=there["index"],
        peer_netnsid=here.get("link_netnsid"),
        alias="pod a",
        hairpin=False,
        isolated=False,
        port_number=1,
        operational_state=ours.operational_state,
        queue_length=here.get("txqlen"),
    )
    assert not ours.is_running  # the other end is down
    assert ours.is_up
    theirs = get_link(in_pod, "eth0")
    assert (theirs.mac, theirs.mtu, theirs.is_up, theirs.master) == (MAC, 1400, False, None)
    assert theirs.peer == ours.index


def test_a_pair_needs_no_more_than_names(host: Namespace, pod: Namespace, on_host: Netlink) -> None:
    on_host.request(new_veth("veth1", peer=Peer(name="eth0", netns_fd=pod.fd)))
    link = get_link(on_host, "veth1")
    assert (link.mtu, link.is_up, link.master, link.alias) == (1500, False, None, None)
    with pytest.raises(NetlinkError) as raised:
        on_host.request(new_veth("veth1", peer=Peer(name="eth1", netns_fd=pod.fd)))
    assert raised.value.errno == errno.EEXIST


def test_both_ends_of_a_pair_may_be_here(host: Namespace, on_host: Netlink) -> None:
    on_host.request(new_veth("a", peer=Peer(name="b", netns_fd=host.fd)))
    a, b = get_link(on_host, "a"), get_link(on_host, "b")
    assert (a.peer, b.peer, a.peer_netnsid) == (b.index, a.index, None)


@pytest.fixture
def bridge(on_host: Netlink) -> int:
    on_host.request(new_bridge("cni0"))
    return index_of(on_host, "cni0")


def test_what_is_changed_is_changed_and_the_rest_stays(
    host: Namespace, on_host: Netlink, bridge: int
) -> None:
    before = get_link(on_host, bridge)
    on_host.request(change(bridge, mtu=1400))
    assert get_link(on_host, bridge) == evolve(before, mtu=1400)
    on_host.request(change("cni0", mac=MAC, group=7))
    assert get_link(on_host, bridge) == evolve(before, mtu=1400, mac=MAC, group=7)
    on_host.request(change(bridge, promiscuous=True))
    assert get_link(on_host, bridge).is_promiscuous
    assert not get_link(on_host, bridge).is_up
    on_host.request(change(bridge, up=True))
    assert get_link(on_host, bridge).is_up
    assert get_link(on_host, bridge).is_promiscuous
    on_host.request(change(bridge, up=False, promiscuous=False))
    assert not get_link(on_host, bridge).is_up
    assert not get_link(on_host, bridge).is_promiscuous
    seen = link_of(host, "cni0")
    assert (seen.get("mtu"), seen.get("group"), seen["flags"] & 0x101) == (1400, 7, 0)


def test_a_name_and_an_alias_are_given_and_an_alias_is_taken_away(
    host: Namespace, on_host: Netlink, bridge: int
) -> None:
    on_host.request(change(bridge, name="br1", alias="the bridge"))
    assert (get_link(on_host, "br1").index, get_link(on_host, bridge).alias) == (
        bridge,
        "the bridge",
    )
    assert link_of(host, "br1").get("ifalias") == "the bridge"
    on_host.request(change("br1", alias=""))
    assert get_link(on_host, bridge).alias is None
    with pytest.raises(NetlinkError) as raised:
        change("br1", name="br2")
    assert raised.value.errno == errno.EINVAL


def test_a_link_becomes_a_port_and_is_nobodys_again(
    pod: Namespace, on_host: Netlink, bridge: int
) -> None:
    on_host.request(new_veth("veth1", peer=Peer(name="eth0", netns_fd=pod.fd)))
    on_host.request(change("veth1", master=bridge))
    assert get_link(on_host, "veth1").master == bridge
    assert [link.name for link in list_links(on_host, master=bridge)] == ["veth1"]
    on_host.request(change("veth1", master=0))
    link = get_link(on_host, "veth1")
    assert (link.master, link.hairpin) == (None, None)
    assert list_links(on_host, master=bridge) == ()


def test_a_link_moves_to_another_namespace(
    pod: Namespace, on_host: Netlink, in_pod: Netlink, bridge: int
) -> None:
    on_host.request(new_veth("veth1", peer=Peer(name="eth0", netns_fd=pod.fd)))
    on_host.request(change("veth1", netns_fd=pod.fd))
    assert find_link(on_host, "veth1") is None
    assert {link.name for link in list_links(in_pod)} == {"lo", "eth0", "veth1"}


def test_a_link_is_found_by_its_whole_alias(on_host: Netlink) -> None:
    for name, alias in (("acni", ""), ("two", "acni net c11"), ("one", "acni net c1")):
        on_host.request(new_bridge(name))
        on_host.request(change(name, alias=alias))
    found = find_by_alias(on_host, "acni net c1", kind="bridge", tries=1)
    assert found is not None
    assert found.name == "one"
    assert find_by_alias(on_host, "acni net c1", kind="veth", tries=1) is None
    assert find_by_alias(on_host, "acni", kind="bridge", tries=1) is None


def test_the_list_is_that_of_pyroute2(host: Namespace, pod: Namespace, on_host: Netlink) -> None:
    on_host.request(new_bridge("cni0"))
    for number in range(40):
        on_host.request(new_veth(f"v{number}", peer=Peer(name=f"e{number}", netns_fd=pod.fd)))
    seen = asked(host, lambda oracle: oracle.get_links())
    assert [
        (link.index, link.name, link.mac.hex(":"), link.mtu, link.flags, link.kind, link.peer)
        for link in list_links(on_host)
    ] == [
        (
            link["index"],
            link.get("ifname"),
            link.get("address"),
            link.get("mtu"),
            link["flags"],
            link.get(("linkinfo", "kind")),
            link.get("link"),
        )
        for link in seen
    ]


def test_a_link_that_is_removed_is_not_found(on_host: Netlink, bridge: int) -> None:
    on_host.request(delete(bridge))
    assert find_link(on_host, bridge) is None
    assert find_link(on_host, "cni0") is None
    with pytest.raises(NetlinkError) as raised:
        get_link(on_host, "cni0")
    assert raised.value.errno == errno.ENODEV
    for which in (bridge, "cni0"):
        with pytest.raises(NetlinkError) as raised:
            on_host.request(delete(which))
        assert raised.value.errno == errno.ENODEV


def test_a_name_that_is_no_utf_8_is_named_as_it_was_read(pod: Namespace, on_host: Netlink) -> None:
    name = b"v\xff1".decode("utf-8", "surrogateescape")
    on_host.request(new_veth(name, peer=Peer(name="eth0", netns_fd=pod.fd)))
    assert name in [link.name for link in list_links(on_host)]
    assert get_link(on_host, name).index == index_of(on_host, name)


def test_another_refusal_than_that_there_is_none_is_raised() -> None:
    netlink, _ = scripted(lambda n, _: [verdict(n, errno.EPERM)])
    with pytest.raises(NetlinkError) as raised:
        find_link(netlink, "eth0")
    assert raised.value.errno == errno.EPERM


def test_an_answer_that_is_missing_is_malformed() -> None:
    netlink, _ = scripted(agrees)
    with pytest.raises(Malformed):
        find_link(netlink, "eth0")


def described(*inner: bytes, kind: int = 16) -> Answer:
    return Answer(kind, 0, 1, 1, bytes(4) + b"\7\0\0\0" + bytes(8) + b"".join(inner))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(described(text(3, "a"), kind=17), id="another message"),
        pytest.param(Answer(16, 0, 1, 1, bytes(15)), id="no header"),
        pytest.param(described(), id="no name"),
        pytest.param(described(text(3, "a"), attribute(4, b"\1\2")), id="an odd number"),
        pytest.param(described(text(3, "a"), attribute(18, b"\1\2\3")), id="odd details"),
        pytest.param(
            described(text(3, "a"), nested(18, text(4, "bridge"), nested(5, u32(4, 1)))),
            id="an odd flag",
        ),
    ],
)
def test_what_describes_no_link_is_malformed(answer: Answer) -> None:
    with pytest.raises(Malformed):
        read_link(answer)


def test_a_peer_that_has_no_number_here_is_minus_one_and_others_details_are_no_bridges() -> None:
    link = read_link(
        described(
            text(3, "a"),
            u32(37, 0xFFFFFFFF),
            nested(18, text(1, "bond"), nested(2, u32(7, 1)), text(4, "team"), nested(5, u8(4, 1))),
        )
    )
    assert (link.peer_netnsid, link.vlan_filtering, link.hairpin) == (-1, None, None)


@given(st.integers(0, 0xFFFF), st.binary(max_size=100))
def test_no_bytes_are_read_as_a_link_but_with_one_error(kind: int, data: bytes) -> None:
    for answer in (Answer(kind, 0, 1, 1, data), described(text(3, "a"), data)):
        try:
            read_link(answer)
        except Malformed:
            continue


def test_a_list_of_another_master_is_filtered_where_the_kernel_does_not() -> None:
    """Before Linux 4.6 it lists all."""
    bodies = [
        described(text(3, name), u32(10, master)).body for name, master in [("a", 4), ("b", 5)]
    ]
    netlink, _ = scripted(
        lambda n, _: [datagram(*(raw(16, n, body) for body in bodies)), datagram(raw(3, n, b""))]
    )
    assert [link.name for link in list_links(netlink, master=5)] == ["b"]


@pytest.mark.parametrize("mtu", [-1, 1 << 32])
def test_a_number_that_no_message_holds_is_refused(mtu: int) -> None:
    with pytest.raises(NetlinkError) as raised:
        change(1, mtu=mtu)
    assert raised.value.errno == errno.ERANGE
    assert isinstance(change(1, mtu=1500), Message)


def test_a_link_takes_in_what_is_for_any_group_and_has_another_queue(
    host: Namespace, on_host: Netlink
) -> None:
    on_host.request(new_bridge("br0"))
    before = get_link(on_host, "br0")
    on_host.request(change("br0", all_multicast=True, queue_length=77))
    there, ours = link_of(host, "br0"), get_link(on_host, "br0")
    assert (there.get("txqlen"), bool(there["flags"] & 0x200)) == (77, True)
    assert (ours.queue_length, ours.is_all_multicast, ours.is_promiscuous) == (77, True, False)
    on_host.request(change("br0", all_multicast=False, queue_length=before.queue_length))
    assert get_link(on_host, "br0") == before


def test_what_a_socket_says_is_no_word_about_a_link(
    on_host: Netlink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: KernelWire, __: bytes) -> None:
        raise OSError(errno.ENODEV, "told to fail")

    with monkeypatch.context() as patch:
        patch.setattr(KernelWire, "send", failing)
        with pytest.raises(NetlinkError) as raised:
            find_link(on_host, "lo")
    assert not raised.value.is_verdict(errno.ENODEV)
    with pytest.raises(NetlinkError) as raised:
        on_host.request(delete("nothing"))
    assert raised.value.is_verdict(errno.ENODEV, errno.ENOENT)
    assert not raised.value.is_verdict(errno.ENOENT)
