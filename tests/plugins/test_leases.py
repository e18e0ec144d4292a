"""Leases in a directory whose lock is held."""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from acni.plugins.leaselock import locked_directory
from acni.plugins.leases import Leases, Owner, addresses_in
from acni.plugins.ranges import Address
from acni.skel import Bounds, Stopped

OWNER = Owner("c1", "eth0")
OTHER = Owner("c2", "eth0")


def addresses(*texts: str) -> list[Address]:
    return [ip_address(text) for text in texts]


@pytest.fixture
def leases(tmp_path: Path) -> Iterator[Leases]:
    limits = Bounds(time.monotonic() + 20)
    with locked_directory(str(tmp_path), bounds=limits) as fd:
        yield Leases(fd, limits)


def take(leases: Leases, owner: Owner, *texts: str) -> list[Address | None]:
    """Take an address of each of some texts; write the first one down as the last."""
    held = leases.held_by(owner)
    with leases.taking(owner) as taking:
        taken = [taking(addresses(text)) for text in texts]
    leases.remember(0, ip_address(texts[0]), are_all_ours=held.are_all_ours)
    return taken


def files(directory: Path) -> dict[str, bytes]:
    """Read what is a lease or an owner."""
    return {
        path.name: path.read_bytes()
        for path in directory.iterdir()
        if path.name != "lock" and not path.name.startswith("last_")
    }


def test_a_lease_says_whose_it_is_as_the_reference_writes_it(
    tmp_path: Path, leases: Leases
) -> None:
    take(leases, OWNER, "10.1.2.3", "fd00:0:0::9")
    assert (tmp_path / "10.1.2.3").read_bytes() == b"c1\r\neth0"
    assert (tmp_path / "fd00::9").read_bytes() == b"c1\r\neth0"
    assert (tmp_path / "last_reserved_ip.0").read_bytes() == b"10.1.2.3"
    assert (tmp_path / "10.1.2.3").stat().st_mode & 0o777 == 0o600


def test_a_taken_address_is_passed_over(tmp_path: Path, leases: Leases) -> None:
    (tmp_path / "10.1.2.2").write_bytes(b"somebody")
    with leases.taking(OWNER) as taking:
        assert taking(addresses("10.1.2.2", "10.1.2.3")) == ip_address("10.1.2.3")
        assert taking(addresses("10.1.2.2")) is None
    assert (tmp_path / "10.1.2.2").read_bytes() == b"somebody"


def test_an_empty_reservation_is_free(tmp_path: Path, leases: Leases) -> None:
    (tmp_path / "10.1.2.2").touch()
    assert take(leases, OWNER, "10.1.2.2") == addresses("10.1.2.2")
    assert (tmp_path / "10.1.2.2").read_bytes() == b"c1\r\neth0"


def test_what_fails_takes_nothing(tmp_path: Path, leases: Leases) -> None:
    def fail() -> None:
        with leases.taking(OWNER) as taking:
            taking(addresses("10.1.2.2"))
            taking(addresses("10.1.2.3"))
            raise Stopped

    with pytest.raises(Stopped):
        fail()
    assert files(tmp_path) == {}


def test_what_fails_leaves_what_was_there(tmp_path: Path, leases: Leases) -> None:
    take(leases, OWNER, "10.1.2.2")
    before = files(tmp_path)

    def fail() -> None:
        with leases.taking(OWNER) as taking:
            taking(addresses("10.1.2.3"))
            raise Stopped

    with pytest.raises(Stopped):
        fail()
    assert files(tmp_path) == before


def test_who_is_out_of_time_stops_between_two_addresses(tmp_path: Path) -> None:
    limits = Bounds(time.monotonic() + 20)

    def endless() -> Iterator[Address]:
        yield ip_address("10.1.2.2")
        limits.stop()
        yield ip_address("10.1.2.3")
        pytest.fail("it went on")

    def fail() -> None:
        with locked_directory(str(tmp_path), bounds=limits) as fd:
            (tmp_path / "10.1.2.2").write_bytes(b"somebody")
            with Leases(fd, limits).taking(OWNER) as taking:
                taking(endless())

    with pytest.raises(Stopped):
        fail()
    assert files(tmp_path) == {"10.1.2.2": b"somebody"}


# Whose they are.


def test_where_all_are_ours_none_is_read_to_know_that_an_owner_has_nothing(
    tmp_path: Path, leases: Leases
) -> None:
    take(leases, OTHER, "10.1.2.2")
    (tmp_path / "10.1.2.9").write_bytes(OWNER.content)  # nobody wrote it down
    assert leases.held_by(OWNER).addresses == ()
    assert list(leases.held_by(OTHER).addresses) == addresses("10.1.2.2")


