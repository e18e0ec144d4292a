"""Processes that hold a lock of a state directory, or wait for one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PROGRAM: Final = """
import sys
import anyio
from acni.store.gate import Gate
from acni.store.locks import open_locks

async def main(state_dir, lock):
    with open_locks(state_dir) as locks:
        until = float("inf")
        locks.gate.closed_seconds = 600
        held = {
            "container": lambda: locks.container("c1", until=until),
            "collection": lambda: locks.gate.exclusive(until=until),
            "operation": lambda: locks.gate.shared(until=until),
        }[lock]()
        print("asks", flush=True)
        async with held:
            print("holds", flush=True)
            await anyio.sleep_forever()

anyio.run(main, *sys.argv[1:])
"""

Process = subprocess.Popen[bytes]


@contextmanager
def lock_process(state_dir: Path, lock: str, *, waits: bool = False) -> Iterator[Process]:
    """A process that holds a lock, or is about to wait for it; killed in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, state_dir, lock], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"asks\n"
            assert waits or process.stdout.readline() == b"holds\n"
            yield process
        finally:
            process.kill()
