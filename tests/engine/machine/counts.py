"""What a machine has to do of each kind, so that it proves something."""

from __future__ import annotations

from collections import Counter
from typing import Final

# In ten thousand operations.
LEAST: Final = {
    **dict.fromkeys(("add", "check", "delete", "gc", "recover"), 100),
    **dict.fromkeys(("kill", "jump of the clock", "gc, dry run"), 50),
    **dict.fromkeys(("leave and open",), 20),
    **dict.fromkeys(("settle", "forget"), 10),
}
# And how often something has to end like that.
LEAST_ENDED: Final = {
    **dict.fromkeys(("Killed", "AttachmentExists", "AttachmentNotFound"), 50),
    **dict.fromkeys(("CleanupIncomplete", "PluginNotFound", "NetnsInUse", "Cancelled"), 20),
    **dict.fromkeys(("PluginTimeout", "PluginKilled"), 6),
    **dict.fromkeys(("PluginProtocolError", "VersionUnsupported"), 4),
    **dict.fromkeys(("PluginFailed", "TryAgain"), 1),
}


def sum_of_kinds(counts: Counter[str]) -> int:
    """Return how many operations there were, however they ended."""
    return sum(times for kind, times in counts.items() if ":" not in kind)


def what_is_rare(counts: Counter[str], operations: int) -> dict[str, int]:
    """Return what was done too seldom for so many operations, and how often."""
    ended = Counter[str]()
    for kind, times in counts.items():
        ended[kind.partition(": ")[2]] += times
    least = {kind: times * operations / 10_000 for kind, times in LEAST.items()}
    least_ended = {error: times * operations / 10_000 for error, times in LEAST_ENDED.items()}
    return {
        **{kind: counts[kind] for kind, times in least.items() if counts[kind] < times},
        **{error: ended[error] for error, times in least_ended.items() if ended[error] < times},
    }
