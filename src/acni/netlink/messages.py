"""Netlink messages and their attributes, packed and read; pure.

Rule 1: what is read was written by somebody else: each length is compared with what is there, and
    whatever is wrong is one error.
Rule 2: what is packed is what the kernel reads: a value that does not fit is refused, never cut.

(include/uapi/linux/netlink.h; Documentation/userspace-api/netlink/intro.rst)
"""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Container, Sequence
from typing import Final

from attrs import frozen

from acni.netlink.errors import DONE, NetlinkError, Verdict, malformed

REQUEST: Final = 0x1
ACK: Final = 0x4
ECHO: Final = 0x8
DUMP: Final = 0x300
EXCL: Final = 0x200
CREATE: Final = 0x400
APPEND: Final = 0x800

_DUMP_INTR: Final = 0x10
_CAPPED: Final = 0x100
_ACK_TLVS: Final = 0x200

_ERROR: Final = 2
_DONE: Final = 3
_FIRST_KIND: Final = 0x10  # below it are netlink's own

_NLMSGERR_ATTR_MSG: Final = 1
_NLMSGERR_ATTR_OFFS: Final = 2

_NESTED: Final = 0x8000
_KIND_MASK: Final = 0x3FFF  # without "nested" and "network byte order"

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_WITH_U32: Final = struct.Struct("=HHI")
# What fills a size up to a multiple of four, by its last two bits.
_FILLING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")
_ERRNO: Final = struct.Struct("=i")
_MOST_ERRNO: Final = 4095  # MAX_ERRNO, include/linux/err.h


@frozen
class Message:
    """A message that is to be sent; length, sequence number and port come with the sending.

    Attributes:
        kind: Its type, RTM_NEWLINK for instance.
        flags: Beside REQUEST and ACK, which every one has; in a batch one has ACK.
        body: The family's header, and the attributes.
        is_question: Whether it is answered by one message, or refused, and by nothing beside.
    """

    kind: int
    flags: int
    body: bytes
    is_question: bool = False


