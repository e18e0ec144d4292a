"""Attach and detach as often as a day has seconds, and look whether anything is left, or grows:
``nox -s soak``, or ``python -m tests.soak.soak --loop trio --cycles 2000``.

A cycle is an ADD and a DEL of a container of its own, with processes as plugins and a real
namespace, in a private host. Of two hundred cycles four fail, four are cancelled and one runs out
of time, half of them in the ADD and half in the DEL: which, is by their number, so that every soak
does the same. After every thousand, nothing may be held, recorded or running, and no more be open
or resident than after the first thousand. The exit status is 1 where a bound is broken.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio
from attrs import Factory, define, frozen

import acni
from acni import netns
from acni.events import Event, PluginStarted
from acni.testing import enter_private_host

CYCLES: Final = 86_400
IN_FLIGHT: Final = 32
# A round: after each the runtime is looked at while nothing is under way.
ROUND: Final = 1_000
MOST_KIB_GROWN: Final = 2048.0
# Of the state directory: how long its journal is just now depends on where in a segment it is.
MOST_KIB_STORED: Final = 1024.0
# The runtime's threads for blocking calls are 32 at most; the loops have some of their own.
MOST_THREADS: Final = 40

# How long a plugin that hangs is borne; whoever does not hang needs some milliseconds.
PATIENCE: Final = 8.0

HERE: Final = Path(__file__).parent
NETWORK: Final = acni.parse_network(
    b'{"cniVersion":"1.0.0","name":"soak","plugins":[{"type":"first"},{"type":"second"}]}'
)


@frozen
class Trouble:
    """What goes wrong in a cycle.

    Attributes:
        verb: In the "ADD" or in the "DEL".
        plugin: Of which plugin.
        how: It "fails", it "hangs", or it "is cancelled" while that plugin runs.
    """

    verb: str
    plugin: str
    how: str

    def __str__(self) -> str:
        return f"{self.verb}-{self.plugin}-{self.how}"


# Of two hundred cycles, by their number.
TROUBLES: Final[Mapping[int, Trouble]] = {
    10: Trouble("ADD", "first", "fails"),
    30: Trouble("ADD", "first", "is cancelled"),
    50: Trouble("DEL", "first", "fails"),
    70: Trouble("DEL", "first", "is cancelled"),
    110: Trouble("ADD", "second", "fails"),
    130: Trouble("ADD", "second", "is cancelled"),
    150: Trouble("DEL", "second", "fails"),
    170: Trouble("DEL", "second", "is cancelled"),
}
# Of a thousand, at its beginning: the rest of it goes on beside them.
HANGS: Final[Mapping[int, Trouble]] = {
    20: Trouble("ADD", "first", "hangs"),
    40: Trouble("ADD", "second", "hangs"),
    60: Trouble("DEL", "first", "hangs"),
    80: Trouble("DEL", "second", "hangs"),
    100: Trouble("ADD", "second", "hangs"),
}


def trouble_of(number: int) -> Trouble | None:
    """Return what goes wrong in a cycle, by its number."""
    return HANGS.get(number % ROUND) or TROUBLES.get(number % 200)


@frozen(kw_only=True)
class Look:
    """What there is while no cycle is under way.

    Attributes:
        descriptors: Open in this process.
        threads: Of this process.
        children: Of this process, zombies included.
        held: What the plugins hold.
        records: What stands in ``results/``.
        owed: Debts, and what journals have open.
        stored_kib: Of the state directory.
        resident_kib: Of this process.
    """

    descriptors: int
    threads: int
    children: int
    held: int
    records: int
    owed: int
    stored_kib: float
    resident_kib: float

    def __str__(self) -> str:
        return (
            f"descriptors {self.descriptors}, threads {self.threads}, children {self.children}, "
            f"held {self.held}, records {self.records}, owed {self.owed}, "
            f"stored {self.stored_kib:.0f} KiB, resident {self.resident_kib:.0f} KiB"
        )


@define(eq=False)
class Soak:
    """A soak under way.

    Attributes:
        world: The directory of the plugins and of what they hold.
        cancelled: The containers of which a plugin's run is to be cancelled, with the scope.
        counts: How the cycles ended.
        broken: What is not as it should be.
    """

    world: Path
    cancelled: dict[str, tuple[Trouble, anyio.CancelScope]] = Factory(
        dict[str, tuple[Trouble, anyio.CancelScope]]
    )
    counts: Counter[str] = Factory(Counter[str])
    broken: list[str] = Factory(list[str])

    def observe(self, event: Event) -> None:
        """Cancel who is to be cancelled when their plugin starts."""
        if isinstance(event, PluginStarted) and event.container_id in self.cancelled:
            trouble, scope = self.cancelled[event.container_id]
            if (trouble.verb, trouble.plugin) == (event.command, event.plugin):
                scope.cancel()

    async def cycle(self, runtime: acni.Runtime, number: int, namespace: str) -> None:
        """Attach and detach one container."""
        container_id = f"c{number}"
        trouble = trouble_of(number)
        attachment = acni.Attachment(
            container_id=container_id, netns=namespace, cni_args={"SOAK": str(trouble or "no")}
        )
        ended = await self._try(runtime, attachment, trouble)
        self.counts[f"{trouble or 'no trouble'}: {ended}"] += 1
        expected = "done" if trouble is None else EXPECTED[trouble.verb, trouble.how]
        if ended != expected:
            self.broken.append(f"cycle {number} with {trouble} ended with {ended}")

    async def _try(
        self, runtime: acni.Runtime, attachment: acni.Attachment, trouble: Trouble | None
    ) -> str:
        try:
            with anyio.CancelScope() as scope:
                if trouble and trouble.how == "is cancelled":
                    self.cancelled[attachment.container_id] = trouble, scope
                await runtime.add(NETWORK, attachment)
                await runtime.delete(attachment.id)
                return "done"
            ended = "cancelled"
        except acni.CleanupIncomplete as error:
            ended = f"{type(error).__name__} by {type(error.__cause__).__name__}"
        except acni.AcniError as error:
            ended = type(error).__name__
        finally:
            self.cancelled.pop(attachment.container_id, None)
        # What is owed, if anything, is deleted by who is asked again.
        await runtime.delete(attachment.id, missing_ok=True)
        return ended

    async def round(
        self, runtime: acni.Runtime, numbers: Iterator[int], namespaces: Sequence[str]
    ) -> None:
        """Run cycles, as many at once as there are namespaces."""

        async def work(namespace: str) -> None:
            for number in numbers:
                await self.cycle(runtime, number, namespace)

        async with anyio.create_task_group() as tasks:
            for namespace in namespaces:
                tasks.start_soon(work, namespace)

    async def look(self, runtime: acni.Runtime) -> Look:
        """Look at what there is."""
        records, owed = await runtime.attachments(), await runtime.debts()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        return Look(
            descriptors=count_descriptors(),
            threads=count_threads(),
            children=count_children(),
            held=count_in(self.world / "held"),
            records=len(records),
            owed=len(owed),
            stored_kib=stored_kib(self.world / "state"),
            resident_kib=resident_kib(),
        )


EXPECTED: Final[Mapping[tuple[str, str], str]] = {
    ("ADD", "fails"): "PluginFailed",
    ("ADD", "hangs"): "PluginTimeout",
    ("ADD", "is cancelled"): "cancelled",
    ("DEL", "fails"): "CleanupIncomplete by PluginFailed",
    ("DEL", "hangs"): "CleanupIncomplete by PluginTimeout",
    ("DEL", "is cancelled"): "cancelled",
}


@frozen(kw_only=True)
class Given:
    """What a soak is to be.

    Attributes:
        loop: "asyncio" or "trio".
        cycles: How many.
        patience: How long a plugin that hangs is borne.
    """

    loop: str
    cycles: int
    patience: float


async def soak(world: Path, given: Given) -> list[str]:
    """Soak; say what is broken."""
    bounds = acni.Timeouts(add=given.patience, delete=given.patience)
    with contextlib.ExitStack() as stack:
        namespaces = [stack.enter_context(netns.anonymous()).path for _ in range(IN_FLIGHT)]
        going = Soak(world)
        first: Look | None = None
        async with acni.open_runtime(
            state_dir=world / "state",
            plugin_dirs=[world / "plugins"],
            timeouts=bounds,
            observers=[going.observe],
        ) as runtime:
            began = time.monotonic()
            for end in range(ROUND, given.cycles + 1, ROUND):
                await going.round(runtime, iter(range(end - ROUND, end)), namespaces)
                look = await going.look(runtime)
                first = first or look
                going.broken += differences(first, look)
                rate = end / (time.monotonic() - began)
                print(f"{given.loop}, {end} cycles, {rate:.0f} a second: {look}", flush=True)
    for ending, times in sorted(going.counts.items()):
        print(f"{times:7} {ending}")
    return going.broken


def differences(first: Look, now: Look) -> list[str]:
    """Say what is there that should not be, or has grown since the first look."""
    broken = [
        f"{name}: {getattr(now, name)}"
        for name in ("children", "held", "records", "owed")
        if getattr(now, name) != 0
    ]
    if now.threads > MOST_THREADS:
        broken.append(f"threads: {now.threads}")
    if now.descriptors > first.descriptors:
        broken.append(f"descriptors: {now.descriptors} after {first.descriptors}")
    if now.resident_kib > first.resident_kib + MOST_KIB_GROWN:
        broken.append(f"resident: {now.resident_kib:.0f} KiB after {first.resident_kib:.0f}")
    if now.stored_kib > first.stored_kib + MOST_KIB_STORED:
        broken.append(f"stored: {now.stored_kib:.0f} KiB after {first.stored_kib:.0f}")
    return broken


def count_in(directory: Path) -> int:
    """Count what is in a directory."""
    return sum(1 for _ in directory.iterdir())


def count_descriptors() -> int:
    """Count this process's descriptors; not the one that looks."""
    return count_in(Path("/proc/self/fd")) - 1


