"""Whatever a power cut leaves of a state directory is read without an error, nothing torn is
believed, and whatever a plugin may hold is noted.

What is tried: every state that a file system may leave that keeps as little as it may
(:mod:`tests.crash.states`), at each moment of a recorded life (:mod:`tests.crash.recorded`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, evolve, field, frozen

from acni.engine.recovery import decide
from acni.errors import StoreError
from acni.host.host import Host, this_host
from acni.store.frames import read_frames
from acni.store.intents import Intent, record_of
from acni.store.record import Record
from acni.store.records import Records
from acni.store.state import open_store
from tests.crash.recorded import NotRecordableError, record
from tests.crash.states import (
    PAGE_BYTES,
    Mark,
    Mount,
    State,
    Step,
    Sync,
    SyncAll,
    Write,
    states_after,
)

# Of each moment.
STATES: Final = 8

JOURNAL: Final = "acni/journal"
SPARE: Final = "acni/spare/"


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """In place of the room's one: no fork server is needed here."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> tuple[Step, ...]:
    """What was done to a state directory with records of less than a page."""
    return recorded(tmp_path_factory.mktemp("life"))


@pytest.fixture(scope="module")
def large_life(tmp_path_factory: pytest.TempPathFactory) -> tuple[Step, ...]:
    """The same with records of three pages."""
    return recorded(tmp_path_factory.mktemp("life"), padding=5000)


def recorded(directory: Path, padding: int = 0) -> tuple[Step, ...]:
    try:
        return record(directory, padding)
    except NotRecordableError as error:
        pytest.skip(f"cannot run here: {error}")


@pytest.fixture(scope="module")
def next_boot() -> Host:
    """The host after the power came back."""
    return evolve(this_host(), boot="the next one")


def test_the_life_is_as_it_is_meant_to_be(life: Sequence[Step]) -> None:
    """Else the others would try less than they say."""
    marks = [step.operation.what for step in life if isinstance(step.operation, Mark)]
    begun = [mark for mark in marks if mark.endswith("ADD/0/begins")]
    assert [mark.split("/")[0] for mark in begun] == [f"c{number}" for number in range(1, 8)]
    assert marks.count("c2/DEL/0/succeeded") == 1
    assert "c6/DEL/0/succeeded" in marks[marks.index("reopens") :]
    assert sum(isinstance(step.operation, SyncAll) for step in life) == 1
    segments = {
        step.operation.path
        for step in life
        if isinstance(step.operation, Write) and step.operation.path.startswith(JOURNAL)
    }
    # Who reopens it finds something open in the first slot.
    assert {f"{JOURNAL}/000", f"{JOURNAL}/000.1"} < segments
    assert len(segments & {f"{JOURNAL}/001", f"{JOURNAL}/001.1"}) == 1


def test_what_a_power_cut_leaves_is_noted_and_nothing_torn_is_believed(
    life: Sequence[Step], next_boot: Host, tmp_path: Path
) -> None:
    found = list(complaints(life, next_boot, tmp_path))
    assert found == []


@pytest.mark.crash
def test_a_record_of_several_pages_may_be_torn_as_long_as_the_journal_has_it(
    large_life: Sequence[Step], next_boot: Host, tmp_path: Path
) -> None:
    """A record has no checksum: pages of two may look like one. What is made of it is one delete
    more, of the right container and in another boot.
    """
    found = list(complaints(large_life, next_boot, tmp_path))
    assert found == []


def test_what_a_power_cut_leaves_can_be_opened_and_is_found(
    life: Sequence[Step], next_boot: Host, tmp_path: Path
) -> None:
    chance = random.Random(1)  # noqa: S311 (not for secrets)
    states = [state for _, state in states_after(life, most=8) if "acni/FORMAT" in state]
    for number, state in enumerate(chance.sample(states, 60)):
        place = tmp_path / f"{number}"
        place.mkdir(mode=0o700)
        Mount(place).show(state)
        reader = Records.look(str(place))
        left = {one.operation for slot in reader.slots(next_boot.boot) for one in slot.intents}
        reader.close()
        with open_store(place, next_boot) as store:
            assert store.require_journal().intents == {}
            assert store.neighbours is not None
            found = store.neighbours.left()
            assert {one.intent.operation for one in found} == left
            assert len(found) == len(left)


# --- what a reader makes of it -------------------------------------------------------------------


def complaints(life: Sequence[Step], host: Host, directory: Path) -> Iterator[str]:
    """Complain of everything that is not so after a power cut at any moment."""
    truth = Truth.of(life)
    mount = Mount(directory)
    held = set[str]()
    seen: dict[tuple[tuple[str, bytes | None], ...], Seen] = {}
    moment = 0
    for count, state in states_after(life, most=STATES):
        while moment < count:
            keep_account(held, life[moment])
            moment += 1
        looked_at = tuple((path, None if is_aside(path) else it) for path, it in state.items())
        if looked_at not in seen:
            mount.show(state)
            seen[looked_at] = look(directory, host)
            yield from (
                f"{life[count - 1]}: {what}" for what in truth.complaints(seen[looked_at], state)
            )
        for container_id in sorted(held - seen[looked_at].noted()):
            yield f"{life[count - 1]}: {container_id} is held and noted nowhere"


def is_aside(path: str) -> bool:
    """Tell whether what a file holds says nothing: only its name does."""
    return path.startswith(SPARE)


def keep_account(held: set[str], step: Step) -> None:
    """Keep account of the containers for which plugins may hold something."""
    if isinstance(step.operation, Mark) and step.operation.what.count("/") == 3:
        container_id, *what = step.operation.what.split("/")
        if what == ["ADD", "0", "begins"]:
            held.add(container_id)
        elif what == ["DEL", "0", "succeeded"]:
            held.discard(container_id)


