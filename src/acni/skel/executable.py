"""A plugin as an executable: environment and standard input in, standard output and an exit status
out.

Rule 1: nothing is done before all of standard input was read, which is bounded in length and time.
Rule 2: a namespace that is the plugin's own is refused before the plugin runs, and not, as by the
    skeleton of the Go plugins, when its interface has been made or deleted there already.
    CNI_NETNS_OVERRIDE is the opt-out of both.
Rule 3: the first SIGTERM, SIGINT or SIGHUP lets the verb end between two of its steps, and the
    process then ends by that signal; the second one ends it at once.
Rule 4: a result that nobody can read is a failure: whoever asked has to delete.
Rule 5: what is not needed by each call is imported by the call that needs it: a process that lives
    for milliseconds pays for each module.

(specification, section 2, "Overview", "Parameters"; section 5, "Error"; rules R13, P10)
"""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType, MappingProxyType
from typing import Final

from acni.skel.bounds import Bounds, Stopped
from acni.skel.call import Verbs
from acni.skel.calls import VERSION
from acni.skel.delegation import Delegates
from acni.skel.errors import Code, PluginError
from acni.skel.respond import refuse, respond
from acni.spec.plugin import Request, Response

# Runtimes give a plugin two to four minutes; who gives it more is told after so many seconds.
_SECONDS: Final = 300.0
_STDIN_SECONDS: Final = 30.0
# Four bytes for each character that a document may have.
_MAX_STDIN_BYTES: Final = 4 << 20
_CHUNK: Final = 1 << 16
_STDIN, _STDOUT, _STDERR = range(3)
# Where acni's runtime puts what says that a plugin of a container still runs.
_GUARD: Final = 3
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_NONE: Final[Mapping[str, Verbs]] = MappingProxyType({})


def main(verbs: Verbs, *, delegates: Mapping[str, Verbs] = _NONE) -> int:
    """Be the executable of a plugin: the main function of a program that does nothing else.

    The verb is that of the environment, the configuration is standard input. The result, or the
    specification's error object, goes to standard output.

    Args:
        verbs: The plugin.
        delegates: The plugins of this program, by type, that ``ipam.type`` may name where there is
            no executable of that type in CNI_PATH.

    Returns:
        The exit status: 0, or 1 for what the plugin refused and for what nobody could be told.

    Example:
        >>> import sys
        >>> VERBS = skel.Verbs(add=lambda call: call.previous, delete=lambda call: None)
        >>> if __name__ == "__main__":
        ...     sys.exit(skel.main(VERBS))
    """
    closed = open_closed_streams()
    command = os.environ.get("CNI_COMMAND", "")
    if not command:
        _say(_about(verbs))
    if _STDOUT in closed and command in ("ADD", VERSION):
        _say(f"{_name()}: standard output is closed: nobody would get the result")
        return 1
    guard = _GUARD if _is_file(_GUARD) else None
    try:
        stdin = _read(command)
    except PluginError as error:
        return _tell(refuse(error))
    own = Delegates(built_in=delegates, executables_first=True, program=_program())
    bounds = Bounds(time.monotonic() + _SECONDS)
    request = Request(environment=dict(os.environ), stdin=stdin)
    with _ended_by_signal(bounds) as signals:
        try:
            response = respond(
                verbs, request, bounds=bounds, delegates=own, guard=guard, own_netns_ok=_override()
            )
        except Stopped:
            if signals:
                signal.raise_signal(signals[0])
            message = f"it did not end within {_SECONDS:.0f} s"
            response = refuse(PluginError(Code.TRY_AGAIN, message))
    return _tell(response)


def open_closed_streams() -> tuple[int, ...]:
    """Give the standard streams that the caller closed a place to go to: the next file that is
    opened would take their place, and be written to. Return which they were.
    """
    closed = tuple(fd for fd in (_STDIN, _STDOUT, _STDERR) if not _is_open(fd))
    for _ in closed:  # the lowest free number is the one
        os.open(os.devnull, os.O_RDWR)
    return closed


def read_input(fd: int, *, most: int = _MAX_STDIN_BYTES, seconds: float = _STDIN_SECONDS) -> bytes:
    """Read until the end.

    Args:
        fd: The descriptor.
        most: How many bytes are taken.
        seconds: How long it is waited for.

    Raises:
        PluginError: it is longer, does not end, or cannot be read.
    """
    until = time.monotonic() + seconds
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    read = bytearray()
    try:
        while poll.poll(max(0.0, until - time.monotonic()) * 1000):
            chunk = os.read(fd, _CHUNK)
            read += chunk
            if len(read) > most:
                message = f"standard input is longer than {most} bytes"
                raise PluginError(Code.DECODING_FAILURE, message)
            if not chunk:
                return bytes(read)
    except OSError as error:
        message = f"standard input cannot be read: {error.strerror}"
        raise PluginError(Code.IO_FAILURE, message) from None
    raise PluginError(Code.IO_FAILURE, f"standard input did not end within {seconds:.0f} s")


def _read(command: str) -> bytes:
    """Read the configuration, where there is a verb that has one."""
    if not command:
        return b""
    stdin = read_input(_STDIN)
    # Runtimes of 0.1.0 sent nothing (Documentation/spec-upgrades.md).
    return b"{}" if command == VERSION and not stdin.strip() else stdin


def _override() -> bool:
    return os.environ.get("CNI_NETNS_OVERRIDE", "").upper() in ("1", "TRUE")


@contextmanager
def _ended_by_signal(bounds: Bounds) -> Generator[list[int]]:
    """Let signals end a verb; yield those that came."""
    came: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        came.append(number)
        bounds.stop()

    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, end)
    yield came


def _tell(response: Response) -> int:
    """Write a response; return the exit status."""
    with suppress(OSError):  # nobody reads warnings, either
        _write(_STDERR, response.stderr)
    try:
        _write(_STDOUT, response.stdout)
    except OSError as error:
        _say(f"{_name()}: the result cannot be written: {error.strerror}")
        return 1
    return response.status


def _say(line: str) -> None:
    with suppress(OSError):
        _write(_STDERR, f"{line}\n".encode(errors="backslashreplace"))


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _about(verbs: Verbs) -> str:
    versions = ", ".join(verbs.versions)
    return f"{_name()}: a CNI plugin, for runtimes to call; CNI versions {versions}"


def _name() -> str:
    return os.path.basename(sys.argv[0]) if sys.argv else ""


def _program() -> tuple[int, int] | None:
    """Tell which file this program is."""
    with suppress(OSError, IndexError):
        found = os.stat(sys.argv[0])
        return found.st_dev, found.st_ino
    return None


def _is_open(fd: int) -> bool:
    with suppress(OSError):
        os.fstat(fd)
        return True
    return False


def _is_file(fd: int) -> bool:
    with suppress(OSError):
        return stat.S_ISREG(os.fstat(fd).st_mode)
    return False
