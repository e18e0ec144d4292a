"""What a runtime does, said once more and in short: no files, no locks, no waiting, one thing after
the other. Knows nothing of acni.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator

from attrs import Factory, define, field, frozen

from tests.engine.machine.troubles import (
    ERRORS,
    MOODY,
    NETWORKS,
    PASSING,
    Place,
    Troubles,
    asked,
    is_freed,
)


class Failed(Exception):
    """An operation failed: the error's name, how, and the plugin that is owed."""

    def __init__(self, error: str, how: str = "", owed: str | None = None) -> None:
        super().__init__(error)
        self.error, self.how, self.owed = error, how, owed


class Cancelled(Exception):
    """The operation's caller was cancelled."""


class Killed(Exception):
    """The runtime was killed."""


@frozen(kw_only=True)
class Owed:
    """What a debt says: with whose DEL it goes on, why, since what, and how often it was tried."""

    next: int
    cause: str
    origin: str
    attempts: int


@define(eq=False)
class Entry:
    """What there is of an attachment.

    Attributes:
        network: On which network.
        box: In which namespace, if one is known.
        order: When it was attached.
        is_recorded: It has a record.
        owed: What that says is owed.
        verb: "add" or "delete", where a dead runtime left it open.
        next: The plugin whose DEL is next.
    """

    network: str
    box: int | None
    order: int
    is_recorded: bool = False
    owed: Owed | None = None
    verb: str | None = None
    next: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.next = len(self.types) - 1

    @property
    def types(self) -> tuple[str, ...]:
        return NETWORKS[self.network].types

    @property
    def is_attached(self) -> bool:
        return self.is_recorded and self.owed is None and self.verb is None


@frozen(kw_only=True)
class Report:
    """What a gc or a recovery says: whom it deleted, whom it kept, which errors there were."""

    deleted: frozenset[Place]
    kept: frozenset[Place] = frozenset()
    failures: tuple[str, ...] = ()