def test_where_the_reference_gave_one_all_are_read_until_it_is_gone(
    tmp_path: Path, leases: Leases
) -> None:
    take(leases, OTHER, "10.1.2.2")
    (tmp_path / "10.1.2.9").write_bytes(OWNER.content)
    (tmp_path / "last_reserved_ip.0").write_bytes(b"10.1.2.9")
    held = leases.held_by(OWNER)
    assert (list(held.addresses), held.are_all_ours) == (addresses("10.1.2.9"), False)
    take(leases, Owner("c3", "eth0"), "10.1.2.3")
    assert not leases.held_by(OWNER).are_all_ours
    leases.release(OWNER, [])
    take(leases, Owner("c4", "eth0"), "10.1.2.4")
    (tmp_path / "10.1.2.9").write_bytes(OWNER.content)
    assert leases.held_by(OWNER).addresses == ()  # not read


def test_a_lease_of_an_older_reference_names_the_container_alone(
    tmp_path: Path, leases: Leases
) -> None:
    (tmp_path / "10.1.2.2").write_bytes(b"c1\n")
    assert leases.is_of(ip_address("10.1.2.2"), OWNER)
    assert list(leases.held_by(OWNER).addresses) == addresses("10.1.2.2")
    leases.release(OWNER, [])
    assert files(tmp_path) == {}


def test_an_older_lease_stays_where_the_owner_has_a_newer_one(
    tmp_path: Path, leases: Leases
) -> None:
    (tmp_path / "10.1.2.2").write_bytes(b"c1")
    (tmp_path / "10.1.2.3").write_bytes(OWNER.content)
    leases.release(OWNER, [])
    assert files(tmp_path) == {"10.1.2.2": b"c1"}


# Releasing.


def test_what_is_named_is_released_after_a_look_at_whose_it_is(
    tmp_path: Path, leases: Leases
) -> None:
    take(leases, OWNER, "10.1.2.2")
    take(leases, OTHER, "10.1.2.3")
    leases.release(OWNER, addresses("10.1.2.2", "10.1.2.3", "10.1.2.4"))
    assert set(files(tmp_path)) == {"10.1.2.3", OTHER.file}


def test_what_nobody_named_is_released_too(tmp_path: Path, leases: Leases) -> None:
    take(leases, OWNER, "10.1.2.2", "fd00::2")
    take(leases, OTHER, "10.1.2.3")
    leases.release(OWNER, addresses("10.1.2.2"))
    assert set(files(tmp_path)) == {"10.1.2.3", OTHER.file}
    leases.release(OTHER, [])
    leases.release(OTHER, [])
    assert files(tmp_path) == {}


def test_the_references_lease_is_released_whoever_gave_the_last_one(
    tmp_path: Path, leases: Leases
) -> None:
    (tmp_path / "10.1.2.9").write_bytes(OWNER.content)
    (tmp_path / "last_reserved_ip.0").write_bytes(b"10.1.2.9")
    take(leases, OWNER, "10.1.2.2")
    leases.release(OWNER, addresses("10.1.2.2"))
    assert files(tmp_path) == {}


def test_what_a_killed_reference_did_not_write_down_is_released(
    tmp_path: Path, leases: Leases
) -> None:
    take(leases, OTHER, "10.1.2.2")
    (tmp_path / OWNER.file).write_bytes(OWNER.content)  # of ours, killed as well
    (tmp_path / "10.1.2.9").write_bytes(OWNER.content)
    leases.release(OWNER, [])
    assert set(files(tmp_path)) == {"10.1.2.2", OTHER.file}


def test_the_owner_of_a_killed_add_is_no_obstacle(tmp_path: Path, leases: Leases) -> None:
    (tmp_path / OWNER.file).touch()
    assert take(leases, OWNER, "10.1.2.2") == addresses("10.1.2.2")
    assert files(tmp_path)[OWNER.file] == OWNER.content


