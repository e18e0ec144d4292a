"""What a measurement yields, as a value and as a JSON document.

The document is the value, member for member: times in seconds, shares from 0 to 1. ``format`` says
which one it is; whoever changes the meaning of a member changes that number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen
from cattrs import BaseValidationError, transform_error
from cattrs.preconf.json import JsonConverter, make_converter

from acni.bench.failures import Failure
from acni.bench.lanes import OTHER, RUN, Waterfall
from acni.bench.machine import Machine
from acni.bench.percentiles import Summary, median_place, summarize
from acni.errors import ConfigError
from acni.spec.jsontext import is_object

FORMAT: Final = 1


@frozen(kw_only=True)
class Phase:
    """What one kind of work took in one lane.

    Attributes:
        lane: The plugin's type, or what else went on.
        phase: "waiting", "runtime", "queue", "spawn", "run", "read" or "other".
        seconds: In short, over all operations.
        share: Of the time of all operations together.
    """

    lane: str
    phase: str
    seconds: Summary
    share: float


@frozen(kw_only=True)
class Verb:
    """All ADDs, or all DELs, of one step.

    Attributes:
        command: "ADD" or "DEL".
        seconds: In short, from call to return.
        runtime_share: The share of all that is no plugin's own run.
        other_share: The share that no lane explains.
        phases: What each kind of work took.
        waterfall: The operation that took the median time.
        samples: How long each took, in the order in which they ended.
    """

    command: str
    seconds: Summary
    runtime_share: float
    other_share: float
    phases: tuple[Phase, ...]
    waterfall: Waterfall
    samples: tuple[float, ...]


@frozen(kw_only=True)
class Step:
    """What was measured with so many at once.

    Attributes:
        at_once: How many containers were attached and detached at once.
        cycles: How many came to their end; those that failed included.
        seconds: How long all of them took.
        verbs: ADD and DEL, where one of each succeeded.
        namespaces: What making, setting up and deleting a namespace took; empty for given ones.
        failures: What failed.
    """

    at_once: int
    cycles: int
    seconds: float
    verbs: tuple[Verb, ...]
    namespaces: tuple[Phase, ...]
    failures: tuple[Failure, ...]


@frozen(kw_only=True)
class Report:
    """A measurement of a network.

    Attributes:
        format: The number of this format.
        machine: What it was measured on.
        network: The network's name.
        plugins: Its plugins' types, in order.
        host: "private", or "given" where the namespaces were.
        count: How many cycles were asked for in each step.
        warm_up: How many went before, unmeasured.
        is_complete: Every step came to its end.
        steps: What was measured.
    """

    format: int
    machine: Machine
    network: str
    plugins: tuple[str, ...]
    host: str
    count: int
    warm_up: int
    is_complete: bool
    steps: tuple[Step, ...]


def summarize_verb(command: str, waterfalls: Sequence[Waterfall]) -> Verb:
    """Put operations together, of which there is one at least."""
    whole = sum(waterfall.seconds for waterfall in waterfalls)
    phases = _phases(waterfalls, whole)
    samples = tuple(waterfall.seconds for waterfall in waterfalls)
    return Verb(
        command=command,
        seconds=summarize(samples),
        runtime_share=1.0 - sum(phase.share for phase in phases if phase.phase == RUN),
        other_share=sum(phase.share for phase in phases if phase.phase == OTHER),
        phases=phases,
        waterfall=waterfalls[median_place(samples)],
        samples=samples,
    )


def _phases(waterfalls: Sequence[Waterfall], whole: float) -> tuple[Phase, ...]:
    """Summarize each phase of each lane, in the order of the longest waterfall; what one operation
    did not do took it no time.
    """
    longest = max(waterfalls, key=lambda waterfall: len(waterfall.lanes))
    named = [(lane.name, piece.phase) for lane in longest.lanes for piece in lane.pieces]
    phases: list[Phase] = []
    for name, phase in dict.fromkeys(named):
        seconds = [waterfall.lane(name).phase_seconds(phase) for waterfall in waterfalls]
        share = sum(seconds) / whole if whole else 0.0
        phases.append(Phase(lane=name, phase=phase, seconds=summarize(seconds), share=share))
    return tuple(phases)


def dump_report(report: Report) -> str:
    """Write a report as a JSON document, on one line."""
    return json.dumps(_converter().unstructure(report))


def parse_report(raw: bytes, *, place: str) -> Report:
    """Read a report from the JSON document that one wrote.

    Args:
        raw: The document.
        place: Where it was read, for the error.

    Raises:
        ConfigError: it is none, or one of another format.
    """
    try:
        document: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise _no_report("not JSON", place) from None
    if not is_object(document):
        raise _no_report("not an object", place)
    if document.get("format") != FORMAT:
        raise _no_report(f"format {document.get('format')!a}", place)
    try:
        return _converter().structure(document, Report)
    except (BaseValidationError, RecursionError) as error:
        complaints = transform_error(error) if isinstance(error, BaseValidationError) else ["deep"]
        raise _no_report(complaints[0], place) from None


def _no_report(complaint: str, place: str) -> ConfigError:
    return ConfigError(
        complaint[:200], place=place, expected=f"what acni bench -o json prints, format {FORMAT}"
    )


def _converter() -> JsonConverter:
    converter = make_converter()
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _exactly)
    converter.register_structure_hook(float, _number)
    return converter


def _exactly(value: object, kind: type) -> object:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def _number(value: object, _: type) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return float(value)
