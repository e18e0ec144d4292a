"""Failures put together: the same thing said by the same plugin, whichever container it was for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from attrs import evolve, frozen

from acni.errors import AcniError

# What differs from one container to the next: addresses, hashes and IDs, numbers. A word of
# letters from a to f alone ("added") is none of them.
_VARYING: Final = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{6,}\b|\d+(?:\.\d+){3}(?:/\d+)?|\d+")
_MOST_TEXT: Final = 500


@frozen(kw_only=True)
class Failure:
    """How often a plugin, or the runtime, failed in one way.

    Attributes:
        verb: "ADD" or "DEL".
        plugin: The plugin's type; empty where the runtime refused.
        error: The name of the error's class.
        message: What it said; what differs from one container to the next is a "#".
        example: What it said, once, as it was.
        count: How often.
    """

    verb: str
    plugin: str
    error: str
    message: str
    example: str
    count: int = 1

    @property
    def way(self) -> tuple[str, str, str, str]:
        """What is the same of all that are counted here."""
        return self.verb, self.plugin, self.error, self.message


def failure_of(verb: str, error: AcniError) -> Failure:
    """Describe one failure."""
    said = (error.msg or error.message).strip()[:_MOST_TEXT]
    return Failure(
        verb=verb,
        plugin=error.plugin or "",
        error=type(error).__name__,
        message=normalize(said),
        example=said,
    )


def normalize(text: str) -> str:
    """Put a "#" for what differs from one container to the next."""
    return _VARYING.sub("#", text)


def group(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """Count those of one kind together, the most frequent first."""
    grouped: dict[tuple[str, str, str, str], Failure] = {}
    for failure in failures:
        known = grouped.get(failure.way)
        grouped[failure.way] = (
            failure if known is None else evolve(known, count=known.count + failure.count)
        )
    return tuple(sorted(grouped.values(), key=lambda failure: -failure.count))
