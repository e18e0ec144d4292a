"""Striking a runtime at every point of what it does, and judging what is left.

A sweep takes one case, runs it once to learn its points, and then once for every point and every
fault: on a fresh ground, until a run ends without the point being met, for worker threads may make
a call more or one less. After each run the state directory is recovered by another process, which
may neither fail nor leave anything, and then cleared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Final

from attrs import Factory, define, field, frozen

from tests.crash.forkserver import ForkServer, Run
from tests.crash.points import (
    ERRORS,
    SCOPES,
    Fault,
    Mode,
    Pair,
    Point,
    can_fail,
    is_of_the_loop,
    may_begin,
)
from tests.crash.scenarios import Ground
from tests.crash.world import Seen, copy_ground, let_succeed, look, tell

# More findings than this say nothing more.
_ENOUGH: Final = 40

# An orphan of a case takes 40 ms for each plugin; what takes longer is a daemon.
_ORPHAN_SECONDS: Final = 2.0

_FAILURE_MODES: Final = (Mode.FAIL_ONCE, Mode.FAIL_FROM)


@frozen(kw_only=True)
class Case:
    """What is done, and what was before.

    Attributes:
        scenario: What is struck.
        told: What the plugins are told meanwhile.
        before: What ran before, and what struck it.
    """

    scenario: str
    told: Mapping[str, str] = Factory(dict[str, str])
    before: Sequence[tuple[str, Fault | None]] = ()


def _dead_at(scenario: str, pair: Pair, n: int, mode: Mode = Mode.KILL_AFTER) -> Case:
    return Case(scenario="recover", before=((scenario, Fault(Point(pair, n), mode)),))


_SECOND: Final = Pair("spawn", "world/plugins/second")
_RECORD: Final = Pair("rename", "state/results/net-c1-eth0")
_EVERY_VERB: Final = tuple(
    f"{plugin}.{verb}" for plugin in ("first", "second", "third") for verb in ("ADD", "DEL")
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
}


# In which power is cut: an earlier runtime has written the whole journal, or the sync of what it
# allocated would carry records with it.
_WRITTEN: Final = (("add_and_delete", None),)
CUT_CASES: Final[Mapping[str, Case]] = {
    "two containers": Case(scenario="add_two", before=_WRITTEN),
    "a full segment": Case(scenario="fill_segment", before=_WRITTEN),
}
# For a few points only: a plugin that is still at work whenever another process gets to recover.
_LATE: Final = {"a late plugin": Case(scenario="add", told={"second.ADD": "late"})}
_ALL_CASES: Final = {**CASES, **CUT_CASES, **_LATE}


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


@define(eq=False)
class Sweep:
    """One case on one loop, struck again and again.

    Attributes:
        case: The name of the case.
        loop: The loop.
        settle: Lets what is there before a run survive a power cut.
        enough: After how many findings it ends.
        at: The points that are struck, as texts; empty for all.
        findings: What was found.
        runs: How many faults were met.
        points: How many points there are, as far as is known.
    """

    case: str
    loop: str
    _server: ForkServer
    _ground: Ground
    _prepared: Ground
    settle: Callable[[], None] = lambda: None
    enough: int = _ENOUGH
    at: Collection[str] = ()
    findings: list[Finding] = field(factory=list[Finding], init=False)
    runs: int = field(default=0, init=False)
    _pairs: dict[Pair, int] = field(factory=dict[Pair, int], init=False)

    @property
    def points(self) -> int:
        return sum(self._pairs.values())

    def __str__(self) -> str:
        found = f"{len(self.findings)} findings" if self.findings else "nothing found"
        return f"{self.runs} faults at {self.points} points: {found}"

    def prepare(self) -> None:
        """Make what was before the case, and learn its points from two runs without a fault."""
        for scenario, fault in _ALL_CASES[self.case].before:
            copy_ground(self._prepared, self._ground)
            run = self._server.run(scenario, self.loop, self._ground, fault)
            assert (run.signal != 0) == (fault is not None), f"not met before: {fault} {run}"
            self._server.wait(_ORPHAN_SECONDS)
            copy_ground(self._ground, self._prepared)
        # Of several containers only another boot leaves what can be judged: nothing.
        judge = judge_nothing if self.case in CUT_CASES else judge_failure
        for _ in range(2):
            self._learn(self.strike(None, judge))

    def kill(self, sample: Sample) -> None:
        """End the runtime before and after every call."""
        modes = (Mode.KILL_BEFORE, Mode.KILL_AFTER)
        self._sweep([[(mode, 0)] for mode in modes], sample, judge_kill)

    def fail(self, sample: Sample) -> None:
        """Let every call fail with every error, once and from there on.

        EINTR once only: a call that is interrupted for ever is tried for ever.
        """
        once = [(Mode.FAIL_ONCE, error) for error in ERRORS]
        lasting = [(Mode.FAIL_FROM, error) for error in SCOPES]
        self._sweep([[*once, *lasting]], sample, judge_failure)

    def cut(self, sample: Sample, cut: Callable[[], None], boot: BootOf) -> None:
        """Cut the power before and after every call, and boot again."""
        modes = (Mode.KILL_BEFORE, Mode.KILL_AFTER)
        self._sweep([[(mode, 0)] for mode in modes], sample, judge_cut(cut, boot))

    def strike(self, fault: Fault | None, judge: Judge) -> Run:
        """Run the case with a fault, let it be judged, and keep what is found."""
        copy_ground(self._prepared, self._ground)
        tell(self._ground, _ALL_CASES[self.case].told)
        self.settle()
        run = self._server.run(_ALL_CASES[self.case].scenario, self.loop, self._ground, fault)
        try:
            complaints = tuple(judge(self._server, self.loop, self._ground, run))
        finally:
            self._server.wait(0)
        if complaints:
            self.findings.append(Finding(self.case, self.loop, fault, complaints))
        return run

    def _sweep(
        self, rounds: Sequence[Sequence[tuple[Mode, int]]], sample: Sample, judge: Judge
    ) -> None:
        if self.at or sample.at_most is not None:
            known = [
                Point(pair, n) for pair, times in self._pairs.items() for n in range(1, times + 1)
            ]
            faults = [
                Fault(point, mode, error)
                for point in known
                if not self.at or str(point) in self.at
                for what in rounds
                for mode, error in what
                if _makes_sense(point.pair, mode, error)
            ]
            for fault in sample.of(faults):
                self._strike_once(fault, judge)
        else:
            for what in rounds:
                self._until_unmet(what, judge)

    def _until_unmet(self, what: Sequence[tuple[Mode, int]], judge: Judge) -> None:
        """Go through all pairs, those included that a later run is the first to meet."""
        done: set[Pair] = set()
        while todo := [pair for pair in self._pairs if pair not in done]:
            for pair in todo:
                done.add(pair)
                n = 1
                while self._strike_all(Point(pair, n), what, judge):
                    n += 1

    def _strike_all(self, point: Point, what: Sequence[tuple[Mode, int]], judge: Judge) -> bool:
        """Tell whether the point was met."""
        sensible = [each for each in what if _makes_sense(point.pair, *each)]
        if not sensible or not self._strike_once(Fault(point, *sensible[0]), judge):
            return False
        for mode, error in sensible[1:]:
            self._strike_once(Fault(point, mode, error), judge)
        return True

    def _strike_once(self, fault: Fault, judge: Judge) -> bool:
        if len(self.findings) >= self.enough:
            return False
        run = self.strike(fault, judge)
        if run.is_ended:
            self.runs += 1
            return True
        is_met = run.hits.get(fault.point.pair, 0) >= fault.point.n
        if fault.mode in _FAILURE_MODES:
            self.runs += is_met
            return is_met
        self._learn(run)
        return False

    def _learn(self, run: Run) -> None:
        for pair, n in run.hits.items():
            self._pairs[pair] = max(n, self._pairs.get(pair, 0))


BootOf = Callable[[], AbstractContextManager[None]]
Judge = Callable[[ForkServer, str, Ground, Run], Iterable[str]]


def _makes_sense(pair: Pair, mode: Mode, error: int) -> bool:
    if error and (is_of_the_loop(pair) or not can_fail(pair, error)):
        return False
    return mode is not Mode.FAIL_FROM or may_begin(pair, SCOPES[error])


def judge_nothing(server: ForkServer, loop: str, ground: Ground, run: Run) -> Iterator[str]:
    """Look at what the run said of itself."""
    yield from _about_an_unhurt_run(run, "the run")


def judge_kill(server: ForkServer, loop: str, ground: Ground, run: Run) -> Iterator[str]:
    """Recover at once, while plugins of the dead runtime may still run."""
    yield from _about_the_run(run)
    yield from _about_recovery(server, loop, ground, is_same_boot=True)


def judge_failure(server: ForkServer, loop: str, ground: Ground, run: Run) -> Iterator[str]:
    """Look at what the run said and left, and then recover."""
    yield from _about_the_run(run)
    if not run.is_ended:
        yield from look(ground).about_what_was_said()
        yield from (f"left open: {what}" for what in run.left)
    yield from _about_recovery(server, loop, ground, is_same_boot=True)


def judge_cut(cut: Callable[[], None], boot: BootOf) -> Judge:
    """Cut the power at once, and recover in another boot."""

    def judge(server: ForkServer, loop: str, ground: Ground, run: Run) -> Iterator[str]:
        yield from _about_the_run(run)
        server.wait(0)
        cut()
        with boot():
            yield from _about_recovery(server, loop, ground, is_same_boot=False)

    return judge


def _about_the_run(run: Run) -> Iterator[str]:
    if run.is_hung:
        yield "it hangs"
    elif not run.is_ours:
        yield f"it raised {run.error}:\n{_indented(run.traceback)}"


def _about_recovery(
    server: ForkServer, loop: str, ground: Ground, *, is_same_boot: bool
) -> Iterator[str]:
    """Recover, look, recover again and delete what is attached, and look again."""
    let_succeed(ground)
    died = len(look(ground).notes)
    yield from _about_an_unhurt_run(server.run("recover", loop, ground), "the recovery")
    recovered = look(ground)
    yield from recovered.about_what_is_held()
    yield from recovered.about_the_plugins()
    if is_same_boot:
        yield from recovered.about_what_was_said()
        yield from recovered.about_the_order()
    else:
        yield from _about_another_boot(recovered, died)
    yield from _about_an_unhurt_run(server.run("clear", loop, ground), "the delete after it")
    cleared = look(ground)
    yield from _about_what_was_cleared(recovered, cleared)
    yield from cleared.about_litter(keeps=not is_same_boot)


def _about_an_unhurt_run(run: Run, what: str) -> Iterator[str]:
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
    ran = [f"{note.verb} {note.plugin}" for note in cleared.notes if note.what == "start"]
    ran = ran[sum(note.what == "start" for note in recovered.notes) :]
    if ran != (["DEL third", "DEL second", "DEL first"] if recovered.is_attached else []):
        yield f"a second recovery, or the delete after it, ran: {', '.join(ran) or 'nothing'}"


def _indented(text: str) -> str:
    return "\n".join(f"        {line}" for line in text.splitlines()[-14:])
