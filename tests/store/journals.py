"""What tests of the journal, its slots and its commits begin with: operations, and slots as they
lie on disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define

from acni import parse_network
from acni.host.host import Host
from acni.host.netns import NetnsIdentity
from acni.host.processes import own_identity
from acni.spec.names import ContainerId, IfName
from acni.store.frames import read_frames
from acni.store.intents import Intent, Ledger, is_open, replay
from acni.store.journal import Journal, Segment
from acni.store.record import Provenance, Record, write_record

HOST = Host(boot="now", netns=NetnsIdentity("id", "1"))
NETWORK = parse_network(
    b'{"cniVersion":"1.0.0","name":"net",'
    b'"plugins":[{"type":"first"},{"type":"second"},{"type":"third"}]}'
)
RESULT = '{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.7/24"}],"big":123456789012345678901}'


def operation(number: int) -> str:
    return f"{number:032x}"


def make_record(number: int = 1, *, args: str = "") -> Record:
    return Record(
        container_id=ContainerId(f"c{number}"),
        ifname=IfName("eth0"),
        network=NETWORK,
        netns="",
        cni_args={"A": args} if args else {},
        capability_texts={},
        result=None,
        provenance=Provenance(
            operation=operation(number),
            boot=HOST.boot,
            netns=None,
            host_netns=HOST.netns,
            plugin_dirs=("/plugins",),
            plugins=(),
            sequence=number,
            added_at="2026-01-01T00:00:00+00:00",
        ),
    )


def make_intent(number: int = 1, *, args: str = "", **facts: Any) -> Intent:
    given: dict[str, Any] = {
        "operation": operation(number),
        "verb": "add",
        "container_id": f"c{number}",
        "record": write_record(make_record(number, args=args)).decode(),
        "next": 2,
        "spare": f"{number:08d}",
        "until": 100.5,
        "boot": HOST.boot,
    }
    return Intent(**{**given, **facts})


@define(eq=False)
class Observed(Segment):
    """A segment that says when something was written."""

    on_write: Callable[[], None] = lambda: None

    def write(self, data: bytes) -> None:
        super().write(data)
        self.on_write()


def make_journal(directory: Path, on_write: Callable[[], None] = lambda: None) -> Journal:
    """Make a slot, as small as its frames."""
    segments = [
        Observed(os.open(directory / name, os.O_RDWR | os.O_CREAT, 0o600), on_write=on_write)
        for name in ("000", "000.1")
    ]
    journal = Journal(
        slot="000",
        active=segments[0],
        other=segments[1],
        number=1,
        opener=own_identity(),
        boot=HOST.boot,
    )
    journal.sign()
    return journal


def read_slot(directory: Path, name: str = "000", *, torn: bool = False) -> Ledger:
    """Read what a slot says on disk; it is not damaged, unless a write was torn."""
    readings = [
        read_frames((directory / segment).read_bytes())
        for segment in (name, f"{name}.1")
        if (directory / segment).exists()
    ]
    assert torn or not any(reading.damage for reading in readings)
    return replay(frame for reading in readings for frame in reading.frames)


def open_in(directory: Path, name: str = "000", boot: str = HOST.boot) -> dict[str, Intent]:
    """Return what a slot has open on disk."""
    intents = read_slot(directory, name).intents
    return {name: one for name, one in intents.items() if is_open(one, boot)}
