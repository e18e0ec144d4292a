"""Where a verb begins and ends: what it works with, opened from the command's arguments, and its
exit status.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager

from acni.cli.report import OWED, report, step_printer
from acni.cli.signals import run_cancellable
from acni.engine.engine import Ending, Engine, Observer
from acni.engine.runner import Runner
from acni.engine.runtime import PLUGIN_DIRS, Runtime, open_runtime
from acni.engine.settings import INHERITED, Timeouts, plugin_environment
from acni.engine.turns import Turns
from acni.errors import AcniError
from acni.host.host import this_host
from acni.host.plugins import parse_plugin_dirs
from acni.host.process import Executables
from acni.plugins.selection import ExecutablesFirst
from acni.store.records import Records
from acni.store.state import store_for_looking


def run_verb(arguments: argparse.Namespace, verb: Callable[[], Awaitable[int]]) -> int:
    """Run a verb that runs plugins, with signals as cancellation, and return the exit status."""
    arguments.ending = Ending()

    async def reported() -> int:
        try:
            return await verb()
        except AcniError as error:
            return report(error, arguments)

    with ExitStack() as stack:
        try:
            arguments.opened = stack
            arguments.tracers = stack.enter_context(tracing(arguments))
        except AcniError as error:
            return report(error, arguments)
        status, number = run_cancellable(reported)
    return status if number is None else interrupted(number, arguments)


@contextmanager
def tracing(arguments: argparse.Namespace) -> Generator[tuple[Observer, ...]]:
    """Open what ``--trace`` names before anything runs, and yield who writes to it.

    Raises:
        ConfigError: it cannot be written.
    """
    if arguments.trace is None:
        yield ()
        return
    from acni.observe.trace import trace

    with trace(arguments.trace) as tracer:
        yield (tracer,)


def interrupted(number: int, arguments: argparse.Namespace) -> int:
    """Say what a signal left, and return the exit status: what is owed comes before the signal."""
    ending: Ending = arguments.ending
    name = signal.Signals(number).name
    error = AcniError(f"ended by {name}", rollback=ending.rollback, debt=ending.debt)
    if ending.rollback is None and ending.debt is None:
        return 128 + number
    status = report(error, arguments)
    return status if status == OWED else 128 + number


@asynccontextmanager
async def open_session(arguments: argparse.Namespace) -> AsyncGenerator[Runtime]:
    """Open a runtime, which may write to the state directory."""
    with chosen_runner(arguments) as runner:
        async with open_runtime(
            state_dir=arguments.state_dir,
            plugin_dirs=_plugin_dirs(arguments),
            timeouts=_timeouts(arguments),
            observers=(*step_observers(arguments), arguments.ending),
            runner=runner,
            recover=False,
        ) as runtime:
            yield runtime


@contextmanager
def chosen_runner(arguments: argparse.Namespace) -> Generator[Runner | None]:
    """Make the runner that was asked for; None where none was."""
    kind = getattr(arguments, "runner", None)  # absent from a verb that runs no plugin
    with runner_of(kind, arguments) as runner:
        yield runner


@contextmanager
def runner_of(kind: str | None, arguments: argparse.Namespace) -> Generator[Runner | None]:
    """Make a runner of a kind; None for the one that a runtime has by default."""
    match kind:
        case "builtin":
            from acni.plugins.builtins import BuiltIns

            with BuiltIns() as runner:
                yield runner
        case "executable":
            yield Executables(grace_seconds=_timeouts(arguments).grace)
        case _:
            yield None


def looking_engine(arguments: argparse.Namespace, records: Records | None = None) -> Engine:
    """Make an engine that asks plugins and reads records, but has nothing to write through: to look
    takes no right to write, and leaves no state directory where there was none.
    """
    timeouts, host = _timeouts(arguments), this_host()
    # A verb that runs nothing needs no end of what runs.
    opened: ExitStack = getattr(arguments, "opened", None) or ExitStack()
    chosen = opened.enter_context(chosen_runner(arguments))
    executables = Executables(grace_seconds=timeouts.grace)
    runner = chosen or opened.enter_context(ExecutablesFirst(executables=executables))
    return Engine(
        store=store_for_looking(records or Records(None, None), host),
        runner=runner,
        plugin_dirs=parse_plugin_dirs(_plugin_dirs(arguments)),
        environment=plugin_environment(INHERITED, {}),
        timeouts=timeouts,
        host=host,
        turns=Turns(locks=None, wait_seconds=timeouts.wait),
        observers=step_observers(arguments),
    )


def _plugin_dirs(arguments: argparse.Namespace) -> Sequence[str]:
    if "plugin_dirs" not in arguments:  # a verb that runs no plugin
        return PLUGIN_DIRS
    directories: list[str] = arguments.plugin_dirs or arguments.plugin_dirs_default
    return directories


def _timeouts(arguments: argparse.Namespace) -> Timeouts:
    seconds = getattr(arguments, "timeout", None)  # absent from a verb that runs no plugin
    if seconds is None:
        return Timeouts()
    return Timeouts(
        add=seconds, delete=seconds, check=seconds, gc=seconds, status=seconds, version=seconds
    )


def step_observers(arguments: argparse.Namespace) -> tuple[Observer, ...]:
    """Return who is told: the trace, and whoever prints each step, where these were asked for."""
    tracers: tuple[Observer, ...] = getattr(arguments, "tracers", ())  # a verb that runs no plugin
    if not arguments.verbose:
        return tracers
    return (*tracers, step_printer(lambda line: print(line, file=sys.stderr)))
