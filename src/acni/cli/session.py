"""Where a verb begins and ends: what it works with, opened from the command's arguments, and its
exit status.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager

from acni.cli.report import report_error, step_printer
from acni.cli.signals import run_cancellable
from acni.engine.engine import Engine, Observer
from acni.engine.runtime import PLUGIN_DIRS, Runtime, open_runtime
from acni.engine.settings import INHERITED, Timeouts, plugin_environment
from acni.errors import AcniError
from acni.host.host import this_host
from acni.host.plugins import parse_plugin_dirs
from acni.host.process import Executables
from acni.store.state import Records, Store


def report(error: AcniError, arguments: argparse.Namespace) -> int:
    """Print a failure in the form that was asked for, and return the exit status."""
    return report_error(
        error, output=arguments.output, quiet=arguments.quiet, verbose=arguments.verbose
    )


def run_verb(arguments: argparse.Namespace, verb: Callable[[], Awaitable[int]]) -> int:
    """Run a verb that runs plugins, with signals as cancellation, and return the exit status."""

    async def reported() -> int:
        try:
            return await verb()
        except AcniError as error:
            return report(error, arguments)

    return run_cancellable(reported)


def open_session(arguments: argparse.Namespace) -> AbstractAsyncContextManager[Runtime]:
    """Open a runtime, which may write to the state directory."""
    return open_runtime(
        state_dir=arguments.state_dir,
        plugin_dirs=_plugin_dirs(arguments),
        timeouts=_timeouts(arguments),
        observers=_observers(arguments),
    )


@contextmanager
def open_records(arguments: argparse.Namespace) -> Generator[Records]:
    """Open the state directory for looking; one that does not exist holds nothing."""
    records = Records.look(os.path.abspath(arguments.state_dir))
    try:
        yield records
    finally:
        records.close()


def looking_engine(arguments: argparse.Namespace, records: Records | None = None) -> Engine:
    """Make an engine that asks plugins and reads records, but has nothing to write through: to look
    takes no right to write, and leaves no state directory where there was none.
    """
    timeouts = _timeouts(arguments)
    return Engine(
        store=Store(records or Records(None, None), -1, -1, -1, -1),
        runner=Executables(grace_seconds=timeouts.grace),
        plugin_dirs=parse_plugin_dirs(_plugin_dirs(arguments)),
        environment=plugin_environment(INHERITED, {}),
        timeouts=timeouts,
        host=this_host(),
        observers=_observers(arguments),
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
    return Timeouts(add=seconds, delete=seconds, check=seconds, status=seconds, version=seconds)


def _observers(arguments: argparse.Namespace) -> tuple[Observer, ...]:
    if not arguments.verbose:
        return ()
    return (step_printer(lambda line: print(line, file=sys.stderr)),)
