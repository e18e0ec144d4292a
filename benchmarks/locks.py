"""The locks between runtimes: what one costs, how long somebody waits, what many who wait need.

Run it with the interpreter that has acni, on the file system that is asked about:
``python benchmarks/locks.py [DIRECTORY] [ROUNDS]``. Each figure is taken in processes of its own,
both loops taking turns; ``python benchmarks/locks.py FIGURE LOOP DIRECTORY [NUMBER ...]`` takes
one. Beside them are a plain flock(2), which excludes one process from another and does no more, and
processes that wait in the kernel.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import IO

import anyio

from acni.errors import Busy
from acni.store.gate import COLLECTION_SECONDS
from acni.store.locks import Locks, open_locks

Lock = Callable[[], AbstractAsyncContextManager[None]]

LOOPS = ("asyncio", "trio")
# Microseconds of own CPU of taking a lock and letting go of it, by how many others are held.
MOST_MICROSECONDS = {0: 10.0, 2000: 15.0}
PROCESSES = 4
TURN_SECONDS = 0.005
TURNS = 60
# Milliseconds.
MOST_WAIT = PROCESSES * TURN_SECONDS * 1e3 + 50
MOST_AT_GATE = 1100.0
WAITING = 1000
MOST_DESCRIPTORS = 70.0


def main(base: str, rounds: int) -> None:
    """Print a line for each figure."""
    with tempfile.TemporaryDirectory(dir=base) as directory:
        print(f"flock and unlock: {min(flock(directory) for _ in range(rounds)):.1f} us of CPU")
        for loop in LOOPS:
            print_cost(rounds, loop, directory)
            print_fairness(rounds, loop, directory)
            print_many(loop, directory)
            print_gate(loop, directory)


def print_cost(rounds: int, loop: str, directory: str) -> None:
    """Print what a lock costs that nobody else has."""
    for beside, most in MOST_MICROSECONDS.items():
        taken = [take("cost", loop, directory, beside) for _ in range(rounds)]
        costs = [statistics.median(each) for each in zip(*taken, strict=True)]
        for what, cost in zip(("container", "gate"), costs, strict=True):
            print(f"{loop}, {what}, {beside} held: {cost:.1f} us of CPU {verdict(cost, most)}")


def print_fairness(rounds: int, loop: str, directory: str) -> None:
    """Print the longest wait of processes that take turns at one container, and of some that wait
    in the kernel, which hands a lock over at once, but may hand it to who has just let go of it.
    """
    longest: dict[str, list[float]] = {"turns": [], "kernel": []}
    for _ in range(rounds):
        for figure, found in longest.items():
            found.append(max(take_at_once(figure, loop, directory, PROCESSES)))
    ours, kernel = (statistics.median(found) for found in longest.values())
    print(
        f"{loop}, {PROCESSES} processes, turns of {TURN_SECONDS * 1e3:g} ms: the longest wait was"
        f" {ours:.0f} ms {verdict(ours, MOST_WAIT)}; {kernel:.0f} ms in the kernel"
    )


def print_many(loop: str, directory: str) -> None:
    """Print what many need that wait for containers, or at the gate, of another runtime."""
    descriptors, share, at_gate = take("many", loop, directory)
    print(
        f"{loop}, {WAITING} waiting: {descriptors:.0f} descriptors"
        f" {verdict(descriptors, MOST_DESCRIPTORS)}; {share:.0f} % of a processor for containers,"
        f" {at_gate:.0f} % at the gate"
    )


def print_gate(loop: str, directory: str) -> None:
    """Print how long a collection that waits in vain delays others."""
    longest, waited = take("gate", loop, directory)
    print(
        f"{loop}, a collection waits in vain for {waited:.1f} s: it delayed operations by"
        f" {longest:.0f} ms at most {verdict(longest, MOST_AT_GATE)}"
    )


def verdict(figure: float, most: float) -> str:
    """Say whether a figure is at most what it should be."""
    return f"(at most {most:g}: {'reached' if figure <= most else 'MISSED'})"


def flock(directory: str) -> float:
    """Lock and unlock a file as a whole; microseconds of CPU."""
    fd = os.open(f"{directory}/flock", os.O_RDWR | os.O_CREAT, 0o600)
    count = 20_000
    began = time.process_time()
    for _ in range(count):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
    used = time.process_time() - began
    os.close(fd)
    return used / count * 1e6


# --- what runs in a process of its own ---


def take(figure: str, loop: str, directory: str, *numbers: int) -> list[float]:
    """Take a figure in a process of its own."""
    return take_at_once(figure, loop, directory, 1, *numbers)


def take_at_once(
    figure: str, loop: str, directory: str, processes: int, *numbers: int
) -> list[float]:
    """Take a figure in processes of their own, which begin together."""
    command = [sys.executable, __file__, figure, loop, directory, *map(str, numbers)]
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            for _ in range(processes)
        ]
        for each in running:
            pipe(each.stdout).readline()
        for each in running:
            pipe(each.stdin).close()
        return [float(number) for each in running for number in pipe(each.stdout).read().split()]


def pipe(end: IO[bytes] | None) -> IO[bytes]:
    """Return an end of a pipe that is there."""
    if end is None:
        raise AssertionError("the process has none")
    return end


async def cost(locks: Locks, _: str, beside: int) -> list[float]:
    """Take a container's lock and the gate, beside others; microseconds of CPU."""
    count = 20_000
    async with contextlib.AsyncExitStack() as held:
        for number in range(beside):
            await held.enter_async_context(locks.container(f"held{number}", until=math.inf))
        return [
            await cost_of(partial(locks.container, "c1", until=math.inf), count),
            await cost_of(partial(locks.gate.shared, until=math.inf), count),
        ]


