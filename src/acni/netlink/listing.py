"""What lists of addresses, neighbours and routes have in common: they are asked for by link."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class OnLink(Protocol):
    """What is on a link."""

    @property
    def index(self) -> int | None:
        """The link's."""
        ...


Described = TypeVar("Described", bound=OnLink)


def on_link(described: Iterable[Described | None], index: int | None) -> tuple[Described, ...]:
    """Leave out what is on other links, for a kernel that cannot filter lists all (of addresses and
    routes, one before Linux 4.20), and what is none of either family.

    Args:
        described: What was listed; None for what is of neither family.
        index: The link's; None, all links are meant.
    """
    return tuple(one for one in described if one is not None and index in (None, one.index))
