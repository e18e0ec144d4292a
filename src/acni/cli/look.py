"""``acni ls`` and ``acni inspect``: they take no lock and need no right to write."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Final

from acni.cli.records import open_records
from acni.cli.report import report
from acni.cli.secrets import SHOWN, without_secrets
from acni.cli.tables import print_documents, print_table, print_texts
from acni.engine.listing import AttachmentRecord, list_records
from acni.errors import AcniError, AttachmentNotFound, StoreError, printable
from acni.host.host import this_host
from acni.spec.capabilities import PortMapping
from acni.spec.jsontext import join, object_members
from acni.spec.names import parse_container_id, parse_ifname
from acni.store.record import Record, write_record
from acni.store.records import Records

_HEADING: Final = (
    "STATE",
    "CONTAINER",
    "IFNAME",
    "NETWORK",
    "ADDRESSES",
    "PORTS",
    "NETNS",
    "RUN BY",
    "SINCE",
    "REASON",
)


def list_attachments(arguments: argparse.Namespace) -> int:
    """List every record."""
    try:
        with open_records(arguments) as records:
            rows = list_records(records, this_host())
    except AcniError as error:
        return report(error, arguments)
    if arguments.output == "human":
        print_table(_HEADING, map(_cells, rows))
    else:
        from cattrs.preconf.json import make_converter

        converter = make_converter()
        converter.register_unstructure_hook(PortMapping, str)
        print_documents(converter.unstructure(rows), arguments.output)
    return 0


def inspect(arguments: argparse.Namespace) -> int:
    """Print the records of one container, their configurations decoded."""
    try:
        container_id = parse_container_id(arguments.container_id)
        ifname = parse_ifname(arguments.ifname) if arguments.ifname else None
        with open_records(arguments) as records:
            found = [
                record
                for record in _readable(records, container_id)
                if record.container_id == container_id and ifname in (None, record.ifname)
            ]
        if not found:
            raise AttachmentNotFound("no record knows it", container_id=container_id, ifname=ifname)
    except AcniError as error:
        return report(error, arguments)
    texts = map(_document, found)
    print_texts(texts if arguments.show_secrets else map(without_secrets, texts), arguments.output)
    return 0


def _readable(records: Records, container_id: str) -> Iterator[Record]:
    """Read what may be the container's records; a file that is none is named and hides no other."""
    for name in records.names():
        if f"-{container_id}-" in name:
            try:
                record = records.read(name)
            except StoreError as error:
                print(f"acni: {printable(str(error))}", file=sys.stderr)
            else:
                yield from () if record is None else (record,)


def _document(record: Record) -> str:
    """Write a record as it stands on disk, its configuration as JSON instead of base64; texts stay
    as written.
    """
    members = object_members(write_record(record).decode(), SHOWN).items()
    texts = {key: member.text for key, member in members}
    return join(texts | {"config": record.network.effective()})


def _cells(row: AttachmentRecord) -> tuple[str, ...]:
    return (
        row.state,
        row.container_id,
        row.ifname,
        row.network,
        ",".join(row.addresses),
        ",".join(map(str, row.ports)),
        row.netns,
        ",".join(dict.fromkeys(row.runners)),
        row.since,
        row.reason,
    )
