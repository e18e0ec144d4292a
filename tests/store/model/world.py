"""The world of the model: runtimes, their slots, records, plugins, and what plugins hold.

A state is everything that matters for what may happen next; states are compared and hashed by the
hundred thousand, hence named tuples.

Plugin 0 of a chain has an address and the interface; each later one has rules keyed by *address*:
its DEL removes all rules of the address in prevResult, whoever has it by now.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from attrs import frozen

T = TypeVar("T")

Frame = tuple[Any, ...]
Frames = tuple[Frame, ...]
"""What a slot says, oldest first; :mod:`tests.store.model.journal` has the kinds."""

ATTACHED: Final = "attached"
DEBT: Final = "debt"
FOREIGN: Final = "foreign"


class Record(NamedTuple):
    """A record in its attachment's place.

    Attributes:
        state: ATTACHED, DEBT or FOREIGN (libcni's).
        operation: The ADD that it is of.
        address: The address of its result.
        next: Of a debt: the plugin whose DEL is owed next.
    """

    state: str
    operation: int
    address: int | None
    next: int = 0


BAD: Final = Record("unreadable", -1, None)
"""What stands where a used file was renamed to, and its data was lost."""


class Place(NamedTuple):
    """Where a record may be.

    Attributes:
        now: What is there.
        after_cut: What a power cut may leave there; empty when there are none to come.
    """

    now: Record | None
    after_cut: frozenset[Record | None]


class Slot(NamedTuple):
    """A slot of the journal.

    Attributes:
        owner: The living runtime that writes it; below zero as long as one that was killed has not
            let go of it.
        frames: What it says.
        durable: What of it was synced last; empty when no power cut is to come.
    """

    owner: int | None
    frames: Frames
    durable: Frames


class Operation(NamedTuple):
    """An ADD, by its number; also one of libcni's, or what a delete knows by the caller's word.

    Attributes:
        attachment: What it attaches.
        boot: When.
        is_foreign: Not ours.
        gone_in: The boot in which it was noted as gone.
        has_file: The file that was to be its record is not spare any more.
    """

    attachment: int
    boot: int
    is_foreign: bool = False
    gone_in: int | None = None
    has_file: bool = False


class Plugin(NamedTuple):
    """A process of a plugin, or a daemon that one left.

    Attributes:
        parent: The runtime that waits for it; None for an orphan.
        verb: "add", "del", "gc" or "daemon".
        operation: What it runs for; for "gc" nothing.
        place: Its place in the chain.
        address: What prevResult says.
        has_netns: It gets the namespace.
        valid: For "gc": the attachments that it spares.
    """

    parent: int | None
    verb: str
    operation: int = -1
    place: int = 0
    address: int | None = None
    has_netns: bool = True
    valid: frozenset[int] = frozenset()


Procedure = tuple[Any, ...]
"""The name of a procedure and its arguments."""


class Runtime(NamedTuple):
    """A living runtime.

    Attributes:
        slot: The slot that it writes.
        procedure: What it does; None when it is idle.
        heard: The answers to its requests so far: all that the procedure knows of the world.
    """

    slot: int
    procedure: Procedure | None = None
    heard: tuple[Any, ...] = ()


class Left(NamedTuple):
    """How often each thing may still happen.

    Attributes:
        adds: An ADD is asked for.
        dels: A delete is.
        gcs: A gc is.
        kills: A runtime is killed.
        cuts: Power is lost.
        fails: A plugin fails.
        disk: The disk refuses a write.
        foreign: libcni does something.
        segments: A new segment is begun.
        daemons: A plugin leaves a daemon.
    """

    adds: int = 0
    dels: int = 0
    gcs: int = 0
    kills: int = 0
    cuts: int = 0
    fails: int = 0
    disk: int = 0
    foreign: int = 0
    segments: int = 0
    daemons: int = 0


class State(NamedTuple):
    """The world.

    Attributes:
        boot: The number of this boot.
        slots: The slots.
        places: Where records may be, by attachment.
        leases: The operation that holds each address.
        interfaces: The operation whose interface stands in each namespace.
        rules: What later plugins hold: plugin, address and operation.
        locks: What is locked: the lock and the runtime, or the owner of a dying one's slot.
        plugins: The processes.
        runtimes: The runtimes; None where one is dead.
        told: What was reported attached and not asked to be deleted since.
        operations: The operations by number.
        left: What may still happen.
    """

    boot: int
    slots: tuple[Slot, ...]
    places: tuple[Place, ...]
    leases: tuple[int | None, ...]
    interfaces: tuple[int | None, ...]
    rules: frozenset[tuple[int, int, int]]
    locks: frozenset[tuple[Any, int]]
    plugins: tuple[Plugin, ...]
    runtimes: tuple[Runtime | None, ...]
    told: frozenset[int]
    operations: tuple[Operation, ...]
    left: Left


@frozen(kw_only=True)
class Scenario:
    """What a search begins with.

    Attributes:
        left: What may happen.
        containers: The container of each attachment.
        namespaces: The namespace of each attachment: two may claim one interface.
        addresses: How many there are.
        chain: How long a chain is.
        runtimes: How many runtimes work at once.
        releases: Plugin 0 frees the addresses of a "container", or of one "operation".
        loses_leases: A power cut may lose leases.
        seed: The attachments that were made in the boot before.
        left_open: The attachments whose ADD, or delete, one runtime began that is dead by now.
        left_verb: Which of the two.
        dies_slowly: Who is killed lets go of its locks and of its slot in any order, and everybody
            else may run in between.
    """

    left: Left
    containers: tuple[int, ...]
    namespaces: tuple[int, ...]
    addresses: int
    chain: int
    runtimes: int
    releases: str
    loses_leases: bool
    seed: tuple[int, ...]
    left_open: tuple[int, ...]
    left_verb: str
    dies_slowly: bool

    @property
    def attachments(self) -> range:
        """All of them."""
        return range(len(self.containers))

    @property
    def shares_interfaces(self) -> bool:
        """Two attachments claim one interface."""
        return len(set(self.namespaces)) < len(self.namespaces)


@frozen
class Case:
    """A scenario, and what of the protocol is broken.

    Attributes:
        scenario: The scenario.
        flaws: What is broken.
    """

    scenario: Scenario
    flaws: frozenset[str] = frozenset()

    def has(self, flaw: str) -> bool:
        """Tell whether that is broken."""
        return flaw in self.flaws


class BrokenPromiseError(Exception):
    """Something happened that is promised not to."""


@contextmanager
def saying(remark: str) -> Generator[None]:
    """Say what was done when a promise is broken."""
    try:
        yield
    except BrokenPromiseError as broken:
        raise BrokenPromiseError(f"{remark}\n=> {broken}") from broken


def put(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    """Put an item in another's place."""
    return (*items[:index], item, *items[index + 1 :])


def spent(s: State, what: str) -> State:
    """Let something happen once less."""
    return s._replace(left=s.left._replace(**{what: getattr(s.left, what) - 1}))


def is_here(s: State, operation: int) -> bool:
    """Tell whether an operation is of this boot."""
    return s.operations[operation].boot == s.boot


def marked(s: State, operation: int, **facts: Any) -> State:
    """Change what is so of an operation."""
    changed = s.operations[operation]._replace(**facts)
    return s._replace(operations=put(s.operations, operation, changed))


def is_dying(owner: int | None) -> bool:
    """Tell whether a slot's owner runs no code any more, and has not let go of it."""
    return owner is not None and owner < 0


def owners(s: State) -> set[int]:
    """Return the operations for which plugins hold something."""
    held = {operation for operation in s.leases + s.interfaces if operation is not None}
    return held | {operation for _, _, operation in s.rules}


def siblings(case: Case, s: State, attachment: int) -> list[Plugin]:
    """Return the plugins and daemons of an attachment's container."""
    containers = case.scenario.containers
    return [
        plugin
        for plugin in s.plugins
        if plugin.verb != "gc"
        and containers[s.operations[plugin.operation].attachment] == containers[attachment]
    ]
