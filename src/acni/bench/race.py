"""Looking for plugins that race each other: more and more first ADDs at once, each time on a fresh
host, where all that a network shares is still to be made.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

import anyio
from attrs import Factory, define, evolve, frozen

from acni.bench.failures import Failure, group
from acni.bench.volley import Outcome, Volley, dump, parse_outcome
from acni.errors import AcniError

# What a volley may take to end that was told to: the undo of each of its ADDs, and its DELs.
_END_SECONDS: Final = 120.0

Fire = Callable[[Volley], Awaitable[Outcome]]


class VolleyFailed(AcniError):
    """The process of a volley ended without an outcome."""


@frozen(kw_only=True)
class RaceStep:
    """What came of so many at once.

    Attributes:
        at_once: How many ADDs began together.
        rounds: How often, each time on a fresh host.
        adds: How many ADDs that were.
        failures: What failed.
    """

    at_once: int
    rounds: int
    adds: int
    failures: tuple[Failure, ...]


@frozen(kw_only=True)
class Race:
    """A plugin that fails when several ADDs begin together.

    Attributes:
        failure: How it fails, counted over all steps.
        at_once: With how many it failed first.
        adds: How many ADDs there were in that step.
        count: How many of them failed so.
    """

    failure: Failure
    at_once: int
    adds: int
    count: int


@define(eq=False)
class Hunt:
    """What was found so far.

    Attributes:
        steps: What came of each number at once.
    """

    steps: list[RaceStep] = Factory(list[RaceStep])

    @property
    def fails_alone(self) -> tuple[Failure, ...]:
        """What fails with nobody to race: no race at all."""
        return tuple(
            failure for step in self.steps if step.at_once == 1 for failure in step.failures
        )

    def races(self) -> tuple[Race, ...]:
        """Say for each way to fail with how many it was first seen, the earliest first."""
        everywhere = group(failure for step in self.steps for failure in step.failures)
        totals = {failure.way: failure for failure in everywhere}
        first: dict[tuple[str, str, str, str], Race] = {}
        for step in self.steps:
            for failure in step.failures:
                if failure.way not in first:
                    first[failure.way] = Race(
                        failure=totals[failure.way],
                        at_once=step.at_once,
                        adds=step.adds,
                        count=failure.count,
                    )
        return tuple(first.values())


def steps_up_to(most: int) -> Iterator[int]:
    """Iterate over 1, 2, 4, 8 and so on, ending with ``most``."""
    at_once = 1
    while at_once < most:
        yield at_once
        at_once *= 2
    yield most


async def hunt(
    volley: Volley,
    steps: Iterable[int],
    rounds: int,
    *,
    fire: Fire,
    found: Hunt,
    progress: Callable[[int, int], object],
) -> None:
    """Fire volleys of more and more ADDs; one that fails alone already ends it.

    Args:
        volley: What each of them does.
        steps: How many at once, rising.
        rounds: How many volleys of each number.
        fire: Fires one.
        found: Where outcomes go, also those of a hunt that is ended early.
        progress: Is told how many at once, and which round it is.

    Raises:
        AcniError: a volley cannot be fired.
    """
    for at_once in steps:
        found.steps.append(RaceStep(at_once=at_once, rounds=0, adds=0, failures=()))
        for number in range(rounds):
            progress(at_once, number + 1)
            outcome = await fire(evolve(volley, at_once=at_once))
            so_far = found.steps[-1]
            found.steps[-1] = RaceStep(
                at_once=at_once,
                rounds=number + 1,
                adds=so_far.adds + outcome.adds,
                failures=group([*so_far.failures, *outcome.failures]),
            )
        if found.fails_alone:
            return


async def fire_in_process(volley: Volley) -> Outcome:
    """Fire a volley in a process of its own, on a private host of its own.

    Raises:
        VolleyFailed: there is no outcome: no private host can be made, or it broke.
    """
    # The modules are found where this process finds them.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = await anyio.open_process(
        [sys.executable, "-m", "acni.bench.volley"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        printed, complained = await _converse(process, dump(volley))
    except BaseException:
        # It undoes what it began; a terminal's Ctrl-C has reached it already.
        with anyio.move_on_after(_END_SECONDS, shield=True):
            if process.returncode is None:
                process.terminate()
            await process.wait()
        raise
    finally:
        with anyio.move_on_after(_END_SECONDS, shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()
    if process.returncode != 0:
        last = complained.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise VolleyFailed("".join(last) or f"a volley ended with status {process.returncode}")
    return parse_outcome(printed)


async def _converse(process: anyio.abc.Process, said: bytes) -> tuple[bytes, bytes]:
    """Write to a process and read all that it writes until it ends."""
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    if stdin is None or stdout is None or stderr is None:
        raise AssertionError("all three are pipes")
    read: dict[str, bytes] = {}

    async def read_all(name: str, stream: anyio.abc.ByteReceiveStream) -> None:
        read[name] = b"".join([chunk async for chunk in stream])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read_all, "stdout", stdout)
        tasks.start_soon(read_all, "stderr", stderr)
        with suppress(anyio.BrokenResourceError):  # it ended first; its status says why
            await stdin.send(said)
        await stdin.aclose()
        await process.wait()
    return read["stdout"], read["stderr"]
