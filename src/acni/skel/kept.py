"""What calls leave for those that come after them: what is dear to make or to unmake, as sockets of
which the kernel makes everybody wait for the closing.

Rule 1: one is lent to one call at a time, and taken back whatever comes of it; what is shared is
    several calls' at once.
Rule 2: a forked child has no socket of its parent's: both would hear what the kernel tells one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar, cast

from attrs import define, field


class Closing(Protocol):
    """Something that is closed at last."""

    def close(self) -> None:
        """Close it."""
        ...


Lent = TypeVar("Lent", bound=Closing)
Shared = TypeVar("Shared")
Parsed = TypeVar("Parsed")

# A network has a few for each of its plugins, and each of its containers one for a moment.
_MOST_PARSED: Final = 64


@define(eq=False)
class Kept:
    """What is kept, by what it is; used by any thread. What of it is idle is closed with the
    runner, or at the end of its block.

    Example:
        >>> import socket
        >>> with skel.Kept() as kept:
        ...     with kept.lent("a socket", socket.socket) as first:
        ...         pass
        ...     with kept.lent("a socket", socket.socket) as second:
        ...         print(second is first)
        True
        >>> first.fileno()
        -1
    """

    # By process and key. Appending to a list, and taking from it, is one step to other threads.
    _idle: dict[tuple[int, Hashable], list[Closing]] = field(
        factory=dict[tuple[int, Hashable], "list[Closing]"], init=False
    )
    _shared: dict[tuple[int, Hashable], object] = field(
        factory=dict[tuple[int, Hashable], object], init=False
    )
    # Not shown: it has the text of configurations, and these may have secrets.
    _parsed: dict[Hashable, object] = field(factory=dict[Hashable, object], init=False, repr=False)
    _is_closed: bool = field(default=False, init=False)

    @contextmanager
    def lent(self, key: Hashable, make: Callable[[], Lent]) -> Generator[Lent]:
        """Lend one for the length of the block, made where none is idle.

        Args:
            key: What it is; all of a key are of one type, and as good as each other.
            make: Makes one.

        Example:
            >>> import socket
            >>> kept = skel.Kept()
            >>> with kept.lent("a socket", socket.socket) as first:
            ...     with kept.lent("a socket", socket.socket) as second:
            ...         print(second is first)
            False
            >>> kept.close()
        """
        idle = self._idle.setdefault((os.getpid(), key), [])
        try:
            one = cast("Lent", idle.pop())
        except IndexError:
            one = make()
        try:
            yield one
        finally:
            if self._is_closed:
                one.close()
            else:
                idle.append(one)

    def shared(self, key: Hashable, make: Callable[[], Shared]) -> Shared:
        """Return what all calls of a key have in common, made where there is none: several threads
        may use it at once, so it takes care of that itself.

        Args:
            key: What it is; all of a key are of one type.
            make: Makes one.

        Example:
            >>> kept = skel.Kept()
            >>> kept.shared("seen", set) is kept.shared("seen", set)
            True
        """
        return cast("Shared", self._shared.setdefault((os.getpid(), key), make()))

    def parsed(self, key: Hashable, parse: Callable[[], Parsed]) -> Parsed:
        """Return what was parsed of the same text before; what raises is not remembered.

        Args:
            key: What is parsed, and how; all of a key are the same, and nobody changes them.
            parse: Parses it.

        Example:
            >>> kept = skel.Kept()
            >>> kept.parsed("a text", list) is kept.parsed("a text", list)
            True
        """
        found = self._parsed.get(key)
        if found is None:
            found = parse()
            if len(self._parsed) >= _MOST_PARSED:
                self._parsed.clear()
            self._parsed[key] = found
        return cast("Parsed", found)

    def close(self) -> None:
        """Close what is idle; what is lent is closed when it comes back.

        Example:
            >>> import socket
            >>> kept = skel.Kept()
            >>> with kept.lent("a socket", socket.socket) as lent:
            ...     kept.close()
            >>> lent.fileno()
            -1
        """
        self._is_closed = True
        self._shared.clear()
        self._parsed.clear()
        for (process, _), idle in list(self._idle.items()):
            while idle:
                one = idle.pop()
                if process == os.getpid():
                    one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
