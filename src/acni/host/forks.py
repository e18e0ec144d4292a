"""What a forked child of the host program must not keep.

A child has copies of our descriptors, and with them the locks of our state directory: it would keep
a dead runtime's slot locked for as long as it lives. The one handler of this package that a module
registers, since nobody but the interpreter knows of a fork.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Protocol
from weakref import WeakSet


class Inherited(Protocol):
    """Something that a forked child gives up."""

    def give_up(self) -> None:
        """Close what a child got of it; its other owner has it still."""
        ...


_OPEN: Final[WeakSet[Inherited]] = WeakSet()


@contextmanager
def given_up_in_children(what: Inherited) -> Generator[None]:
    """Let children that are forked meanwhile give something up."""
    _OPEN.add(what)
    try:
        yield
    finally:
        _OPEN.discard(what)


def _give_up_all() -> None:
    for what in tuple(_OPEN):
        with contextlib.suppress(OSError):
            what.give_up()
    _OPEN.clear()


os.register_at_fork(after_in_child=_give_up_all)
