"""A short life of a state directory, recorded: what two runtimes do to its files, call by call.

Run under strace as a program of its own, it lives that life over the runner double; its calls are
then read back as operations of :mod:`tests.crash.states`.

What happens: a chain of two is attached and detached (c1); an ADD fails and so does its undo (c2);
one is attached (c3), and while the next one is under way (c4) a new segment is begun and the old
one made void, by the commit of yet another (c5). The runtime is killed amid an ADD (c6), just when
it began one more segment; the next one opens, adds (c7) and settles what was left.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Final, Self

import anyio
import anyio.lowlevel
from attrs import define, field, frozen

from acni import (
    Attachment,
    AttachmentId,
    NetworkConfig,
    PluginFailed,
    Runtime,
    netns,
    open_runtime,
    parse_network,
)
from acni.events import Event, PluginFinished, PluginStarted
from acni.host.libc import CLONE_NEWNET, unshare
from acni.store.journal import Journal
from acni.testing import Behaviour, ScriptedRunner
from tests.crash.states import (
    Allocate,
    Create,
    MakeDirectory,
    Mark,
    Operation,
    Rename,
    Step,
    Sync,
    SyncAll,
    Truncate,
    Unlink,
    Write,
)

# linux/sched.h
_CLONE_NEWUSER: Final = 0x10000000

# A name no file has: a call that asks for it is a mark.
_MARK: Final = "/acni-mark/"

_ON_DESCRIPTORS: Final = (
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "syncfs",
    "ftruncate",
    "fallocate",
)
_ON_NAMES: Final = (
    "openat",
    "access",
    "faccessat",
    "faccessat2",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
)
# A question mark: not every machine has every call.
_TRACED: Final = ",".join(f"?{call}" for call in (*_ON_DESCRIPTORS, *_ON_NAMES))


# --- the life ------------------------------------------------------------------------------------


def _mark(what: str) -> None:
    os.access(_MARK + what, os.F_OK)


def _observe(event: Event) -> None:
    """Mark where a plugin begins, and where its DEL succeeded."""
    match event:
        case PluginStarted(command="ADD" | "DEL" as command, index=index):
            _mark(f"{event.container_id}/{command}/{index}/begins")
        case PluginFinished(command="ADD" | "DEL" as command, index=index, error=None):
            _mark(f"{event.container_id}/{command}/{index}/succeeded")
        case _:
            pass


def _network(padding: int) -> NetworkConfig:
    plugins = [{"type": "first", "padding": "x" * padding}, {"type": "second"}]
    document = {"cniVersion": "1.0.0", "name": "net", "plugins": plugins}
    return parse_network(json.dumps(document).encode())


@define(eq=False)
class _Life:
    """The life of a state directory."""

    state_dir: str
    network: NetworkConfig
    runner: ScriptedRunner = field(factory=ScriptedRunner)

    def first(self) -> None:
        """Live until the kill."""
        anyio.run(self._first)

    def second(self) -> None:
        """Live on."""
        anyio.run(self._second)

    def _opened(self) -> AbstractAsyncContextManager[Runtime]:
        return open_runtime(
            state_dir=self.state_dir,
            plugin_dirs=["/plugins"],
            runner=self.runner,
            observers=[_observe],
            recover=False,
        )

    async def _first(self) -> None:
        async with self._opened() as runtime:

            async def add(container_id: str) -> None:
                with netns.anonymous() as box:
                    attachment = Attachment(container_id=container_id, netns=box.path)
                    await runtime.add(self.network, attachment)

            journal = runtime._engine.store.require_journal()
            await add("c1")
            await runtime.delete(AttachmentId("c1"))
            self.runner.tell("second", "ADD", Behaviour.failing())
            self.runner.tell("first", "DEL", Behaviour.failing())
            with suppress(PluginFailed):
                await add("c2")
            self.runner.tell("second", "ADD", Behaviour())
            await add("c3")
            async with anyio.create_task_group() as tasks:
                with self.runner.paused("second", "ADD") as reached:
                    tasks.start_soon(add, "c4")
                    await reached.wait()
                    journal.begin_segment()
                await add("c5")
                await _renewed(journal)
            with self.runner.paused("second", "ADD") as reached:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(add, "c6")
                    await reached.wait()
                    journal.begin_segment()
                    os._exit(0)

    async def _second(self) -> None:
        async with self._opened() as runtime:
            with netns.anonymous() as box:
                await runtime.add(self.network, Attachment(container_id="c7", netns=box.path))
            journal = runtime._engine.store.require_journal()
            await _renewed(journal)
            await runtime.recover()


async def _renewed(journal: Journal) -> None:
    """Wait until the old segment is void."""
    while True:  # nobody says when
        if journal.renewed_from is None:
            return
        await anyio.lowlevel.checkpoint()


def main(state_dir: str, padding: str) -> None:
    """Live it: the runtime that is killed in a child."""
    if os.geteuid() != 0:
        unshare(_CLONE_NEWUSER | CLONE_NEWNET)
    life = _Life(state_dir, _network(int(padding)))
    child = os.fork()
    if child == 0:
        life.first()
        os._exit(1)
    os.waitpid(child, 0)
    _mark("reopens")
    life.second()


# --- the recording -------------------------------------------------------------------------------


class NotRecordableError(Exception):
    """There is no strace here, or it may not trace."""


def record(directory: Path, padding: int = 0) -> tuple[Step, ...]:
    """Record it, in a directory of its own.

    Args:
        directory: The directory.
        padding: How many characters more the configuration has: what records hold of it.

    Raises:
        NotRecordableError: no strace, or no right to trace or to make namespaces.
    """
    state_dir, log = directory / "state", directory / "trace"
    command = ["strace", "-f", "-qq", "-y", "-xx", "-s", "1000000", "-e", "signal=none"]
    command += ["-e", f"trace={_TRACED}", "-o", str(log)]
    program = [sys.executable, "-m", "tests.crash.recorded", str(state_dir), str(padding)]
    root = str(Path(__file__).parents[2])
    try:
        done = subprocess.run(
            [*command, *program],
            check=False,
            capture_output=True,
            timeout=250,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])},
        )
    except FileNotFoundError as error:
        raise NotRecordableError("no strace") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise NotRecordableError(said[-1] if said else f"status {done.returncode}")
    reader = _Reader(str(state_dir))
    operations = reader.read(log.read_text("latin-1"))
    return tuple(Step(number, operation) for number, operation in enumerate(operations, 1))


_LINE: Final = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)")
_UNFINISHED: Final = " <unfinished ...>"
_RESULT: Final = re.compile(r"\) += (-?\d+)(?:<([^<>]*)>)?")
# A descriptor and where it leads, a text, or a word.
_ARGUMENT: Final = re.compile(r'(?:AT_FDCWD|\d+)<([^<>]*)>|"([^"]*)"|([\w|]+)')


@define(eq=False)
class _Reader:
    """Reads what strace wrote as operations on the files of a state directory."""

    state_dir: str
    _names: set[str] = field(factory=set[str], init=False)
    _ends: dict[str, int] = field(factory=dict[str, int], init=False)
    _count: int = field(default=0, init=False)

    def read(self, trace: str) -> Iterator[Operation]:
        """Read all of it. A call counts when it is over, a sync for what was over when it began."""
        begun: dict[str, tuple[str, int]] = {}
        for line in trace.splitlines():
            match = _LINE.match(line)
            if match is None:
                continue
            thread, name, rest = match.groups()
            if rest.endswith(_UNFINISHED):
                begun[thread] = rest.removesuffix(_UNFINISHED), self._count
                continue
            earlier, covered = begun.pop(thread, ("", self._count))
            for operation in self._operations(name, earlier + rest, covered):
                self._count += 1
                yield operation

    def _operations(self, name: str, rest: str, covered: int) -> Iterator[Operation]:
        result = _RESULT.search(rest)
        if result is None:
            return
        arguments = _Arguments.read(rest[: result.start()])
        if "access" in name:
            mark = next((text for text in arguments.texts if text.startswith(_MARK)), None)
            if mark is not None:
                yield Mark(mark.removeprefix(_MARK))
        elif int(result[1]) >= 0:
            if name == "openat":
                yield from self._opened(_unhexed(result[2]).decode(), arguments.words)
            elif name in _ON_DESCRIPTORS:
                path = self._inside(arguments.places[0][0])
                if path is not None:
                    yield self._written(name, path, arguments, covered)
            else:
                paths = [path for path in map(self._inside, arguments.paths()) if path is not None]
                if paths:
                    yield self._named(name, *paths)

    def _opened(self, path: str, flags: Sequence[str]) -> Iterator[Operation]:
        inside = self._inside(path)
        if inside is None:
            return
        self._ends[inside] = 0
        if any("O_CREAT" in flag for flag in flags) and inside not in self._names:
            self._names.add(inside)
            yield Create(inside)
        elif any("O_TRUNC" in flag for flag in flags):
            yield Truncate(inside, 0)

    def _written(self, name: str, path: str, arguments: _Arguments, covered: int) -> Operation:
        match name:
            case "write":
                offset = self._ends[path]
                self._ends[path] += len(arguments.written)
                return Write(path, offset, arguments.written)
            case "pwrite64":
                return Write(path, int(arguments.words[-1]), arguments.written)
            case "syncfs":
                return SyncAll(covered)
            case "ftruncate":
                return Truncate(path, int(arguments.words[-1]))
            case "fallocate":
                return Allocate(path, sum(map(int, arguments.words[-2:])))
            case _:
                return Sync(path, covered)

    def _named(self, name: str, path: str, target: str = "") -> Operation:
        if name.startswith("mkdir"):
            return MakeDirectory(path)
        self._names.discard(path)
        if name.startswith("unlink"):
            return Unlink(path)
        self._names.add(target)
        return Rename(path, target)

    def _inside(self, path: str) -> str | None:
        """Name a path within the state directory."""
        inside = os.path.relpath(path, self.state_dir)
        return None if inside.startswith("..") else inside


@frozen
class _Arguments:
    """What a call was given.

    Attributes:
        places: The texts, and where the descriptors lead, as they come: the latter with True.
        words: Everything else.
        written: The first text as bytes.
    """

    places: tuple[tuple[str, bool], ...]
    words: tuple[str, ...]
    written: bytes

    @classmethod
    def read(cls, text: str) -> Self:
        """Read them as strace writes them."""
        found = list(_ARGUMENT.finditer(text))
        texts = [_unhexed(argument[2]) for argument in found if argument[2] is not None]
        return cls(
            places=tuple(
                (_unhexed(argument[1] or argument[2]).decode("latin-1"), argument[1] is not None)
                for argument in found
                if argument[3] is None
            ),
            words=tuple(argument[3] for argument in found if argument[3] is not None),
            written=texts[0] if texts else b"",
        )

    @property
    def texts(self) -> list[str]:
        """The texts."""
        return [place for place, is_descriptor in self.places if not is_descriptor]

    def paths(self) -> Iterator[str]:
        """Iterate over the paths of names, below the directories that descriptors lead to."""
        directory = ""
        for place, is_descriptor in self.places:
            if is_descriptor:
                directory = place
            else:
                yield str(Path(directory, place))


def _unhexed(text: str) -> bytes:
    return bytes.fromhex(text.replace(r"\x", ""))


if __name__ == "__main__":
    main(*sys.argv[1:])