def test_a_lease_that_cannot_be_read_is_not_thought_to_be_gone(
    tmp_path: Path, leases: Leases
) -> None:
    take(leases, OWNER, "10.1.2.2")
    lowest_free = os.open("/", os.O_RDONLY)
    os.close(lowest_free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            leases.release(OWNER, addresses("10.1.2.2"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (tmp_path / "10.1.2.2").exists()


# Garbage.


@pytest.mark.rule("P6")
def test_only_the_leases_of_these_owners_are_kept(tmp_path: Path, leases: Leases) -> None:
    take(leases, OWNER, "10.1.2.2", "fd00::2")
    take(leases, OTHER, "10.1.2.3")
    (tmp_path / "10.1.2.4").write_bytes(b"c3\r\neth0")
    (tmp_path / "10.1.2.5").write_bytes(b"c4")
    (tmp_path / "10.1.2.6").touch()
    (tmp_path / "10.1.2.7").write_bytes(b"c1")
    (tmp_path / Owner("c9", "eth0").file).touch()
    assert leases.keep_only([OWNER]) == []
    assert set(files(tmp_path)) == {"10.1.2.2", "fd00::2", "10.1.2.7", OWNER.file}
    assert (tmp_path / "last_reserved_ip.0").exists()


@pytest.mark.rule("P6")
def test_what_is_no_lease_stays(tmp_path: Path, leases: Leases) -> None:
    (tmp_path / "notes").write_bytes(b"c3\r\neth0")
    (tmp_path / "10.1.2.2").write_bytes(b"what is this?")
    (tmp_path / "10.1.2.3").mkdir()
    (tmp_path / "10.1.2.4").symlink_to("notes")
    (tmp_path / "10.1.2.5").write_bytes(b"c" * 5000)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert leases.keep_only([]) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == before


# What else may stand there.


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(os.mkfifo, id="FIFO"),
        pytest.param(Path.mkdir, id="directory"),
        pytest.param(lambda path: path.symlink_to("/etc/passwd"), id="link"),
        pytest.param(lambda path: path.symlink_to(path), id="loop"),
        pytest.param(lambda path: path.write_bytes(b"c1\r\neth0" + b"x" * 8192), id="huge"),
        pytest.param(lambda path: path.write_bytes(b"\xff\0\r\n" * 10), id="bytes"),
    ],
)
def test_what_is_no_lease_is_a_taken_address_of_nobody(
    tmp_path: Path, leases: Leases, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "10.1.2.2")
    before = (tmp_path / "10.1.2.2").lstat()
    with leases.taking(OWNER) as taking:
        assert taking(addresses("10.1.2.2")) is None
        assert taking(addresses("10.1.2.3")) is not None
    assert not leases.is_of(ip_address("10.1.2.2"), OWNER)
    leases.release(OWNER, addresses("10.1.2.2", "10.1.2.3"))
    leases.release(OWNER, [])
    assert os.path.samestat((tmp_path / "10.1.2.2").lstat(), before)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(os.mkfifo, id="FIFO"),
        pytest.param(lambda path: path.symlink_to("victim"), id="link"),
        pytest.param(lambda path: path.hardlink_to(path.with_name("victim")), id="hard_link"),
    ],
)
def test_what_stands_for_the_last_address_gives_way(
    tmp_path: Path, leases: Leases, make: Callable[[Path], object]
) -> None:
    (tmp_path / "victim").write_bytes(b"untouched, and longer than an address")
    make(tmp_path / "last_reserved_ip.0")
    assert leases.last_given(0) is None
    leases.remember(0, ip_address("10.1.2.3"), are_all_ours=True)
    assert leases.last_given(0) == ip_address("10.1.2.3")
    assert (tmp_path / "victim").read_bytes() == b"untouched, and longer than an address"


def test_a_directory_for_the_last_address_is_an_error(tmp_path: Path, leases: Leases) -> None:
    (tmp_path / "last_reserved_ip.0").mkdir()
    assert leases.last_given(0) is None
    with pytest.raises(OSError, match="directory") as caught:
        leases.remember(0, ip_address("10.1.2.3"), are_all_ours=True)
    assert caught.value.errno == errno.EISDIR


@pytest.mark.parametrize("content", [b"", b"10.1.2", b"\xff", b"10.1.2.3\n", b"x" * 100])
def test_a_last_address_that_is_none_only_begins_anew(
    tmp_path: Path, leases: Leases, content: bytes
) -> None:
    (tmp_path / "last_reserved_ip.0").write_bytes(content)
    assert leases.last_given(0) is None


def test_a_shorter_last_address_takes_the_place_of_a_longer_one(leases: Leases) -> None:
    for text in ("10.100.200.250", "10.1.2.3"):
        leases.remember(1, ip_address(text), are_all_ours=False)
        assert leases.last_given(1) == ip_address(text)


def test_taken_addresses_are_listed_without_the_lock(tmp_path: Path, leases: Leases) -> None:
    take(leases, OWNER, "10.1.2.2", "fd00::2")
    bounds = Bounds(time.monotonic() + 60)
    assert sorted(map(str, addresses_in(str(tmp_path), bounds))) == ["10.1.2.2", "fd00::2"]
    assert list(addresses_in(str(tmp_path / "absent"), bounds)) == []
