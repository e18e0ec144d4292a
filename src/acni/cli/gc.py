"""``acni gc``: what is not kept is deleted, and the plugins collect."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from attrs import asdict

from acni.cli.records import open_records
from acni.cli.report import OWED, error_document, exit_status
from acni.cli.session import looking_engine, open_session, run_verb
from acni.cli.subject import named_network
from acni.cli.tables import print_documents, print_table
from acni.engine import gc as gc_verb
from acni.engine.gc import GCReport
from acni.errors import AcniError, ConfigError, InvalidName
from acni.spec.attachment import AttachmentId
from acni.spec.configuration import NetworkConfig

_HEADING: Final = ("CONTAINER", "IFNAME", "OUTCOME")


def gc(arguments: argparse.Namespace) -> int:
    """Collect, or say what would be deleted, and tell what became of each attachment."""

    async def verb() -> int:
        keep = _keep(arguments)
        network = named_network(arguments)
        collect = _rehearse if arguments.dry_run else _collect
        report = await collect(arguments, network, keep)
        if arguments.output == "human":
            rows = list(_rows(report, dry_run=arguments.dry_run))
            if rows:
                print_table(_HEADING, rows)
        else:
            document = _document(report, network, dry_run=arguments.dry_run)
            print_documents([document], arguments.output)
        return _status(report.failures)

    return run_verb(arguments, verb)


async def _collect(
    arguments: argparse.Namespace, network: NetworkConfig, keep: list[AttachmentId]
) -> GCReport:
    async with open_session(arguments) as runtime:
        return await runtime.gc(network, keep=keep, foreign=arguments.foreign)


async def _rehearse(
    arguments: argparse.Namespace, network: NetworkConfig, keep: list[AttachmentId]
) -> GCReport:
    """Look, beside a service, and without the right to write."""
    with open_records(arguments) as records:
        engine = looking_engine(arguments, records)
        return await gc_verb.gc(engine, network, keep, foreign=arguments.foreign, dry_run=True)


def _keep(arguments: argparse.Namespace) -> list[AttachmentId]:
    """Read what stays.

    Raises:
        InvalidName, ConfigError: it cannot be read, or names nothing.
    """
    if arguments.all:
        return []
    if arguments.keep is not None:
        return [_identity(text, "--keep") for text in arguments.keep]
    lines = (line.strip() for line in _lines(arguments.keep_from))
    kept = [_identity(line, "--keep-from") for line in lines if line and not line.startswith("#")]
    if not kept:
        # Of a list that was never written, say, everything would be deleted.
        raise ConfigError(
            f"{arguments.keep_from} names no attachment",
            place="--keep-from",
            expected="an attachment, or --all if nothing stays",
        )
    return kept


def _lines(name: str) -> list[str]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{name} cannot be read: {error}", place="--keep-from", expected="a file of text"
        ) from error
    return text.splitlines()


def _identity(text: str, place: str) -> AttachmentId:
    container_id, separator, ifname = text.partition("/")
    try:
        return AttachmentId(container_id, ifname) if separator else AttachmentId(container_id)
    except InvalidName as error:
        raise InvalidName(
            f"{text!a}: {error.message}", place=place, expected="ID/IFNAME"
        ) from error


def _rows(report: GCReport, *, dry_run: bool) -> Iterator[tuple[str, str, str]]:
    outcomes = {
        "would be deleted" if dry_run else "deleted": report.deleted,
        "kept": report.kept,
        "skipped: another writer's": report.skipped,
    }
    for outcome, ids in outcomes.items():
        for identity in ids:
            yield identity.container_id, identity.ifname, outcome
    for name in report.unreadable:
        yield "", "", f"unreadable: results/{name}"
    for error in report.failures:
        said = f"plugin {error.plugin}: {error.message}" if error.plugin else error.message
        yield error.container_id or "", error.ifname or "", f"failed: {said}"


def _document(report: GCReport, network: NetworkConfig, *, dry_run: bool) -> dict[str, object]:
    return {
        "network": network.name,
        "dry_run": dry_run,
        "deleted": [asdict(identity) for identity in report.deleted],
        "kept": [asdict(identity) for identity in report.kept],
        "skipped": [asdict(identity) for identity in report.skipped],
        "unreadable": list(report.unreadable),
        "failures": [error_document(error) for error in report.failures],
    }


def _status(failures: Iterable[AcniError]) -> int:
    """Tell the exit status: what is owed comes before everything else."""
    statuses = [exit_status(error) for error in failures]
    return OWED if OWED in statuses else next(iter(statuses), 0)
