"""What every peer of Python prints: a JSON line for each phase."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Self

from attrs import Factory, frozen


@frozen
class Meter:
    """Where clocks stood when a phase began.

    Attributes:
        wall: The time, in seconds.
        own: This process's processor time, in microseconds.
        children: That of its children that ended.
        user: What of its own was not the kernel's, in microseconds.
    """

    wall: float = Factory(time.perf_counter)
    own: float = Factory(lambda: cpu(resource.RUSAGE_SELF))
    children: float = Factory(lambda: cpu(resource.RUSAGE_CHILDREN))
    user: float = Factory(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_utime * 1e6)

    def since(self, before: Self) -> Self:
        """Return what was spent."""
        return type(self)(
            self.wall - before.wall,
            self.own - before.own,
            self.children - before.children,
            self.user - before.user,
        )


def print_phase(phase: str, took: list[float], spent: Meter, **more: float) -> None:
    """Print what a phase took.

    Args:
        phase: Its name.
        took: What each operation took, in microseconds.
        spent: What all of them took.
        more: What else was found.
    """
    count, ordered = len(took), sorted(took)
    line = {
        "phase": phase,
        "ops": count / spent.wall,
        "own_us": spent.own / count,
        "children_us": spent.children / count,
        "user_us": spent.user / count,
        "p50_us": ordered[(count - 1) * 50 // 100],
        "p99_us": ordered[(count - 1) * 99 // 100],
        "max_us": ordered[-1],
        "took_us": ordered,
        "peak_kib": status("VmHWM"),
        "threads": status("Threads"),
        "descriptors": descriptors(),
        **more,
    }
    print(json.dumps(line), flush=True)


def cpu(who: int) -> float:
    """Return the processor time used so far, in microseconds."""
    usage = resource.getrusage(who)
    return (usage.ru_utime + usage.ru_stime) * 1e6


def status(name: str) -> int:
    """Return a number of this process's status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir())) - 1
