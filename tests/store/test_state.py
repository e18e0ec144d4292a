"""The state directory: made, refused, written whole, read with distrust."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from acni import AttachmentId, StoreError, parse_network
from acni.host.host import this_host
from acni.host.netns import NetnsIdentity
from acni.spec.names import ContainerId, IfName
from acni.store.record import Record
from acni.store.records import Records
from acni.store.state import Store, open_store

NETWORK = parse_network(b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"first"}]}')


def opened(state_dir: Path) -> AbstractContextManager[Store]:
    return open_store(state_dir, this_host())


def record(container_id: str = "c1") -> Record:
    return Record(
        container_id=ContainerId(container_id),
        ifname=IfName("eth0"),
        network=NETWORK,
        netns="",
        cni_args={},
        capability_texts={},
        result=None,
        provenance=None,
    )


def test_a_state_directory_is_made_and_nobody_else_may_look_into_it(state_dir: Path) -> None:
    with opened(state_dir):
        pass
    made = sorted(str(path.relative_to(state_dir)) for path in state_dir.rglob("*"))
    locks = [path.name for path in (state_dir / "acni" / "lock").iterdir()]
    assert sorted(locks) == [*(f"{number:02x}" for number in range(64)), "gate", "types"]
    assert [path for path in made if path.removeprefix("acni/lock/") not in locks] == [
        "acni",
        "acni/FORMAT",
        "acni/debts",
        "acni/journal",
        "acni/journal/000",
        "acni/journal/000.1",
        "acni/lock",
        "acni/quarantine",
        "acni/spare",
        "acni/spare/000",
        "results",
    ]
    for path in (state_dir, *state_dir.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_whether_it_was_removed_is_a_typed_error_where_that_cannot_be_told(
    state_dir: Path,
) -> None:
    with opened(state_dir) as store:
        assert not store.is_deleted()
        store.require_journal().close()  # as with a disk that fails: nothing can be asked of it
        with pytest.raises(StoreError, match="cannot be looked at"):
            store.is_deleted()


@pytest.mark.rule("R33")
def test_a_record_is_written_read_found_and_retired(state_dir: Path) -> None:
    with opened(state_dir) as store:
        store.write(record())
        assert store.records.names() == ["net-c1-eth0"]
        assert store.records.read("net-c1-eth0") is not None
        assert [r.name for r in store.records.find(AttachmentId("c1")).records] == ["net-c1-eth0"]
        store.write(evolve(record(), netns="/run/netns/x"))
        read = store.records.read("net-c1-eth0")
        assert read is not None
        assert read.netns == "/run/netns/x"
        store.retire(record())
        store.retire(record())
        assert store.records.read("net-c1-eth0") is None
        assert store.records.find(AttachmentId("c1")).records == ()


def test_of_names_that_end_alike_only_the_attachment_s_own_is_found(state_dir: Path) -> None:
    with opened(state_dir) as store:
        store.write(record("x-c1"))
        assert store.records.find(AttachmentId("c1")).records == ()
        store.write(record())
        assert [r.container_id for r in store.records.find(AttachmentId("c1")).records] == ["c1"]
        holding = store.records.holding(IfName("eth0"), NetnsIdentity("id", "1"))
        assert [found.container_id for found in holding] == ["c1", "x-c1"]


def test_a_record_that_cannot_be_looked_at_is_not_forgotten(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is owed would be settled by a disk that fails once."""
    stat_of = os.stat

    def failing(path: Any, **options: Any) -> os.stat_result:
        if path == "net-c1-eth0":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return stat_of(path, **options)

    with opened(state_dir) as store:
        store.write(record())
        assert len(store.records.find(AttachmentId("c1")).records) == 1
        store.write(evolve(record(), netns="/run/netns/x"))
        with monkeypatch.context() as patched:
            patched.setattr(os, "stat", failing)
            (found,) = store.records.find(AttachmentId("c1")).records
        assert found.netns == "/run/netns/x"
        store.retire(record())
        assert store.records.find(AttachmentId("c1")).records == ()


