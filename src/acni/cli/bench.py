"""``acni bench chain`` and ``acni bench race``: what a chain costs, and which of its plugins race.

By default on a private host of its own; ``--netns`` measures on the host as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Final

import anyio
from attrs import Factory, frozen

from acni.bench.comparison import compare
from acni.bench.failures import Failure
from acni.bench.lanes import PHASES
from acni.bench.machine import this_machine
from acni.bench.measuring import Tally, Workload, measure, warm_up
from acni.bench.percentiles import Summary
from acni.bench.picture import Beside, draw_report
from acni.bench.pool import Pool, made_pool
from acni.bench.race import Hunt, fire_in_process, hunt, steps_up_to
from acni.bench.report import FORMAT, Report, Verb, dump_report, parse_report
from acni.bench.stopwatch import Stopwatch
from acni.bench.volley import Volley
from acni.cli.report import report_error
from acni.cli.session import runner_of, step_observers, tracing
from acni.cli.signals import run_cancellable
from acni.cli.subject import named_arguments, named_network
from acni.cli.tables import print_documents, print_table
from acni.engine.runner import Runner
from acni.engine.runtime import open_runtime
from acni.engine.settings import Limits
from acni.errors import AcniError, ConfigError, PluginNotFound, printable
from acni.host.plugins import parse_plugin_dirs
from acni.host.private_host import enter_private_host
from acni.plugins.selection import ExecutablesFirst
from acni.spec.configuration import NetworkConfig
from acni.spec.names import PluginType, parse_netns_path

OUT_OF_TIME: Final = 4
OWED: Final = 5
DIFFERENCE: Final = 6

# Each further namespace costs the kernel some milliseconds at its end; so many are enough to see
# what one takes.
_LEAST_SPACES: Final = 16
_PLUGINS: Final = 64
_MS: Final = 1000.0
# So often two kinds of runners take turns.
_TURNS: Final = 3
_KINDS: Final = {"builtin": "built-in plugins", "executable": "executables"}


def chain(arguments: argparse.Namespace) -> int:
    """Measure a network's chain."""
    with ExitStack() as stack:
        with _reported(arguments) as failed:
            task = _Chain.parse(arguments)
            if not task.given:
                enter_private_host()
            arguments.tracers = stack.enter_context(tracing(arguments))
        return failed[0] if failed else _measured(arguments, task)


def _measured(arguments: argparse.Namespace, task: _Chain) -> int:
    with tempfile.TemporaryDirectory(prefix="acni-bench-") as scratch:
        state_dir = arguments.state_dir if task.given else scratch
        sides = [_Side(runner=runner) for runner in task.runners]
        status = _run(arguments, lambda: _measure(arguments, task, state_dir, sides))
        if all(any(tally.ended for tally in side.tallies) for side in sides):
            shown = _show_reports(arguments, task, sides)
            status = status or shown
    return status


def race(arguments: argparse.Namespace) -> int:
    """Look for plugins that race each other."""
    with _reported(arguments) as failed:
        network, directories = _chain_of(arguments, (arguments.runner,))
        volley = _volley(arguments, network, directories)
    if failed:
        return failed[0]
    found = Hunt()

    async def verb() -> int:
        steps = steps_up_to(arguments.up_to)
        with _Progress(arguments) as progress, anyio.move_on_after(arguments.timeout) as bound:
            await hunt(
                volley,
                steps,
                arguments.rounds,
                fire=fire_in_process,
                found=found,
                progress=lambda at_once, number: progress(f"{at_once} at once, round {number}"),
            )
        return OUT_OF_TIME if bound.cancelled_caught else 0

    status = _run(arguments, verb)
    if found.steps:
        _show_hunt(arguments, found)
    return status or (1 if found.fails_alone else DIFFERENCE if found.races() else 0)


@contextmanager
def _reported(arguments: argparse.Namespace) -> Generator[list[int]]:
    """Report what is refused before anything is made; yields the exit status, where there is."""
    failed: list[int] = []
    try:
        yield failed
    except AcniError as error:
        failed.append(_report(arguments, error))


def _report(arguments: argparse.Namespace, error: AcniError) -> int:
    return report_error(
        error, output=arguments.output, quiet=arguments.quiet, verbose=arguments.verbose
    )