@define(eq=False)
class Model:
    """A runtime.

    Attributes:
        entries: What there is.
        held: What plugins hold.
        asked: What plugins were asked by the last operation, for each attachment and network.
        troubles: What goes wrong within it.
    """

    entries: dict[Place, Entry] = Factory(dict[Place, Entry])
    held: set[str] = Factory(set[str])
    asked: defaultdict[object, list[str]] = Factory(lambda: defaultdict(list))
    troubles: Troubles = Factory(Troubles)
    _order: int = 0

    # --- the verbs

    def add(self, place: Place, network: str, box: int) -> None:
        types = NETWORKS[network].types
        if any(map(self.troubles.is_missing, types)):
            raise Failed("PluginNotFound")
        self._settle(place.container)
        if (there := self.entries.get(place)) is not None:
            if there.owed is None:
                raise Failed("AttachmentExists")
            self._take_down(place, "add")
        if self.is_taken(place, box):
            raise Failed("NetnsInUse")
        entry = self.entries[place] = Entry(network, box, self._now(), verb="add")
        try:
            for kind in types:
                self._run("ADD", kind, place)
        except Failed as error:
            raise Failed(error.error, owed=self._undo(place)) from error
        except Cancelled:
            self._undo(place)
            raise
        entry.is_recorded, entry.verb, entry.order = True, None, self._now()

    def delete(self, place: Place, network: str | None, box: int | None, *, by_word: bool) -> None:
        """Delete; with ``by_word`` a configuration is given, not only a network's name."""
        settled = self._settle(place.container)
        entry = self.entries.get(place)
        if entry is None and network is not None and by_word:
            self.entries[place] = Entry(network, box, self._now(), verb="delete")
            self._take_down(place, "caller")
        elif entry is None or network not in (None, entry.network):
            if place not in settled:
                raise Failed("AttachmentNotFound")
        else:
            self._take_down(place, "delete")

    def check(self, place: Place, network: str | None) -> None:
        self._settle(place.container)
        entry = self.entries.get(place)
        if entry is None or network not in (None, entry.network):
            raise Failed("AttachmentNotFound")
        if entry.network == "old":
            raise Failed("VersionUnsupported")
        if entry.owed is not None:
            raise Failed("AttachmentNotFound")
        for kind in entry.types:
            self._run("CHECK", kind, place)

    def gc(self, network: str, keep: Collection[Place]) -> Report:
        deleted: set[Place] = set()
        failures: list[str] = []
        stuck: set[str] = set()
        for container in sorted({place.container for place in self.open_of(network)}):
            try:
                deleted |= self._settle(container)
            except Failed as error:
                failures.append(error.error)
                stuck.add(container)
        there = self._recorded(network)
        kept = frozenset(p for p in there if p in keep and self.entries[p].is_attached)
        for place in sorted(there - kept, key=lambda p: (p.container, -self.entries[p].order)):
            if place.container in stuck:
                continue
            stuck.add(place.container)
            try:
                self._settle(place.container)
                stuck.discard(place.container)
                self._take_down(place, "delete")
                deleted.add(place)
            except Failed as error:
                failures.append(error.error)
        valid = {*keep, *(p for p, entry in self.entries.items() if entry.network == network)}
        if NETWORKS[network].version == "1.1.0":
            failures += self._collect(network, valid)
        return Report(deleted=frozenset(deleted), kept=kept, failures=tuple(sorted(failures)))

    def gc_dry_run(self, network: str, keep: Collection[Place]) -> Report:
        there, left = self._recorded(network), self.open_of(network)
        kept = frozenset(p for p in there if p in keep and self.entries[p].is_attached)
        return Report(deleted=(there - kept) | left, kept=kept)

    def recover(self) -> Report:
        left = [*self.open_of(None), *(p for p, entry in self.entries.items() if entry.owed)]
        settled: set[Place] = set()
        failures: list[str] = []
        for place in dict.fromkeys(left):
            try:
                self.settle(place)
                settled.add(place)
            except Failed as error:
                failures.append(error.error)
        return Report(deleted=frozenset(settled), failures=tuple(sorted(failures)))

    def settle(self, place: Place) -> None:
        self._settle(place.container)
        if place in self.entries and self.entries[place].owed:
            self._take_down(place, "delete")

    def forget(self, place: Place) -> None:
        del self.entries[place]

    # --- what they have in common

    def open_of(self, network: str | None) -> frozenset[Place]:
        """Return what dead runtimes left open of a network, or of all."""
        return frozenset(self._open(network))

    def is_taken(self, place: Place, box: int) -> bool:
        """Tell whether another container has that interface in a namespace."""
        return any(
            other.container != place.container and (other.ifname, entry.box) == (place.ifname, box)
            for other, entry in self.entries.items()
        )

    def debts(self) -> dict[Place, str]:
        """Return what is owed, and the plugin it begins with."""
        owed = {p: entry for p, entry in self.entries.items() if entry.owed or entry.verb}
        return {p: one.types[one.owed.next if one.owed else one.next] for p, one in owed.items()}

    def _open(self, network: str | None) -> Iterator[Place]:
        for place, entry in self.entries.items():
            if entry.verb and network in (None, entry.network):
                yield place

    def _recorded(self, network: str) -> frozenset[Place]:
        return frozenset(
            p for p, one in self.entries.items() if one.is_recorded and one.network == network
        )

    def _now(self) -> int:
        self._order += 1
        return self._order

    def _settle(self, container: str) -> frozenset[Place]:
        left = [p for p in self.open_of(None) if p.container == container]
        for place in left:
            self._take_down(place, self.entries[place].verb or "")
        return frozenset(left)

    def _undo(self, place: Place) -> str | None:
        """Undo an ADD; return the plugin that is owed."""
        shielded, self.troubles = self.troubles, _Shielded(self.troubles)
        try:
            self._take_down(place, "add")
        except Failed as error:
            return error.owed
        finally:
            self.troubles = shielded
        return None

    def _take_down(self, place: Place, origin: str) -> None:
        entry = self.entries[place]
        for index in range(entry.next, -1, -1):
            entry.next, kind = index, entry.types[index]
            try:
                self._delete(kind, place)
            except Killed:
                entry.verb = entry.verb or "delete"
                raise
            except (Failed, Cancelled) as error:
                cause = error.error if isinstance(error, Failed) else "Cancelled"
                was = entry.owed or Owed(next=0, cause="", origin=origin, attempts=0)
                entry.owed = Owed(
                    next=entry.next, cause=cause, origin=was.origin, attempts=was.attempts + 1
                )
                entry.is_recorded, entry.verb = True, None
                if isinstance(error, Failed):
                    raise Failed("CleanupIncomplete", owed=kind) from error
                raise
        del self.entries[place]

    def _delete(self, kind: str, place: Place) -> None:
        try:
            self._run("DEL", kind, place)
        except Failed as error:
            if error.how not in PASSING and (kind, error.how) != (MOODY, "fails"):
                raise
            self._run("DEL", kind, place)

    def _collect(self, network: str, valid: Collection[Place]) -> Iterator[str]:
        for kind in NETWORKS[network].types:
            try:
                self._run("GC", kind, network, valid)
            except Failed as error:
                yield error.error
            else:
                self.held -= {one for one in self.held if is_freed(one, kind, valid)}

    def _run(self, verb: str, kind: str, whose: Place | str, valid: Collection[Place] = ()) -> None:
        if self.troubles.is_missing(kind):
            raise Failed("PluginNotFound")
        self.asked[whose].append(asked(verb, kind, valid))
        how = self.troubles.take(verb, kind, whose)
        if how == "prints rubbish" and verb != "ADD":
            how = None  # nobody reads it
        if how == "is killed before":
            raise Killed
        if how == "is cancelled":
            raise Cancelled
        if how in (None, "prints rubbish", "is killed after") and isinstance(whose, Place):
            resource = f"{kind}/{whose.container}/{whose.ifname}"
            self.held |= {resource} if verb == "ADD" else set()
            self.held -= {resource} if verb == "DEL" else set()
        if how == "is killed after":
            raise Killed
        if how is not None:
            is_refused = verb == "CHECK" and how == "fails"
            raise Failed("CheckFailed" if is_refused else ERRORS[how], how)


class _Shielded(Troubles):
    """What goes wrong where a cancellation does not reach."""

    def __init__(self, troubles: Troubles) -> None:
        super().__init__(troubles.all)
        self._troubles = troubles

    def take(self, verb: str, plugin: str, whose: object) -> str | None:
        how = self._troubles.take(verb, plugin, whose)
        return None if how == "is cancelled" else how
