"""The store does what the model of it says, along random paths of the model.

Driven, one step of the model being one call of the real thing: two runtimes' slots, journals and
spare files, what they note in dead slots, records and debts, the locks of containers, interfaces
and the gate, and what each runtime sees of the others once it has a container; what recovery
decides is compared with what the model's does, at each look. In the end every runtime is killed,
and a real one recovers: it asks the same plugins for the same as the model's recovery, and leaves
the same. Where a disk refused a write, it may know more than the model does, and ask for less.

Not driven: the order of an operation's steps, which is the model's, but for that last recovery;
power cuts, segments, other writers, network namespaces, guards and orphans, which the sweeps of
``tests/crash`` have; a dying process that let go of some locks and not of others (all of them are
in one process, and a kill closes descriptors in random order), which ``test_neighbours`` has.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import random
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from attrs import Factory, define, evolve, field

import acni
from acni import Busy, StoreError
from acni.engine.notes import Note
from acni.engine.recovery import decide
from acni.engine.takedown import indebted
from acni.host.host import Host, this_host
from acni.host.inotify import Watch
from acni.spec.names import ContainerId, IfName
from acni.spec.plugin import Caps, Plugin, Request, Response
from acni.store.frames import encode, read_frames
from acni.store.intents import Intent, end_facts, is_open, replay
from acni.store.locks import Locks, open_locks
from acni.store.neighbours import LeftOpen
from acni.store.record import Provenance, Record, write_record
from acni.store.spares import Spare
from acni.store.state import Store, open_store
from acni.testing import ScriptedRunner
from tests.store.model import world as model
from tests.store.model.events import is_something_left, started, with_dead
from tests.store.model.journal import notes, opened
from tests.store.model.procedures import Protocol, Seen
from tests.store.model.scenarios import SAME, TWO, scenario
from tests.store.model.search import first_of, successors
from tests.store.model.steps import perform, went_on
from tests.store.model.world import Case, Left, Scenario, State

PATHS: Final = 1000
STEPS: Final = 40
# A new one costs some milliseconds; in an old one there is more to be read.
PATHS_OF_A_DIRECTORY: Final = 5
# Each look reads whole segments.
SEGMENT_BYTES: Final = 128 << 10
# How many runtimes have watches: the kernel takes some milliseconds to close one.
WATCHING: Final = 0.25
# A kill at every third step would leave little to be killed.
KILLS_WEIGHT: Final = 0.2

WORLDS: Final[Mapping[str, Scenario]] = {
    "one container": scenario(containers=SAME, runtimes=2, adds=3, dels=2, kills=3, fails=2),
    "one address": scenario(
        containers=TWO, addresses=1, runtimes=2, adds=3, dels=2, kills=3, fails=2
    ),
    "one interface": scenario(
        containers=TWO, namespaces=SAME, runtimes=2, adds=3, kills=2, fails=2
    ),
    "a full disk": scenario(containers=TWO, runtimes=2, adds=3, dels=1, kills=2, fails=2, disk=3),
    "two left open": scenario(containers=TWO, left_open=TWO, runtimes=2, adds=1, kills=3, fails=1),
    "gc": scenario(containers=TWO, left_open=(0,), runtimes=2, adds=2, gcs=2, kills=2, fails=1),
}

_VERDICTS: Final = {"attached": "attached", "owed": "owed", "gone": "superseded"}

Entry = tuple[str, int, int | None]
"""Of an open operation: the verb, the place of the plugin whose DEL is next, and the address."""

Deletes = dict[int, list[tuple[int, int | None]]]
"""Of each attachment: the place of each plugin that was asked, and the address in prevResult."""


def operation_id(number: int) -> str:
    return f"{number:032x}"


def result_of(address: int | None) -> str | None:
    if address is None:
        return None
    return json.dumps({"cniVersion": "1.0.0", "ips": [{"address": f"192.0.2.{address + 1}/24"}]})


def address_of(result: str | None) -> int | None:
    if result is None:
        return None
    text = json.loads(result)["ips"][0]["address"]
    return int(text.removesuffix("/24").rpartition(".")[2]) - 1


@define(eq=False)
class Disk:
    """A disk that refuses the next write, or rename, if it is told so."""

    refuses: bool = False

    def given(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **options: Any) -> Any:
            if self.refuses:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments, **options)

        return write


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(os, "pwrite", disk.given(os.pwrite))
    monkeypatch.setattr(os, "rename", disk.given(os.rename))
    return disk


@define(eq=False)
class Asked(ScriptedRunner):
    """A runner that notes what its plugins are asked."""

    deletes: Deletes = Factory(lambda: defaultdict(list))

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        """Succeed at once."""
        assert request.environment["CNI_COMMAND"] == "DEL"
        attachment = int(request.environment["CNI_IFNAME"].removeprefix("eth"))
        previous = json.loads(request.stdin).get("prevResult")
        address = address_of(json.dumps(previous) if previous else None)
        self.deletes[attachment].append((int(plugin.type.removeprefix("p")), address))
        return await super().run(plugin, request, deadline=deadline, caps=caps, guard=guard)


def refused(_directory: int) -> Watch:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@define(eq=False)
class Driven:
    """One runtime: the real store, done with as the model says."""

    store: Store
    locks: Locks
    notes: dict[int, Note] = Factory(dict[int, Note])
    left: dict[int, LeftOpen] = Factory(dict[int, LeftOpen])
    turn: AsyncExitStack = Factory(AsyncExitStack)
    gate: AsyncExitStack = Factory(AsyncExitStack)
    opened: contextlib.ExitStack = field(factory=contextlib.ExitStack)

    @classmethod
    def start(cls, state_dir: Path, host: Host, *, is_watching: bool) -> Driven:
        with contextlib.ExitStack() as opened:
            store = opened.enter_context(open_store(state_dir, host))
            if not is_watching and store.neighbours is not None:
                store.neighbours._watched = refused
            locks = opened.enter_context(open_locks(state_dir))
            return cls(store, locks, opened=opened.pop_all())

    async def let_go(self) -> None:
        await self.turn.aclose()
        await self.gate.aclose()

    async def die(self, order: random.Random) -> None:
        """Close all descriptors in some order; nothing is unlocked, nothing written."""
        closings = [self.store.give_up, self.locks._files.close]
        order.shuffle(closings)
        for close in closings:
            close()
        self.store._pid = 0  # as in a forked child: it has nothing to close any more
        await self.let_go()
        self.opened.close()


@define(eq=False)
class World:
    """The real thing beside a state of the model."""

    case: Case
    state_dir: Path
    host: Host
    disk: Disk
    order: random.Random
    runtimes: dict[int, Driven] = Factory(dict[int, Driven])
    records: dict[int, Record] = Factory(dict[int, Record])

    # --- what the model does

    async def perform(self, seen: Seen, after: State) -> None:
        match seen:
            case "started", runtime:
                self.start(runtime, after)
            case "killed", runtime:
                await self.runtimes.pop(runtime).die(self.order)
            case "torn", slot:
                self.tear(slot)
            case "idle", runtime:
                await self.runtimes[runtime].let_go()
            case "step", runtime, request, answer, then:
                await self.step(runtime, request, answer, then)
            case _:
                pass  # a plugin ended: what it holds is the model's

    def start(self, runtime: int, s: State) -> None:
        driven = self.runtimes[runtime] = Driven.start(
            self.state_dir, self.host, is_watching=self.order.random() < WATCHING
        )
        at = s.runtimes[runtime]
        assert at is not None
        assert driven.store.require_journal().slot == f"{at.slot:03d}"

    def tear(self, slot: int) -> None:
        """Leave half a frame at the end of the segment that was written last."""
        segments = {}
        for path in (self.state_dir / "acni" / "journal").glob(f"{slot:03d}*"):
            reading = read_frames(path.read_bytes())
            segments[reading.frames[-1].number if reading.frames else 0] = path, reading.end
        path, end = segments[max(segments)]
        half = encode(max(segments) + 1, end_facts(operation_id(0), "gone"))[:20]
        with path.open("r+b") as file:
            file.seek(end)
            file.write(half)

    async def step(self, number: int, request: tuple[Any, ...], answer: Any, after: State) -> None:
        runtime = self.runtimes[number]
        match request:
            case "lock", lock:
                assert await self.lock(runtime, lock) == answer, request
            case "unlock", *_:
                await runtime.let_go()
            case "let go", *_:
                await runtime.turn.aclose()
            case "look", attachment, passed:
                self.look(number, attachment, passed, answer, after)
            case "found", attachment:
                found = runtime.store.records.read(self.name(attachment))
                assert (found is None) == (answer is None), request
            case (("begin" | "append" | "record" | "debt" | "retire" | "remove"), *_):
                self.write(number, request, answer, after)
            case _:
                pass

    async def lock(self, runtime: Driven, lock: Any) -> bool:
        until = anyio.current_time() + 5
        gate, turn = runtime.locks.gate, runtime.turn
        try:
            match lock:
                case "gate":
                    await runtime.gate.enter_async_context(gate.shared(until=until))
                case "GATE":
                    await runtime.gate.enter_async_context(gate.exclusive(until=until))
                case "container", container:
                    name = f"c{container}"
                    await turn.enter_async_context(
                        runtime.locks.container(
                            name,
                            until=anyio.current_time(),
                            stays=lambda: runtime.store.has_open(name),
                        )
                    )
                case "netns", namespace:
                    claim = runtime.locks.claim("interface", f"n{namespace}", seconds=0)
                    return await turn.enter_async_context(claim)
                case _:
                    raise AssertionError(lock)
        except Busy:
            return False
        return True

    def look(
        self, number: int, attachment: int, passed: tuple[int, ...], job: Any, s: State
    ) -> None:
        """See what the model sees of a container, and decide what the model decides."""
        runtime, containers = self.runtimes[number], self.case.scenario.containers
        container = f"c{containers[attachment]}"
        assert runtime.store.neighbours is not None
        left = runtime.store.neighbours.left_of(container)
        assert left is not None
        runtime.left |= {int(one.intent.operation, 16): one for one in left}
        own = runtime.store.require_journal().of_container(container)
        found = {(int(one.operation, 16), -1): one for one in own}
        found |= {(int(one.intent.operation, 16), int(one.slot)): one.intent for one in left}
        expected = {
            (note.operation, -1 if note.owner == number else note.slot)
            for note in notes(s)
            if note.owner in {None, number}
            and is_open_in_model(s, note)
            and containers[s.operations[note.operation].attachment] == containers[attachment]
        }
        assert found.keys() == expected
        in_place = {one: self.in_place(runtime, one) for one in self.case.scenario.attachments}
        if job is None:
            place = in_place[attachment]
            assert place is None or place.owed is None
            return
        if job.how == "record":
            place = in_place[job.attachment]
            assert place is not None
            assert place.owed is not None
            assert place.owed.next == job.next
            return
        assert job.operation not in passed
        intent = found[job.operation, job.slot]
        spare = spare_of(intent, runtime.left.get(job.operation), job.slot)
        verdict = decide(
            intent,
            in_place[job.attachment],
            self.host,
            is_here=True,
            has_spare=spare is not None and runtime.store.has_spare(spare),
        )
        assert verdict == ("delete" if job.how == "delete" else _VERDICTS[job.outcome])
        owner = runtime.store.require_journal() if job.slot < 0 else None
        remains = owner or runtime.store.remains(f"{job.slot:03d}")
        runtime.notes[job.operation] = Note(runtime.store, intent.operation, remains, spare)

    def write(self, number: int, request: tuple[Any, ...], answer: Any, after: State) -> None:
        """Write what the model writes; where its disk refuses that, this one does."""
        is_refused = answer is False or answer is None
        if request[0] == "record" and after.places[request[1]].now == request[2]:
            is_refused = False  # written, then cancelled
        self.disk.refuses = is_refused
        try:
            self.write_now(self.runtimes[number], request)
        except StoreError:
            assert is_refused, request
        else:
            assert not is_refused, request
        finally:
            self.disk.refuses = False

    def write_now(self, runtime: Driven, request: tuple[Any, ...]) -> None:
        store = runtime.store
        match request:
            case "begin", attachment:
                self.begin(runtime, len(self.records), attachment)
            case "append", ("del", operation, last):
                record = self.in_place(runtime, self.attachment(operation))
                assert record is not None
                assert last == len(record.network.plugins) - 1
                self.note(runtime, operation, record, "delete", None)
            case "append", (("add" | "del"), operation, following, *_), int():
                intent = runtime.left[operation].intent
                runtime.notes[operation].catch_up(evolve(intent, next=following))
            case "append", ("step", operation, address), *_:
                text = result_of(address)
                assert text is not None
                store.require_journal().step(operation_id(operation), 0, text)
            case "append", ("deleted", operation, index), *_:
                runtime.notes[operation].let_go(index)
            case "append", ("named", operation), *_:
                store.require_journal().named(operation_id(operation))
            case "append", ("end", operation, outcome), *_:
                runtime.notes[operation].end_surely(outcome)
            case "record", _, model.Record(operation=operation, address=address):
                spare = runtime.notes[operation].spare
                assert spare is not None
                record = evolve(self.records[operation], result=result_of(address))
                store.keep(record, spare)
            case "debt", _, model.Record(operation=operation, address=address, next=following):
                record = evolve(self.records[operation], result=result_of(address))
                store.write(indebted(record, following, StoreError("told to"), "add"))
            case "retire", _, operation:
                store.retire(self.records[operation], runtime.notes[operation].spare)
            case "remove", _, operation:
                store.retire(self.records[operation])
            case _:
                raise AssertionError(request)

    def begin(self, runtime: Driven, operation: int, attachment: int) -> None:
        record = self.record(operation, attachment)
        spare = runtime.store.take_spare()
        self.note(runtime, operation, record, "add", spare)
        self.records[operation] = record

    def note(
        self, runtime: Driven, operation: int, record: Record, verb: Any, spare: Spare | None
    ) -> None:
        journal = runtime.store.require_journal()
        intent = Intent(
            operation=operation_id(operation),
            verb=verb,
            container_id=record.container_id,
            record=write_record(record).decode(),
            next=len(record.network.plugins) - 1,
            spare=spare.name if spare else None,
            until=0.0,
            boot=self.host.boot,
        )
        journal.begin(intent)
        runtime.notes[operation] = Note(runtime.store, intent.operation, journal, spare)

    # --- what there is

    def name(self, attachment: int) -> str:
        return f"net-c{self.case.scenario.containers[attachment]}-eth{attachment}"

    def attachment(self, operation: int) -> int:
        return int(self.records[operation].ifname.removeprefix("eth"))

    def in_place(self, runtime: Driven, attachment: int) -> Record | None:
        return runtime.store.records.read(self.name(attachment))

    def record(self, operation: int, attachment: int) -> Record:
        plugins = [{"type": f"p{index}"} for index in range(self.case.scenario.chain)]
        network = {"cniVersion": "1.0.0", "name": "net", "plugins": plugins}
        return Record(
            container_id=ContainerId(f"c{self.case.scenario.containers[attachment]}"),
            ifname=IfName(f"eth{attachment}"),
            network=acni.parse_network(json.dumps(network).encode()),
            netns="",
            cni_args={},
            capability_texts={},
            result=None,
            provenance=Provenance(
                operation=operation_id(operation),
                boot=self.host.boot,
                netns=None,
                host_netns=self.host.netns,
                plugin_dirs=("/plugins",),
                plugins=(),
                sequence=operation,
                added_at="2026-01-01T00:00:00+00:00",
            ),
        )

    def require_same(self, s: State) -> None:
        """Compare what lies on disk with what the model says."""
        for number, slot in enumerate(s.slots):
            left = opened(s, slot.frames)
            # The result of what a delete deletes is in its record, there and here.
            expected = {
                it: (entry.verb, entry.next, entry.address if entry.verb == "add" else None)
                for it, entry in left.items()
            }
            found = self.open_in(number)
            if self.case.scenario.left.disk:
                found = {it: self.as_noted(one, expected.get(it)) for it, one in found.items()}
            assert found == expected
        for attachment, place in enumerate(s.places):
            path = self.state_dir / "results" / self.name(attachment)
            assert path.exists() == (place.now is not None), path
            if place.now is not None:
                facts = json.loads(path.read_bytes())["acni"]
                is_owed = place.now.state == model.DEBT
                assert facts["operation"] == operation_id(place.now.operation)
                assert facts["state"] == ("debt" if is_owed else "attached")
                assert facts.get("next") == (place.now.next if is_owed else None)

    def as_noted(self, found: Entry, expected: Entry | None) -> Entry:
        """Forget what the model does: a runtime knows what its disk refused, and notes it with the
        next thing that it notes.
        """
        if expected is None:
            return found
        verb, following, address = found
        return verb, max(following, expected[1]), address if expected[2] is not None else None

    def open_in(self, slot: int) -> dict[int, Entry]:
        paths = (self.state_dir / "acni" / "journal").glob(f"{slot:03d}*")
        ledger = replay(frame for path in paths for frame in read_frames(path.read_bytes()).frames)
        return {
            int(one.operation, 16): (
                "add" if one.verb == "add" else "del",
                one.next,
                address_of(one.result) if one.verb == "add" else None,
            )
            for one in ledger.intents.values()
            if is_open(one, self.host.boot)
        }


def require_no_more(deletes: Deletes, expected: Deletes) -> None:
    """Where the disk refused something, the runtime may know more than the model: that a plugin let
    go, or with which address.
    """
    for attachment, asked in deletes.items():
        left = iter(expected[attachment])
        for place, address in asked:
            assert any(place == one and known in {None, address} for one, known in left), asked


def is_open_in_model(s: State, note: Any) -> bool:
    return note.operation in opened(s, s.slots[note.slot].frames)


def spare_of(intent: Intent, left: LeftOpen | None, slot: int) -> Spare | None:
    if intent.spare is None:
        return None
    return Spare(intent.spare, left.slot if left is not None and slot >= 0 else None)


# --- paths


@define(eq=False)
class Walk:
    """A random path of the model, and the real thing led along it."""

    world: World
    protocol: Protocol
    order: random.Random
    said: list[str] = Factory(list[str])

    async def run(self) -> None:
        s = await self.first()
        for _ in range(STEPS):
            chosen = self.choose(s)
            if chosen is None:
                break
            remark, after, happened = chosen
            self.said.append(remark)
            for seen in happened:
                await self.world.perform(seen, after)
            s = after
        await self.end(s)

    async def first(self) -> State:
        world, given = self.world, self.protocol.case.scenario
        if given.left_open:
            runtime = Driven.start(world.state_dir, world.host, is_watching=False)
            for operation, attachment in enumerate(given.left_open):
                world.begin(runtime, operation, attachment)
                text = result_of(operation)
                assert text is not None
                runtime.store.require_journal().step(operation_id(operation), 0, text)
            await runtime.die(self.order)
        s = first_of(self.protocol.case)
        for runtime_number in range(given.runtimes):
            world.start(runtime_number, s)
        return s

    def choose(self, s: State) -> tuple[str, State, list[Seen]] | None:
        seen = self.protocol.seen = list[Seen]()
        found: list[tuple[str, State, list[Seen]]] = []
        for remark, after, _ in successors(self.protocol, s):
            found.append((remark, after, list(seen)))
            seen.clear()
        if not found:
            return None
        weights = [KILLS_WEIGHT if remark.startswith("kill") else 1.0 for remark, *_ in found]
        return self.order.choices(found, weights)[0]

    async def end(self, s: State) -> None:
        """Kill everybody, and let one more runtime settle all that is left, here and there."""
        world, case = self.world, self.protocol.case
        await self.require_excluded(s)
        world.require_same(s)
        for number, runtime in enumerate(s.runtimes):
            if runtime is not None:
                s = with_dead(case, s._replace(plugins=()), number, runtime.slot)
                await world.runtimes.pop(number).die(self.order)
        self.said.append("all are killed, and one more recovers")
        s = started(case, s._replace(plugins=(), left=Left()), 0)
        s, expected = self.recovered(s)
        runner = Asked()
        async with acni.open_runtime(
            state_dir=world.state_dir, runner=runner, plugin_dirs=["/plugins"], recover=False
        ) as last:
            report = await last.recover()
            assert report.failures == ()
            if case.scenario.left.disk:
                require_no_more(runner.deletes, expected)
            else:
                assert runner.deletes == expected
            world.require_same(s)
            assert (await last.recover()).settled == ()

    async def require_excluded(self, s: State) -> None:
        """Whoever waits for a container in the model is refused it here."""
        for number, runtime in enumerate(s.runtimes):
            if runtime is None or runtime.procedure is None:
                continue
            request = self.protocol.ask(runtime.procedure, runtime.heard)
            is_of_container = request[0] == "lock" and request[1][0] == "container"
            if is_of_container and not perform(self.protocol.case, s, number, request):
                assert not await self.world.lock(self.world.runtimes[number], request[1])

    def recovered(self, s: State) -> tuple[State, Deletes]:
        """Let the model's recovery come to its end."""
        deletes: Deletes = defaultdict(list)
        while is_something_left(self.protocol.case, s, 0):
            s = went_on(self.protocol, s, 0, ("recover", 0))
            while (at := s.runtimes[0]) is not None and at.procedure is not None:
                for plugin in s.plugins:
                    attachment = s.operations[plugin.operation].attachment
                    deletes[attachment].append((plugin.place, plugin.address))
                self.protocol.seen = None
                ((_, s, _),) = [one for one in successors(self.protocol, s) if one[2]]
        return s, deletes


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory that no disk has."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as made:
        yield Path(made)


