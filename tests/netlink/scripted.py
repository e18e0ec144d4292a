"""A wire that answers what it is told, and the bytes that a kernel would answer with."""

from __future__ import annotations

import errno
import os
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from attrs import Factory, define

from acni.netlink.messages import Message, attribute, u32
from acni.netlink.sockets import Netlink
from acni.netlink.wire import Datagram

PORT = 4711

ERROR, DONE = 2, 3
MULTI, INTERRUPTED, CAPPED, TLVS = 0x2, 0x10, 0x100, 0x200

Said = Datagram | OSError
Script = Callable[[int, int], Iterable[Said]]
"""What is answered to a datagram: of its first number, and how many messages it has."""


@define(eq=False)
class ScriptedWire:
    """A double of the kernel's end.

    Attributes:
        scripts: One for each datagram that will be sent; the last one for all that follow.
        sent: The first number and the messages of each datagram.
        reads: How often somebody looked whether there is something.
        waits: For how many seconds somebody was ready to wait.
        on_wait: Called instead of waiting; it may say something at last.
        fd: The descriptor that it pretends to be.
    """

    scripts: deque[Script]
    port: int = PORT
    sent: list[tuple[int, int]] = Factory(list[tuple[int, int]])
    said: deque[Said] = Factory(deque[Said])
    waits: list[float] = Factory(list[float])
    on_wait: Callable[[], None] = lambda: None
    reads: int = 0
    fd: int = -1
    is_closed: bool = False

    def fileno(self) -> int:
        return self.fd

    def send(self, data: bytes) -> None:
        first, count = numbers_in(data)
        self.sent.append((first, count))
        script = self.scripts.popleft() if len(self.scripts) > 1 else self.scripts[0]
        self.said.extend(script(first, count))

    def receive(self) -> Datagram | None:
        self.reads += 1
        if not self.said:
            return None
        said = self.said.popleft()
        if isinstance(said, OSError):
            raise said
        return said

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.on_wait()
        return bool(self.said)

    def close(self) -> None:
        self.is_closed = True


def scripted(*scripts: Script, seconds: float = 30.0) -> tuple[Netlink, ScriptedWire]:
    wire = ScriptedWire(deque(scripts))
    return Netlink(wire, seconds=seconds), wire


def numbers_in(data: bytes) -> tuple[int, int]:
    sequences: list[int] = []
    while data:
        size, _, _, sequence, _ = struct.unpack_from("=IHHII", data)
        sequences.append(sequence)
        data = data[size + 3 & ~3 :]
    return sequences[0], len(sequences)


def raw(kind: int, sequence: int, body: bytes, *, flags: int = 0, port: int = PORT) -> bytes:
    head = struct.pack("=IHHII", 16 + len(body), kind, flags, sequence & 0xFFFFFFFF, port)
    return head + body + bytes(-len(body) % 4)


def verdict(
    sequence: int, code: int = 0, *, words: str = "", offset: int | None = None, port: int = PORT
) -> Datagram:
    """An acknowledgement as kernels since Linux 4.12 write it."""
    said = attribute(1, words.encode() + b"\0") if words else b""
    if offset is not None:
        said += u32(2, offset)
    flags = CAPPED | (TLVS if said else 0)
    body = struct.pack("=iIHHII", -code, 20, 16, 5, sequence & 0xFFFFFFFF, 0) + said
    return datagram(raw(ERROR, sequence, body, flags=flags, port=port))


def done(sequence: int, code: int = 0, *, flags: int = 0) -> bytes:
    """The end of a list."""
    return raw(DONE, sequence, struct.pack("=i", -code), flags=MULTI | flags)


def datagram(*messages: bytes, sender: int = 0) -> Datagram:
    return Datagram(b"".join(messages), sender)


def overrun() -> OSError:
    return OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


def agrees(first: int, count: int) -> Iterable[Said]:
    """Every message is heeded."""
    return [verdict(first + index) for index in range(count)]


def keeps_silent(first: int, count: int) -> Iterable[Said]:
    """No message is answered."""
    return []


def some(count: int, *, size: int = 16) -> Sequence[Message]:
    return [Message(16, 0, bytes(size)) for _ in range(count)]
