"""What a machine and its model both know: which networks there are, and what goes wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from attrs import define, field, frozen


class Place(NamedTuple):
    """An attachment's identity."""

    container: str
    ifname: str


@frozen
class Network:
    """A network.

    Attributes:
        version: Of the specification.
        types: Of its plugins.
    """

    version: str
    types: tuple[str, ...]


NETWORKS: Final[Mapping[str, Network]] = {
    "new": Network("1.1.0", ("first", "second", "third")),
    "middle": Network("1.0.0", ("fourth", "fifth")),
    "old": Network("0.3.1", ("bridge",)),
}
INDEX: Final = {kind: at for one in NETWORKS.values() for at, kind in enumerate(one.types)}
# A DEL of it that is refused is run again at once.
MOODY: Final = "bridge"
ERRORS: Final[Mapping[str, str]] = {
    "fails": "PluginFailed",
    "fails for now": "TryAgain",
    "is killed": "PluginKilled",
    "hangs": "PluginTimeout",
    "prints rubbish": "PluginProtocolError",
}
PASSING: Final = ("fails for now", "is killed")


@frozen
class Trouble:
    """What goes wrong within an operation.

    Attributes:
        verb: In which runs: "ADD", "DEL", "CHECK" or "GC"; of no account where one "is missing".
        index: Of the plugins in that place of their chains.
        how: What goes wrong: one of ``ERRORS``; it "is missing"; its caller "is cancelled"; or its
            runtime "is killed before" or "is killed after" what it does.
        times: In so many of the first runs for an attachment.
    """

    verb: str
    index: int
    how: str
    times: int = 1


@define(eq=False)
class Troubles:
    """What is yet to go wrong within an operation."""

    all: tuple[Trouble, ...] = ()
    _seen: Counter[tuple[Trouble, object]] = field(factory=Counter, init=False)

    def is_missing(self, plugin: str) -> bool:
        return any(one.how == "is missing" and one.index == INDEX[plugin] for one in self.all)

    def take(self, verb: str, plugin: str, whose: object) -> str | None:
        """Return what goes wrong with a run, if anything does."""
        for one in self.all:
            if (one.verb, one.index) == (verb, INDEX[plugin]) and one.how != "is missing":
                self._seen[one, whose] += 1
                if self._seen[one, whose] <= one.times:
                    return one.how
        return None


def is_freed(resource: str, kind: str, valid: Collection[Place]) -> bool:
    """Tell whether a plugin's GC frees a resource."""
    plugin, *place = resource.split("/")
    return plugin == kind and Place(*place) not in valid


def asked(verb: str, plugin: str, valid: Collection[Place]) -> str:
    """Say what a plugin is asked; GC, for whom it is to keep what it holds."""
    names = sorted(f"{place.container}/{place.ifname}" for place in valid)
    return " ".join([verb, plugin, *(["but for", *names] if names else [])])
