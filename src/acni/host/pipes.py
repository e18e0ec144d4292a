"""The pipes of a plugin: its request, which is there before it starts, and its output, which is
read without waiting.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios
from typing import Final

from attrs import define, field

from acni.host.files import write_at

CHUNK: Final = 1 << 16
# pipe(7): what an unprivileged process may make one hold.
_MOST_IN_A_PIPE: Final = 1 << 20
_STANDARD_ERROR: Final = 2
_GUARD: Final = 3


@define(eq=False, repr=False)
class Output:
    """One stream of a plugin, read without waiting."""

    fd: int
    cap: int
    keeps_tail: bool
    data: bytearray = field(factory=bytearray, init=False)
    is_over: bool = field(default=False, init=False)

    def read(self, at_most: int) -> bool:
        """Take what is there, up to ``at_most`` bytes; tell whether the stream has ended."""
        while at_most > 0:
            try:
                chunk = os.read(self.fd, min(CHUNK, at_most))
            except BlockingIOError:
                return False
            if not chunk:
                return True
            at_most -= len(chunk)
            self._take(chunk)
        return False

    def _take(self, chunk: bytes) -> None:
        self.data += chunk
        beyond = len(self.data) - self.cap
        if beyond > 0:
            self.is_over = True
            del self.data[slice(beyond) if self.keeps_tail else slice(self.cap, None)]


def request_end(data: bytes, opened: list[int]) -> int:
    """Return a descriptor that yields ``data`` and then ends: a pipe, or a file in memory for what
    fits no pipe.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    opened.append(read_end)
    try:
        written = os.write(write_end, data) if data else 0
    except BlockingIOError:
        written = 0
    finally:
        os.close(write_end)
    if written == len(data):
        os.set_blocking(read_end, True)
        return above_standard(read_end, opened)
    opened.remove(read_end)
    os.close(read_end)
    return above_standard(_file_in_memory(data, opened), opened)


def _file_in_memory(data: bytes, opened: list[int]) -> int:
    fd = os.memfd_create("acni-request", os.MFD_CLOEXEC)
    opened.append(fd)
    write_at(fd, data)  # the plugin reads from offset 0
    return fd


def output_pipe(opened: list[int]) -> tuple[int, int]:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    opened += (read_end, write_end)
    os.set_blocking(read_end, False)
    return read_end, above_standard(write_end, opened)


def above_standard(fd: int, opened: list[int]) -> int:
    """Move a descriptor out of 0 to 2, where a host program that closed its own may get one: dup2
    in the child would overwrite it before it is used.
    """
    if fd > _STANDARD_ERROR:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _STANDARD_ERROR + 1)
    opened.remove(fd)
    opened.append(moved)
    os.close(fd)
    return moved


def guard_copy(fd: int, opened: list[int]) -> int:
    """Return a copy of a descriptor that stands above all that the child gets: the guard's holder
    may give it up meanwhile.
    """
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _GUARD + 1)
    opened.append(copy)
    return copy


def bytes_in(fd: int) -> int:
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    except OSError:
        return _MOST_IN_A_PIPE
    return int(count)


def pid_of(pidfd: int) -> int:
    with open(f"/proc/self/fdinfo/{pidfd}", "rb") as info:
        for line in info:
            if line.startswith(b"Pid:") and int(line.split()[1]) > 0:
                return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, "the process was reaped by somebody else")
