"""A measurement as a page to look at: waterfalls, distributions, tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from acni.bench import page
from acni.bench.comparison import Comparison
from acni.bench.lanes import PHASES, Waterfall
from acni.bench.page import Markup
from acni.bench.percentiles import Summary
from acni.bench.report import Phase, Report, Step, Verb

_MS: Final = 1000.0
_UNIT: Final = "ms"
_PERCENTILES: Final = ("p50", "p90", "p99", "most")


@frozen(kw_only=True)
class Beside:
    """Another measurement, which is shown with one.

    Attributes:
        report: It.
        comparison: What came of comparing the two.
        names: What it is called, and what the one is: two words.
    """

    report: Report
    comparison: Comparison
    names: tuple[str, str]


def draw_report(report: Report, beside: Beside | None = None) -> str:
    """Make the text of an HTML file that shows a measurement, side by side with another one if
    there is.
    """
    sections = [("What was measured", [_setting(report), *_numbers(report)])]
    if beside is not None:
        sections.append(("Side by side", list(_side_by_side(report, beside))))
    sections += [(_heading(step), list(_step(step))) for step in report.steps]
    if len(report.steps) > 1:
        sections.append(("More at once", list(_over_steps(report.steps))))
    if beside is not None:
        sections.append(("One beside the other", list(_comparison(beside))))
    return page.page(f"acni bench {report.network}", sections)


def _setting(report: Report) -> Markup:
    machine = report.machine
    rows = [
        ("chain", ", ".join(report.plugins)),
        ("host", report.host),
        ("measured", f"{report.count} times, after {report.warm_up} to warm up"),
        ("complete", "yes" if report.is_complete else "no: it was ended early"),
        ("machine", f"{machine.cpus} processors, {machine.architecture}, {machine.kernel}"),
        ("software", f"acni {machine.acni}, {machine.python}"),
    ]
    return page.table(("what", ""), rows)


def _numbers(report: Report) -> Iterator[Markup]:
    rows: list[Sequence[str | float]] = [
        (
            *(str(step.at_once), verb.command, verb.seconds.count),
            *_in_ms(verb.seconds),
            _percent(verb.runtime_share),
            _percent(verb.other_share),
        )
        for step in report.steps
        for verb in step.verbs
    ]
    heading = ("at once", "verb", "times", *_headings(), "not plugins", "other")
    yield page.table(heading, rows, caption="From call to return")


def _heading(step: Step) -> str:
    return f"{step.at_once} at once"


def _side_by_side(report: Report, beside: Beside) -> Iterator[Markup]:
    """Draw medians as bars, and below them the operations that took those, of both."""
    theirs = {
        (step.at_once, verb.command): verb for step in beside.report.steps for verb in step.verbs
    }
    for step in report.steps:
        for verb in step.verbs:
            other = theirs.get((step.at_once, verb.command))
            if other is None:
                continue
            pair = tuple(zip(beside.names, (other, verb), strict=True))
            title = f"{verb.command}, {_heading(step)}"
            yield page.bars(f"{title}: medians", [_bar(*one) for one in pair], unit=_UNIT)
            for name, one in pair:
                yield _draw_waterfall(f"{title}: {name}", one.waterfall)


def _bar(name: str, verb: Verb) -> page.Bar:
    seconds = verb.seconds
    low, high = seconds.median_low * _MS, seconds.median_high * _MS
    return name, seconds.p50 * _MS, low, high, f"of {seconds.count}"


def _step(step: Step) -> Iterator[Markup]:
    if step.failures:
        rows: list[Sequence[str | float]] = [
            (failure.count, failure.verb, failure.plugin, failure.error, failure.message)
            for failure in step.failures
        ]
        heading = ("times", "verb", "plugin", "error", "message")
        yield page.table(heading, rows, caption="What failed")
    for verb in step.verbs:
        yield _draw_waterfall(f"The {verb.command} that took the median time", verb.waterfall)
        yield _draw_distribution(verb)
        yield _phase_table(f"{verb.command}: where the time went", verb.phases)
    if step.namespaces:
        yield _phase_table("The namespaces, one after the other", step.namespaces)


def _draw_waterfall(title: str, waterfall: Waterfall) -> Markup:
    lanes = [
        (
            lane.name,
            [(piece.phase, piece.begin * _MS, piece.seconds * _MS) for piece in lane.pieces],
        )
        for lane in waterfall.lanes
    ]
    return page.waterfall(title, lanes, unit=_UNIT, kinds=PHASES)


def _draw_distribution(verb: Verb) -> Markup:
    values = [seconds * _MS for seconds in verb.samples]
    named = zip(("p50", "p90", "p99", "max"), _in_ms(verb.seconds), strict=True)
    title = f"{verb.command}, from call to return"
    return page.histogram(title, values, unit=_UNIT, marks=list(named))


def _phase_table(caption: str, phases: Sequence[Phase]) -> Markup:
    rows: list[Sequence[str | float]] = [
        (phase.lane, phase.phase, *_in_ms(phase.seconds), _percent(phase.share)) for phase in phases
    ]
    return page.table(("lane", "phase", *_headings(), "share"), rows, caption=caption)


def _over_steps(steps: Sequence[Step]) -> Iterator[Markup]:
    places = [str(step.at_once) for step in steps]
    rates = [step.cycles / step.seconds if step.seconds else None for step in steps]
    yield page.lines(
        "Containers attached and detached",
        places,
        [("attached and detached", rates)],
        unit="a second",
        x_title="at once",
    )
    series = [
        (f"{command} {name}", [_of_verb(step, command, name) for step in steps])
        for command in ("ADD", "DEL")
        for name in ("p50", "p99")
    ]
    yield page.lines("From call to return", places, series, unit=_UNIT, x_title="at once")


def _of_verb(step: Step, command: str, name: str) -> float | None:
    found = [verb.seconds for verb in step.verbs if verb.command == command]
    return getattr(found[0], name) * _MS if found else None


def _comparison(beside: Beside) -> Iterator[Markup]:
    earlier, now = beside.names
    yield from map(page.paragraph, beside.comparison.warnings)
    rows: list[Sequence[str | float]] = [
        (
            *(str(ratio.at_once), ratio.command, ratio.lane, ratio.phase),
            *(ratio.earlier * _MS, ratio.now * _MS),
            "" if ratio.ratio is None else f"{ratio.ratio:.2f}",
            ratio.verdict,
        )
        for ratio in beside.comparison.ratios
    ]
    times = (f"{earlier}, ms", f"{now}, ms")
    heading = ("at once", "verb", "lane", "phase", *times, "ratio", "verdict")
    yield page.table(heading, rows, caption="Medians")


def _in_ms(seconds: Summary) -> tuple[float, ...]:
    return tuple(getattr(seconds, name) * _MS for name in _PERCENTILES)


def _headings() -> tuple[str, ...]:
    return tuple(f"{name}, ms" for name in ("p50", "p90", "p99", "max"))


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"
