"""``acni recover``, ``acni debt list``, ``retry`` and ``forget``: what is still owed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Final

from attrs import astuple

from acni.cli.records import open_records
from acni.cli.report import error_document, exit_status, report
from acni.cli.session import looking_engine, open_session, run_verb
from acni.cli.tables import print_documents, print_table
from acni.engine.debts import list_debts
from acni.engine.runtime import Runtime
from acni.errors import AcniError, AttachmentNotFound, PluginError
from acni.events import Debt
from acni.spec.names import parse_container_id, parse_ifname

_HEADING: Final = ("NETWORK", "CONTAINER", "IFNAME", "PLUGIN", "CAUSE")


def list_owed(arguments: argparse.Namespace) -> int:
    """List what is owed; takes no lock and needs no right to write."""
    try:
        with open_records(arguments) as records:
            debts = list_debts(looking_engine(arguments, records))
    except AcniError as error:
        return report(error, arguments)
    if arguments.output == "human":
        print_table(_HEADING, map(_cells, debts))
    else:
        print_documents(map(_document, debts), arguments.output)
    return 0


def retry(arguments: argparse.Namespace) -> int:
    """Delete what is owed, beginning where it halted; one that fails again blocks no other."""

    async def verb() -> int:
        async with open_session(arguments) as runtime:
            chosen = await _chosen(runtime, arguments)
            outcomes = [(debt, await _settle(runtime, debt)) for debt in chosen]
        if arguments.output == "human":
            rows = ((*_cells(debt)[:-1], _outcome(error)) for debt, error in outcomes)
            print_table((*_HEADING[:-1], "OUTCOME"), rows)
        else:
            documents = (
                {
                    **_document(debt),
                    "settled": error is None,
                    "error": None if error is None else error_document(error),
                }
                for debt, error in outcomes
            )
            print_documents(documents, arguments.output)
        return next((exit_status(error) for _, error in outcomes if error is not None), 0)

    return run_verb(arguments, verb)


def recover(arguments: argparse.Namespace) -> int:
    """Settle what killed runtimes left open, what is of an earlier boot, and what is owed; put back
    what somebody took away.
    """

    async def verb() -> int:
        async with open_session(arguments) as runtime:
            report = await runtime.recover(assume_rebooted=arguments.assume_rebooted)
        settled = [(*astuple(identity), "settled") for identity in report.settled]
        restored = [(*astuple(identity), "put back") for identity in report.restored]
        left = [
            (error.container_id or "", error.ifname or "", _left(error))
            for error in report.failures
        ]
        outcomes = [*settled, *restored, *left]
        if arguments.output == "human":
            if outcomes:
                print_table(("CONTAINER", "IFNAME", "OUTCOME"), outcomes)
        else:
            keys = ("container_id", "ifname", "outcome")
            rows = (dict(zip(keys, row, strict=True)) for row in outcomes)
            print_documents(rows, arguments.output)
        return next((exit_status(error) for error in report.failures), 0)

    return run_verb(arguments, verb)


def forget(arguments: argparse.Namespace) -> int:
    """Give up what a container owes, by a person's word."""

    async def verb() -> int:
        async with open_session(arguments) as runtime:
            for debt in await _chosen(runtime, arguments):
                await runtime.forget(debt, reason=arguments.reason)
                if not arguments.quiet:
                    name = f"{debt.container_id}/{debt.ifname} on network {debt.network}"
                    kept = f"what {debt.plugin} and those before it hold stays held"
                    print(f"acni: forgotten: {name}; {kept}", file=sys.stderr)
        return 0

    return run_verb(arguments, verb)


async def _settle(runtime: Runtime, debt: Debt) -> AcniError | None:
    try:
        await runtime.settle(debt)
    except AcniError as error:
        return error
    return None


async def _chosen(runtime: Runtime, arguments: argparse.Namespace) -> list[Debt]:
    """List the debts that the arguments choose, by default all.

    Raises:
        AttachmentNotFound: they choose something that is not owed.
    """
    container_id = arguments.container_id
    container_id = None if container_id is None else parse_container_id(container_id)
    ifname = None if arguments.ifname is None else parse_ifname(arguments.ifname)
    chosen = [
        debt
        for debt in await runtime.debts()
        if container_id in (None, debt.container_id) and ifname in (None, debt.ifname)
    ]
    if not chosen and (container_id or ifname):
        raise AttachmentNotFound(
            "nothing of it is owed",
            container_id=container_id,
            ifname=ifname,
            expected="an attachment that acni debt list shows",
        )
    return chosen


def _document(debt: Debt) -> Mapping[str, object]:
    return {
        "network": debt.network,
        "container_id": debt.container_id,
        "ifname": debt.ifname,
        "plugin": debt.plugin,
        "cause": debt.cause,
    }


def _cells(debt: Debt) -> tuple[str, ...]:
    return debt.network, debt.container_id, debt.ifname, debt.plugin, debt.cause


def _outcome(error: AcniError | None) -> str:
    return "settled" if error is None else f"still owed: {error.message}"


def _left(error: AcniError) -> str:
    """Say of an attachment that it is still owed, or what of it is still missing."""
    is_put_back = isinstance(error, PluginError)  # a delete that a plugin refuses says so itself
    return f"not put back: {error.message}" if is_put_back else _outcome(error)
