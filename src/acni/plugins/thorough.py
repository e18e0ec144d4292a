"""What is done as much as possible: what fails keeps nothing behind it from being done.

(specification, section 2, "GC")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from acni.skel.bounds import Bounds
from acni.skel.errors import PluginError


def do_all(steps: Iterable[Callable[[], object]], *, bounds: Bounds | None = None) -> None:
    """Take each of some steps, whatever becomes of the others.

    Args:
        steps: What is done, one after the other.
        bounds: How long it may take; looked at before each.

    Raises:
        PluginError: the first that one raised, once all were taken.
        Stopped: it took too long.
    """
    failures: list[PluginError] = []
    for step in steps:
        if bounds is not None:
            bounds.check()
        try:
            step()
        except PluginError as error:
            failures.append(error)
    if failures:
        raise failures[0]