def _run(arguments: argparse.Namespace, verb: Callable[[], Awaitable[int]]) -> int:
    try:
        status, number = run_cancellable(verb)
    except AcniError as error:
        return _report(arguments, error)
    return status if number is None else 128 + number


@frozen(kw_only=True)
class _Chain:
    """What is to be measured.

    Attributes:
        workload: The cycles.
        directories: Where plugins are looked for.
        at_once: How many at once, each step.
        given: The namespaces to measure in; empty: some are made.
        earlier: An earlier measurement, or None.
        runners: What runs the plugins: one kind of runner, or two that take turns. None is what a
            runtime has by default.
    """

    workload: Workload
    directories: tuple[str, ...]
    at_once: tuple[int, ...]
    given: tuple[str, ...]
    earlier: Report | None
    runners: tuple[str | None, ...]

    @classmethod
    def parse(cls, arguments: argparse.Namespace) -> _Chain:
        runners = _runners(arguments)
        network, directories = _chain_of(arguments, runners)
        cni_args, capability_args = named_arguments(arguments)
        given = tuple(parse_netns_path(os.path.abspath(path)) for path in arguments.netns or ())
        at_once = tuple(arguments.at_once or [1])
        if given and max(at_once) > len(given):
            raise ConfigError(
                f"{max(at_once)} at once in {len(given)} namespaces",
                place="--netns",
                expected="a namespace for each of them",
            )
        workload = Workload(
            network=network,
            count=arguments.count,
            warm_up=arguments.warm_up,
            ifname=arguments.ifname,
            cni_args=cni_args,
            capability_args=capability_args,
        )
        return cls(
            workload=workload,
            directories=directories,
            at_once=at_once,
            given=given,
            earlier=_earlier(arguments.compare),
            runners=runners,
        )


@frozen
class _Side:
    """What one kind of runner is measured with.

    Attributes:
        runner: The kind; None is what a runtime has by default.
        tallies: Its figures, one for each step.
    """

    runner: str | None
    tallies: list[Tally] = Factory(list[Tally])


def _runners(arguments: argparse.Namespace) -> tuple[str | None, ...]:
    """Say what is measured: what was asked for, and after it what that is compared with."""
    against: str | None = arguments.against
    if against is None:
        return (arguments.runner,)
    other = "executable" if against == "builtin" else "builtin"
    if arguments.runner == against:
        raise ConfigError(
            f"{against} plugins beside {against} plugins", place="--against", expected=other
        )
    return (other, against)


def _chain_of(
    arguments: argparse.Namespace, runners: Sequence[str | None]
) -> tuple[NetworkConfig, tuple[str, ...]]:
    """Load the network, and find each of its plugins, before anything is made.

    Raises:
        AcniError: one of them is not there.
    """
    network = named_network(arguments)
    directories = parse_plugin_dirs(arguments.plugin_dirs or arguments.plugin_dirs_default)
    for kind in runners:
        with ExitStack() as stack:
            chosen = stack.enter_context(runner_of(kind, arguments))
            runner = chosen or stack.enter_context(ExecutablesFirst())
            for plugin in network.plugins:
                _find(runner, plugin.type, directories)
    return network, directories


def _find(runner: Runner, plugin_type: PluginType, directories: Sequence[str]) -> None:
    try:
        runner.find(plugin_type, directories)
    except PluginNotFound as error:
        error.learn(plugin=plugin_type)
        raise


def _volley(
    arguments: argparse.Namespace, network: NetworkConfig, directories: tuple[str, ...]
) -> Volley:
    cni_args, capability_args = named_arguments(arguments)
    return Volley(
        network=network.effective(),
        plugin_dirs=directories,
        at_once=1,
        first_add_alone=arguments.first_add_alone,
        cni_args=cni_args,
        capability_args=capability_args,
    )


def _earlier(path: str | None) -> Report | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", place=path, expected="a file"
        ) from None
    return parse_report(raw, place=path)