@frozen
class Seen:
    """What a reader of the next boot sees.

    Attributes:
        records: The records, by name.
        intents: What is open.
        to_delete: The containers of which recovery deletes what is open.
    """

    records: dict[str, Record]
    intents: tuple[Intent, ...]
    to_delete: frozenset[str]

    def noted(self) -> set[str]:
        """Return the containers that are noted; a record of an earlier boot is deleted, too."""
        return {record.container_id for record in self.records.values()} | self.to_delete


def look(state_dir: Path, host: Host) -> Seen:
    """Look at a state directory as runtimes do."""
    reader = Records.look(str(state_dir))
    try:
        records = {
            name: found
            for name in reader.names()
            if (found := read_or_none(reader, name)) is not None
        }
        intents = tuple(intent for slot in reader.slots(host.boot) for intent in slot.intents)
    finally:
        reader.close()
    spare = state_dir / SPARE / "000"
    to_delete: set[str] = set()
    for intent in intents:
        has_spare = intent.spare is not None and (spare / intent.spare).exists()
        in_place = records.get(record_of(intent).name)
        if decide(intent, in_place, host, is_here=False, has_spare=has_spare) == "delete":
            to_delete.add(intent.container_id)
    return Seen(records, intents, frozenset(to_delete))


def read_or_none(reader: Records, name: str) -> Record | None:
    """Read a record; what is none is no record."""
    try:
        return reader.read(name)
    except StoreError:
        return None


@define
class Truth:
    """What was ever written, whole.

    Attributes:
        files: What files that became records held.
        begins: The `begin` frames, as they name what never changes.
        nexts: What was ever said to be next, by operation.
        results: The same of results.
    """

    files: set[bytes] = field(factory=set[bytes])
    begins: set[tuple[object, ...]] = field(factory=set[tuple[object, ...]])
    nexts: set[tuple[str, int]] = field(factory=set[tuple[str, int]])
    results: set[tuple[str, str | None]] = field(factory=set[tuple[str, str | None]])

    @classmethod
    def of(cls, life: Sequence[Step]) -> Truth:
        """Read what was written."""
        truth = cls()
        for step in life:
            if isinstance(step.operation, Write):
                if is_aside(step.operation.path):
                    truth.files.add(step.operation.data)
                for frame in read_frames(step.operation.data).frames:
                    truth.learn(frame.facts)
        return truth

    def learn(self, facts: Mapping[str, Any]) -> None:
        """Take in a frame."""
        match facts["kind"]:
            case "begin":
                keys = ("operation", "verb", "container_id", "record", "spare", "until", "boot")
                self.begins.add(tuple(facts[key] for key in keys))
                self.nexts.add((facts["operation"], facts["next"]))
                self.results.add((facts["operation"], facts["result"]))
            case "step" if facts["result"] is None:
                self.nexts.add((facts["operation"], facts["index"] - 1))
            case "step":
                self.results.add((facts["operation"], facts["result"]))
            case _:
                pass

    def complaints(self, seen: Seen, state: State) -> Iterator[str]:
        """Complain of everything that is believed and was never written."""
        for name, read in seen.records.items():
            raw = state[f"results/{name}"] or b""
            is_undone = len(raw) > PAGE_BYTES and read.container_id in seen.to_delete
            if raw not in self.files and not is_undone:
                yield f"the record {name} is torn"
        for it in seen.intents:
            begin = (it.operation, it.verb, it.container_id, it.record, it.spare, it.until, it.boot)
            is_true = begin in self.begins
            is_true &= (it.operation, it.next) in self.nexts
            is_true &= (it.operation, it.result) in self.results
            if not is_true:
                yield f"the intent of {it.container_id} is torn"


# --- sabotage ------------------------------------------------------------------------------------


def without(life: Sequence[Step], is_left_out: Callable[[Step], bool]) -> list[Step]:
    """Leave out some steps."""
    return [step for step in life if not is_left_out(step)]


def is_sync_of(step: Step, path: str) -> bool:
    """Tell whether a step syncs a file or directory."""
    return isinstance(step.operation, Sync) and step.operation.path == path


def is_sync_of_a_begin(step: Step) -> bool:
    """Tell whether a step syncs a segment; a new one is synced when it is allocated."""
    return is_sync_of(step, f"{JOURNAL}/000") or is_sync_of(step, f"{JOURNAL}/000.1")


def with_records_synced_last(life: Sequence[Step]) -> list[Step]:
    """Move each sync of the records behind the `since`, and its sync, that follow it."""
    moved = list(life)
    for index, step in enumerate(moved):
        if isinstance(step.operation, SyncAll):
            moved[index : index + 3] = [*moved[index + 1 : index + 3], step]
    return moved


@pytest.mark.parametrize(
    "sabotage",
    [
        pytest.param(lambda life: without(life, is_sync_of_a_begin), id="a begin is not synced"),
        pytest.param(
            lambda life: without(life, lambda step: is_sync_of(step, JOURNAL)),
            id="a segment's name is not synced",
        ),
        pytest.param(with_records_synced_last, id="a segment is void before its records"),
    ],
)
def test_a_life_that_syncs_too_little_is_found_out(
    sabotage: Callable[[Sequence[Step]], Sequence[Step]],
    life: Sequence[Step],
    next_boot: Host,
    tmp_path: Path,
) -> None:
    sabotaged = sabotage(life)
    assert sabotaged != life
    found = next(complaints(sabotaged, next_boot, tmp_path), "")
    assert found.endswith("is held and noted nowhere")
