"""The state directory of a verb that only looks: neither an event loop nor an engine is loaded."""

from __future__ import annotations

import argparse
import os
from collections.abc import Generator
from contextlib import contextmanager

from acni.store.records import Records


@contextmanager
def open_records(arguments: argparse.Namespace) -> Generator[Records]:
    """Open the state directory for looking; one that does not exist holds nothing."""
    records = Records.look(os.path.abspath(arguments.state_dir))
    try:
        yield records
    finally:
        records.close()
