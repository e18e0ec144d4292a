"""Group commit: one sync for all who wait, and who is told that it is durable can rely on it."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup
from attrs import Factory, define

from acni import StoreError
from acni.store.commits import Commits
from acni.store.frames import read_frames
from acni.store.intents import is_open, replay
from acni.store.journal import Journal
from tests.store.journals import HOST, make_intent, make_journal, open_in, operation

pytestmark = pytest.mark.anyio

LOST = OSError(errno.EIO, os.strerror(errno.EIO))


@define(eq=False)
class Disk:
    """Where a thread would wait for the disk: the test lets it go on, or fail."""

    journal: Journal
    failures: list[OSError | None] = Factory(list[OSError | None])
    syncs: int = 0
    records: int = 0
    gate: anyio.Event | None = None
    stands: int = 0

    async def in_thread(self, function: Callable[[], None]) -> None:
        await anyio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        if function == self.journal.sync:
            self.syncs += 1
            failure = self.failures.pop(0) if self.failures else None
            if failure is not None:
                raise failure
        function()

    def sync_records(self) -> None:
        self.records += 1

    def stand(self) -> None:
        self.stands += 1


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = make_journal(tmp_path)
    yield journal
    journal.close()


@pytest.fixture
def disk(journal: Journal) -> Disk:
    return Disk(journal)


@asynccontextmanager
async def committing(
    disk: Disk, *, durable: bool = True
) -> AsyncGenerator[tuple[Commits, TaskGroup]]:
    commits = Commits(
        disk.journal, disk.sync_records, disk.in_thread, disk.stand, is_durable=durable
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commits.run)
        with anyio.fail_after(20):
            yield commits, tasks
            if disk.gate is not None:
                disk.gate.set()
            await commits.close()


@define(eq=False)
class Waiters:
    """Those who wait until something is durable, and what they were told."""

    commits: Commits
    told: dict[int, StoreError | None] = Factory(dict[int, StoreError | None])

    async def wait(self, number: int) -> None:
        try:
            await self.commits.durable()
        except StoreError as error:
            self.told[number] = error
        else:
            self.told[number] = None


async def test_all_who_wait_share_one_sync_and_those_who_come_meanwhile_the_next(
    disk: Disk,
) -> None:
    disk.gate = anyio.Event()
    async with committing(disk) as (commits, tasks):
        waiters = Waiters(commits)
        tasks.start_soon(waiters.wait, 0)
        await anyio.wait_all_tasks_blocked()
        for number in range(1, 64):
            tasks.start_soon(waiters.wait, number)
        await anyio.wait_all_tasks_blocked()
        assert waiters.told == {}
        disk.gate.set()
        await anyio.wait_all_tasks_blocked()
        assert waiters.told == dict.fromkeys(range(64))
        assert disk.syncs == 2


async def test_what_was_noted_before_the_wait_is_in_the_sync_that_ends_it(
    disk: Disk, journal: Journal
) -> None:
    """Whoever comes while a sync is under way waits for the one that begins after it."""
    disk.gate = anyio.Event()
    async with committing(disk) as (commits, tasks):
        waiters = Waiters(commits)
        tasks.start_soon(waiters.wait, 0)
        await anyio.wait_all_tasks_blocked()
        journal.begin(make_intent())
        tasks.start_soon(waiters.wait, 1)
        await anyio.wait_all_tasks_blocked()
        first, disk.gate = disk.gate, anyio.Event()
        first.set()
        await anyio.wait_all_tasks_blocked()
        assert waiters.told == {0: None}


async def test_a_failure_reaches_all_of_its_batch_and_nobody_of_the_next(
    disk: Disk, journal: Journal, tmp_path: Path
) -> None:
    disk.gate, disk.failures = anyio.Event(), [LOST]
    async with committing(disk) as (commits, tasks):
        waiters = Waiters(commits)
        for number in range(3):
            journal.begin(make_intent(number))
            tasks.start_soon(waiters.wait, number)
        await anyio.wait_all_tasks_blocked()
        for number in range(3, 6):
            journal.begin(make_intent(number))
            tasks.start_soon(waiters.wait, number)
        await anyio.wait_all_tasks_blocked()
        disk.gate.set()
        await anyio.wait_all_tasks_blocked()
        failed = {number for number, failure in waiters.told.items() if failure is not None}
        assert set(waiters.told) == set(range(6))
        assert failed == {0, 1, 2}
        assert "cannot be synced: Input/output error" in str(waiters.told[0])
    # Those of the next batch had noted it in the segment that was lost: it is in the other one.
    (tmp_path / "000").write_bytes(b"")
    assert set(open_in(tmp_path)) == set(map(operation, range(6)))


async def test_nobody_is_told_that_it_is_durable_while_nothing_can_be_written(
    disk: Disk, journal: Journal, tmp_path: Path
) -> None:
    """The kernel tells of a lost write once: the next sync of the same file succeeds."""
    disk.failures = [LOST]
    async with committing(disk) as (commits, _):
        journal.begin(make_intent())
        for segment in (journal._active, journal._other):
            os.close(segment.fd)
            segment.fd = os.open(tmp_path / "000", os.O_RDONLY)
        for _ in range(3):
            with pytest.raises(StoreError, match="cannot be synced"):
                await commits.durable()
        for segment, name in ((journal._active, "000"), (journal._other, "000.1")):
            os.close(segment.fd)
            segment.fd = os.open(tmp_path / name, os.O_RDWR)
        with pytest.raises(StoreError, match="cannot be synced"):
            await commits.durable()  # noticed now, and made good
        await commits.durable()


async def test_a_waiter_that_is_cancelled_leaves_the_others_waiting(disk: Disk) -> None:
    disk.gate = anyio.Event()
    async with committing(disk) as (commits, tasks):
        waiters = Waiters(commits)
        scopes: list[anyio.CancelScope] = []

        async def wait_in_a_scope() -> None:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                await commits.durable()

        tasks.start_soon(wait_in_a_scope)
        for number in range(3):
            tasks.start_soon(waiters.wait, number)
        await anyio.wait_all_tasks_blocked()
        scopes[0].cancel()
        await anyio.wait_all_tasks_blocked()
        assert scopes[0].cancelled_caught
        assert waiters.told == {}
        disk.gate.set()
        await anyio.wait_all_tasks_blocked()
        assert waiters.told == dict.fromkeys(range(3))


async def test_where_all_who_waited_are_gone_nothing_is_synced(disk: Disk) -> None:
    disk.gate = anyio.Event()
    async with committing(disk) as (commits, tasks):
        waiters = Waiters(commits)
        tasks.start_soon(waiters.wait, 0)
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await commits.durable()
        disk.gate.set()
        await anyio.wait_all_tasks_blocked()
        assert disk.syncs == 1


async def test_a_native_cancellation_of_a_waiter_leaves_the_others_waiting(
    disk: Disk, anyio_backend_name: str
) -> None:
    if anyio_backend_name != "asyncio":
        pytest.skip("only asyncio has one")
    disk.gate = anyio.Event()
    async with committing(disk) as (commits, tasks):
        waiters = Waiters(commits)
        tasks.start_soon(waiters.wait, 0)
        native = asyncio.get_running_loop().create_task(commits.durable())
        await anyio.wait_all_tasks_blocked()
        native.cancel()
        with pytest.raises(asyncio.CancelledError):
            await native
        disk.gate.set()
        await anyio.wait_all_tasks_blocked()
        assert waiters.told == {0: None}


async def test_closing_ends_the_task_once_what_it_does_is_done(disk: Disk) -> None:
    disk.gate = anyio.Event()
    async with committing(disk) as (commits, tasks):
        waiters = Waiters(commits)
        tasks.start_soon(waiters.wait, 0)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(commits.close)
        await anyio.wait_all_tasks_blocked()
        assert waiters.told == {}
        disk.gate.set()
    assert waiters.told == {0: None}


async def test_those_who_wait_when_it_is_closed_are_told(disk: Disk) -> None:
    """Nobody hangs, whenever they came."""
    disk.gate = anyio.Event()
    async with committing(disk) as (commits, tasks):
        waiters = Waiters(commits)
        tasks.start_soon(waiters.wait, 0)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(waiters.wait, 1)  # of the next batch
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(commits.close)
        await anyio.wait_all_tasks_blocked()
        disk.gate.set()
        await anyio.wait_all_tasks_blocked()
        assert set(waiters.told) == {0, 1}


async def test_after_closing_nothing_is_durable(disk: Disk) -> None:
    async with committing(disk) as (commits, _):
        await commits.close()
        with pytest.raises(StoreError, match="is closed"):
            await commits.durable()


async def test_the_task_goes_on_while_the_one_around_it_is_cancelled(disk: Disk) -> None:
    """What is being undone then needs it."""
    commits = Commits(disk.journal, disk.sync_records, disk.in_thread, disk.stand)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commits.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        with anyio.move_on_after(20, shield=True):
            await commits.durable()
            await commits.close()
    assert disk.syncs == 1


# --- a new segment


def is_renewing(journal: Journal) -> bool:
    return journal.renewed_from is not None


def fill(journal: Journal) -> None:
    number = 1000
    while not journal.is_full():
        journal.begin(make_intent(number, args="x" * 20000))
        journal.end(operation(number), "gone")
        number += 1


async def test_a_full_segment_is_left_and_void_once_records_are_synced(
    disk: Disk, journal: Journal, tmp_path: Path
) -> None:
    async with committing(disk) as (commits, _):
        journal.begin(make_intent())
        fill(journal)
        await commits.durable()
        await anyio.wait_all_tasks_blocked()
        assert journal.renewed_from is None
        assert not journal.is_full()
        assert disk.records == 1
    (tmp_path / "000").write_bytes(b"")
    assert set(open_in(tmp_path)) == {operation(1)}


async def test_records_that_cannot_be_synced_keep_the_old_segment(
    disk: Disk, journal: Journal
) -> None:
    failures = [LOST]

    def sync_records() -> None:
        for failure in failures:
            raise failure

    commits = Commits(journal, sync_records, disk.in_thread, disk.stand)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commits.run)
        fill(journal)
        await commits.durable()
        await anyio.wait_all_tasks_blocked()
        assert is_renewing(journal)
        failures.clear()
        await commits.durable()
        await anyio.wait_all_tasks_blocked()
        assert not is_renewing(journal)
        await commits.close()


async def test_a_write_that_is_lost_while_a_segment_is_renewed_is_made_good(
    disk: Disk, journal: Journal, tmp_path: Path
) -> None:
    """Whichever sync is told of it: the kernel tells of it once, and not those who wait."""
    disk.failures = [None, LOST]  # the second sync is the renewal's
    async with committing(disk) as (commits, _):
        journal.begin(make_intent(1))
        fill(journal)
        await commits.durable()
        lost = journal._repeated_bytes
        await anyio.wait_all_tasks_blocked()
        assert disk.syncs == 2
        journal.begin(make_intent(2))
        await commits.durable()
        await anyio.wait_all_tasks_blocked()
        assert journal.renewed_from is None
    # Whatever was lost, nothing stands on it.
    data = (tmp_path / "000.1").read_bytes()
    found = replay(read_frames(bytes(lost) + data[lost:]).frames)
    assert {name for name, one in found.intents.items() if is_open(one, HOST.boot)} == {
        operation(1),
        operation(2),
    }


async def test_two_syncs_are_never_under_way_at_once(disk: Disk, journal: Journal) -> None:
    """Of two that are, one is told that a write was lost, and the other one that all is well."""
    running: list[int] = []

    async def in_thread(function: Callable[[], None]) -> None:
        is_sync = function == journal.sync
        assert not (is_sync and running)
        running.extend([1] * is_sync)
        await disk.in_thread(function)
        if is_sync:
            running.pop()

    commits = Commits(journal, lambda: None, in_thread, disk.stand)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commits.run)
        with anyio.fail_after(20):
            for number in range(20):
                if number % 5 == 0:
                    fill(journal)
                journal.begin(make_intent(number))
                await commits.durable()
            await commits.close()


# --- without


async def test_without_power_cuts_in_mind_nobody_waits_and_segments_are_renewed(
    disk: Disk, journal: Journal
) -> None:
    async with committing(disk, durable=False) as (commits, _):
        fill(journal)
        commits.look()
        await commits.durable()
        await anyio.wait_all_tasks_blocked()
        assert journal.renewed_from is None
        assert not journal.is_full()
    assert (disk.syncs, disk.records) == (0, 0)


async def test_whether_the_state_still_stands_is_asked_before_a_note_and_with_each_commit(
    disk: Disk,
) -> None:
    async with committing(disk) as (commits, _):
        await commits.durable()
        assert disk.stands == 1
        commits.look()
        assert disk.stands == 2


async def test_what_cannot_be_made_anew_is_what_the_waiters_are_told(
    disk: Disk, journal: Journal, tmp_path: Path
) -> None:
    def refuse() -> None:
        raise StoreError("others may write to it", place="state_dir", expected="one of our own")

    commits = Commits(journal, disk.sync_records, disk.in_thread, refuse)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commits.run)
        (tmp_path / "000").unlink()
        with pytest.raises(StoreError, match="others may write"):
            await commits.durable()
        await commits.close()