async def _measure(
    arguments: argparse.Namespace, task: _Chain, state_dir: str, sides: Sequence[_Side]
) -> int:
    """Measure each step; what is ended early stays in the tallies of ``sides``."""
    with _Progress(arguments) as progress, anyio.move_on_after(arguments.timeout) as bound:
        for at_once in task.at_once:
            for side in sides:
                side.tallies.append(Tally(at_once=at_once, count=task.workload.count))
            spaces = max(at_once, min(task.workload.count, _LEAST_SPACES))
            made = sides[0].tallies[-1].namespaces
            with nullcontext(Pool(task.given)) if task.given else made_pool(spaces, made) as pool:
                await _measure_step(arguments, task, state_dir, sides, pool=pool, progress=progress)
    return OUT_OF_TIME if bound.cancelled_caught else 0


async def _measure_step(
    arguments: argparse.Namespace,
    task: _Chain,
    state_dir: str,
    sides: Sequence[_Side],
    *,
    pool: Pool,
    progress: Callable[[str], object],
) -> None:
    """Measure with so many at once; where there are two sides, by turns."""
    turns = _TURNS if len(sides) > 1 else 1
    for turn in range(1, turns + 1):
        for side in sides:
            side.tallies[-1].limit = task.workload.count * turn // turns
            await _measure_turn(arguments, task, state_dir, side, pool=pool, progress=progress)


async def _measure_turn(
    arguments: argparse.Namespace,
    task: _Chain,
    state_dir: str,
    side: _Side,
    *,
    pool: Pool,
    progress: Callable[[str], object],
) -> None:
    stopwatch, tally = Stopwatch(), side.tallies[-1]
    workload, at_once = task.workload, tally.at_once
    with runner_of(side.runner, arguments) as runner:
        async with open_runtime(
            state_dir=state_dir,
            plugin_dirs=task.directories,
            runner=runner,
            limits=Limits(plugins=max(_PLUGINS, at_once)),
            observers=(stopwatch, *step_observers(arguments)),
            recover=False,
        ) as runtime:
            await warm_up(runtime, workload, pool.paths)
            await measure(
                runtime,
                stopwatch,
                workload,
                pool=pool,
                tally=tally,
                progress=lambda ended: progress(f"{at_once} at once, {ended}/{workload.count}"),
            )


def _show_reports(arguments: argparse.Namespace, task: _Chain, sides: Sequence[_Side]) -> int:
    report, *others = (_report_of(task, side.tallies) for side in sides)
    other, names = task.earlier, ("then", "now")
    if others:
        (other,) = others
        names = f"{sides[1].runner}", f"{sides[0].runner}"
    beside = Beside(report=other, comparison=compare(other, report), names=names) if other else None
    if arguments.html:
        with open(arguments.html, "w", encoding="utf-8") as file:
            file.write(draw_report(report, beside))
    for side, shown in zip(sides, (report, *others), strict=True):
        if arguments.output == "human":
            print(end="" if side is sides[0] else "\n")
            _print_report(shown, side.runner if others else None)
        else:
            print(dump_report(shown))
    if beside is not None and arguments.output == "human":
        _print_comparison(beside)
    tallies = [tally for side in sides for tally in side.tallies]
    is_owed = bool(task.given) and any(tally.owed for tally in tallies)
    return OWED if is_owed else 1 if any(tally.failures for tally in tallies) else 0


def _report_of(task: _Chain, tallies: Sequence[Tally]) -> Report:
    return Report(
        format=FORMAT,
        machine=this_machine(),
        network=task.workload.network.name,
        plugins=tuple(plugin.type for plugin in task.workload.network.plugins),
        host="given" if task.given else "private",
        count=task.workload.count,
        warm_up=task.workload.warm_up,
        is_complete=len(tallies) == len(task.at_once) and all(t.is_complete for t in tallies),
        steps=tuple(tally.step() for tally in tallies if tally.ended),
    )


def _print_report(report: Report, runner: str | None) -> None:
    by = "" if runner is None else f", by {_KINDS[runner]}"
    print(f"{report.network}: {', '.join(report.plugins)}{by}")
    if not report.is_complete:
        print("ended early: what was measured until then")
    for step in report.steps:
        rate = step.cycles / step.seconds if step.seconds else 0.0
        print(f"\n{step.at_once} at once: {step.cycles} attached and detached, {rate:.1f} a second")
        _print_failures(step.failures)
        for verb in step.verbs:
            _print_verb(verb)
        if step.namespaces:
            print()
            print_table(
                _HEADING, [(phase.phase, *_cells(phase.seconds)) for phase in step.namespaces]
            )


