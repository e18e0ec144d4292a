"""``acni ls`` and ``acni inspect``: they take no lock and need no right to write."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from acni.cli.report import printable, report_error
from acni.engine.listing import AttachmentRecord, list_records
from acni.errors import AcniError, AttachmentNotFound
from acni.host.host import this_host
from acni.spec.jsontext import dump, is_array, is_object, join, object_members
from acni.spec.names import parse_container_id, parse_ifname
from acni.store.record import Record, write_record
from acni.store.state import Records

# A key that looks like a secret's; its value is not printed unless asked for.
_SECRET: Final = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|credential|(api|private|access)_?key|^auth", re.IGNORECASE
)
_HIDDEN: Final = "(hidden; --show-secrets)"


def list_attachments(arguments: argparse.Namespace) -> int:
    """List every record."""
    try:
        with _records(arguments) as records:
            rows = list_records(records, this_host())
    except AcniError as error:
        return _fail(error, arguments)
    if arguments.output == "human":
        print("\n".join(_table(rows)))
    else:
        from cattrs.preconf.json import make_converter

        _print_documents(make_converter().unstructure(rows), arguments.output)
    return 0


def inspect(arguments: argparse.Namespace) -> int:
    """Print the records of one container, their configurations decoded."""
    try:
        container_id = parse_container_id(arguments.container_id)
        ifname = parse_ifname(arguments.ifname) if arguments.ifname else None
        with _records(arguments) as records:
            names = [name for name in records.names() if f"-{container_id}-" in name]
            read = [record for record in map(records.read, names) if record is not None]
        found = [r for r in read if r.container_id == container_id and ifname in (None, r.ifname)]
        if not found:
            raise AttachmentNotFound("no record knows it", container_id=container_id, ifname=ifname)
    except AcniError as error:
        return _fail(error, arguments)
    texts = [_document(record, show_secrets=arguments.show_secrets) for record in found]
    print("[" + ",".join(texts) + "]" if arguments.output == "json" else "\n".join(texts))
    return 0


def _document(record: Record, *, show_secrets: bool) -> str:
    """Write a record as it stands on disk, its configuration as JSON instead of base64; texts stay
    as written.
    """
    members = {
        key: member.text for key, member in object_members(write_record(record).decode()).items()
    }
    members["config"] = record.network.effective()
    if show_secrets:
        return join(members)
    members["cniArgs"] = dump([[name, _HIDDEN] for name in record.cni_args])
    return join({key: _without_secrets(text) for key, text in members.items()})


def _without_secrets(text: str) -> str:
    """Hide what looks like a secret; a text without any is returned as it was written."""
    value = json.loads(text)
    hidden = _hide(value)
    return text if hidden == value else dump(hidden)


def _hide(value: Any) -> Any:
    if is_object(value):
        return {
            key: _HIDDEN if _SECRET.search(key) else _hide(inner) for key, inner in value.items()
        }
    if is_array(value):
        return [_hide(inner) for inner in value]
    return value


@contextmanager
def _records(arguments: argparse.Namespace) -> Generator[Records]:
    records = Records.look(os.path.abspath(arguments.state_dir))
    try:
        yield records
    finally:
        records.close()


def _fail(error: AcniError, arguments: argparse.Namespace) -> int:
    return report_error(
        error, output=arguments.output, quiet=arguments.quiet, verbose=arguments.verbose
    )


def _print_documents(documents: Sequence[Mapping[str, Any]], output: str) -> None:
    if output == "json":
        print(json.dumps(documents))
    for document in documents if output == "jsonl" else ():
        print(json.dumps(document))


def _table(rows: Sequence[AttachmentRecord]) -> Iterator[str]:
    heading = ("STATE", "CONTAINER", "IFNAME", "NETWORK", "ADDRESSES", "NETNS", "SINCE", "REASON")
    cells = [heading, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heading))]
    for line in cells:
        yield "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()


def _cells(row: AttachmentRecord) -> tuple[str, ...]:
    addresses = ",".join(row.addresses)
    cells = (
        row.state,
        row.container_id,
        row.ifname,
        row.network,
        addresses,
        row.netns,
        row.since,
        row.reason,
    )
    return tuple(map(printable, cells))
