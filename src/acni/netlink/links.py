"""Links: made, changed, removed, found.

(rtnetlink(7); include/uapi/linux: if_link.h, if.h, veth.h)
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from attrs import field, frozen

from acni.netlink.errors import NetlinkError, malformed
from acni.netlink.linkmessages import (
    IFINFOMSG,
    IFLA_ADDRESS,
    IFLA_AF_SPEC,
    IFLA_BR_VLAN_FILTERING,
    IFLA_BRPORT_ISOLATED,
    IFLA_BRPORT_MODE,
    IFLA_BRPORT_NO,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MACVLAN_MODE,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_NEWLINK,
    link_message,
)
from acni.netlink.messages import (
    CREATE,
    EXCL,
    Answer,
    Message,
    attribute,
    attributes,
    encoded,
    header_of,
    nested,
    question,
    text,
    text_of,
    u8_of,
    u16_of,
    u32,
    u32_of,
)
from acni.netlink.sockets import Netlink

_IFLA_MASTER: Final = 10
_IFLA_TXQLEN: Final = 13
_IFLA_OPERSTATE: Final = 16
_IFLA_GROUP: Final = 27
_IFLA_EXT_MASK: Final = 29
_IFLA_LINK_NETNSID: Final = 37
_VETH_INFO_PEER: Final = 1
_RTEXT_FILTER_SKIP_STATS: Final = 1 << 3

_IF_OPER_UP: Final = 6  # include/uapi/linux/if.h

_IFF_UP: Final = 0x1
_IFF_PROMISC: Final = 0x100
_IFF_ALLMULTI: Final = 0x200

# Statistics are most of what a link has to say, and nobody here asks for them (Linux 4.20).
_NO_STATISTICS: Final = u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)


@frozen(kw_only=True)
class Link:
    """A link as the kernel describes it.

    Attributes:
        index: Its number in its namespace.
        name: Its name there.
        mac: Its hardware address; empty where it has none.
        mtu: Bytes of the largest packet.
        flags: IFF_UP and the others.
        kind: "veth", "bridge", "macvlan"; None for hardware and the loopback.
        master: The index of the bridge that it is a port of.
        peer: The index of the other end, or of the link that it lies on, in the namespace
            ``peer_netnsid`` stands for.
        peer_netnsid: This namespace's number for the other end's one; None where that is this one,
            -1 where it has no number here.
        alias: A text somebody gave it.
        group: The number of its group; 0 by default.
        hairpin: Whether a bridge sends back through this port what came from it; None for what is
            no port.
        isolated: Whether a bridge keeps it from other isolated ports; None likewise.
        port_number: Its number among the ports of its bridge, the lowest that was free; None for
            what is no port.
        vlan_filtering: Whether this bridge heeds VLANs; None for what is no bridge.
        macvlan_mode: A :class:`acni.netlink.stacked.MacvlanMode`; None for what is no macvlan.
        operational_state: 6 is up; see RFC 2863.
        queue_length: How many packets its queue holds, where that is what bounds it.
        of_families: Its settings by family, of which :func:`acni.netlink.settings.ipv4_of` reads;
            counters among them, so that links are equal without.
    """

    index: int
    name: str
    mac: bytes
    mtu: int
    flags: int
    kind: str | None = None
    master: int | None = None
    peer: int | None = None
    peer_netnsid: int | None = None
    alias: str | None = None
    group: int = 0
    hairpin: bool | None = None
    isolated: bool | None = None
    port_number: int | None = None
    vlan_filtering: bool | None = None
    macvlan_mode: int | None = None
    operational_state: int = 0
    queue_length: int = 0
    of_families: bytes = field(default=b"", repr=False, eq=False)

    @property
    def is_running(self) -> bool:
        """Whether packets go through: it is set up, and so is the other end."""
        return self.operational_state == _IF_OPER_UP

    @property
    def is_up(self) -> bool:
        """Whether somebody set it up."""
        return bool(self.flags & _IFF_UP)

    @property
    def is_promiscuous(self) -> bool:
        """Whether it takes in what is for others."""
        return bool(self.flags & _IFF_PROMISC)

    @property
    def is_all_multicast(self) -> bool:
        """Whether it takes in what is for any group."""
        return bool(self.flags & _IFF_ALLMULTI)


@frozen(kw_only=True)
class Peer:
    """The other end of a pair that is to be made.

    Attributes:
        name: Its name, in its namespace.
        netns_fd: That namespace, open until the pair is made.
        mac: Its hardware address; the kernel chooses one at random.
        mtu: Bytes of its largest packet; 1500 by default.
    """

    name: str
    netns_fd: int
    mac: bytes | None = None
    mtu: int | None = None


def new_veth(
    name: str,
    *,
    peer: Peer,
    mac: bytes | None = None,
    mtu: int | None = None,
    master: int | None = None,
    up: bool = False,
) -> Message:
    """Make a pair of links, one here and one in another namespace.

    Args:
        name: The name of the end here.
        peer: The end there; it is down.
        mac: The hardware address of the end here.
        mtu: Bytes of its largest packet.
        master: The index of the bridge that it becomes a port of.
        up: Whether it is set up.

    An alias, and what a bridge knows about its port, are set by a message behind this one: the
    kernel takes no notice of either in a link that is being made.
    """
    there = IFINFOMSG.pack(0, 0, 0, 0, 0) + b"".join(
        (
            *_plain(name=peer.name, mac=peer.mac, mtu=peer.mtu),
            u32(IFLA_NET_NS_FD, peer.netns_fd),
        )
    )
    info = nested(IFLA_INFO_DATA, nested(_VETH_INFO_PEER, there))
    flags = _IFF_UP if up else 0
    return link_message(
        RTM_NEWLINK,
        CREATE | EXCL,
        *_plain(name=name, mac=mac, mtu=mtu, master=master),
        nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth"), info),
        flags=flags,
        mask=flags,
    )


def new_ifb(name: str, *, mtu: int) -> Message:
    """Make a link that hands back what is redirected to it, so that what comes in can be queued as
    what goes out is. It is down.

    Args:
        name: Its name.
        mtu: Bytes of its largest packet.
    """
    return link_message(
        RTM_NEWLINK,
        CREATE | EXCL,
        *_plain(name=name, mtu=mtu),
        # As the reference has it: a shaper behind it has a bound of its own.
        u32(_IFLA_TXQLEN, 0),
        nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "ifb")),
    )


def change(
    which: int | str,
    *,
    up: bool | None = None,
    name: str | None = None,
    mac: bytes | None = None,
    mtu: int | None = None,
    master: int | None = None,
    alias: str | None = None,
    group: int | None = None,
    promiscuous: bool | None = None,
    all_multicast: bool | None = None,
    queue_length: int | None = None,
    netns_fd: int | None = None,
) -> Message:
    """Change a link; what is None stays.

    Args:
        which: Its index, or its name where no other name is given.
        up: Whether it is up.
        name: Its new name.
        mac: Its hardware address.
        mtu: Bytes of its largest packet.
        master: The index of the bridge it becomes a port of; 0, it is nobody's port.
        alias: A text to know it by; empty, it has none.
        group: The number of its group.
        promiscuous: Whether it takes in what is for others.
        all_multicast: Whether it takes in what is for any group.
        queue_length: How many packets its queue holds.
        netns_fd: The open namespace that it moves to.

    Raises:
        NetlinkError: a name cannot be given to what is named by its name.
    """
    if name is not None and isinstance(which, str):
        raise NetlinkError(errno.EINVAL, f"{which} is given a name, but not named by its index")
    flags = mask = 0
    for bit, asked in (
        (_IFF_UP, up),
        (_IFF_PROMISC, promiscuous),
        (_IFF_ALLMULTI, all_multicast),
    ):
        flags |= bit if asked else 0
        mask |= 0 if asked is None else bit
    plain = _plain(name=name, mac=mac, mtu=mtu, master=master, alias=alias)
    if group is not None:
        plain.append(u32(_IFLA_GROUP, group))
    if queue_length is not None:
        plain.append(u32(_IFLA_TXQLEN, queue_length))
    if netns_fd is not None:
        plain.append(u32(IFLA_NET_NS_FD, netns_fd))
    return link_message(RTM_NEWLINK, 0, *plain, which=which, flags=flags, mask=mask)


def delete(which: int | str) -> Message:
    """Remove a link, by index or name. The kernel answers some 20 ms after it is gone; see
    :mod:`acni.netlink.removal`.
    """
    return link_message(RTM_DELLINK, 0, which=which)


def find_link(netlink: Netlink, which: int | str) -> Link | None:
    """Return the link of that index or name; None where there is none.

    Raises:
        NetlinkError: the kernel does not say.
    """
    try:
        asked = link_message(RTM_GETLINK, 0, _NO_STATISTICS, which=which)
        answers = netlink.request(question(asked))
    except NetlinkError as error:
        if error.is_verdict(errno.ENODEV):
            return None
        raise
    if len(answers) != 1:
        raise malformed(f"{len(answers)} answers about one link")
    return read_link(answers[0])


def get_link(netlink: Netlink, which: int | str) -> Link:
    """Return the link of that index or name.

    Raises:
        NetlinkError: there is none (ENODEV), or the kernel does not say.
    """
    found = find_link(netlink, which)
    if found is None:
        raise NetlinkError(errno.ENODEV, f"there is no link {which}")
    return found


def list_links(netlink: Netlink, *, master: int | None = None) -> tuple[Link, ...]:
    """Return the links of the namespace.

    Args:
        netlink: The namespace's socket.
        master: Only the ports of the bridge of this index.

    Raises:
        NetlinkError: the kernel does not say.
    """
    # A kernel that cannot filter (before Linux 4.6) lists all.
    of_master = () if master is None else (u32(_IFLA_MASTER, master),)
    answers = netlink.dump(link_message(RTM_GETLINK, 0, _NO_STATISTICS, *of_master))
    links = (read_link(answer) for answer in answers)
    return tuple(link for link in links if master is None or link.master == master)


def find_by_alias(netlink: Netlink, alias: str, *, kind: str, tries: int) -> Link | None:
    """Return a link of that alias; None where there is none. The kernel lists all links for that.

    Args:
        netlink: The namespace's socket.
        alias: The alias.
        kind: The link's kind.
        tries: How often the list is read, at most, where it changes meanwhile.

    Raises:
        NetlinkError: the kernel does not say.
        DumpInterrupted: the list changed each time.
    """
    written = encoded(alias)
    answers = netlink.dump(link_message(RTM_GETLINK, 0, _NO_STATISTICS), tries=tries)
    # Not to read the others is four fifths of the time.
    links = (read_link(answer) for answer in answers if written in answer.body)
    return next((link for link in links if (link.alias, link.kind) == (alias, kind)), None)


def read_link(answer: Answer) -> Link:
    """Read the description of a link.

    Raises:
        Malformed: it is none.
    """
    if answer.kind != RTM_NEWLINK:
        raise malformed(f"a message {answer.kind} where a link is described")
    _, _, index, flags, _ = header_of(IFINFOMSG, answer.body)
    said = attributes(answer.body[IFINFOMSG.size :])
    if IFLA_IFNAME not in said:
        raise malformed("a link without a name")
    info = attributes(said.get(IFLA_LINKINFO, b""))
    port = _port_of(info)
    peer_netnsid = _number(said, _IFLA_LINK_NETNSID)
    return Link(
        index=index,
        name=text_of(said[IFLA_IFNAME]),
        mac=said.get(IFLA_ADDRESS, b""),
        mtu=_number(said, IFLA_MTU) or 0,
        flags=flags,
        kind=_text(info, IFLA_INFO_KIND),
        master=_number(said, _IFLA_MASTER),
        peer=_number(said, IFLA_LINK),
        peer_netnsid=None if peer_netnsid is None else _signed(peer_netnsid),
        alias=_text(said, IFLA_IFALIAS),
        group=_number(said, _IFLA_GROUP) or 0,
        hairpin=_flag(port, IFLA_BRPORT_MODE),
        isolated=_flag(port, IFLA_BRPORT_ISOLATED),
        port_number=_short(port, IFLA_BRPORT_NO),
        vlan_filtering=_flag(_data_of(info, "bridge"), IFLA_BR_VLAN_FILTERING),
        macvlan_mode=_number(_data_of(info, "macvlan"), IFLA_MACVLAN_MODE),
        operational_state=u8_of(said.get(_IFLA_OPERSTATE, b"\0")),
        queue_length=_number(said, _IFLA_TXQLEN) or 0,
        of_families=said.get(IFLA_AF_SPEC, b""),
    )


def _plain(
    *,
    name: str | None = None,
    mac: bytes | None = None,
    mtu: int | None = None,
    master: int | None = None,
    alias: str | None = None,
) -> list[bytes]:
    parts: list[bytes] = []
    if name is not None:
        parts.append(text(IFLA_IFNAME, name))
    if mac is not None:
        parts.append(attribute(IFLA_ADDRESS, mac))
    if mtu is not None:
        parts.append(u32(IFLA_MTU, mtu))
    if master is not None:
        parts.append(u32(_IFLA_MASTER, master))
    if alias is not None:
        parts.append(text(IFLA_IFALIAS, alias))
    return parts


def _port_of(info: Mapping[int, bytes]) -> Mapping[int, bytes]:
    is_port = _text(info, IFLA_INFO_SLAVE_KIND) == "bridge"
    return attributes(info.get(IFLA_INFO_SLAVE_DATA, b"")) if is_port else {}


def _data_of(info: Mapping[int, bytes], kind: str) -> Mapping[int, bytes]:
    is_of_kind = _text(info, IFLA_INFO_KIND) == kind
    return attributes(info.get(IFLA_INFO_DATA, b"")) if is_of_kind else {}


def _number(said: Mapping[int, bytes], kind: int) -> int | None:
    value = said.get(kind)
    return None if value is None else u32_of(value)


def _short(said: Mapping[int, bytes], kind: int) -> int | None:
    value = said.get(kind)
    return None if value is None else u16_of(value)


def _flag(said: Mapping[int, bytes], kind: int) -> bool | None:
    value = said.get(kind)
    return None if value is None else bool(u8_of(value))


def _text(said: Mapping[int, bytes], kind: int) -> str | None:
    value = said.get(kind)
    return None if value is None else text_of(value)


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number
