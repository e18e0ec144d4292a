"""What plugins answered to VERSION, kept for as long as their executables stay the same."""

from __future__ import annotations

import anyio
from attrs import Factory, define

from acni.spec.plugin import Plugin


@define(eq=False, repr=False)
class VersionAnswers:
    """The answers that a runtime knows: one for each path, and for each type that has none, so that
    it is bounded by what there is on disk.
    """

    _known: dict[str, tuple[Plugin, tuple[str, ...]]] = Factory(
        dict[str, tuple[Plugin, tuple[str, ...]]]
    )
    _turns: dict[str, anyio.Lock] = Factory(dict[str, anyio.Lock])

    def of(self, plugin: Plugin) -> tuple[str, ...] | None:
        """Return what exactly this executable answered, empty where it gave none; or None."""
        answered, listed = self._known.get(_place(plugin), (None, None))
        return listed if answered == plugin else None

    def learn(self, plugin: Plugin, listed: tuple[str, ...]) -> None:
        """Take in an answer; that of an executable which was replaced is forgotten."""
        self._known[_place(plugin)] = (plugin, listed)

    def turn(self, plugin: Plugin) -> anyio.Lock:
        """Return the lock under which it is asked: of a hundred ADDs that begin at once one asks,
        and the others read its answer.
        """
        return self._turns.setdefault(_place(plugin), anyio.Lock())


def _place(plugin: Plugin) -> str:
    return plugin.path or plugin.type
