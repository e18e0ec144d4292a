"""The first attachments of a network: one at a time, until one has succeeded in this boot.

Plugins make what a network shares when they are first run, a bridge or a chain of rules, and race
each other when they do: of 48 ADDs that eight workers began at once on a fresh host one failed, for
two firewall plugins made one chain.
"""

from __future__ import annotations

from typing import Final

from attrs import Factory, define

from acni.errors import StoreError
from acni.store.state import Store

# What is forgotten is looked up again.
_MOST_KNOWN: Final = 4096


@define(eq=False, repr=False)
class Firsts:
    """To which networks something was attached in this boot, as one runtime knows it."""

    _store: Store
    _known: set[str] = Factory(set[str])

    def is_over(self, network: str) -> bool:
        """Tell whether an ADD to a network has succeeded; no, where that cannot be told."""
        if network in self._known:
            return True
        if not self._store.is_attached_to(network):
            return False
        self._learn(network)
        return True

    def end(self, network: str) -> str | None:
        """Note that one has.

        Returns:
            Why it cannot be noted for other runtimes, or None: their next ADD is made alone.
        """
        if self.is_over(network):
            return None
        self._learn(network)
        try:
            self._store.mark_attached_to(network)
        except StoreError as error:
            return error.message
        return None

    def _learn(self, network: str) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(network)
