"""Queueing disciplines: the token bucket that shapes what a link sends, and what filters of
arriving packets hang on.

Each link is asked for its own: the kernel lists those of all links only.

(tc(8), tc-tbf(8); include/uapi/linux/pkt_sched.h)
"""

from __future__ import annotations

import errno
import struct
from typing import Final

from attrs import frozen

from acni.netlink.errors import NetlinkError, malformed
from acni.netlink.messages import (
    CREATE,
    ECHO,
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
)
from acni.netlink.sockets import Netlink
from acni.netlink.tcmessages import (
    INGRESS,
    INGRESS_HANDLE,
    ROOT,
    TCA_KIND,
    TCA_OPTIONS,
    TCMSG,
    tc_message,
)

TICK_NS: Final = 64
"""Nanoseconds of one tick, in which the kernel counts a bucket (PSCHED_SHIFT,
include/net/pkt_sched.h)."""

MOST: Final = (1 << 32) - 1
"""The most ticks, and bytes of a limit, that a token bucket can have."""

INGRESS_KIND: Final = "ingress"
"""The kind on which filters of arriving packets hang, and nothing else does."""

_RTM_NEWQDISC: Final = 36
_RTM_DELQDISC: Final = 37
_RTM_GETQDISC: Final = 38

_TCA_TBF_PARMS: Final = 1
_TCA_TBF_RATE64: Final = 4

# A rate's cell_log, linklayer, overhead, cell_align, mpu and bytes a second; twice: the second is
# that of a peak, which nobody here has. Then limit, buffer and mtu.
_TBF_QOPT: Final = struct.Struct("=BBHhHI BBHhHI III")
_RATE, _LIMIT, _BUFFER = 5, 12, 13
_U64: Final = struct.Struct("=Q")

# What the reference gives its token buckets: "1:".
_HANDLE: Final = 1 << 16


@frozen(kw_only=True)
class Bucket:
    """A token bucket.

    Attributes:
        rate: Bytes a second.
        buffer: How long the bucket takes to be filled, in ticks.
        limit: Bytes that may wait.
    """

    rate: int
    buffer: int
    limit: int


@frozen(kw_only=True)
class Qdisc:
    """A queueing discipline as the kernel describes it.

    Attributes:
        kind: "tbf", "ingress", "noqueue".
        index: Its link's.
        handle: Its number, the upper half.
        bucket: What a "tbf" has; None for the others.
    """

    kind: str
    index: int
    handle: int
    bucket: Bucket | None = None


def add_bucket(index: int, bucket: Bucket) -> Message:
    """Shape what a link sends; EEXIST, it has a queueing discipline already.

    Raises:
        NetlinkError: a number does not fit.
    """
    rate = min(bucket.rate, MOST)
    options = header(_TBF_QOPT, 0, 0, 0, 0, 0, rate, *[0] * 6, bucket.limit, bucket.buffer, 0)
    inner = [attribute(_TCA_TBF_PARMS, options)]
    if bucket.rate > MOST:
        inner.append(attribute(_TCA_TBF_RATE64, header(_U64, bucket.rate)))
    return tc_message(
        _RTM_NEWQDISC,
        CREATE | EXCL,
        text(TCA_KIND, "tbf"),
        nested(TCA_OPTIONS, *inner),
        index=index,
        parent=ROOT,
        handle=_HANDLE,
    )


def add_ingress(index: int) -> Message:
    """Let filters see what arrives at a link (EEXIST: they do)."""
    return tc_message(
        _RTM_NEWQDISC,
        CREATE | EXCL,
        text(TCA_KIND, INGRESS_KIND),
        index=index,
        parent=INGRESS,
        handle=INGRESS_HANDLE,
    )


def remove_root(index: int) -> Message:
    """Let a link send as it did before; ENOENT, there is nothing to be removed."""
    return tc_message(_RTM_DELQDISC, 0, index=index, parent=ROOT)


def remove_ingress(index: int) -> Message:
    """Remove what filters of arriving packets hang on, and with it the filters."""
    return tc_message(_RTM_DELQDISC, 0, index=index, parent=INGRESS)


def find_root(netlink: Netlink, index: int) -> Qdisc | None:
    """Return what a link sends by; None where nobody gave it anything.

    Raises:
        NetlinkError: there is no such link (ENODEV), or the kernel does not say.
    """
    return _find(netlink, index, ROOT)


def find_ingress(netlink: Netlink, index: int) -> Qdisc | None:
    """Return what filters of what arrives at a link hang on; None where there is nothing. It is an
    "ingress", or a "clsact".

    Raises:
        NetlinkError: there is no such link (ENODEV), or the kernel does not say.
    """
    return _find(netlink, index, INGRESS)


def read_qdisc(answer: Answer) -> Qdisc:
    """Read the description of a queueing discipline.

    Raises:
        Malformed: it is none.
    """
    if answer.kind != _RTM_NEWQDISC:
        raise malformed(f"a message {answer.kind} where a queueing discipline is described")
    _, index, handle, _, _ = header_of(TCMSG, answer.body)
    said = attributes(answer.body[TCMSG.size :])
    if TCA_KIND not in said:
        raise malformed("a queueing discipline without a kind")
    kind = text_of(said[TCA_KIND])
    bucket = _bucket(said.get(TCA_OPTIONS, b"")) if kind == "tbf" else None
    return Qdisc(kind=kind, index=index, handle=handle, bucket=bucket)


def _find(netlink: Netlink, index: int, parent: int) -> Qdisc | None:
    try:
        # Without an echo the answer goes to those only who listen for changes (qdisc_get_notify,
        # net/sched/sch_api.c).
        answers = netlink.request(tc_message(_RTM_GETQDISC, ECHO, index=index, parent=parent))
    except NetlinkError as error:
        if error.is_verdict(errno.ENOENT):
            return None
        raise
    if not answers:  # one that the kernel gives every link, and tells nobody of
        return None
    if len(answers) != 1:
        raise malformed(f"{len(answers)} answers about one queueing discipline")
    qdisc = read_qdisc(answers[0])
    return qdisc if qdisc.handle else None  # the kernel's own have no number


def _bucket(options: bytes) -> Bucket:
    said = attributes(options)
    told = header_of(_TBF_QOPT, said.get(_TCA_TBF_PARMS, b""))
    rate = told[_RATE]
    if (wide := said.get(_TCA_TBF_RATE64)) is not None:
        (rate,) = header_of(_U64, wide)
    return Bucket(rate=rate, buffer=told[_BUFFER], limit=told[_LIMIT])
