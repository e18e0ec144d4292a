"""The store: what a durable note costs, how listings and replays grow, and what an ADD pays for it.

Run it with the interpreter that has acni, on the file system that is asked about:
``python benchmarks/store.py [DIRECTORY] [ROUNDS]``. It needs root, for network namespaces; strace,
where there is one, counts the syncs. What an ADD pays is measured beside a store that does nothing,
a double: the same engine, the same double of plugins, in turns.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from acni.engine.listing import list_records
from acni.host.host import this_host
from acni.store.commits import Commits
from acni.store.frames import encode, read_frames
from acni.store.intents import Intent, end_facts, named_facts, replay, step_facts
from acni.store.records import Records
from acni.store.state import open_store
from harness.doubles import Durability, Way, adds, stored, unlocked, unstored
from harness.records import fill

RECORD = json.dumps({"kind": "cniCacheV1", "filler": "x" * 1400})


def noted(operation: str, boot: str) -> Intent:
    """Make what the journal says of an ADD."""
    return Intent(
        operation=operation,
        verb="add",
        container_id="c",
        record=RECORD,
        next=0,
        until=0.0,
        boot=boot,
    )


async def commits(directory: str, waiting: int, count: int) -> tuple[float, float]:
    """Return durable notes a second, and their own CPU in µs, with so many waiting at once."""
    host = this_host()
    with open_store(f"{directory}/{time.monotonic_ns()}", host) as store:
        journal = store.require_journal()

        async def in_thread(function: Callable[[], None]) -> None:
            await anyio.to_thread.run_sync(function)

        shared = Commits(journal, store.sync_records, in_thread, lambda: None)

        async def write(first: int) -> None:
            for number in range(first, count, waiting):
                operation = f"{number:032x}"
                journal.begin(noted(operation, host.boot))
                await shared.durable()
                journal.end(operation, "gone")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shared.run)
            began, used = time.perf_counter(), time.process_time()
            async with anyio.create_task_group() as writers:
                for first in range(waiting):
                    writers.start_soon(write, first)
            elapsed, used = time.perf_counter() - began, time.process_time() - used
            await shared.close()
    return count / elapsed, used / count * 1e6


def listings(directory: str, count: int) -> float:
    """Return the CPU of a listing of so many records, in ms."""
    state_dir = f"{directory}/{time.monotonic_ns()}"

    fill(Path(state_dir), count)
    records, host = Records.look(state_dir), this_host()
    began = time.process_time()
    if len(list_records(records, host)) != count:
        raise AssertionError("a record was not listed")
    elapsed = time.process_time() - began
    records.close()
    shutil.rmtree(state_dir)
    return elapsed * 1e3


def replays(entries: int) -> float:
    """Return the CPU of reading a journal of so many entries, in ms."""
    facts: list[Any] = []
    for number in range(entries // 4):
        operation = f"{number:032x}"
        facts += [
            noted(operation, "b").begin(),
            step_facts(operation, 0, RECORD[:700]),
            named_facts(operation),
            end_facts(operation, "attached"),
        ]
    data = b"".join(encode(number + 1, each) for number, each in enumerate(facts))
    began = time.process_time()
    if len(replay(read_frames(data).frames).intents) != entries // 4:
        raise AssertionError("an entry was not read")
    return (time.process_time() - began) * 1e3


PROGRAM = """
import os, sys
import anyio, acni
from acni import netns
from harness.doubles import Durability, Way, adds, stored, unlocked, unstored
from harness.records import fill

async def main():
    network = acni.parse_network(b'{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a"}]}')
    box = netns.anonymous()
    async with acni.open_runtime(
        state_dir=sys.argv[1], plugin_dirs=["/plugins"], runner=ScriptedRunner()
    ) as runtime:
        attachment = acni.Attachment(container_id="c1", netns=box.path)
        for verb in ("add", "check", "delete"):
            os.write(2, f"verb {verb}\\n".encode())
            if verb == "add":
                await runtime.add(network, attachment)
            else:
                await getattr(runtime, verb)(attachment.id)
        os.write(2, b"verb end\\n")

anyio.run(main)
"""


def syncs(directory: str) -> dict[str, int] | None:
    """Count the syncs of an ADD, a CHECK and a delete; None without strace."""
    if shutil.which("strace") is None:
        return None
    trace = f"{directory}/trace"
    calls = "trace=fsync,fdatasync,sync_file_range,syncfs,write"
    command = ["strace", "-f", "-o", trace, "-e", calls, sys.executable, "-c", PROGRAM]
    subprocess.run(
        [*command, f"{directory}/{time.monotonic_ns()}"],
        check=True,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    counts: dict[str, int] = {}
    verb = ""
    for line in Path(trace).read_text().splitlines():
        if '"verb ' in line:
            verb = line.partition('"verb ')[2].partition("\\")[0]
            counts.setdefault(verb, 0)
        elif "sync" in line and "resumed" not in line and verb:
            counts[verb] += 1
    return counts


def measure_commits(directory: str, rounds: int) -> None:
    """Measure how notes share a sync."""
    rates: dict[int, list[float]] = {1: [], 8: [], 64: []}
    costs: dict[int, list[float]] = {1: [], 8: [], 64: []}
    for _ in range(rounds):
        for waiting, found in rates.items():
            rate, cost = anyio.run(commits, directory, waiting, 100 * waiting)
            found.append(rate)
            costs[waiting].append(cost)
    one = statistics.median(rates[1])
    for waiting, found in rates.items():
        rate, cost = statistics.median(found), statistics.median(costs[waiting])
        print(f"{waiting:3} waiting: {rate:7.0f} notes/s ({rate / one:.1f} x), {cost:.0f} µs CPU")


def measure_adds(directory: str, rounds: int) -> None:
    """Measure what an ADD pays for the store, and for the locks between runtimes."""
    ways: dict[str, tuple[Way, Durability]] = {
        "power": (stored, "power"),
        "unlocked": (unlocked, "power"),
        "unlocked, process": (unlocked, "process"),
        "nothing": (unstored, "process"),
    }
    for at_once in (1, 8, 64):
        found: dict[str, list[float]] = {which: [] for which in ways}
        for _ in range(rounds):
            for which, (opened, durability) in ways.items():
                cost = anyio.run(adds, opened, directory, durability, at_once, 512)
                found[which].append(cost)
        medians = {which: statistics.median(those) for which, those in found.items()}
        print(
            f"own CPU of an ADD, {at_once} at once: "
            + ", ".join(f"{which} {cost:.0f} µs" for which, cost in medians.items())
            + f": the store {medians['unlocked'] - medians['nothing']:.0f} µs"
            + f", the locks {medians['power'] - medians['unlocked']:.0f} µs"
        )


def main(base: str, rounds: int) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory(dir=base) as directory:
        print(f"syncs by verb: {syncs(directory)}")
        measure_commits(directory, rounds)
        print(f"replay of 10,000 entries: {min(replays(10_000) for _ in range(rounds)):.0f} ms")
        for count, tries in ((100, 3), (1_000, 3), (10_000, 3), (100_000, 1)):
            milliseconds = min(listings(directory, count) for _ in range(tries))
            print(f"listing {count:7,} records: {milliseconds:8.1f} ms")
        measure_adds(directory, rounds)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0] if given else ".", int(given[1]) if given[1:] else 5)
