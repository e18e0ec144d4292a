"""Running plugins: `acni.Executables` beside a C program that does nothing but spawn.

Run it with the interpreter that has acni: ``python benchmarks/spawn.py [ROUNDS]``. Each figure is
taken in a process of its own, the floor and both loops taking turns; CPU time is that of the
runtime's process alone. ``python benchmarks/spawn.py FIGURE LOOP PLUGIN [NUMBER ...]`` takes one.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.lowlevel
from attrs import define, field

from acni import Executables
from acni.spec import Caps, Ending, Plugin, PluginType, Request

HERE = Path(__file__).parent
LOOPS = ("asyncio", "trio")
ENVIRONMENT = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c" * 64,
    "CNI_NETNS": "/run/netns/c1-2f8a91be",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/cni/bin",
    "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}
REQUEST = b'{"cniVersion":"1.0.0","name":"net","type":"noop"' + b" " * 850 + b"}"
# How many runs are at once, and how dear one may be beside the floor.
MOST_OF_FLOOR = {1: 3.0, 8: 2.4, 64: 2.4}
# How many runs start together, and for how long the loop may stand still, in milliseconds.
MOST_LAG = {64: 2.0, 1000: 30.0}
MOST_KIB_IN_FLIGHT = 16.0
MOST_DESCRIPTORS_IN_FLIGHT = 4.0
MOST_KIB_GROWN = 1024.0


def main(rounds: int) -> None:
    """Compile what is run, and print a line for each figure."""
    with tempfile.TemporaryDirectory(prefix="acni-bench-") as directory:
        quick, slow, floor = (Path(directory, name) for name in ("noop", "slow", "floor"))
        compile_c(HERE / "plugins/noop.c", quick)
        compile_c(HERE / "peers/spawn_floor.c", floor)
        slow.write_text("#!/bin/sh\nexec sleep 2\n")
        slow.chmod(0o755)
        for at_once in MOST_OF_FLOOR:
            print_cpu(rounds, at_once, quick, floor)
        for together in MOST_LAG:
            print_lag(rounds, together, quick, floor)
        for loop in LOOPS:
            print_in_flight(loop, slow)
            print(f"{loop}, 64 at once, 1024 descriptors, 500 the host's:", end=" ")
            print("all answered" if take("crowded", loop, quick) == [1.0] else "NOT all answered")
            print_one_after_another(loop, quick)
            print_big_parents(rounds, loop, quick)
        print_calls(quick, floor)


def compile_c(source: Path, program: Path) -> None:
    """Compile one C file."""
    subprocess.run(["cc", "-O2", "-Wall", "-o", program, source], check=True)


def print_cpu(rounds: int, at_once: int, plugin: Path, floor: Path) -> None:
    """Print the CPU time of a run on both loops and on the floor, which take turns."""
    took: dict[str, list[float]] = {who: [] for who in ("floor", *LOOPS)}
    runs = 300 if at_once == 1 else 1000
    for _ in range(rounds):
        took["floor"].append(run_floor(runs, at_once, plugin, floor)[0])
        for loop in LOOPS:
            took[loop] += take("cpu", loop, plugin, runs, at_once)
    median = {who: statistics.median(figures) for who, figures in took.items()}
    for loop in LOOPS:
        ratio = median[loop] / median["floor"]
        print(
            f"{loop}, {at_once} at once: {median[loop]:.0f} us of CPU a run"
            f" / floor {median['floor']:.0f} us = {ratio:.2f}",
            verdict(ratio, MOST_OF_FLOOR[at_once]),
        )


def run_floor(runs: int, at_once: int, plugin: Path, floor: Path) -> list[float]:
    """Run the floor; microseconds of CPU time a run, milliseconds of the longest start."""
    command = [floor, str(runs), str(at_once), plugin]
    done = subprocess.run(
        command, env=ENVIRONMENT, input=REQUEST, stdout=subprocess.PIPE, check=True
    )
    line = json.loads(done.stdout)
    return [line["own_us"], line["longest_start_ms"]]


def print_lag(rounds: int, together: int, plugin: Path, floor: Path) -> None:
    """Print for how long the loops stood still while many runs started together.

    Nobody can start a process and be back before the kernel has run it: where the longest start
    is about as long, the machine is to blame, and the floor takes as long.
    """
    of_floor: list[float] = []
    taken: dict[str, list[list[float]]] = {loop: [] for loop in LOOPS}
    for _ in range(rounds):
        of_floor.append(run_floor(together, together, plugin, floor)[1])
        for loop in LOOPS:
            taken[loop].append(take("lag", loop, plugin, together))
    for loop in LOOPS:
        lag, start = (statistics.median(figures) for figures in zip(*taken[loop], strict=True))
        print(
            f"{loop}, {together} started together: the loop stood still for {lag:.1f} ms"
            f" {verdict(lag, MOST_LAG[together])}; the longest start of one process took"
            f" {start:.1f}, on the floor {statistics.median(of_floor):.1f}"
        )


def print_in_flight(loop: str, plugin: Path) -> None:
    """Print what a run costs while its plugin runs."""
    kib, descriptors, threads = take("in_flight", loop, plugin, 1000)
    print(
        f"{loop}, 1000 in flight: {kib:.1f} KiB {verdict(kib, MOST_KIB_IN_FLIGHT)},"
        f" {descriptors:.1f} descriptors {verdict(descriptors, MOST_DESCRIPTORS_IN_FLIGHT)} each,"
        f" {threads:.0f} threads more {verdict(threads, 0)}",
    )


def print_one_after_another(loop: str, plugin: Path) -> None:
    """Print what many runs leave behind."""
    kib, descriptors = take("one_after_another", loop, plugin, 20_000)
    print(
        f"{loop}, 20000 one after another: {kib:.0f} KiB more {verdict(kib, MOST_KIB_GROWN)},"
        f" {descriptors:.0f} descriptors more {verdict(descriptors, 0)}",
    )


def print_big_parents(rounds: int, loop: str, plugin: Path) -> None:
    """Print the CPU time of a run where the host program is large, all taking turns."""
    took: dict[str, list[float]] = {"as it is": [], "600 MiB": [], "10000 descriptors": []}
    for _ in range(rounds):
        took["as it is"] += take("cpu", loop, plugin, 500, 8)
        took["600 MiB"] += take("cpu", loop, plugin, 500, 8, 600, 0)
        took["10000 descriptors"] += take("cpu", loop, plugin, 500, 8, 0, 10_000)
    median = {what: statistics.median(figures) for what, figures in took.items()}
    for what in list(took)[1:]:
        print(
            f"{loop}, 8 at once, a parent of {what}: {median[what]:.0f} us of CPU a run"
            f" = {median[what] / median['as it is']:.2f} times that of a small one"
        )


def print_calls(plugin: Path, floor: Path) -> None:
    """Print the system calls of one run, on each loop and on the floor."""
    if shutil.which("strace") is None:
        print("system calls of a run: not counted, there is no strace")
        return
    programs = {loop: command_of("cpu", loop, plugin) for loop in LOOPS}
    for loop, command in programs.items():
        print_calls_of(loop, lambda runs, command=command: [*command, str(runs), "8"])
    print_calls_of("floor", lambda runs: [str(floor), str(runs), "8", str(plugin)])


def print_calls_of(name: str, command: Callable[[int], list[str]]) -> None:
    """Print the system calls of a run of one program: what 1,000 have more than 500, by 500."""
    few, many = (count_calls(command(runs)) for runs in (500, 1000))
    each = {call: (number - few.get(call, 0)) / 500 for call, number in many.items()}
    print(f"{name}: {sum(each.values()):.1f} system calls a run with 8 at once:")
    for call, number in sorted(each.items(), key=lambda item: -item[1]):
        if number >= 0.05:  # noqa: PLR2004 - what is not of every run is of no interest
            print(f"    {call} {number:.1f}")


def count_calls(command: list[str]) -> dict[str, int]:
    """Count the system calls of a program, not of what it starts."""
    with tempfile.NamedTemporaryFile() as counts:
        strace = ["strace", "-c", "-U", "name,calls", "-o", counts.name, *command]
        subprocess.run(
            strace, env=os.environ | ENVIRONMENT, input=REQUEST, stdout=subprocess.PIPE, check=True
        )
        lines = [line.split() for line in Path(counts.name).read_text().splitlines()]
    calls = {line[0]: int(line[1]) for line in lines if line[1:] and line[1].isdigit()}
    return {call: number for call, number in calls.items() if call != "total"}


def verdict(figure: float, most: float) -> str:
    """Say whether a figure is at most what it should be."""
    return f"(at most {most:g}: {'reached' if figure <= most else 'MISSED'})"


# --- what runs in a process of its own ---


def take(figure: str, loop: str, plugin: Path, *numbers: int) -> list[float]:
    """Take a figure in a process of its own."""
    command = [*command_of(figure, loop, plugin), *map(str, numbers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return [float(number) for number in done.stdout.split()]


def command_of(figure: str, loop: str, plugin: Path) -> list[str]:
    """Return the command that takes a figure."""
    return [sys.executable, __file__, figure, loop, str(plugin)]


@define(eq=False)
class Runs:
    """Runs one plugin again and again.

    Attributes:
        path: The plugin.
        longest_start: The seconds that the longest start of a process blocked the loop.
    """

    path: str
    longest_start: float = field(default=0.0, init=False)
    _runner: Executables = field(factory=Executables, init=False)
    _plugin: Plugin = field(init=False)
    _request: Request = field(
        factory=lambda: Request(environment=ENVIRONMENT, stdin=REQUEST), init=False
    )
    _caps: Caps = field(factory=Caps, init=False)

    def __attrs_post_init__(self) -> None:
        kind = PluginType(Path(self.path).name)
        self._plugin = Plugin(type=kind, path=self.path, identity="", runner="executable")

    async def once(self) -> None:
        """Run it; its success is required."""
        response = await self._runner.run(
            self._plugin,
            self._request,
            deadline=anyio.current_time() + 60,
            caps=self._caps,
        )
        if response.ending is not Ending.EXITED or response.status != 0:
            raise AssertionError(response)
        self.longest_start = max(self.longest_start, response.times.spawn)

    async def many(self, runs: int, at_once: int) -> None:
        """Run it so often, so many at once: each starts when another has ended."""
        left = iter(range(runs))

        async def work() -> None:
            for _ in left:
                await self.once()

        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(work)


async def cpu(
    plugin: Runs, runs: int, at_once: int, resident_mib: int = 0, descriptors: int = 0
) -> list[float]:
    """Microseconds of CPU time of one run in this process."""
    ballast = b"\1" * (resident_mib << 20)
    raise_limit(descriptors + 1024)
    open_descriptors(descriptors)
    await plugin.many(50, at_once)
    before = cpu_seconds()
    await plugin.many(runs, at_once)
    took = (cpu_seconds() - before) / runs * 1e6
    del ballast
    return [took]


async def lag(plugin: Runs, together: int) -> list[float]:
    """Milliseconds of the longest time between two turns of a task that does nothing else, and of
    the longest single start.
    """
    raise_limit(together * 4 + 1024)
    await plugin.many(50, 8)
    gc.collect()
    longest = 0.0
    async with anyio.create_task_group() as everything:

        async def tick() -> None:
            nonlocal longest
            last = time.perf_counter()
            while True:
                await anyio.lowlevel.checkpoint()
                now = time.perf_counter()
                longest = max(longest, now - last)
                last = now

        everything.start_soon(tick)
        await anyio.sleep(0.1)
        longest, plugin.longest_start = 0.0, 0.0
        async with anyio.create_task_group() as tasks:
            for _ in range(together):
                tasks.start_soon(plugin.once)
        everything.cancel_scope.cancel()
    return [longest * 1000, plugin.longest_start * 1000]


async def in_flight(plugin: Runs, together: int) -> list[float]:
    """KiB and descriptors of each run when most are in flight, and threads more than before."""
    raise_limit(together * 4 + 1024)
    await plugin.once()
    gc.collect()
    before = resident_kib(), count("fd"), count("task")
    most, kib, descriptors, threads = 0, 0.0, 0.0, 0
    async with anyio.create_task_group() as tasks:
        for _ in range(together):
            tasks.start_soon(plugin.once)
        await anyio.sleep(0.1)
        while children := count_children():
            threads = max(threads, count("task") - before[2])
            if children >= most:
                most = children
                kib = (resident_kib() - before[0]) / children
                descriptors = (count("fd") - before[1]) / children
            await anyio.sleep(0.1)
    return [kib, descriptors, threads]


async def crowded(plugin: Runs) -> list[float]:
    """Whether 64 runs at once end well where the host has 500 of 1024 descriptors."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    open_descriptors(500)
    all_answered = 1.0
    try:
        await plugin.many(640, 64)
    except* AssertionError:
        all_answered = 0.0
    return [all_answered]