def _print_verb(verb: Verb) -> None:
    """Print the whole in percentiles, and of each lane what its phases took, in the middle."""
    named = zip(("p50", "p90", "p99", "max"), _cells(verb.seconds), strict=True)
    print(
        f"\n{verb.command}: {', '.join(f'{name} {value}' for name, value in named)} ms; "
        f"{_percent(verb.runtime_share)} is no plugin's own run, "
        f"{_percent(verb.other_share)} is unexplained"
    )
    lanes = dict.fromkeys(lane.name for lane in verb.waterfall.lanes)
    medians = {(phase.lane, phase.phase): phase.seconds.p50 for phase in verb.phases}
    rows = [
        (
            lane,
            *(
                f"{medians[lane, phase] * _MS:.2f}" if (lane, phase) in medians else ""
                for phase in PHASES
            ),
            _percent(sum(phase.share for phase in verb.phases if phase.lane == lane)),
        )
        for lane in lanes
    ]
    print_table(("MEDIANS IN MS", *(phase.upper() for phase in PHASES), "SHARE"), rows)


_HEADING: Final = ("NAMESPACE", "P50 MS", "P90", "P99", "MAX")


def _cells(seconds: Summary) -> tuple[str, ...]:
    named = ("p50", "p90", "p99", "most")
    return tuple(f"{getattr(seconds, name) * _MS:.2f}" for name in named)


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _print_failures(failures: Sequence[Failure]) -> None:
    for failure in failures:
        who = failure.plugin or "the runtime"
        text = f"  failed {failure.count} times: {failure.verb} {who}: {failure.message}"
        print(printable(text))


def _print_comparison(beside: Beside) -> None:
    comparison, (earlier, now) = beside.comparison, map(str.upper, beside.names)
    what = _KINDS.get(beside.names[0], "the earlier measurement")
    print(f"\nbeside {what}")
    for warning in comparison.warnings:
        print(printable(f"  note: {warning}"))
    if comparison.ratios:
        rows = [
            (
                *(str(ratio.at_once), ratio.command, ratio.lane, ratio.phase),
                *(f"{ratio.earlier * _MS:.2f}", f"{ratio.now * _MS:.2f}"),
                "" if ratio.ratio is None else f"{ratio.ratio:.2f}",
                ratio.verdict,
            )
            for ratio in comparison.ratios
        ]
        heading = (
            "AT ONCE",
            "VERB",
            "LANE",
            "PHASE",
            f"{earlier} MS",
            f"{now} MS",
            "RATIO",
            "VERDICT",
        )
        print_table(heading, rows)


def _show_hunt(arguments: argparse.Namespace, found: Hunt) -> None:
    if arguments.output != "human":
        from cattrs.preconf.json import make_converter

        document: Mapping[str, object] = {
            "format": FORMAT,
            "machine": make_converter().unstructure(this_machine()),
            "network": arguments.network,
            "first_add_alone": arguments.first_add_alone,
            "steps": make_converter().unstructure(found.steps),
            "races": [] if found.fails_alone else make_converter().unstructure(found.races()),
        }
        print_documents([document], "jsonl")
        return
    for step in found.steps:
        failed = sum(failure.count for failure in step.failures)
        print(
            f"{step.at_once} at once: {step.adds} ADDs on {step.rounds} fresh hosts, "
            f"{failed} failures"
        )
        _print_failures(step.failures)
    if found.fails_alone:
        print("it fails alone already: that is no race")
        return
    for one in found.races():
        failure = one.failure
        who = failure.plugin or "the runtime"
        text = (
            f"{who} failed first at {one.at_once} at once: "
            f"{one.count} of {one.adds}: {failure.verb}: {failure.example}"
        )
        print(printable(text))
    if not found.races():
        print("nothing failed")


class _Progress:
    """A line on standard error that says how far it is; nothing where that is no terminal."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._is_shown = sys.stderr.isatty() and not arguments.quiet

    def __call__(self, text: str) -> None:
        """Say how far it is."""
        if self._is_shown:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
