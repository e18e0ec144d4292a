"""Signals as they arrive, with who sent them: read from a descriptor, not handled.

A handler is not told whether a terminal sent a signal to all of its foreground processes or a
process sent it to this one alone. Who passes signals on must know: what a terminal sent, the other
process has already.

Rule: they are blocked before the process has threads, for the kernel gives a signal to any thread
    that does not block it. A thread inherits that; so does a child, and whoever starts one unblocks
    them there.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Final

from attrs import define, frozen

from acni.host.libc import signalfd

# struct signalfd_siginfo: number, errno, code; 128 bytes in all (signalfd(2)).
_SIGNAL: Final = struct.Struct("=Iii116x")
# Above 0 are the kernel's own; 0 and below say which call of a process sent it (sigaction(2)).
_MOST_OF_A_PROCESS: Final = 0
_AT_ONCE: Final = 16


@frozen
class Arrival:
    """A signal that arrived.

    Attributes:
        signal: Which.
        is_from_kernel: The kernel sent it, for a terminal mostly: to a group of processes, not to
            this one alone.
    """

    signal: signal.Signals
    is_from_kernel: bool


@define(eq=False, repr=False)
class Arrivals:
    """Where signals arrive.

    Attributes:
        fd: Readable when one has arrived.
        blocked: The signals that the process blocked before, besides.
    """

    fd: int
    blocked: frozenset[signal.Signals]

    def read(self) -> list[Arrival]:
        """Take what has arrived; waits for nothing."""
        arrived: list[Arrival] = []
        while True:
            try:
                raw = os.read(self.fd, _SIGNAL.size * _AT_ONCE)
            except BlockingIOError:
                return arrived
            arrived += [_parse(fields) for fields in _SIGNAL.iter_unpack(raw)]


@contextmanager
def arrivals(signals: Iterable[signal.Signals]) -> Generator[Arrivals]:
    """Read signals instead of being ended or interrupted by them, in a process of one thread.

    Those that arrive as the block ends, and were not read, are dropped.
    """
    wanted = frozenset(signals)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    try:
        fd = signalfd(wanted)
        try:
            here = Arrivals(fd, frozenset(map(signal.Signals, before)))
            yield here
            here.read()
        finally:
            os.close(fd)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _parse(fields: tuple[int, int, int]) -> Arrival:
    number, _, code = fields
    return Arrival(signal.Signals(number), code > _MOST_OF_A_PROCESS)
