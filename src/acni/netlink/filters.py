"""Filters of what arrives at a link: all of it is sent out by another one.

(tc(8), tc-u32(8), tc-mirred(8); include/uapi/linux: pkt_cls.h, tc_act/tc_mirred.h)
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from acni.netlink.errors import malformed
from acni.netlink.messages import (
    CREATE,
    EXCL,
    Answer,
    Message,
    attribute,
    attributes,
    header,
    header_of,
    nested,
    text,
    text_of,
    u32,
)
from acni.netlink.sockets import Netlink
from acni.netlink.tcmessages import INGRESS_HANDLE, TCA_KIND, TCA_OPTIONS, TCMSG, tc_message

_RTM_NEWTFILTER: Final = 44
_RTM_GETTFILTER: Final = 46

_PRIORITY: Final = 1
_ETH_P_ALL: Final = 3

_TCA_U32_CLASSID: Final = 1
_TCA_U32_SEL: Final = 5
_TCA_U32_ACT: Final = 7
_TCA_ACT_KIND: Final = 1
_TCA_ACT_OPTIONS: Final = 2
_TCA_MIRRED_PARMS: Final = 2

# tc_u32_sel: flags, shift, number of keys, a mask, an offset, two more, another mask; then a key:
# mask, value, offset, mask of the offset. A mask of nothing is met by every packet.
_SELECTOR: Final = struct.Struct("=BBBxHHhhI IIii")
_TC_U32_TERMINAL: Final = 1
# tc_mirred: index, capab, action, refcnt, bindcnt, what is done, the link's index.
_MIRRED: Final = struct.Struct("=IIiiiiI")
_TC_ACT_STOLEN: Final = 4
_TCA_EGRESS_REDIR: Final = 1
# The class of what was met, as the reference says it: "1:1".
_CLASS: Final = 1 << 16 | 1


@frozen(kw_only=True)
class Filter:
    """A filter, or a part of one.

    Attributes:
        kind: "u32" and others.
        targets: The indexes of the links by which what it meets is sent out instead, where it is of
            the kind that :func:`redirect` makes.
    """

    kind: str
    targets: tuple[int, ...] = ()


def redirect(index: int, to: int) -> Message:
    """Send out by another link whatever arrives at one, which has the ingress discipline.

    Args:
        index: The link's.
        to: The other one's.

    Raises:
        NetlinkError: a number does not fit.
    """
    mirred = header(_MIRRED, 0, 0, _TC_ACT_STOLEN, 0, 0, _TCA_EGRESS_REDIR, to)
    action = nested(
        1,  # the first
        text(_TCA_ACT_KIND, "mirred"),
        nested(_TCA_ACT_OPTIONS, attribute(_TCA_MIRRED_PARMS, mirred)),
    )
    everything = header(_SELECTOR, _TC_U32_TERMINAL, 0, 1, *[0] * 9)
    return tc_message(
        _RTM_NEWTFILTER,
        CREATE | EXCL,
        text(TCA_KIND, "u32"),
        nested(
            TCA_OPTIONS,
            u32(_TCA_U32_CLASSID, _CLASS),
            attribute(_TCA_U32_SEL, everything),
            nested(_TCA_U32_ACT, action),
        ),
        index=index,
        parent=INGRESS_HANDLE,
        info=_PRIORITY << 16 | socket.htons(_ETH_P_ALL),
    )


def list_filters(netlink: Netlink, index: int) -> tuple[Filter, ...]:
    """Return the filters of what arrives at a link; the kernel tells of one in several parts.

    Raises:
        NetlinkError: the kernel does not say.
    """
    message = tc_message(_RTM_GETTFILTER, 0, index=index, parent=INGRESS_HANDLE)
    return tuple(map(read_filter, netlink.dump(message)))


def read_filter(answer: Answer) -> Filter:
    """Read the description of a filter.

    Raises:
        Malformed: it is none.
    """
    if answer.kind != _RTM_NEWTFILTER:
        raise malformed(f"a message {answer.kind} where a filter is described")
    header_of(TCMSG, answer.body)
    said = attributes(answer.body[TCMSG.size :])
    kind = text_of(said.get(TCA_KIND, b""))
    options = attributes(said.get(TCA_OPTIONS, b"")) if kind == "u32" else {}
    return Filter(kind=kind, targets=tuple(_targets(options.get(_TCA_U32_ACT, b""))))


def _targets(actions: bytes) -> Iterator[int]:
    for action in attributes(actions).values():
        said = attributes(action)
        if text_of(said.get(_TCA_ACT_KIND, b"")) == "mirred":
            options = attributes(said.get(_TCA_ACT_OPTIONS, b""))
            told = header_of(_MIRRED, options.get(_TCA_MIRRED_PARMS, b""))
            if told[-2] == _TCA_EGRESS_REDIR:
                yield told[-1]