def test_a_bad_file_is_found_and_kept_aside_when_it_is_retired(state_dir: Path) -> None:
    with opened(state_dir) as store:
        for number in range(2):
            (state_dir / "results" / "net-c1-eth0").write_text(f"bad {number}")
            assert store.records.find(AttachmentId("c1")).unreadable == ("net-c1-eth0",)
            store.write_aside(record())
            assert [r.name for r in store.records.find(AttachmentId("c1")).aside] == ["net-c1-eth0"]
            store.retire_aside(record())
            found = store.records.find(AttachmentId("c1"))
            assert (found.records, found.aside, found.unreadable) == ((), (), ())
    kept = (state_dir / "acni" / "quarantine").iterdir()
    assert sorted(path.read_text() for path in kept) == ["bad 0", "bad 1"]


def test_a_directory_that_others_may_write_to_is_refused(state_dir: Path) -> None:
    state_dir.mkdir()
    for mode in (0o777, 0o1777, 0o770):
        state_dir.chmod(mode)
        with (
            pytest.raises(StoreError, match="others may write"),
            opened(state_dir),
        ):
            pass


def test_a_newer_format_is_refused_by_name(state_dir: Path) -> None:
    with opened(state_dir):
        pass
    (state_dir / "acni" / "FORMAT").write_text("2\n")
    with (
        pytest.raises(StoreError, match="format '2'; this acni reads 1"),
        opened(state_dir),
    ):
        pass


@pytest.mark.parametrize("obstacle", ["file", "link", "loop"])
def test_what_stands_in_the_way_is_not_followed(
    obstacle: str, state_dir: Path, tmp_path: Path
) -> None:
    state_dir.mkdir(mode=0o700)
    (tmp_path / "elsewhere").mkdir()
    if obstacle == "file":
        (state_dir / "results").touch()
    else:
        target = tmp_path / "elsewhere" if obstacle == "link" else state_dir / "results"
        (state_dir / "results").symlink_to(target)
    with pytest.raises(StoreError), opened(state_dir):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("obstacle", ["link", "fifo", "directory", "large"])