def count_threads() -> int:
    """Count this process's threads."""
    return count_in(Path("/proc/self/task"))


def count_children() -> int:
    """Count the processes that are ours, dead ones that nobody waited for included."""
    tasks = Path("/proc/self/task").glob("*/children")
    return sum(len(children.read_text().split()) for children in tasks)


def stored_kib(directory: Path) -> float:
    """Return what a directory takes of the disk."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*")) / 1024


def resident_kib() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def furnish(world: Path) -> None:
    """Make the directories, and compile the plugins."""
    for name in ("plugins", "held"):
        (world / name).mkdir()
    for name in ("first", "second"):
        options = ["-O1", "-Wall", "-Wextra", "-Werror", "-static"]
        command = ["cc", *options, "-o", str(world / "plugins" / name), str(HERE / "plugin.c")]
        subprocess.run(command, check=True, timeout=60)


def main(given: Given) -> int:
    """Soak in a private host; return the exit status."""
    enter_private_host()
    with tempfile.TemporaryDirectory(prefix="acni-soak-") as directory:
        world = Path(directory)
        furnish(world)
        before = count_descriptors(), count_threads(), count_children()
        broken = anyio.run(soak, world, given, backend=given.loop)
    give_up = time.monotonic() + 30  # idle threads of the loops end after ten seconds
    while count_threads() > before[1] and time.monotonic() < give_up:
        time.sleep(0.1)
    after = count_descriptors(), count_threads(), count_children()
    print(f"descriptors, threads, children: {before} before, {after} after")
    if any(now > then for now, then in zip(after, before, strict=True)):
        broken.append("something of the runtime is left after its end")
    for what in broken:
        print(f"BROKEN: {what}")
    return 1 if broken else 0


# Without Python's own allocator, and with one place for the C library's to keep what is free: what
# the two keep for later is worth some MiB, now more, now less, and is no growth.
EXACT: Final = {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1"}


def measure_exactly() -> None:
    """Begin again with exact figures of memory, unless they are."""
    if not EXACT.items() <= os.environ.items():
        environment = {**os.environ, **EXACT}
        os.execve(sys.executable, sys.orig_argv, environment)  # noqa: S606 (this program itself)


if __name__ == "__main__":
    measure_exactly()
    parser = argparse.ArgumentParser(description="A soak.")
    parser.add_argument("--loop", choices=("asyncio", "trio"), default="asyncio")
    parser.add_argument("--cycles", type=int, default=CYCLES)
    parser.add_argument("--patience", type=float, default=PATIENCE)
    sys.exit(main(Given(**vars(parser.parse_args()))))
