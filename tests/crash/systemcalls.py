"""What strace sees of a run, to be compared with what the shim met: a call that glibc makes inside
itself, or an entry point that nobody thought of, is no fault point.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.crash.points import Pair
from tests.crash.scenarios import Ground

# The shim's names of what touches a file system; not what only looks at names, which opendir
# and its like do inside themselves.
_ON_NAMES: Final[Mapping[str, str]] = {
    "open": "open",
    "openat": "open",
    "openat2": "open",
    "creat": "open",
    "rename": "rename",
    "renameat": "rename",
    "renameat2": "rename",
    "unlink": "unlink",
    "unlinkat": "unlink",
    "rmdir": "unlink",
    "mkdir": "mkdir",
    "mkdirat": "mkdir",
    "link": "link",
    "linkat": "link",
    "symlink": "symlink",
    "symlinkat": "symlink",
    "chmod": "chmod",
    "fchmodat": "chmod",
    "truncate": "truncate",
}
_ON_DESCRIPTORS: Final[Mapping[str, str]] = {
    "read": "read",
    "pread64": "pread",
    "write": "write",
    "writev": "write",
    "pwrite64": "pwrite",
    "pwritev": "pwrite",
    "pwritev2": "pwrite",
    "copy_file_range": "copy_file_range",
    "sendfile": "sendfile",
    "fsync": "fsync",
    "fdatasync": "fdatasync",
    "syncfs": "syncfs",
    "sync_file_range": "sync_file_range",
    "ftruncate": "ftruncate",
    "fallocate": "fallocate",
    "fchmod": "fchmod",
    "flock": "flock",
    "fcntl": "fcntl",
}
_THREADS: Final = ("clone", "clone3")

# A question mark: not every machine has every call.
_TRACED: Final = ",".join(
    f"?{call}" for call in (*_ON_NAMES, *_ON_DESCRIPTORS, *_THREADS, "access")
)

_LINE: Final = re.compile(r"(\d+) +(\w+)\((.*)")
_ENDED: Final = re.compile(r"(\d+) +(?:<\.\.\. )?clone3?\b.* = (\d+)$")
_DESCRIPTOR: Final = re.compile(r"(?:AT_FDCWD|\d+)<([^<>]*)>")
_ARGUMENT: Final = re.compile(_DESCRIPTOR.pattern + r'|"([^"]*)"')
_RANDOM: Final = re.compile(r"[0-9a-f]{16,}")


def strace(log: Path) -> tuple[str, ...]:
    """Return the command that traces another one and all that it starts."""
    return ("strace", "-f", "-y", "-qq", "-s1", "-e", f"trace={_TRACED}", "-o", str(log))


def calls_in_state(trace: str, ground: Ground) -> set[Pair]:
    """Return the calls of the last run, between the shim's two marks, that touched the state
    directory, by threads of the process that was marked.
    """
    threads = _threads(trace)
    found: set[Pair] = set()
    for line in _marked(trace):
        match = _LINE.match(line)
        if match and match[1] in threads and (path := _path(match[2], match[3])) is not None:
            root = str(ground.state_dir)
            if path == root or path.startswith(f"{root}/"):
                call = _ON_NAMES.get(match[2]) or _ON_DESCRIPTORS[match[2]]
                found.add(Pair(call, "state" + _RANDOM.sub("*", path.removeprefix(root))))
    return found


def _marked(trace: str) -> Sequence[str]:
    lines = trace.splitlines()
    start = max(i for i, line in enumerate(lines) if '"/faultpoints-start"' in line)
    stop = max(i for i, line in enumerate(lines) if '"/faultpoints-stop"' in line)
    return lines[start : stop + 1]


def _threads(trace: str) -> set[str]:
    """Return the thread that made the marks, and those that it and they began."""
    marked = _marked(trace)
    threads = {marked[0].split()[0]}
    beginning: set[str] = set()
    for line in marked:
        thread = line.split()[0]
        if thread in threads and "CLONE_THREAD" in line:
            beginning.add(thread)
        ended = _ENDED.match(line)
        if ended and thread in beginning:
            beginning.discard(thread)
            threads.add(ended[2])
    return threads


def _path(call: str, rest: str) -> str | None:
    """Return what a call touches, from its arguments as strace prints them."""
    if call in _ON_DESCRIPTORS:
        # Of fcntl only the locks: opendir asks for flags inside itself.
        descriptor = _DESCRIPTOR.match(rest)
        return descriptor[1] if descriptor and (call != "fcntl" or "LK" in rest) else None
    if call not in _ON_NAMES:
        return None
    directory = path = ""
    for argument in _ARGUMENT.finditer(rest.rpartition(") = ")[0] or rest):
        if argument[2] is None:
            directory = argument[1]
        else:
            name = argument[2]
            path = name if name.startswith("/") else f"{directory}/{name}"
    return path.removesuffix("/.").removesuffix("/") or None
