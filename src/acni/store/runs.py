"""Which `acni run` lives: each holds a byte of a file beside the state, from before its ADD until
after its DEL, and shares one with the others on its network.

A byte goes with its process, however that ends (see :mod:`acni.host.locks`): what a run without one
has on record is nobody's.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from attrs import define

from acni.host.locks import byte_of, is_held, try_lock
from acni.store.directory import store_failure

_PREFIX: Final = "acni-run-"
_NAME: Final = re.compile(re.escape(_PREFIX) + "[0-9a-f]{16}")


@define(eq=False, repr=False)
class Runs:
    """The runs on a state directory, and this one."""

    _fd: int
    _place: str

    def begin(self) -> str:
        """Take a container ID that is this run's as long as it lives.

        Raises:
            StoreError: the file cannot be locked.
        """
        container_id = _PREFIX + secrets.token_hex(8)
        self._lock(byte_of("container", container_id))
        return container_id

    def is_left(self, container_id: str) -> bool:
        """Tell whether a container is that of a run which has ended without undoing it."""
        if not _NAME.fullmatch(container_id):
            return False
        return not is_held(self._fd, byte_of("container", container_id))

    def join(self, network: str) -> bool:
        """Share a network with others until the end; not while somebody takes it down.

        Raises:
            StoreError: the file cannot be locked.
        """
        return self._lock(byte_of("network", network), shared=True)

    def is_last(self, network: str) -> bool:
        """Tell whether nobody shares the network any more; nobody can, then, until this run ends.

        Raises:
            StoreError: the file cannot be locked.
        """
        return self._lock(byte_of("network", network))

    def _lock(self, byte: int, *, shared: bool = False) -> bool:
        try:
            return try_lock(self._fd, byte, shared=shared)
        except OSError as error:
            raise store_failure(self._place, "cannot be locked", error) from error


@contextmanager
def open_runs(state_dir: str) -> Generator[Runs]:
    """Open the runs on a state directory that a runtime has open.

    Raises:
        StoreError: the file cannot be made or opened.
    """
    place = f"{state_dir}/acni/runs"
    try:
        fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise store_failure(place, "cannot be opened", error) from error
    try:
        yield Runs(fd, place)
    finally:
        os.close(fd)
