"""A runtime and the model of it do the same, whatever comes: ``python -m
tests.engine.machine.machine asyncio 10000``, with ``clock.c`` preloaded.

A machine of hypothesis, and not a program that is drawn whole: each example leaves some rules out
and so repeats others, a failure shrinks by whole rules, and what is left is printed as a program.
Its loop runs in a thread. A runtime is killed while its plugins stand still: the next one is opened
on a copy of the state directory, and of the old one nothing reaches a plugin any more.
"""

from __future__ import annotations

import base64
import ctypes
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import Factory, define, field, frozen
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

import acni
from acni import netns
from tests.engine.machine.counts import what_is_rare
from tests.engine.machine.model import Cancelled, Entry, Failed, Killed, Model, Report
from tests.engine.machine.plugins import Plugins
from tests.engine.machine.troubles import NETWORKS, Place, Trouble, Troubles

STEPS: Final = 30
YEAR: Final = 365 * 24 * 3600
JUMPS: Final = (-20, -10, 0, 10, 20)
# To open a runtime takes as long as ten operations.
MEANWHILE: Final = ("jump", "jump", "jump", "jump", "leave and open", "kill")
# In memory, where there is such a place: it is files that are made, copied and removed.
DIRECTORY: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None
# Nothing of a machine takes a second, but a loaded machine may take its time.
_PATIENCE: Final = 60.0

PLACES: Final = (Place("c1", "eth0"), Place("c1", "eth1"), Place("c2", "eth0"), Place("c3", "eth0"))
BOXES: Final = 3


def _network(name: str) -> acni.NetworkConfig:
    plugins = [{"type": kind} for kind in NETWORKS[name].types]
    document = {"cniVersion": NETWORKS[name].version, "name": name, "plugins": plugins}
    return acni.parse_network(json.dumps(document).encode())


CONFIGURED: Final = {name: _network(name) for name in NETWORKS}


@frozen
class Ended:
    """How an operation ended.

    Attributes:
        error: The name of the error, "Cancelled", "Killed", or None.
        owed: The plugin that it says is owed.
        report: What it returned.
        said: The error's text, which no model knows.
    """

    error: str | None = None
    owed: str | None = None
    report: Report | None = None
    said: str = field(default="", eq=False)


Verb = Callable[[acni.Runtime], Awaitable[object]]
Modelled = Callable[[Model], Report | None]


@frozen
class Operation:
    """An operation, on a runtime and on the model.

    Attributes:
        kind: Its name.
        container: Whose it is, or nobody's.
        modelled: It on the model.
        verb: It on a runtime.
    """

    kind: str
    container: str
    modelled: Modelled
    verb: Verb


def ended_of_model(model: Model, operation: Operation) -> Ended:
    """Have the model do it."""
    try:
        return Ended(report=operation.modelled(model))
    except Failed as error:
        return Ended(error.error, error.owed)
    except (Cancelled, Killed) as error:
        return Ended(type(error).__name__)


def report_of(returned: object) -> Report | None:
    """Take in what a runtime returned."""
    match returned:
        case acni.GCReport():
            return Report(
                deleted=frozenset(map(_place, returned.deleted)),
                kept=frozenset(map(_place, returned.kept)),
                failures=_names(returned.failures),
            )
        case acni.RecoveryReport():
            return Report(
                deleted=frozenset(map(_place, returned.settled)), failures=_names(returned.failures)
            )
        case _:
            return None


def _place(one: acni.AttachmentId) -> Place:
    return Place(one.container_id, one.ifname)


def _names(errors: Sequence[BaseException]) -> tuple[str, ...]:
    return tuple(sorted(type(error).__name__ for error in errors))


@define(eq=False)
class World:
    """What a machine's loop does.

    Attributes:
        runtime: The runtime.
        plugins: Its plugins.
        ended: How many operations of the step have ended.
    """

    runtime: acni.Runtime
    plugins: Plugins
    ended: int = 0

    async def do(self, operation: Operation) -> Ended:
        """Have the runtime do it."""
        with anyio.CancelScope() as scope:
            self.plugins.scopes[operation.container] = scope
            try:
                return Ended(report=report_of(await operation.verb(self.runtime)))
            except acni.AcniError as error:
                owed = error.debt.plugin if error.debt else None
                return Ended(type(error).__name__, owed, said=str(error))
            finally:
                self.ended += 1
                self.plugins.ready.set()
        return Ended("Cancelled")

    async def wait_until_still(self, count: int) -> None:
        """Wait until so many operations have ended, or their plugins stand still."""
        with anyio.fail_after(_PATIENCE):
            while self.ended + self.plugins.standing < count:
                await self.plugins.ready.wait()
                self.plugins.ready = anyio.Event()

    async def kill(self) -> None:
        """Let no plugin notice anything of this runtime any more."""
        self.plugins.killed.set()

    async def look(self) -> tuple[dict[Place, str], dict[Place, str]]:
        """Return the states of all attachments, and what is owed of them."""
        listed = await self.runtime.attachments()
        owed = await self.runtime.debts()
        return (
            {Place(one.container_id, one.ifname): one.state for one in listed},
            {Place(one.container_id, one.ifname): one.plugin for one in owed},
        )


