"""What the command says to a person and to a machine: errors, and steps as they happen."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from typing import Final

from acni.errors import (
    AcniError,
    AttachmentExists,
    AttachmentNotFound,
    Busy,
    CheckFailed,
    CleanupIncomplete,
    ConfigError,
    GCFailed,
    HostChanged,
    InvalidName,
    NetnsChanged,
    NetnsInUse,
    NetworkNotFound,
    NotPermitted,
    PluginError,
    PluginKilled,
    PluginLost,
    PluginNotFound,
    PluginNotStarted,
    PluginOverflow,
    PluginProtocolError,
    PluginTimeout,
    RuntimeClosed,
    StoreError,
    TryAgain,
    VersionUnsupported,
    printable,
)
from acni.events import (
    BuiltInChosen,
    DebtRecorded,
    DebtSettled,
    Event,
    PluginFinished,
    RollbackStarted,
)

OWED: Final = 5

# The specification leaves codes from 100 to plugins (section 5, "Error"); acni's own errors take
# theirs from there.
_CODES: Final[Mapping[type[AcniError], int]] = {
    InvalidName: 100,
    ConfigError: 101,
    VersionUnsupported: 102,
    PluginNotFound: 103,
    AttachmentExists: 104,
    NetnsInUse: 105,
    HostChanged: 106,
    AttachmentNotFound: 107,
    NetworkNotFound: 108,
    NetnsChanged: 109,
    PluginProtocolError: 110,
    PluginNotStarted: 111,
    PluginTimeout: 112,
    PluginKilled: 113,
    PluginOverflow: 114,
    PluginLost: 115,
    CleanupIncomplete: 116,
    StoreError: 117,
    Busy: 118,
    RuntimeClosed: 119,
    NotPermitted: 120,
    GCFailed: 121,
}

_ADVICE: Final[Mapping[type[AcniError], str]] = {
    PluginNotFound: "install the plugin, or name its directory with --plugin-dir or CNI_PATH",
    NotPermitted: "run it as root, or with the capabilities that are named",
    NetworkNotFound: "name another network, or its directory with --conf-dir or NETCONFPATH",
    AttachmentExists: "acni inspect shows its record; acni del detaches it",
    AttachmentNotFound: "acni ls shows what is attached",
    NetnsInUse: "give each container a namespace of its own, or another interface with -i",
    CheckFailed: "detach and attach the container again: a failed check is taken for permanent",
    TryAgain: "run the same command again later",
    Busy: "run the same command again later",
    PluginTimeout: "allow more with --timeout, or run again with -v to see what the plugin wrote",
    PluginError: "run again with -v to see what the plugin wrote",
    StoreError: "look at the state directory's file system: room, rights, errors",
}


def exit_status(error: AcniError) -> int:
    """Tell a failure's exit status: what is owed comes before everything else."""
    is_held = error.rollback is not None and error.rollback.error is not None
    return OWED if error.debt is not None or is_held else error.exit_status


def report(error: AcniError, arguments: argparse.Namespace) -> int:
    """Print a failure in the form that was asked for, and return the exit status."""
    return report_error(
        error, output=arguments.output, quiet=arguments.quiet, verbose=arguments.verbose
    )


def report_error(error: AcniError, *, output: str, quiet: bool, verbose: bool) -> int:
    """Print a failure, for a person or as the specification's error object, and return the exit
    status.
    """
    if output == "human":
        for line in _human_lines(error, quiet=quiet, verbose=verbose):
            print(printable(line), file=sys.stderr)
    else:
        print(json.dumps(error_document(error)))
    return exit_status(error)


def error_document(error: AcniError) -> dict[str, object]:
    """Build the specification's error object, with one member more, ``acni`` (specification,
    section 5, "Error").
    """
    debt = error.debt
    own_code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), 100)
    document: dict[str, object] = {
        "cniVersion": "1.1.0",
        "code": error.code if error.code is not None else own_code,
        "msg": error.msg or error.message,
    }
    if error.details:
        document["details"] = error.details
    document["acni"] = {
        "error": type(error).__name__,
        "verb": error.verb,
        "network": error.network,
        "containerId": error.container_id,
        "ifName": error.ifname,
        "plugin": error.plugin,
        "index": error.index,
        "place": error.place,
        "expected": error.expected,
        "rolledBack": list(error.rollback.deleted) if error.rollback else None,
        "debt": {"plugin": debt.plugin, "cause": debt.cause} if debt else None,
    }
    return document


def _human_lines(error: AcniError, *, quiet: bool, verbose: bool) -> list[str]:
    lines = [f"acni: {error}"]
    if error.expected and error.expected not in error.message:
        lines.append(f"  expected  {error.expected}")
    if error.rollback is not None:
        lines.append(f"  undone    {', '.join(error.rollback.deleted) or 'nothing'}")
        lines += [f"  halted    {error.rollback.error}"] if error.rollback.error else []
        lines.append(f"  owed      {_owed(error)}")
    elif error.debt is not None:
        lines.append(f"  owed      {_owed(error)}")
    if verbose and error.stderr:
        lines += [f"  stderr    {line}" for line in error.stderr.splitlines()]
    advice = next((text for kind, text in _ADVICE.items() if isinstance(error, kind)), "")
    if error.debt is not None:
        owed = f"--container-id {error.debt.container_id} -i {error.debt.ifname}"
        advice = f"acni del {owed}, once the cause is mended"
    if advice and not quiet:
        lines.append(f"  try       {advice}")
    return lines


def _owed(error: AcniError) -> str:
    debt = error.debt
    if debt is None:
        return (
            "nothing"
            if error.rollback is None or error.rollback.error is None
            else "the rest, which could not be recorded"
        )
    return f"the delete of {debt.plugin} and of what stands before it in the chain ({debt.cause})"


def step_printer(write: Callable[[str], object]) -> Callable[[Event], None]:
    """Make an observer that prints each step as it happens."""

    def observe(event: Event) -> None:
        line = _step_line(event)
        if line:
            write(line)

    return observe


def _step_line(event: Event) -> str:
    match event:
        case PluginFinished():
            outcome = event.error or "ok"
            return f"{event.command:5} {event.plugin:12} {event.seconds * 1000:7.1f} ms  {outcome}"
        case BuiltInChosen():
            return f"      {event.plugin:12} is built in: {event.reason}"
        case RollbackStarted():
            return "undo  the whole chain, in reverse"
        case DebtRecorded():
            return f"owed  from {event.debt.plugin} on: {event.debt.cause}"
        case DebtSettled():
            return "owed  settled"
        case _:
            return ""