async def cost_of(lock: Lock, count: int) -> float:
    """Take a lock again and again; microseconds of CPU."""
    async with lock():
        pass
    began = time.process_time()
    for _ in range(count):
        async with lock():
            pass
    return (time.process_time() - began) / count * 1e6


async def turns(locks: Locks, _: str) -> list[float]:
    """Take turns at a container with other processes; milliseconds of the longest wait."""
    longest = 0.0
    for _turn in range(TURNS):
        began = time.perf_counter()
        async with locks.container("c1", until=math.inf):
            longest = max(longest, time.perf_counter() - began)
            time.sleep(TURN_SECONDS)  # noqa: ASYNC251 (what a holder does is not measured)
    return [longest * 1e3]


async def kernel(_: Locks, directory: str) -> list[float]:
    """Take turns as `turns` does, waiting in the kernel, where nobody can be cancelled."""
    longest = 0.0
    fd = os.open(f"{directory}/acni/lock/kernel", os.O_RDWR | os.O_CREAT, 0o600)
    for _turn in range(TURNS):
        began = time.perf_counter()
        fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
        longest = max(longest, time.perf_counter() - began)
        time.sleep(TURN_SECONDS)  # noqa: ASYNC251 (as above)
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_UNLCK, 0, 0, 1, 0))
    os.close(fd)
    return [longest * 1e3]


async def many(locks: Locks, directory: str) -> list[float]:
    """Wait for what another runtime holds; descriptors, and percent of a processor."""
    names = [f"c{number}" for number in range(WAITING)]
    with open_locks(directory) as others:
        async with contextlib.AsyncExitStack() as held:
            for name in names:
                await held.enter_async_context(others.container(name, until=math.inf))
            for_containers, descriptors = await wait_in_vain(
                [partial(locks.container, name, until=math.inf) for name in names]
            )
        async with others.gate.exclusive(until=math.inf):
            at_gate, _ = await wait_in_vain([partial(locks.gate.shared, until=math.inf)] * WAITING)
    return [descriptors, for_containers, at_gate]


async def wait_in_vain(waits: list[Lock]) -> tuple[float, float]:
    """Wait for locks for some seconds; percent of a processor, and descriptors."""

    async def wait(lock: Lock) -> None:
        async with lock():
            pass

    before = descriptors_of_locks()
    async with anyio.create_task_group() as tasks:
        for lock in waits:
            tasks.start_soon(wait, lock)
        await anyio.sleep(3)  # until they ask as seldom as they do for long
        began, used = time.perf_counter(), time.process_time()
        await anyio.sleep(3)
        share = (time.process_time() - used) / (time.perf_counter() - began) * 100
        descriptors = descriptors_of_locks() - before
        tasks.cancel_scope.cancel()
    # This runtime's gate and container were open before.
    return share, descriptors + 2


def descriptors_of_locks() -> int:
    """Count this process's descriptors of lock files."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
    return sum("acni/lock" in str(link.readlink()) for link in links)


async def gate(locks: Locks, directory: str) -> list[float]:
    """Let a collection wait in vain; milliseconds of the longest delay, and its seconds."""
    longest = 0.0

    async def operate() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            async with locks.gate.shared(until=math.inf):
                longest = max(longest, time.perf_counter() - began)
            await anyio.sleep(0.01)

    with open_locks(directory) as others:
        async with anyio.create_task_group() as tasks, locks.gate.shared(until=math.inf):
            for _ in range(20):
                tasks.start_soon(operate)
            began = time.perf_counter()
            with contextlib.suppress(Busy):
                until = anyio.current_time() + COLLECTION_SECONDS
                async with others.gate.exclusive(until=until):
                    pass
            waited = time.perf_counter() - began
            await anyio.sleep(0.1)
            tasks.cancel_scope.cancel()
    return [longest * 1e3, waited]


Figure = Callable[..., Awaitable[list[float]]]
FIGURES: dict[str, Figure] = {
    "cost": cost,
    "turns": turns,
    "kernel": kernel,
    "many": many,
    "gate": gate,
}


def print_figure(name: str, loop: str, directory: str, *numbers: str) -> None:
    """Take one figure, when told to begin, and print its numbers."""

    async def take_it() -> None:
        state_dir = f"{directory}/state"
        with open_locks(state_dir) as locks:
            # The files are made, and synced, before anything is measured.
            async with locks.gate.shared(until=math.inf), locks.container("c1", until=math.inf):
                print("ready", flush=True)
            sys.stdin.read()
            print(*await FIGURES[name](locks, state_dir, *map(int, numbers)))

    anyio.run(take_it, backend=loop)


if __name__ == "__main__":
    given = sys.argv[1:]
    if len(given) > 2:  # noqa: PLR2004 - a figure, a loop and a directory
        print_figure(*given)
    else:
        main(given[0] if given else ".", int(given[1]) if given[1:] else 5)