@define(eq=False)
class Ground:
    """Where machines work, one after the other.

    Attributes:
        loop: "asyncio" or "trio".
        boxes: The paths of namespaces.
        directory: For state directories.
        counts: What was done, by kind, and how it ended.
    """

    loop: str
    boxes: Sequence[str]
    directory: Path
    counts: Counter[str] = Factory(Counter[str])
    operations: int = 0
    _numbers: count[int] = Factory(count)

    def state_dir(self) -> Path:
        """Name a state directory that does not exist."""
        return self.directory / f"state-{next(self._numbers)}"


def troubles(*verbs: str) -> st.SearchStrategy[tuple[Trouble, ...]]:
    """Draw what goes wrong: nothing, mostly."""
    one = st.builds(
        Trouble,
        st.sampled_from(verbs),
        st.integers(0, 2),
        st.sampled_from(HOWS),
        st.sampled_from((1, 2, 9)),
    )
    return st.lists(one, max_size=2).map(tuple)


HOWS: Final = (
    *("fails", "fails for now", "is killed", "hangs", "is missing"),
    *("prints rubbish", "is cancelled", "is killed before", "is killed after"),
)
places = st.sampled_from(PLACES)
networks = st.sampled_from(tuple(NETWORKS))
boxes = st.integers(0, BOXES - 1)
keeps = st.frozensets(places)


