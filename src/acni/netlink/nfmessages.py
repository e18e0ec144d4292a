"""Messages of nfnetlink, which the firewall of the kernel speaks: the header of each, and batches.

Numbers within attributes are in the network's order, here and nowhere else.

(include/uapi/linux/netfilter/nfnetlink.h; net/netfilter/nfnetlink.c)
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from acni.netlink.messages import Answer, Message, attributes, be32, header, header_of

NETLINK_NETFILTER: Final = 12
NFTABLES: Final = 10  # NFNL_SUBSYS_NFTABLES

NFGENMSG: Final = struct.Struct("!BBH")  # family, version, what the subsystem says

_SUBSYSTEM_BITS: Final = 8
_NFNL_MSG_BATCH_BEGIN: Final = 0x10
_NFNL_MSG_BATCH_END: Final = 0x11
_NFNL_BATCH_GENID: Final = 1


def subsystem_message(
    subsystem: int, kind: int, flags: int, *inner: bytes, family: int = 0
) -> Message:
    """Make a message to a subsystem.

    Args:
        subsystem: NFNL_SUBSYS_*.
        kind: The subsystem's number of what is asked.
        flags: As any message's.
        inner: Its attributes.
        family: NFPROTO_*.
    """
    head = header(NFGENMSG, family, 0, 0)
    return Message(subsystem << _SUBSYSTEM_BITS | kind, flags, b"".join((head, *inner)))


def kind_of(subsystem: int, kind: int) -> int:
    """Return the type that a subsystem's messages of a kind have."""
    return subsystem << _SUBSYSTEM_BITS | kind


def batch_of(messages: Sequence[Message], *, generation: int | None = None) -> list[Message]:
    """Put messages to nf_tables between a begin and an end.

    Args:
        messages: Any number; of none nothing comes but that every change under way is waited for.
        generation: The only one of the rules in which they are heeded.
    """
    edge = header(NFGENMSG, 0, 0, NFTABLES)
    condition = b"" if generation is None else be32(_NFNL_BATCH_GENID, generation)
    return [
        Message(_NFNL_MSG_BATCH_BEGIN, 0, edge + condition),
        *messages,
        Message(_NFNL_MSG_BATCH_END, 0, edge),
    ]


def family_and_attributes(answer: Answer | Message) -> tuple[int, dict[int, bytes]]:
    """Read what a message has behind its header, and of which family it is.

    Raises:
        Malformed: it is too short, or does not consist of attributes.
    """
    family, _, _ = header_of(NFGENMSG, answer.body)
    return family, attributes(answer.body[NFGENMSG.size :])