def make_small_slots(state_dir: Path) -> None:
    """Make slots that are there already, and take less time to read than those of their own."""
    journal = state_dir / "acni" / "journal"
    for directory in (state_dir, journal.parent, journal):
        directory.mkdir(0o700)
    for name in ("000", "000.1", "001", "001.1", "002", "002.1", "003", "003.1"):
        (journal / name).write_bytes(bytes(SEGMENT_BYTES))
        (journal / name).chmod(0o600)


@pytest.mark.deep
@pytest.mark.netns
@pytest.mark.parametrize("backend", ["asyncio"])
def test_the_store_goes_where_the_model_goes(
    backend: str,
    memory: Path,
    disk: Disk,
    capsys: pytest.CaptureFixture[str],
    pytestconfig: pytest.Config,
) -> None:
    asked = pytestconfig.getoption("--crash-seed")
    seed = random.SystemRandom().getrandbits(32) if asked is None else asked
    order, host, began = random.Random(seed), this_host(), time.monotonic()  # noqa: S311
    paths: set[tuple[str, ...]] = set()
    steps = 0

    async def walk(name: str) -> None:
        nonlocal steps
        case = Case(WORLDS[name])
        state_dir = memory / "state"
        if not state_dir.exists():
            make_small_slots(state_dir)
        world = World(case, state_dir, host, disk, order)
        one = Walk(world, Protocol(case), order)
        try:
            await one.run()
        except BaseException as error:
            error.add_note("\n".join((f"seed {seed}, {name}:", *one.said)))
            raise
        paths.add((name, *one.said))
        steps += len(one.said)
        if len(paths) % PATHS_OF_A_DIRECTORY == 0:
            shutil.rmtree(state_dir)
        else:
            for path in (state_dir / "results").iterdir():
                path.unlink()

    async def walk_all() -> None:
        names = itertools.cycle(WORLDS)
        while len(paths) < PATHS:
            await walk(next(names))

    anyio.run(walk_all, backend=backend)
    with capsys.disabled():
        seconds = time.monotonic() - began
        print(f"\n{len(paths)} paths, {steps} steps in {seconds:.0f} s, seed {seed}")