class Machine(RuleBasedStateMachine):
    """A runtime beside the model."""

    def __init__(self, ground: Ground, clock: ctypes.c_long) -> None:
        super().__init__()
        self.ground, self.clock = ground, clock
        self.model = Model()
        self.stack = ExitStack()
        self.portal: BlockingPortal = self.stack.enter_context(
            start_blocking_portal(backend=ground.loop)
        )
        self.opened: AbstractContextManager[acni.Runtime] | None = None

    # --- what is done

    @initialize()
    def begin(self) -> None:
        self.state_dir = self.ground.state_dir()
        self.held: set[str] = set()
        self._open()

    @rule(place=places, network=networks, what=troubles("ADD", "DEL"))
    def add(self, place: Place, network: str, what: tuple[Trouble, ...]) -> None:
        self._do([self._add(place, network, _own_box(place))], what)

    @rule(place=places, network=networks, box=boxes, what=troubles("ADD", "DEL"))
    def add_anywhere(self, place: Place, network: str, box: int, what: tuple[Trouble, ...]) -> None:
        self._do([self._add(place, network, box)], what)

    @rule(
        place=places,
        network=st.none() | st.none() | networks,
        box=st.none() | boxes,
        by_word=st.booleans(),
        what=troubles("DEL"),
    )
    def delete(
        self,
        place: Place,
        network: str | None,
        box: int | None,
        by_word: bool,
        what: tuple[Trouble, ...],
    ) -> None:
        who = acni.AttachmentId(*place) if box is None else self._attachment(place, box)
        given = CONFIGURED[network] if network and by_word else network
        self._do(
            [
                Operation(
                    "delete",
                    place.container,
                    lambda model: model.delete(place, network, box, by_word=by_word),
                    lambda runtime: runtime.delete(who, network=given),
                )
            ],
            what,
        )

    @rule(place=places, network=st.none() | networks, what=troubles("CHECK", "DEL"))
    def check(self, place: Place, network: str | None, what: tuple[Trouble, ...]) -> None:
        self._do([self._check(place, network)], what)

    @rule(
        containers=st.lists(st.sampled_from(("c1", "c2", "c3")), min_size=2, unique=True),
        network=networks,
        adds=st.booleans(),
        what=troubles("ADD", "DEL"),
    )
    def together(
        self,
        containers: list[str],
        network: str,
        adds: bool,
        what: tuple[Trouble, ...],
    ) -> None:
        """Several containers at once, which have nothing to do with each other."""
        those = [Place(container, "eth0") for container in containers]
        self._do([self._apart(place, network, adds=adds) for place in those], what)

    @rule(
        network=st.sampled_from(("new", "new", "middle", "old")),
        keep=keeps,
        is_rehearsal=st.sampled_from((False, False, True)),
        what=troubles("DEL", "DEL", "GC"),
    )
    def gc(
        self,
        network: str,
        keep: frozenset[Place],
        is_rehearsal: bool,
        what: tuple[Trouble, ...],
    ) -> None:
        collecting = Operation(
            "gc, dry run" if is_rehearsal else "gc",
            "",
            lambda model: (model.gc_dry_run if is_rehearsal else model.gc)(network, keep),
            lambda runtime: runtime.gc(CONFIGURED[network], keep=_ids(keep), dry_run=is_rehearsal),
        )
        self._do([collecting], self._one_at_a_time(what))

    @rule(
        how=st.sampled_from(("settle", "forget", "settle", "forget", "recover")),
        which=st.data(),
        what=troubles("DEL"),
    )
    def end_debts(self, how: str, which: st.DataObject, what: tuple[Trouble, ...]) -> None:
        """Recovers where nothing is owed, whatever was drawn: mostly nothing is."""
        owed = sorted(self.model.debts())
        if how == "recover" or not owed:
            recovery = Operation("recover", "", Model.recover, lambda runtime: runtime.recover())
            self._do([recovery], self._one_at_a_time(what))
            return
        place = which.draw(st.sampled_from(owed))
        debts = self.portal.call(self.world.runtime.debts)
        (debt,) = (one for one in debts if (one.container_id, one.ifname) == place)
        ending = Operation(
            how,
            place.container,
            lambda model: (model.settle if how == "settle" else model.forget)(place),
            lambda runtime: (
                runtime.settle(debt) if how == "settle" else runtime.forget(debt, reason="by hand")
            ),
        )
        self._do([ending], what)

    @rule(what=st.sampled_from(MEANWHILE), years=st.sampled_from(JUMPS))
    def meanwhile(self, what: str, years: int) -> None:
        """What happens to a runtime, or to the wall clock: it goes ten years forward, or back."""
        match what:
            case "leave and open":
                self._count(what)
                self._leave()
                self._open()
            case "kill":
                self._kill()
            case _:
                self._count("jump of the clock")
                self.clock.value = years * YEAR

    # --- what must be so

    @invariant()
    def same_as_the_model(self) -> None:
        if self.opened is None:
            return
        states, debts = self.portal.call(self.world.look)
        entries = self.model.entries
        is_so = {p: "attached" if one.is_attached else "owed" for p, one in entries.items()}
        records = dict(_recorded(p, one) for p, one in entries.items() if one.is_recorded)
        _require_same("attachments", states, is_so)
        _require_same("debts", debts, self.model.debts())
        _require_same("records", self._records(), records)
        _require_same("held", self.held, self.model.held)
        for room in ("quarantine", "debts"):
            _require_same(room, list((self.state_dir / "acni" / room).iterdir()), [])

    def teardown(self) -> None:
        self.clock.value = 0
        if self.opened is not None:
            self._leave(kills=True)
        self.stack.close()
        shutil.rmtree(self.state_dir, ignore_errors=True)

    # --- how

    def _add(self, place: Place, network: str, box: int) -> Operation:
        attachment = self._attachment(place, box)
        return Operation(
            "add",
            place.container,
            lambda model: model.add(place, network, box),
            lambda runtime: runtime.add(CONFIGURED[network], attachment),
        )

    def _delete(self, place: Place) -> Operation:
        return Operation(
            "delete",
            place.container,
            lambda model: model.delete(place, None, None, by_word=False),
            lambda runtime: runtime.delete(acni.AttachmentId(*place)),
        )

    def _check(self, place: Place, network: str | None) -> Operation:
        return Operation(
            "check",
            place.container,
            lambda model: model.check(place, network),
            lambda runtime: runtime.check(acni.AttachmentId(*place), network=network),
        )

    def _apart(self, place: Place, network: str, *, adds: bool) -> Operation:
        """Make an operation that has nothing to do with other containers."""
        if not adds:
            return self._delete(place)
        if self.model.is_taken(place, _own_box(place)):
            return self._check(place, None)
        return self._add(place, network, _own_box(place))

    def _attachment(self, place: Place, box: int) -> acni.Attachment:
        return acni.Attachment(
            container_id=place.container, ifname=place.ifname, netns=self.ground.boxes[box]
        )

    def _one_at_a_time(self, what: tuple[Trouble, ...]) -> tuple[Trouble, ...]:
        """Leave out what would depend on which of several containers came first."""
        debts = self.model.debts()
        entries = self.model.entries
        if len({place.container for place in entries}) > 1:
            what = tuple(
                one
                for one in what
                if one.verb == "GC"
                or one.how not in {"is cancelled", "is killed before", "is killed after"}
            )
        # What is left open is settled by whoever comes first to the container.
        is_several = len(debts) > len({place.container for place in debts})
        return () if self.model.open_of(None) and is_several else what

    def _do(self, operations: list[Operation], what: tuple[Trouble, ...] = ()) -> None:
        world, plugins = self.world, self.world.plugins
        self.model.asked.clear()
        self.model.troubles = Troubles(what)
        expected = [ended_of_model(self.model, operation) for operation in operations]
        plugins.asked.clear()
        plugins.troubles = Troubles(what)
        plugins.scopes.clear()
        world.ended = 0
        futures = [self.portal.start_task_soon(world.do, operation) for operation in operations]
        is_killed = Ended("Killed") in expected
        if is_killed:
            self.portal.call(world.wait_until_still, len(operations))
        ended = [
            Ended("Killed") if is_killed and not future.done() else future.result(_PATIENCE)
            for future in futures
        ]
        for operation, how in zip(operations, ended, strict=True):
            self._count(operation.kind, how.error)
        asked = dict(plugins.asked)
        if is_killed:
            self._kill()
        _require_same("ends", ended, expected)
        _require_same("runs", asked, self.model.asked)

    def _kill(self) -> None:
        """Go on where a runtime that ended just now left off."""
        copy = self.ground.state_dir()
        shutil.copytree(self.state_dir, copy, copy_function=_copy)
        self._leave(kills=True)
        shutil.rmtree(self.state_dir)
        self.state_dir = copy
        self._count("kill")
        self._open()

    def _open(self) -> None:
        plugins = Plugins(held=self.held)
        self.opened = self.portal.wrap_async_context_manager(
            acni.open_runtime(
                state_dir=self.state_dir,
                plugin_dirs=["/plugins"],
                runner=plugins,
                durability="process",
                # Whoever waits for a network's first attachment neither ends nor stands still.
                limits=acni.Limits(first_add_alone=False),
                recover=False,
            )
        )
        self.world = World(self.opened.__enter__(), plugins)

    def _leave(self, *, kills: bool = False) -> None:
        if kills:
            self.portal.call(self.world.kill)
        opened, self.opened = self.opened, None
        if opened is not None:
            opened.__exit__(None, None, None)

    def _records(self) -> dict[str, object]:
        return {
            path.name: _said(json.loads(path.read_bytes()))
            for path in (self.state_dir / "results").iterdir()
        }

    def _count(self, kind: str, error: str | None = None) -> None:
        self.ground.operations += 1
        self.ground.counts[kind] += 1
        if error:
            self.ground.counts[f"{kind}: {error}"] += 1