async def one_after_another(plugin: Runs, runs: int) -> list[float]:
    """KiB resident and descriptors more after many runs."""
    await plugin.many(1000, 1)
    gc.collect()
    before = resident_kib(), count("fd")
    await plugin.many(runs, 1)
    gc.collect()
    return [resident_kib() - before[0], count("fd") - before[1]]


def raise_limit(descriptors: int) -> None:
    """Raise the limit of open descriptors to what is needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(descriptors, hard)), hard))


def open_descriptors(number: int) -> None:
    """Open so many descriptors, for as long as the process lives."""
    for _ in range(number):
        os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


def count(what: str) -> int:
    """Count this process's descriptors ("fd") or threads ("task")."""
    return len(list(Path("/proc/self", what).iterdir()))


def count_children() -> int:
    """Count the processes that are ours."""
    return len(Path("/proc/thread-self/children").read_text().split())


def resident_kib() -> float:
    """KiB of resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def cpu_seconds() -> float:
    """CPU seconds of this process; not of its children."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


Figure = Callable[..., Awaitable[list[float]]]
FIGURES: dict[str, Figure] = {
    "cpu": cpu,
    "lag": lag,
    "in_flight": in_flight,
    "crowded": crowded,
    "one_after_another": one_after_another,
}


def print_figure(name: str, loop: str, plugin: str, *numbers: str) -> None:
    """Take one figure and print its numbers."""
    figures = anyio.run(FIGURES[name], Runs(plugin), *map(int, numbers), backend=loop)
    print(*figures)


if __name__ == "__main__":
    if len(sys.argv) > 2:  # noqa: PLR2004 - a figure, a loop and a plugin
        print_figure(*sys.argv[1:])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
