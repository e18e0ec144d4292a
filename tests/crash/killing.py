"""Workers on one state directory, killed at random moments and replaced, and judged meanwhile.

A process of its own, which everything that a killed worker leaves becomes a child of. Started as
``python -m tests.crash.killing``; takes a :class:`Plan` on its standard input and answers with a
:class:`Report` on its standard output, as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, NoReturn

import anyio.lowlevel
from attrs import Factory, asdict, define, evolve, field, frozen

from tests.crash.forkserver import CHECKOUT, LOOPS
from tests.crash.scenarios import PLUGINS, Ground, described_ground
from tests.crash.verdicts import Log, about_the_end, about_what_is_attached, about_what_is_noted
from tests.crash.workers import Orders, be_last, be_worker, clear, recover
from tests.crash.world import tell

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36

# What is waited for comes within a second, and later on a busy machine.
_MOST_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.002

# Of a traceback.
_MOST_LINES: Final = 40

_DAWDLING: Final = {f"{plugin}.{verb}": "dawdle" for plugin in PLUGINS for verb in ("ADD", "DEL")}
_TOLD: Final = {
    **dict.fromkeys(_DAWDLING, "dawdle moody"),
    **{f"{plugin}.{verb}": "dawdle" for plugin in PLUGINS for verb in ("CHECK", "GC")},
}


@frozen(kw_only=True)
class Plan:
    """What is to be done.

    Attributes:
        ground: The state directory and the world.
        linger: The library that leaves a child.
        workers: How many there are at once.
        kills: How many are killed.
        seconds: When it ends although not so many were.
        pause: After how many kills all of it is stopped and looked at.
        seed: Says what workers do, and when they are killed, as far as anything can.
        wanted: Outcomes, by "verb: outcome". However late it is, and however many were killed, it
            goes on until it has seen them, has paused, and has struck somebody at work.
    """

    ground: Ground
    linger: Path
    workers: int
    kills: int
    seconds: float
    pause: int
    seed: int
    wanted: Sequence[str] = ()


@frozen(kw_only=True)
class Report:
    """What came of it.

    Attributes:
        kills: How many were killed.
        at_work: How many of them while an operation was under way.
        pauses: How often all of it was stopped and looked at.
        runs: How many plugins ran.
        outcomes: What came of operations, by "verb: outcome".
        complaints: What is wrong.
    """

    kills: int
    at_work: int
    pauses: int
    runs: int
    outcomes: dict[str, int]
    complaints: tuple[str, ...]

    def __str__(self) -> str:
        outcomes = ", ".join(f"{what} {n}" for what, n in sorted(self.outcomes.items()))
        found = f"{len(self.complaints)} complaints" if self.complaints else "nothing found"
        return (
            f"{self.kills} kills, {self.at_work} of them at work; {self.pauses} pauses, "
            f"{self.runs} runs of plugins; {outcomes}: {found}"
        )


class FoundError(Exception):
    """Something is wrong; nothing that follows would say more."""


@define(eq=False)
class Running:
    """A worker that runs.

    Attributes:
        pid: Its process.
        name: What it is called.
        fd: Where it says what it does.
        begun: What is under way, by number: the verb, the container, and since when.
        operations: How many it began.
    """

    pid: int
    name: str
    fd: int
    begun: dict[int, tuple[str, str, float]] = field(factory=dict[int, tuple[str, str, float]])
    operations: int = 0
    is_told_to_end: bool = False
    _rest: bytes = b""

    def listen(self) -> Iterator[dict[str, Any]]:
        """Iterate over what it said since; a half line is of one that was killed."""
        with suppress(BlockingIOError):
            while chunk := os.read(self.fd, 1 << 16):
                self._rest += chunk
        *lines, self._rest = self._rest.split(b"\n")
        yield from map(json.loads, lines)


@define(eq=False)
class Killing:
    """Starts workers, kills them and replaces them.

    Attributes:
        plan: What is to be done.
        killed: When workers were killed, by their names.
        at_work: How many of them while an operation was under way.
        pauses: How often all of them were stopped.
        outcomes: What came of operations.
    """

    plan: Plan
    _chance: Random
    _log: Log
    _workers: dict[int, Running] = Factory(dict[int, Running])
    killed: dict[str, float] = Factory(dict[str, float])
    at_work: int = 0
    pauses: int = 0
    outcomes: Counter[str] = Factory(Counter[str])
    _started: int = 0
    # How long an ADD takes on a quiet machine, and then on this one: who is killed too soon after
    # it has begun is never met at work.
    _add_seconds: float = 0.04

    def run(self) -> Report:
        """Do all of it, or until something is wrong."""
        complaints: tuple[str, ...] = ()
        try:
            self._kill_and_replace()
            self._end_survivors()
            self._judge_the_end()
        except FoundError as found:
            # Plugins that met may be why.
            complaints = (*map(str, found.args), *self._log.complaints(self.killed))
        finally:
            for pid in self._workers:
                os.kill(pid, signal.SIGKILL)
            self._reap_all()
        return Report(
            kills=len(self.killed),
            at_work=self.at_work,
            pauses=self.pauses,
            runs=self._log.runs,
            outcomes=dict(self.outcomes),
            complaints=complaints,
        )

    def _kill_and_replace(self) -> None:
        until = time.monotonic() + self.plan.seconds
        tell(self.plan.ground, _TOLD)
        for _ in range(self.plan.workers):
            self._start()
        while not self._is_enough(until):
            victim = self._chance.choice(list(self._workers.values()))
            self._wait_for_the_moment(victim)
            container = self._kill(victim)
            is_time = len(self.killed) % self.plan.pause == 0
            is_before = self._chance.random() < 0.5
            if is_time and is_before:
                self._pause()
            self._start(container)
            if is_time and not is_before:
                self._attend(self._chance.uniform(0, 0.1))
                self._pause()

    def _is_enough(self, until: float) -> bool:
        """Tell whether so many were killed, or it is late, and all was seen that was to be; it is
        not waited for any longer than a minute.
        """
        is_seen = self.pauses and self.at_work and self.outcomes.keys() >= set(self.plan.wanted)
        is_late = time.monotonic() > until + (0.0 if is_seen else 3 * _MOST_SECONDS)
        return is_late or (bool(is_seen) and len(self.killed) >= self.plan.kills)

    def _start(self, container: str | None = None) -> None:
        name = str(self._started)
        self._started += 1
        orders = Orders(
            ground=self.plan.ground,
            name=name,
            loop=LOOPS[self._started % 2],
            seed=f"{self.plan.seed} {name}",
            linger=self.plan.linger,
            container=container,
        )
        worker = self._fork(lambda fd: be_worker(orders, fd), name)
        self._workers[worker.pid] = worker

    def _fork(self, be: Callable[[int], NoReturn], name: str) -> Running:
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            for each in (read_end, *(worker.fd for worker in self._workers.values())):
                os.close(each)
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            try:
                be(write_end)
            finally:
                os._exit(1)  # whatever it raised: it never comes back as a second driver
        os.close(write_end)
        os.set_blocking(read_end, False)
        return Running(pid, name, read_end)

    def _wait_for_the_moment(self, victim: Running) -> None:
        """Wait until some moment of an operation, mostly, or else for any moment."""
        if self._chance.random() < 0.75:
            operations = victim.operations
            self._attend(_MOST_SECONDS, lambda: victim.operations > operations)
            self._attend(self._chance.uniform(0, 1.5 * self._add_seconds))
        else:
            self._attend(self._chance.uniform(0, 0.3))

    def _kill(self, victim: Running) -> str | None:
        """End a worker; return for whom it was at work, mostly: that container is whom the next one
        works for.
        """
        at = time.monotonic()
        os.kill(victim.pid, signal.SIGKILL)
        self._until(lambda: self._is_ended(victim), f"worker {victim.name} outlives SIGKILL")
        self.killed[victim.name] = at
        self._hear(victim)
        self.at_work += bool(victim.begun)
        self._bury(victim)
        containers = [container for _, container, _ in victim.begun.values()]
        is_for_it = self._chance.random() < 0.7
        return self._chance.choice(containers) if containers and is_for_it else None

    def _bury(self, worker: Running) -> None:
        del self._workers[worker.pid]
        os.close(worker.fd)
        os.waitpid(worker.pid, 0)

    def _pause(self) -> None:
        """Stop every worker where it is, and look at what there is."""
        self.pauses += 1
        for worker in self._workers.values():
            os.kill(worker.pid, signal.SIGSTOP)
        for worker in self._workers.values():
            self._until(partial(_is_stopped, worker.pid), "a worker cannot be stopped")
        _require_none(about_what_is_noted(self.plan.ground))
        _require_none(self._log.complaints(self.killed))
        for worker in self._workers.values():
            os.kill(worker.pid, signal.SIGCONT)

    def _attend(self, seconds: float, is_enough: Callable[[], bool] = lambda: False) -> None:
        """Listen to the workers for so long, or until it is enough."""
        until = time.monotonic() + seconds
        while not is_enough() and (left := until - time.monotonic()) > 0:
            fds = [worker.fd for worker in self._workers.values()]
            select.select(fds, [], [], min(left, _LOOK_SECONDS) if fds else 0)
            for worker in list(self._workers.values()):
                self._look_after(worker)
            self._reap_orphans()

    def _look_after(self, worker: Running) -> None:
        is_ended = self._is_ended(worker)
        self._hear(worker)
        if is_ended:
            self._bury(worker)
            if not worker.is_told_to_end:
                raise FoundError(f"worker {worker.name} ended by itself")
        for verb, container, since in worker.begun.values():
            if time.monotonic() - since > _MOST_SECONDS:
                raise FoundError(f"worker {worker.name} hangs: {verb} of {container}")

    def _hear(self, worker: Running) -> None:
        for said in worker.listen():
            match said:
                case {"failed": text}:
                    last = "\n".join(text.splitlines()[-_MOST_LINES:])
                    raise FoundError(f"worker {worker.name} failed:\n{last}")
                case {"begun": number, "verb": verb, "container": container}:
                    worker.begun[number] = verb, container, time.monotonic()
                    worker.operations += 1
                case {"ended": number, "verb": verb, "outcome": outcome}:
                    _, _, since = worker.begun.pop(number)
                    self.outcomes[f"{verb}: {outcome}"] += 1
                    if (verb, outcome) == ("add", "done"):
                        self._add_seconds += (time.monotonic() - since - self._add_seconds) / 8
                case _:
                    raise FoundError(f"worker {worker.name} said {said}")

    def _end_survivors(self) -> None:
        for worker in self._workers.values():
            worker.is_told_to_end = True
            os.kill(worker.pid, signal.SIGTERM)
        self._attend(_MOST_SECONDS, lambda: not self._workers)
        if self._workers:
            raise FoundError("a worker does not end")
        _require_none(self._log.complaints(self.killed))
        _require_none(about_what_is_noted(self.plan.ground))

    def _judge_the_end(self) -> None:
        """Let the last runtimes recover, and then clear, all there is."""
        ground = self.plan.ground
        tell(ground, _DAWDLING)
        self._let_the_last(lambda fd: be_last(recover, ground, self._chance.choice(LOOPS), fd))
        _require_none(about_what_is_attached(ground))
        self._let_the_last(lambda fd: be_last(clear, ground, self._chance.choice(LOOPS), fd))
        self._until(self._has_no_children, "a process is left")
        _require_none((*self._log.complaints(self.killed), *about_the_end(ground)))

    def _let_the_last(self, be: Callable[[int], NoReturn]) -> None:
        worker = evolve(self._fork(be, "the last"), is_told_to_end=True)
        self._workers[worker.pid] = worker
        self._attend(2 * _MOST_SECONDS, lambda: not self._workers)
        if self._workers:
            raise FoundError("the last runtime hangs")

    def _until(self, is_so: Callable[[], bool], complaint: str) -> None:
        until = time.monotonic() + _MOST_SECONDS
        while not is_so():
            if time.monotonic() > until:
                raise FoundError(complaint)
            time.sleep(_LOOK_SECONDS / 4)

    @staticmethod
    def _is_ended(worker: Running) -> bool:
        return os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _reap_orphans(self) -> None:
        """Reap what dead workers left; never a worker, whose end is looked at."""
        while found := _ended_child():
            if found in self._workers:
                return
            os.waitpid(found, 0)

    def _has_no_children(self) -> bool:
        self._reap_orphans()
        return not Path(f"/proc/self/task/{os.getpid()}/children").read_text()

    def _reap_all(self) -> None:
        """Reap what still ends by itself, and what was ended."""
        until = time.monotonic() + _MOST_SECONDS
        self._workers.clear()
        while not self._has_no_children() and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)


def _ended_child() -> int:
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found else 0


def _is_stopped(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG) is not None


def _require_none(complaints: Iterator[str] | tuple[str, ...]) -> None:
    if found := tuple(complaints):
        raise FoundError(*found)


def carry_out(plan: Plan, log: Path, *, sources: Path = CHECKOUT / "src") -> Report:
    """Carry a plan out in a process of its own.

    Args:
        plan: The plan.
        log: Where its standard error goes.
        sources: Where it finds acni.
    """
    with log.open("ab") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "tests.crash.killing"],
            cwd=CHECKOUT,
            env=os.environ | {"PYTHONPATH": str(sources)},
            input=json.dumps(asdict(plan), default=str),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            timeout=plan.seconds + 13 * _MOST_SECONDS,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"it failed itself:\n{log.read_text()}")
    answer = json.loads(done.stdout)
    return Report(**{**answer, "complaints": tuple(answer["complaints"])})


def main() -> None:
    """Carry out the plan on standard input."""
    request = json.load(sys.stdin)
    plan = Plan(
        **{
            **request,
            "ground": described_ground(request["ground"]),
            "linger": Path(request["linger"]),
        }
    )
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for loop in LOOPS:  # what a worker needs is imported before it is forked
        anyio.run(anyio.lowlevel.checkpoint, backend=loop)
    chance = Random(plan.seed)  # noqa: S311 (not for secrets)
    json.dump(asdict(Killing(plan, chance, Log(plan.ground.world / "log")).run()), sys.stdout)


if __name__ == "__main__":
    main()