def test_a_hostile_file_in_results_is_neither_followed_nor_waited_for(
    obstacle: str, state_dir: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with opened(state_dir) as store:
        path = state_dir / "results" / "net-c1-eth0"
        match obstacle:
            case "link":
                path.symlink_to(victim)
            case "fifo":
                os.mkfifo(path)
            case "directory":
                path.mkdir()
            case _:
                with path.open("wb") as file:
                    file.truncate(1 << 30)
        with pytest.raises(StoreError, match="net-c1-eth0"):
            store.records.read("net-c1-eth0")
        assert list(store.records.holding(IfName("eth0"), NetnsIdentity("id", "1"))) == []
    assert victim.read_text() == "precious"


def test_a_write_replaces_a_link_and_leaves_its_target(state_dir: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with opened(state_dir) as store:
        (state_dir / "results" / "net-c1-eth0").symlink_to(victim)
        store.write(record())
        assert store.records.read("net-c1-eth0") is not None
    assert victim.read_text() == "precious"


def test_a_failed_write_leaves_what_was_there_and_nothing_else(state_dir: Path) -> None:
    with opened(state_dir) as store:
        path = state_dir / "results" / "net-c1-eth0"
        path.mkdir()
        with pytest.raises(StoreError, match="cannot be written"):
            store.write(record())
    # One file to be written again.
    assert len(list((state_dir / "acni" / "spare" / "000").iterdir())) == 1
    assert path.is_dir()


PROGRAM = """
import sys
from acni.host.host import this_host
from acni.spec.configuration import parse_network
from acni.store.record import Record
from acni.store.state import Store, open_store

network = parse_network(b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"first"}]}')
with open_store(sys.argv[1], this_host()) as store:
    store.write(
        Record(
            container_id="c1",
            ifname="eth0",
            network=network,
            netns="",
            cni_args={},
            capability_texts={},
            result=None,
            provenance=None,
        )
    )
"""


@pytest.mark.rule("R33")
def test_a_file_is_synced_before_its_name_and_the_directory_after_it(
    state_dir: Path, tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("cannot run here: strace is not installed")
    trace = tmp_path / "trace"
    calls = "trace=pwrite64,fsync,fdatasync,rename,renameat,renameat2"
    command = ["strace", "-f", "-y", "-o", str(trace), "-e", calls]
    program = [sys.executable, "-c", PROGRAM, str(state_dir)]
    subprocess.run([*command, *program], check=True, timeout=200)
    lines = [line for line in trace.read_text().splitlines() if "(" in line][-4:]
    seen = [line.split(maxsplit=1)[1].partition("(")[0] for line in lines]
    assert seen == ["pwrite64", "fsync", "renameat", "fsync"]
    file, directory = (line for line in lines if "fsync" in line)
    assert "acni/spare/000/" in file
    assert directory.split("<")[1].startswith(str(state_dir / "results"))


def test_threads_that_list_at_once_all_see_every_name(state_dir: Path) -> None:
    """They share one open directory: its position must not be shared too."""
    with opened(state_dir) as store:
        for number in range(8):
            store.write(record(f"c{number}"))
        with ThreadPoolExecutor(8) as threads:
            listings = threads.map(lambda _: len(store.records.names()), range(2000))
            assert set(listings) == {8}


def test_a_write_that_was_left_behind_never_comes_up_after_a_removal(state_dir: Path) -> None:
    """Many times, because the race is between a thread's fsync and us."""
    with opened(state_dir) as store, ThreadPoolExecutor(1) as thread:
        for _ in range(50):
            writing = thread.submit(store.write, record())
            store.retire(record())
            done = writing.exception()
            store.retire(record())
            assert done is None or isinstance(done, StoreError)
            assert store.records.names() == []


def test_of_two_writes_of_a_name_one_stays_and_the_other_is_told(state_dir: Path) -> None:
    with opened(state_dir) as store, ThreadPoolExecutor(2) as threads:
        for number in range(50):
            writes = [evolve(record(), netns=f"/{number}/{which}") for which in range(2)]
            written = [threads.submit(store.write, write) for write in writes]
            failures = [write.exception() for write in written]
            assert failures.count(None) >= 1
            assert all(isinstance(f, StoreError) for f in failures if f is not None)
            read = store.records.read(record().name)
            stays = {w.netns for w, failure in zip(writes, failures, strict=True) if not failure}
            assert read is not None
            assert read.netns in stays


def test_a_directory_that_is_left_by_an_error_waits_for_its_threads_too(state_dir: Path) -> None:
    with ThreadPoolExecutor(1) as thread:
        begun, may_end = threading.Event(), threading.Event()

        def work(store: Store) -> list[str]:
            with store.busy():
                begun.set()
                may_end.wait(10)
                return store.records.names()

        def leave_by_an_error() -> Future[list[str]]:
            with contextlib.suppress(ValueError), opened(state_dir) as store:
                store.write(record())
                working = thread.submit(work, store)
                begun.wait(10)
                threading.Timer(0.1, may_end.set).start()
                raise ValueError(working)
            return working

        assert leave_by_an_error().result() == ["net-c1-eth0"]


def test_once_left_a_child_with_copies_of_its_descriptors_keeps_nobody_out(
    state_dir: Path,
) -> None:
    """Of one that a library forked: no handler of the interpreter closed them."""
    slot = state_dir / "acni/journal/000"
    copies: list[int] = []
    try:
        with opened(state_dir):
            numbers = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
            copies += (os.dup(fd) for fd in numbers if _leads_to(fd, slot))
        assert copies
        with opened(state_dir):
            pass
    finally:
        for fd in copies:
            os.close(fd)


def _leads_to(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False


def test_directories_above_it_are_made_for_their_owner_only(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        with open_store(tmp_path / "a" / "b" / "state", this_host()):
            pass
    finally:
        os.umask(previous)
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_looking_makes_nothing(tmp_path: Path) -> None:
    records = Records.look(str(tmp_path / "nowhere"))
    assert records.names() == []
    assert records.read("x") is None
    assert list(tmp_path.iterdir()) == []
    records.close()
