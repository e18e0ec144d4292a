"""The namespaces that containers are measured in: given ones, or some made before, timed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final, TypeVar

from attrs import Factory, define, field

from acni.bench.percentiles import summarize
from acni.bench.report import Phase
from acni.host import netns

T = TypeVar("T")

_LANE: Final = "namespace"


@define(eq=False)
class Pool:
    """Namespaces that are free, the one that has been so for longest first.

    Attributes:
        paths: Their paths, all of them.
    """

    paths: tuple[str, ...]
    _free: deque[str] = field(
        default=Factory(lambda self: deque(self.paths), takes_self=True), init=False
    )

    @property
    def free(self) -> int:
        """How many are free."""
        return len(self._free)

    def take(self) -> str:
        """Take a namespace; there is one for each of those at work."""
        return self._free.popleft()

    def give_back(self, path: str) -> None:
        """Give a namespace back, as it was."""
        self._free.append(path)


@contextmanager
def made_pool(count: int, phases: list[Phase]) -> Generator[Pool]:
    """Make so many namespaces, their loopback up, and delete them at the end of the block.

    Blocks: nothing else goes on then, so that they are timed alone.

    Args:
        count: How many.
        phases: What making, setting up and deleting them took is appended to it, the last of it
            at the end of the block.
    """
    made: list[float] = []
    up: list[float] = []
    deleted: list[float] = []
    with ExitStack() as stack:
        paths: list[str] = []
        for number in range(count):
            name = f"acni-bench-{number}"
            paths.append(_timed(made, partial(_create, name)))
            stack.callback(_timed, deleted, partial(netns.delete, name))
            with netns.open(paths[-1]) as namespace:
                _timed(up, partial(netns.set_up, namespace, "lo"))
        try:
            yield Pool(tuple(paths))
        finally:
            stack.close()
            phases += _phases([("make", made), ("loopback up", up), ("delete", deleted)])


def _create(name: str) -> str:
    namespace = netns.create(name)
    namespace.close()  # its name holds it
    return namespace.path


def _timed(seconds: list[float], call: Callable[[], T]) -> T:
    begun = time.monotonic()
    returned = call()
    seconds.append(time.monotonic() - begun)
    return returned


def _phases(timed: Iterable[tuple[str, list[float]]]) -> list[Phase]:
    timed = [(name, seconds) for name, seconds in timed if seconds]
    whole = sum(sum(seconds) for _, seconds in timed)
    return [
        Phase(lane=_LANE, phase=name, seconds=summarize(seconds), share=sum(seconds) / whole)
        for name, seconds in timed
    ]