def _require_same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"{what}: {found}; by the model: {expected}")


def _copy(source: str, target: str) -> None:
    """Copy a file, without what it has in store: a journal is mostly that."""
    data = Path(source).read_bytes()
    with Path(target).open("xb") as file:
        file.write(data.rstrip(b"\0"))
        file.truncate(len(data))
    shutil.copymode(source, target)


def _own_box(place: Place) -> int:
    return int(place.container[1:]) - 1


def _ids(places: Collection[Place]) -> list[acni.AttachmentId]:
    return [acni.AttachmentId(*place) for place in places]


def _said(record: dict[str, Any]) -> object:
    """Return what a record says."""
    ours = record["acni"]
    config = json.loads(base64.b64decode(record["config"]))
    types = tuple(plugin["type"] for plugin in config["plugins"])
    if ours["state"] == "attached":
        return "attached", types
    cause = ours["cause"].split()[0].replace("CancelledError", "Cancelled")
    return "debt", types, ours["next"], ours["origin"], ours["attempts"], cause


def _recorded(place: Place, entry: Entry) -> tuple[str, object]:
    """Return what the record of an attachment says."""
    name = f"{entry.network}-{place.container}-{place.ifname}"
    owed = entry.owed
    if owed is None:
        return name, ("attached", entry.types)
    types = entry.types[: owed.next + 1]
    return name, ("debt", types, owed.next, owed.origin, owed.attempts, owed.cause)


def main(loop: str, operations: int) -> Counter[str]:
    """Do at least so many operations on a loop, and some of each kind; return what was done, and
    how it ended.
    """
    clock = ctypes.c_long.in_dll(ctypes.CDLL(None), "acni_clock_offset")
    with ExitStack() as stack:
        made = [stack.enter_context(netns.anonymous()) for _ in range(BOXES)]
        directory = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="acni-machine-", dir=DIRECTORY)
        )
        ground = Ground(loop, [box.path for box in made], Path(directory))
        while ground.operations < operations or (
            ground.operations < 2 * operations and what_is_rare(ground.counts, operations)
        ):
            left = max(operations - ground.operations, operations // 10)
            run_state_machine_as_test(
                partial(Machine, ground, clock),  # type: ignore[arg-type]  # a factory will do
                settings=settings(
                    max_examples=left // STEPS + 1,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
    return ground.counts


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