@frozen
class Answer:
    """A message as it came.

    Attributes:
        kind: Its type.
        flags: Its flags.
        sequence: The number of the message that it answers.
        port: The port whose message it answers; 0 where it answers none.
        body: What stands behind its header.
    """

    kind: int
    flags: int
    sequence: int
    port: int
    body: bytes

    @property
    def is_verdict(self) -> bool:
        """Whether it ends what a message asked for."""
        return self.kind in (_ERROR, _DONE)

    @property
    def is_data(self) -> bool:
        """Whether it is more than netlink's own housekeeping."""
        return self.kind >= _FIRST_KIND

    @property
    def is_interrupted(self) -> bool:
        """Whether it belongs to a list that changed while it was read (NLM_F_DUMP_INTR)."""
        return bool(self.flags & _DUMP_INTR)

    def verdict(self) -> Verdict:
        """Read it as a verdict.

        Raises:
            Malformed: it cannot be one.
        """
        if self.kind == _DONE and not self.body:
            return DONE
        if len(self.body) < _ERRNO.size:
            raise malformed("a verdict without a number")
        code = -_ERRNO.unpack_from(self.body)[0]
        if code == 0 and not self.flags & _ACK_TLVS:
            return DONE
        if not 0 <= code <= _MOST_ERRNO:
            raise malformed(f"a verdict of {-code}")
        said = self._said() if self.flags & _ACK_TLVS else {}
        words = said.get(_NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode("utf-8", "replace")
        offset = said.get(_NLMSGERR_ATTR_OFFS)
        return Verdict(code=code, words=words, offset=None if offset is None else u32_of(offset))

    def _said(self) -> dict[int, bytes]:
        begin = _ERRNO.size
        if self.kind == _ERROR:
            begin += _HEADER.size
            if not self.flags & _CAPPED:  # our whole message stands between
                if len(self.body) < begin:
                    raise malformed("a verdict without the header it is about")
                (length,) = struct.unpack_from("=I", self.body, _ERRNO.size)
                begin = _ERRNO.size + _aligned(length)
        return attributes(self.body[begin:])


def pack(
    messages: Sequence[Message], *, first: int, acknowledged: Container[int] | None = None
) -> bytes:
    """Put messages into one datagram.

    Args:
        messages: Any number.
        first: The sequence number of the first one; the others have those that follow.
        acknowledged: The numbers of those that ask for an answer; None, all do.
    """
    parts: list[bytes] = []
    for sequence, message in enumerate(messages, first):
        size = _HEADER.size + len(message.body)
        flags = message.flags | REQUEST
        if not message.is_question and (acknowledged is None or sequence in acknowledged):
            flags |= ACK
        parts += (
            _HEADER.pack(size, message.kind, flags, sequence & 0xFFFFFFFF, 0),
            message.body,
            _FILLING[size & 3],
        )
    return b"".join(parts)


def question(message: Message) -> Message:
    """Return a message as one that asks for one thing: what answers it says that it was heeded, and
    nothing else does.
    """
    return Message(message.kind, message.flags, message.body, is_question=True)


def size_of(message: Message) -> int:
    """Return the bytes that a message takes in a datagram."""
    return _HEADER.size + _aligned(len(message.body))


def unpack(datagram: bytes) -> list[Answer]:
    """Take a datagram apart.

    Raises:
        Malformed: it does not consist of messages.
    """
    answers: list[Answer] = []
    offset, end = 0, len(datagram)
    while offset < end:
        if end - offset < _HEADER.size:
            raise malformed(f"{end - offset} bytes where a message begins")
        size, kind, flags, sequence, port = _HEADER.unpack_from(datagram, offset)
        if not _HEADER.size <= size <= end - offset:
            raise malformed(f"a message of {size} bytes in {end - offset}")
        body = datagram[offset + _HEADER.size : offset + size]
        answers.append(Answer(kind, flags, sequence, port, body))
        offset += size + 3 & ~3
    return answers


def attribute(kind: int, value: bytes) -> bytes:
    """Pack an attribute.

    Raises:
        NetlinkError: its value is too long.
    """
    size = _ATTRIBUTE.size + len(value)
    try:
        return _ATTRIBUTE.pack(size, kind) + value + _FILLING[size & 3]
    except struct.error:
        raise _too_long(value) from None


def nested(kind: int, *inner: bytes) -> bytes:
    """Pack an attribute that consists of attributes."""
    value = b"".join(inner)
    size = _ATTRIBUTE.size + len(value)
    try:
        return _ATTRIBUTE.pack(size, kind | _NESTED) + value + _FILLING[size & 3]
    except struct.error:
        raise _too_long(value) from None


def text(kind: int, value: str) -> bytes:
    """Pack an attribute of text, with the NUL that ends it.

    Raises:
        NetlinkError: as by :func:`encoded`.
    """
    return attribute(kind, encoded(value) + b"\0")


def encoded(value: str) -> bytes:
    """Write text as the kernel reads it.

    Raises:
        NetlinkError: the text holds a NUL, which would end it, or no UTF-8 can write it.
    """
    try:
        written = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise NetlinkError(errno.EINVAL, f"{value!a} is no text") from None
    if b"\0" in written:
        raise NetlinkError(errno.EINVAL, f"{value!a} holds a NUL")
    return written


def u8(kind: int, value: int) -> bytes:
    """Pack an attribute of one byte.

    Raises:
        NetlinkError: the number does not fit, here and below.
    """
    return attribute(kind, _number(value, 1, sys.byteorder == "little"))


def u16(kind: int, value: int) -> bytes:
    """Pack an attribute of two bytes, as the machine has them."""
    return attribute(kind, _number(value, 2, sys.byteorder == "little"))


def u32(kind: int, value: int) -> bytes:
    """Pack an attribute of four bytes, as the machine has them."""
    try:
        return _WITH_U32.pack(_WITH_U32.size, kind, value)
    except struct.error:
        raise NetlinkError(errno.ERANGE, f"{value} in 4 bytes") from None


def be16(kind: int, value: int) -> bytes:
    """Pack an attribute of two bytes, as the network has them."""
    return attribute(kind, _number(value, 2, False))


def be32(kind: int, value: int) -> bytes:
    """Pack an attribute of four bytes, as the network has them."""
    return attribute(kind, _number(value, 4, False))


def header(layout: struct.Struct, *values: int) -> bytes:
    """Pack what a family's messages begin with.

    Raises:
        NetlinkError: a number does not fit.
    """
    try:
        return layout.pack(*values)
    except struct.error:
        raise NetlinkError(errno.ERANGE, f"one of {values}") from None


def header_of(layout: struct.Struct, body: bytes) -> tuple[int, ...]:
    """Read what a family's messages begin with.

    Raises:
        Malformed: the body is too short.
    """
    if len(body) < layout.size:
        raise malformed(f"{len(body)} bytes where a header of {layout.size} begins")
    return layout.unpack_from(body)


def attributes(data: bytes) -> dict[int, bytes]:
    """Read attributes; of those of one kind the last one.

    A bridge and a port of one have some forty each, so this is most of what reading costs: no
    generator, and nothing looked up twice.

    Raises:
        Malformed: the data does not consist of attributes.
    """
    found: dict[int, bytes] = {}
    unpack, smallest = _ATTRIBUTE.unpack_from, _ATTRIBUTE.size
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < smallest:
            raise malformed(f"{end - offset} bytes where an attribute begins")
        size, kind = unpack(data, offset)
        if not smallest <= size <= end - offset:
            raise malformed(f"an attribute of {size} bytes in {end - offset}")
        found[kind & _KIND_MASK] = data[offset + smallest : offset + size]
        offset += size + 3 & ~3
    return found


def elements(data: bytes) -> list[bytes]:
    """Read a list: the value of each attribute, whatever their kinds.

    Raises:
        Malformed: the data does not consist of attributes.
    """
    found: list[bytes] = []
    offset, end = 0, len(data)
    while offset < end:
        if end - offset < _ATTRIBUTE.size:
            raise malformed(f"{end - offset} bytes where an attribute begins")
        size, _ = _ATTRIBUTE.unpack_from(data, offset)
        if not _ATTRIBUTE.size <= size <= end - offset:
            raise malformed(f"an attribute of {size} bytes in {end - offset}")
        found.append(data[offset + _ATTRIBUTE.size : offset + size])
        offset += _aligned(size)
    return found


def text_of(value: bytes) -> str:
    """Read text; names are bytes to the kernel, and what is no UTF-8 survives."""
    return value.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def u8_of(value: bytes) -> int:
    """Read one byte.

    Raises:
        Malformed: it has another length, here and below.
    """
    return _number_of(value, 1)


def u16_of(value: bytes) -> int:
    """Read two bytes, as the machine has them."""
    return _number_of(value, 2)


def u32_of(value: bytes) -> int:
    """Read four bytes, as the machine has them."""
    return _number_of(value, 4)


def be32_of(value: bytes) -> int:
    """Read four bytes, as the network has them."""
    return _number_of(value, 4, is_big=True)


def be64_of(value: bytes) -> int:
    """Read eight bytes, as the network has them."""
    return _number_of(value, 8, is_big=True)


def _too_long(value: bytes) -> NetlinkError:
    return NetlinkError(errno.EMSGSIZE, f"{len(value)} bytes in an attribute")


def _number(value: int, size: int, is_little: bool) -> bytes:
    try:
        return value.to_bytes(size, "little" if is_little else "big")
    except OverflowError:
        raise NetlinkError(errno.ERANGE, f"{value} in {size} bytes") from None


def _number_of(value: bytes, size: int, *, is_big: bool = False) -> int:
    if len(value) != size:
        raise malformed(f"a number of {len(value)} bytes, not of {size}")
    return int.from_bytes(value, "big" if is_big else sys.byteorder)


def _aligned(size: int) -> int:
    return size + 3 & ~3
