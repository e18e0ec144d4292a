"""Two measurements beside each other: ratios, and whether there is a difference at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from attrs import frozen

from acni.bench.percentiles import Summary
from acni.bench.report import Report, Verb

Verdict = Literal["the same", "faster", "slower"]

# Of one and the same code, the medians of two runs on a quiet machine lie closer than this.
_NOISE: Final = 0.05
# A phase that is shorter is of no interest, whatever its ratio.
_LEAST_SHARE: Final = 0.01

WHOLE: Final = "all of it"


@frozen(kw_only=True)
class Ratio:
    """What one thing took, beside what it took earlier.

    Attributes:
        at_once: How many at once.
        command: "ADD" or "DEL".
        lane: The plugin's type, or what else went on; WHOLE for the operation.
        phase: The phase; empty for the operation.
        earlier: The median then, in seconds.
        now: The median now.
        verdict: Whether it differs by more than chance.
    """

    at_once: int
    command: str
    lane: str
    phase: str
    earlier: float
    now: float
    verdict: Verdict

    @property
    def ratio(self) -> float | None:
        """How many times as long it takes now; None where it took no time."""
        return self.now / self.earlier if self.earlier > 0 else None


@frozen(kw_only=True)
class Comparison:
    """A measurement beside an earlier one.

    Attributes:
        ratios: Of all that both measured and that takes a hundredth of the time in one of them.
        warnings: Why they may not be comparable.
    """

    ratios: tuple[Ratio, ...]
    warnings: tuple[str, ...]


def compare(earlier: Report, now: Report) -> Comparison:
    """Compare two measurements, with as many at once."""
    verbs = {(step.at_once, verb.command): verb for step in earlier.steps for verb in step.verbs}
    ratios = [
        ratio
        for step in now.steps
        for verb in step.verbs
        if (step.at_once, verb.command) in verbs
        for ratio in _ratios(step.at_once, verbs[step.at_once, verb.command], verb)
    ]
    warnings = list(_warnings(earlier, now))
    if not ratios:
        warnings.append("nothing was measured in both with as many at once")
    return Comparison(ratios=tuple(ratios), warnings=tuple(warnings))


def _ratios(at_once: int, earlier: Verb, now: Verb) -> Iterator[Ratio]:
    yield _ratio(at_once, now.command, (WHOLE, ""), earlier.seconds, now.seconds)
    known = {(phase.lane, phase.phase): phase for phase in earlier.phases}
    for phase in now.phases:
        before = known.get((phase.lane, phase.phase))
        if before is not None and max(phase.share, before.share) >= _LEAST_SHARE:
            what = phase.lane, phase.phase
            yield _ratio(at_once, now.command, what, before.seconds, phase.seconds)


def _ratio(
    at_once: int, command: str, what: tuple[str, str], earlier: Summary, now: Summary
) -> Ratio:
    return Ratio(
        at_once=at_once,
        command=command,
        lane=what[0],
        phase=what[1],
        earlier=earlier.p50,
        now=now.p50,
        verdict=judge(earlier, now),
    )


def judge(earlier: Summary, now: Summary) -> Verdict:
    """Say whether times differ: the intervals in which their medians lie do not meet, and the
    medians are further apart than two runs of one and the same code.
    """
    if now.median_low > earlier.median_high and now.p50 > earlier.p50 * (1 + _NOISE):
        return "slower"
    if now.median_high < earlier.median_low and now.p50 * (1 + _NOISE) < earlier.p50:
        return "faster"
    return "the same"


def _warnings(earlier: Report, now: Report) -> Iterator[str]:
    facts = (
        ("the kernel", earlier.machine.kernel, now.machine.kernel),
        ("the processor", earlier.machine.architecture, now.machine.architecture),
        ("the number of processors", earlier.machine.cpus, now.machine.cpus),
        ("Python", earlier.machine.python, now.machine.python),
        ("acni", earlier.machine.acni, now.machine.acni),
        ("the chain", ", ".join(earlier.plugins), ", ".join(now.plugins)),
        ("the kind of host", earlier.host, now.host),
    )
    for name, then, today in facts:
        if then != today:
            yield f"{name} was {then} then and is {today} now"
    for name, report in (("the earlier measurement", earlier), ("this measurement", now)):
        if not report.is_complete:
            yield f"{name} did not come to its end"
