"""Striking a runtime at every point of what it does, and judging what is left.

A sweep takes one case, runs it once to learn its points, and then once for every point and every
fault: on a fresh ground, until a run ends without the point being met, for worker threads may make
a call more or one less. After each run the state directory is recovered by another process, which
may neither fail nor leave anything, and then cleared.

Several lanes strike at the same time: half of a run is waiting.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from typing import Final

from attrs import Factory, define, evolve, field, frozen

from tests.crash.forkserver import LOOPS, ForkServer, Run
from tests.crash.points import (
    ERRORS,
    SCOPES,
    Fault,
    Mode,
    Pair,
    Point,
    can_fail,
    is_of_the_loop,
    lets_nothing_be_noted,
    may_begin,
)
from tests.crash.scenarios import BRIDGE_CHAIN, PLUGINS, PORTS_CHAIN, TUNED_CHAIN, Ground
from tests.crash.world import Seen, copy_ground, let_succeed, look, tell

# More findings than this say nothing more.
_ENOUGH: Final = 40

# An orphan of a case takes 40 ms for each plugin; what takes longer is a daemon.
_ORPHAN_SECONDS: Final = 2.0

_FAILURE_MODES: Final = (Mode.FAIL_ONCE, Mode.FAIL_FROM)
# Every error, once and from there on; EINTR once only: a call that is interrupted for ever is tried
# for ever.
_FAILURES: Final = (
    *((Mode.FAIL_ONCE, error) for error in ERRORS),
    *((Mode.FAIL_FROM, error) for error in SCOPES),
)
# Of all failures that a point has, one in so many is its turn's.
_TURNS: Final = 5
# A pair is met some twenty times; whatever waits by asking again is struck no more often than this.
_MOST_TIMES: Final = 40


@frozen(kw_only=True)
class Case:
    """What is done, and what was before.

    Attributes:
        scenario: What is struck.
        told: What the plugins are told meanwhile.
        before: What ran before, and what struck it.
        beside: What another runtime works on meanwhile; None for no other runtime.
        leaves_out: How the paths begin whose points are not struck.
        loses_netns: The containers' namespace is gone before anybody recovers.
        most_alike: How many times of one pair are struck, the first and the last included.
        chain: On a host with links, the types of the built-in plugins, one after another.
    """

    scenario: str
    told: Mapping[str, str] = Factory(dict[str, str])
    before: Sequence[tuple[str, Fault | None]] = ()
    beside: str | None = None
    loses_netns: bool = False
    leaves_out: str = "-"
    most_alike: int = _MOST_TIMES
    chain: str = BRIDGE_CHAIN


def _dead_at(scenario: str, pair: Pair, n: int, mode: Mode = Mode.KILL_AFTER) -> Case:
    return Case(scenario="recover", before=((scenario, Fault(Point(pair, n), mode)),))


_SECOND: Final = Pair("spawn", "world/plugins/second")
_RECORD: Final = Pair("rename", "state/results/net-c1-eth0")
_EVERY_VERB: Final = tuple(
    f"{plugin}.{verb}" for plugin in ("first", "second", "third") for verb in ("ADD", "DEL")
)

# One is kept, one is not, one is owed, and one was left open by a dead runtime.
_TO_COLLECT: Final = (
    ("leave_some", None),
    ("add_one_more", Fault(Point(_SECOND, 1), Mode.KILL_AFTER)),
)

CASES: Final[Mapping[str, Case]] = {
    "add": Case(scenario="add"),
    "add, delete": Case(scenario="add_and_delete"),
    "failed add": Case(scenario="failed_add", told={"third.ADD": "fail"}),
    "delete": Case(scenario="delete", before=(("add", None),)),
    "failed delete": Case(
        scenario="failed_delete", told={"second.DEL": "fail"}, before=(("add", None),)
    ),
    "check": Case(scenario="check", before=(("add", None),)),
    "recovery of an add": _dead_at("add", _SECOND, 1),
    "recovery of a finished add": _dead_at("add", _RECORD, 1),
    "recovery of a delete": _dead_at("add_and_delete", _SECOND, 2),
    "slow plugins": Case(scenario="add_and_delete", told=dict.fromkeys(_EVERY_VERB, "slow")),
    "a daemon": Case(scenario="add_with_a_daemon", told={"second.ADD": "daemon"}),
    "gc": Case(scenario="collect", before=_TO_COLLECT),
    "gc beside another runtime": Case(
        scenario="collect", before=_TO_COLLECT, beside="another container"
    ),
    "add, delete beside another runtime": Case(
        scenario="add_and_delete", beside="another container"
    ),
    "add, delete in turn with another runtime": Case(
        scenario="add_and_delete", beside="the same container"
    ),
}


# In which power is cut: an earlier runtime has written the whole journal, or the sync of what it
# allocated would carry records with it.
_WRITTEN: Final = (("write_journal", None),)
CUT_CASES: Final[Mapping[str, Case]] = {
    "two containers": Case(scenario="add_two", before=_WRITTEN),
    # Of some 3,700 points most are one ADD's, eighteen times.
    "a full segment": Case(scenario="fill_segment", before=_WRITTEN, most_alike=3),
}
# For a few points only: a plugin that is still at work whenever another process gets to recover.
_LATE: Final = {
    "a late plugin": Case(scenario="add", told={"second.ADD": "late"}),
    "a late GC plugin": Case(scenario="collect", before=_TO_COLLECT, told={"first.GC": "late"}),
}
# Chains of built-in plugins, on a host with links: bridge, or another one, with host-local,
# loopback, and behind them an executable, which may refuse. The files of the locks are struck in
# the other cases.
_THIRD: Final = Pair("spawn", "world/plugins/third")
_OF_BRIDGE: Final[dict[str, Case]] = {
    f"built-in: {name}": evolve(case, leaves_out="state/acni/lock")
    for name, case in {
        "add": Case(scenario="add"),
        "add, delete": Case(scenario="add_and_delete"),
        "failed add": Case(scenario="failed_add", told={"third.ADD": "fail"}),
        "delete": Case(scenario="delete", before=(("add", None),)),
        "check": Case(scenario="check", before=(("add", None),)),
        "recovery of an add": _dead_at("add", _THIRD, 1),
        "gc": Case(
            scenario="collect",
            before=(
                ("leave_some", None),
                ("add_one_more", Fault(Point(_THIRD, 1), Mode.KILL_AFTER)),
            ),
        ),
        "add, then the namespace is gone": Case(scenario="add", loses_netns=True),
        "delete, then the namespace is gone": Case(
            scenario="delete", before=(("add", None),), loses_netns=True
        ),
    }.items()
}
# The same with tuning and bandwidth between them.
_TUNED: Final[dict[str, Case]] = {
    f"tuned: {name}": evolve(_OF_BRIDGE[f"built-in: {name}"], chain=TUNED_CHAIN)
    for name in ("add, delete", "failed add", "gc", "delete, then the namespace is gone")
}
# The same with what the firewall is told; "add" is the first half of "add, delete".
_WITH_PORTS: Final[dict[str, Case]] = {
    f"ports: {name}": evolve(_OF_BRIDGE[f"built-in: {name}"], chain=PORTS_CHAIN)
    for name in (
        "add, delete",
        "failed add",
        "delete",
        "check",
        "recovery of an add",
        "gc",
        "add, then the namespace is gone",
        "delete, then the namespace is gone",
    )
}
_WITH_PORTS["ports: recovery of flushed rules"] = Case(
    scenario="recover",
    before=(("add", None), ("flush", None)),
    chain=PORTS_CHAIN,
    leaves_out="state/acni/lock",
)
# Of plugins that do as bridge does, without a bridge.
_OF_OTHERS: Final = (
    "add, delete",
    "failed add",
    "recovery of an add",
    "add, then the namespace is gone",
)
HOST_CASES: Final[Mapping[str, Case]] = {
    **_OF_BRIDGE,
    **_TUNED,
    **_WITH_PORTS,
    **{
        f"built-in {first}: {name}": evolve(
            _OF_BRIDGE[f"built-in: {name}"], chain=f"{first} loopback"
        )
        for first in ("ptp", "macvlan")
        for name in _OF_OTHERS
    },
}
ALL_CASES: Final = {**CASES, **CUT_CASES, **_LATE, **HOST_CASES}


@frozen
class Finding:
    """What a fault brought to light.

    Attributes:
        case: The case.
        loop: The loop.
        fault: The fault.
        complaints: What is wrong.
    """

    case: str
    loop: str
    fault: Fault | None
    complaints: tuple[str, ...]

    def __str__(self) -> str:
        where = f"[{self.case}, {self.loop}] {self.fault or 'without a fault'}"
        return "\n    ".join((where, *self.complaints))


@frozen
class Sample:
    """How much of a sweep is run.

    Attributes:
        at_most: How many faults, evenly spread; None for all.
    """

    at_most: int | None

    def of(self, faults: Sequence[Fault]) -> Iterator[Fault]:
        """Choose."""
        if self.at_most is None or len(faults) <= self.at_most:
            return iter(faults)
        # Not every nth: with two modes in turn an even n would see one of them only.
        step = len(faults) / self.at_most
        return (faults[int(i * step)] for i in range(self.at_most))


WHOLE: Final = Sample(None)


@frozen
class Lane:
    """Where one run goes after another.

    Attributes:
        server: The fork server.
        ground: Where a scenario runs.
        prepared: What the ground is before each run. A lane's own: records name its plugins.
    """

    server: ForkServer
    ground: Ground
    prepared: Ground

    def prepare(self, case: str, loop: str) -> None:
        """Make what was before a case."""
        for scenario, fault in ALL_CASES[case].before:
            copy_ground(self.prepared, self.ground)
            run = self.server.run(scenario, loop, self.ground, fault)
            assert (run.signal != 0) == (fault is not None), f"not met before: {fault} {run}"
            self.server.wait(_ORPHAN_SECONDS)
            copy_ground(self.ground, self.prepared)

    def renew(self, case: str, loop: str) -> None:
        """Make the ground as it is before each run of a case."""
        copy_ground(self.prepared, self.ground)

    def about_what_was_said(self) -> Iterator[str]:
        """Complain of what a caller was told and is not so."""
        yield from look(self.ground).about_what_was_said()

    def about_recovery(
        self,
        case: str,
        loop: str,
        *,
        is_same_boot: bool,
        may_be_less: bool = False,
    ) -> Iterator[str]:
        """Recover, look, recover again and delete what is attached, and look again."""
        server, ground = self.server, self.ground
        let_succeed(ground)
        died = len(look(ground).notes)
        yield from about_an_unhurt_run(server.run("recover", loop, ground), "the recovery")
        recovered = look(ground)
        yield from recovered.about_what_is_held(may_be_less=may_be_less)
        if is_same_boot:
            yield from recovered.about_what_was_said()
        else:
            yield from _about_another_boot(recovered, died)
        yield from about_an_unhurt_run(server.run("clear", loop, ground), "the delete after it")
        cleared = look(ground)
        yield from cleared.about_the_plugins()
        if is_same_boot and not may_be_less:
            yield from cleared.about_the_order()
        yield from _about_what_was_cleared(recovered, cleared)
        yield from cleared.about_litter(keeps=not is_same_boot)


@define(eq=False)
class Sweep:
    """One case on one loop, struck again and again.

    Attributes:
        case: The name of the case.
        loop: The loop.
        lanes: Where it is struck.
        settle: Lets what is there before a run survive a power cut.
        enough: After how many findings it ends.
        at: The points that are struck, as texts; empty for all.
        failed_whole: The pairs, and on which loop, that have been failed with every error, in this
            case or in another one.
        findings: What was found.
        runs: How many faults were met.
        left_out: How many points were left out, as calls that the event loop makes for itself.
        alike: How many were left out, as further times of a pair.
        points: How many points there are, as far as is known.
    """

    case: str
    loop: str
    lanes: Sequence[Lane]
    settle: Callable[[], None] = lambda: None
    enough: int = _ENOUGH
    at: Collection[str] = ()
    failed_whole: set[tuple[Pair, str]] = Factory(set[tuple[Pair, str]])
    findings: list[Finding] = field(factory=list[Finding], init=False)
    runs: int = field(default=0, init=False)
    left_out: int = field(default=0, init=False)
    alike: int = field(default=0, init=False)
    _pairs: dict[Pair, int] = field(factory=dict[Pair, int], init=False)
    _counting: threading.Lock = field(factory=threading.Lock, init=False)

    @property
    def points(self) -> int:
        return sum(self._pairs.values())

    def __str__(self) -> str:
        found = f"{len(self.findings)} findings" if self.findings else "nothing found"
        struck = f"{self.runs} faults at {self.points} points"
        if self.left_out:
            struck += f" ({self.left_out} left out: they let the event loop be woken)"
        if self.alike:
            struck += f" ({self.alike} left out: further times of a pair)"
        return f"{struck}: {found}"

    def prepare(self) -> None:
        """Make what was before the case, and learn its points from two runs without a fault."""
        for lane in self.lanes:
            lane.prepare(self.case, self.loop)
        for _ in range(2):
            self._learn(self.strike(self.lanes[0], None, judge_failure))

    def kill(self, sample: Sample) -> None:
        """End the runtime before and after every call."""
        self._sweep(_KILLS, sample, judge_kill)

    def fail(self, sample: Sample) -> None:
        """Let every call fail: every pair with every error, once and from there on, and every
        further time that one is met with the errors whose turn it is.
        """
        failures = self._failures_in_turn if sample.at_most is None else _failures
        if self.case in HOST_CASES:
            failures = _failures_of_built_ins
        self._sweep([failures], sample, judge_failure)
        self.left_out = sum(n for pair, n in self._pairs.items() if is_of_the_loop(pair))

    def pause(self, sample: Sample) -> None:
        """Stop the runtime at every call, let another one work meanwhile, and let it go on."""
        self._sweep([lambda point: [Fault(point, Mode.PAUSE)]], sample, judge_pause)

    def cut(self, sample: Sample, cut: Callable[[], None], boot: BootOf) -> None:
        """Cut the power before and after every call, and boot again."""
        self._sweep(_KILLS, sample, judge_cut(cut, boot))

    def strike(self, lane: Lane, fault: Fault | None, judge: Judge) -> Run:
        """Run the case with a fault, let it be judged, and keep what is found."""
        lane.renew(self.case, self.loop)
        case = ALL_CASES[self.case]
        tell(lane.ground, case.told)
        self.settle()
        run = lane.server.run(case.scenario, self.loop, lane.ground, fault, beside=case.beside)
        try:
            complaints = tuple(judge(lane, self.case, self.loop, run))
        finally:
            lane.server.wait(0)
        if complaints:
            self.findings.append(Finding(self.case, self.loop, fault, complaints))
        return run

    def _failures_in_turn(self, point: Point) -> Sequence[Fault]:
        """Return all failures where the pair was not yet failed with all of them, or else those
        whose turn it is.

        The turn is another one each time, in each case and on each loop. What happens to the state
        directory is the same on both loops.
        """
        failures = _failures(point)
        key = (point.pair, "" if point.pair.path.startswith("state") else self.loop)
        if key not in self.failed_whole:
            self.failed_whole.add(key)
            return failures
        turn = point.n + 2 * list(ALL_CASES).index(self.case) + LOOPS.index(self.loop)
        return failures[turn % _TURNS :: _TURNS] or failures[:1]

    def _sweep(self, rounds: Sequence[FaultsAt], sample: Sample, judge: Judge) -> None:
        if self.at or sample.at_most is not None:
            known = [
                Point(pair, n) for pair, times in self._pairs.items() for n in range(1, times + 1)
            ]
            faults = [
                fault
                for point in known
                if not self.at or str(point) in self.at
                for faults_at in rounds
                for fault in faults_at(point)
            ]
            self._in_lanes(
                partial(self._strike_once, fault=fault, judge=judge) for fault in sample.of(faults)
            )
        else:
            for faults_at in rounds:
                self._until_unmet(faults_at, judge)
            most = ALL_CASES[self.case].most_alike
            self.alike = sum(max(0, n - most) for n in self._pairs.values())

    def _until_unmet(self, faults_at: FaultsAt, judge: Judge) -> None:
        """Go through all pairs, those included that a later run is the first to meet."""
        done: set[Pair] = set()
        while todo := [pair for pair in self._pairs if pair not in done]:
            done.update(todo)
            self._in_lanes(
                partial(self._strike_pair, pair=pair, faults_at=faults_at, judge=judge)
                for pair in todo
            )

    def _in_lanes(self, jobs: Iterable[Callable[[Lane], object]]) -> None:
        """Do all of it, each in the first lane that is free."""
        left = deque(jobs)

        def drive(lane: Lane) -> None:
            while True:
                try:
                    job = left.popleft()
                except IndexError:
                    return
                job(lane)

        with ThreadPoolExecutor(len(self.lanes)) as threads:
            list(threads.map(drive, self.lanes))  # raises what one of them raised

    def _strike_pair(self, lane: Lane, pair: Pair, faults_at: FaultsAt, judge: Judge) -> None:
        for n in self._times(pair):
            faults = faults_at(Point(pair, n))
            if not faults or not self._strike_once(lane, faults[0], judge):
                return
            for fault in faults[1:]:
                self._strike_once(lane, fault, judge)

    def _times(self, pair: Pair) -> Sequence[int]:
        """Return which times of a pair are struck: all, or where these are too many, some, evenly
        spread.
        """
        known, most = self._pairs[pair], ALL_CASES[self.case].most_alike
        if known <= most:
            return range(1, _MOST_TIMES + 1)
        return [1 + i * (known - 1) // (most - 1) for i in range(most)]

    def _strike_once(self, lane: Lane, fault: Fault, judge: Judge) -> bool:
        if len(self.findings) >= self.enough:
            return False
        run = self.strike(lane, fault, judge)
        is_failure = fault.mode in _FAILURE_MODES
        is_failed = is_failure and run.hits.get(fault.point.pair, 0) >= fault.point.n
        is_met = run.is_ended or run.was_paused or is_failed
        with self._counting:
            self.runs += is_met
            if not (is_met or is_failure):
                self._learn(run)
        return is_met

    def _learn(self, run: Run) -> None:
        left_out = ALL_CASES[self.case].leaves_out
        for pair, n in run.hits.items():
            if pair.path.startswith(left_out):
                continue
            self._pairs[pair] = max(n, self._pairs.get(pair, 0))


_OF_RUNTIMES: Final = (
    "state",
    "world",
    "child",
    "pipe",
    "inotify",
    "anon_inode",
    "/proc/#",
    "epoll",
)
_NAMESPACES: Final = "/run/netns/"
# To a plugin they are one with ENOSPC.
_ALIKE: Final = (errno.EDQUOT, errno.EROFS)

FaultsAt = Callable[[Point], Sequence[Fault]]
BootOf = Callable[[], AbstractContextManager[None]]
Judge = Callable[[Lane, str, str, Run], Iterable[str]]


_KILLS: Final[Sequence[FaultsAt]] = (
    lambda point: [Fault(point, Mode.KILL_BEFORE)],
    lambda point: [Fault(point, Mode.KILL_AFTER)],
)


def _failures(point: Point) -> Sequence[Fault]:
    """Return all failures that make sense at a point."""
    if is_of_the_loop(point.pair):
        return ()
    return [
        Fault(point, mode, error)
        for mode, error in _FAILURES
        if can_fail(point.pair, error)
        and (mode is Mode.FAIL_ONCE or may_begin(point.pair, SCOPES[error]))
    ]


def _failures_of_built_ins(point: Point) -> Sequence[Fault]:
    """Return the failures of what built-in plugins do, each once: what a runtime does is struck in
    its own cases. A namespace that nobody here may open is another's: no failure, but an answer.
    """
    if point.pair.path.startswith(_OF_RUNTIMES) or is_of_the_loop(point.pair):
        return ()
    alike = (*_ALIKE, errno.EACCES) if point.pair.path.startswith(_NAMESPACES) else _ALIKE
    return [
        Fault(point, Mode.FAIL_ONCE, error)
        for error in ERRORS
        if can_fail(point.pair, error) and error not in alike
    ]


def judge_kill(lane: Lane, case: str, loop: str, run: Run) -> Iterator[str]:
    """Recover at once, while plugins of the dead runtime may still run."""
    yield from _about_the_run(run)
    yield from lane.about_recovery(case, loop, is_same_boot=True)


def judge_pause(lane: Lane, case: str, loop: str, run: Run) -> Iterator[str]:
    """Look at what the run left, and recover what is owed of either."""
    yield from (f"left open: {what}" for what in run.left)
    yield from judge_kill(lane, case, loop, run)


def judge_failure(lane: Lane, case: str, loop: str, run: Run) -> Iterator[str]:
    """Look at what the run said and left, and then recover."""
    yield from _about_the_run(run)
    said = look(lane.ground).said
    if not run.is_ended:
        yield from lane.about_what_was_said()
        yield from (f"left open: {what}" for what in run.left)
    # Where nothing can be noted a delete runs all the same, says so, and is run again.
    is_unnoted = run.fault is not None and lets_nothing_be_noted(run.fault)
    is_told = run.error is not None and run.is_ours and "detaching" in said
    yield from lane.about_recovery(
        case, loop, is_same_boot=True, may_be_less=is_unnoted and is_told
    )


def judge_cut(cut: Callable[[], None], boot: BootOf) -> Judge:
    """Cut the power at once, and recover in another boot."""

    def judge(lane: Lane, case: str, loop: str, run: Run) -> Iterator[str]:
        yield from _about_the_run(run)
        lane.server.wait(0)
        cut()
        with boot():
            yield from lane.about_recovery(case, loop, is_same_boot=False)

    return judge


def _about_the_run(run: Run) -> Iterator[str]:
    if run.is_hung:
        yield "it hangs"
    elif not run.is_ours:
        yield f"it raised {run.error}:\n{_indented(run.traceback)}"
    if run.beside:
        yield f"the runtime beside it:\n{_indented(run.beside)}"


def about_an_unhurt_run(run: Run, what: str) -> Iterator[str]:
    if run.is_hung:
        yield f"{what} hangs"
    elif run.error is not None or run.signal:
        yield f"{what} ended by {run.error or run.signal}:\n{_indented(run.traceback)}"
    yield from (f"{what} left open: {left}" for left in run.left)


def _about_another_boot(seen: Seen, died: int) -> Iterator[str]:
    """Complain of a DEL that is told of what an earlier boot had, and of what outlived it."""
    if seen.states:
        yield f"kept from the earlier boot: {', '.join(seen.states)}"
    for note in islice(seen.notes_of("DEL"), None):
        if note in seen.notes[died:] and (note.netns, note.previous) != ("no", "-"):
            yield f"DEL of {note.plugin} with what was of the earlier boot"


def _about_what_was_cleared(recovered: Seen, cleared: Seen) -> Iterator[str]:
    if cleared.held or cleared.states:
        yield f"not cleared: {', '.join((*cleared.held, *cleared.states))}"
    began = cleared.notes_of("ADD", "DEL")[len(recovered.notes_of("ADD", "DEL")) :]
    ran = sorted(f"{note.verb} {note.plugin} {note.attachment}" for note in began)
    expected = [f"DEL {plugin} {one}" for one in recovered.attached for plugin in PLUGINS]
    if ran != sorted(expected):
        yield f"a second recovery, or the delete after it, ran: {', '.join(ran) or 'nothing'}"


def _indented(text: str) -> str:
    return "\n".join(f"        {line}" for line in text.splitlines()[-14:])
