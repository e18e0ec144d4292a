"""A file that is a whole JSON document whenever nobody is just writing it.

Each event is written together with the document's end, over the end before it. So nothing is
collected, and what a killed process leaves can be opened. The format lets an array of events go
without its end, an object not: Perfetto refuses that as incomplete. But it is the object that says
which clock the times are of, so its end is always there.

Rule 1: one write an event, of a few hundred bytes: a kill in the middle of that is the only way to
    a torn end.
Rule 2: what cannot be written is the last that was tried. Nothing is raised: whoever is observed
    has no part in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from typing import Final, Self

from attrs import define

from acni.errors import ConfigError

TraceEvent = Mapping[str, object]

# Perfetto reads what stands before "traceEvents" in one piece, and may give up on keys behind it.
_HEAD: Final = '{{"displayTimeUnit":"ms","otherData":{about},"traceEvents":[\n'
_TAIL: Final = b"\n]}\n"

# Not waiting for the other end of a pipe, which is refused.
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))


@define(eq=False)
class TraceFile:
    """A trace being written.

    Attributes:
        path: Where.
        failure: Why nothing more is written, or None.
    """

    path: str
    failure: OSError | None
    _descriptor: int
    # Where the next event goes: over the document's end.
    _end: int

    @classmethod
    def create(cls, path: str, *, about: Mapping[str, str], first: TraceEvent) -> Self:
        """Begin a trace; a file that is there is overwritten.

        Args:
            path: Where.
            about: What is said of the trace as a whole.
            first: The first event.

        Raises:
            ConfigError: it cannot be written.
        """
        try:
            descriptor = _opened(path)
        except (OSError, ValueError) as error:  # ValueError: a null byte
            raise _refused(path, error) from error
        made = cls(path, None, descriptor, 0)
        made._write(_HEAD.format(about=_ENCODER.encode(about)) + _ENCODER.encode(first))
        if made.failure is not None:
            made.close()
            raise _refused(path, made.failure) from made.failure
        return made

    def add(self, events: Iterable[TraceEvent]) -> None:
        """Write events, if those before could be written."""
        # In the loop's thread: it takes some microseconds, as long as the page cache has room.
        self._write("".join(f",\n{_ENCODER.encode(event)}" for event in events))

    def close(self) -> None:
        """Write no more; asked again, nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, text: str) -> None:
        if self.failure is not None or self._descriptor < 0 or not text:
            return
        data = text.encode()
        try:
            _write_all(self._descriptor, data + _TAIL, self._end)
        except OSError as error:
            self.failure = error
            self._end_here()
        else:
            self._end += len(data)

    def _end_here(self) -> None:
        """Put the end back where it was: there was room for it."""
        if self._end:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._end + len(_TAIL))
                _write_all(self._descriptor, _TAIL, self._end)


def describe(error: Exception) -> str:
    """Say in one line why a file cannot be written."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _refused(path: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"{path} cannot be written: {describe(error)}",
        place="trace",
        expected="a regular file that can be written",
    )


def _opened(path: str) -> int:
    """Open a regular file, emptied."""
    with contextlib.ExitStack() as on_failure:
        descriptor = os.open(path, _FLAGS, 0o666)
        on_failure.callback(os.close, descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is no regular file")
        os.ftruncate(descriptor, 0)
        on_failure.pop_all()
    return descriptor


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], offset + written)
