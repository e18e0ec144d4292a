"""host-local: what it gives, keeps and refuses, and what is left of it."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from acni.host.libc import mount, unmount
from acni.plugins import host_local
from acni.skel import Bounds, Stopped
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from tests.mutation import CHECKOUT
from tests.plugins.answering import Node, ask_ours, ask_reference, make_request, valid

SMALL = {"subnet": "10.1.2.0/29"}
DUAL = {"ranges": [[SMALL], [{"subnet": "fd00:88::/64"}]]}
FULL = {"subnet": "10.1.2.0/30"}
REMAINING = ["last_reserved_ip.0", "last_reserved_ip.1", "lock"]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "data")


def test_an_attachment_gets_an_address_of_each_range_set_and_no_word_of_interfaces(
    node: Node,
) -> None:
    answer = node.run("ADD", {**DUAL, "routes": [{"dst": "0.0.0.0/0"}]})
    assert answer.printed == {
        "cniVersion": "1.0.0",
        "ips": [
            {"address": "10.1.2.2/29", "gateway": "10.1.2.1"},
            {"address": "fd00:88::2/64", "gateway": "fd00:88::1"},
        ],
        "routes": [{"dst": "0.0.0.0/0"}],
    }


def test_directories_are_for_all_and_files_for_the_owner(node: Node) -> None:
    mask = os.umask(0o022)
    try:
        node.run("ADD", DUAL)
    finally:
        os.umask(mask)
    for path in (node.data_dir, node.directory):
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
    for path in node.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("previous", [True, False], ids=["with_result", "without"])
def test_nothing_is_left_of_an_attachment_that_is_deleted(node: Node, previous: bool) -> None:
    node.run("ADD", DUAL)
    for _ in range(2):
        assert node.run("DEL", DUAL, previous=previous).status == 0
        assert node.names() == REMAINING


def test_deleting_what_was_never_added_makes_nothing(node: Node) -> None:
    assert node.run("DEL", DUAL).status == 0
    assert not node.data_dir.exists()


def test_paths_are_relative_to_the_root_as_plugins_run_there(node: Node, tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    relative = Path("/")
    ipam = {
        **SMALL,
        "dataDir": str(node.data_dir.relative_to(relative)),
        "resolvConf": str((tmp_path / "resolv.conf").relative_to(relative)),
    }
    assert node.run("ADD", ipam).printed["dns"] == {"nameservers": ["192.0.2.1"]}
    assert node.addresses() == ["10.1.2.2"]


@pytest.mark.parametrize("command", ["ADD", "DEL"])
@pytest.mark.parametrize("key", ["dataDir", "resolvConf"])
@pytest.mark.parametrize("path", ["/a\0b", "/\ud800"], ids=["nul", "surrogate"])
def test_a_path_that_no_file_has_is_a_word_of_the_configuration(
    node: Node, command: str, key: str, path: str
) -> None:
    answer = node.run(command, {**SMALL, key: path})
    if (command, key) == ("DEL", "resolvConf"):
        assert answer.status == 0
        return
    assert answer.printed["code"] == 7
    assert answer.printed["msg"].endswith(f"at $.ipam.{key}")
    assert node.names() == [] if node.directory.exists() else True


def test_an_owner_whose_lease_could_not_be_read_again_gets_none(node: Node) -> None:
    answer = node.run("ADD", SMALL, container_id="c" * 5000)
    assert answer.printed["code"] == 4
    assert not node.data_dir.exists()


# A full pool.


def test_a_full_pool_says_so_in_a_word_and_leaves_nothing(node: Node) -> None:
    ipam = {"ranges": [[{"subnet": "10.1.3.0/24"}], [FULL]]}
    node.run("ADD", ipam)
    before = node.names(), node.addresses()
    answer = node.run("ADD", ipam, container_id="c2")
    assert (answer.status, answer.printed["code"]) == (1, host_local.EXHAUSTED)
    assert answer.printed["reason"] == "addresses-exhausted"
    assert (node.names(), node.addresses()) == before


def test_a_pool_full_of_empty_reservations_is_not_full(node: Node) -> None:
    node.directory.mkdir(parents=True)
    (node.directory / "10.1.2.2").touch()
    assert node.run("ADD", FULL).addresses == ["10.1.2.2"]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(os.mkfifo, id="FIFO"),
        pytest.param(Path.mkdir, id="directory"),
        pytest.param(lambda path: path.symlink_to("/etc/passwd"), id="link"),
        pytest.param(lambda path: path.write_bytes(b"x" * 100_000), id="huge"),
    ],
)
def test_what_somebody_put_in_the_place_of_a_lease_stops_nothing(
    node: Node, make: Callable[[Path], object]
) -> None:
    node.directory.mkdir(parents=True)
    make(node.directory / "10.1.2.2")
    before = (node.directory / "10.1.2.2").lstat()
    assert node.run("ADD", SMALL).addresses == ["10.1.2.3"]
    assert node.run("CHECK", SMALL, previous=True).status == 0
    assert node.run("DEL", SMALL).status == 0
    assert node.run("GC", SMALL, version="1.1.0", others=valid()).status == 0
    assert os.path.samestat((node.directory / "10.1.2.2").lstat(), before)
    assert node.names() == ["10.1.2.2", "last_reserved_ip.0", "lock"]


@pytest.mark.parametrize("verb", ["ADD", "DEL", "CHECK", "GC"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["FIFO", "directory"])
def test_what_somebody_put_in_the_place_of_the_lock_is_a_typed_error(
    node: Node, make: Callable[[Path], object], verb: str
) -> None:
    node.directory.mkdir(parents=True)
    make(node.directory / "lock")
    answer = node.run(verb, SMALL, version="1.1.0", others=valid() if verb == "GC" else {})
    assert (answer.printed["code"], answer.printed["reason"]) == (5, "data-dir-occupied")
    assert "lock" in answer.printed["msg"]
    assert str(node.directory / "lock") in answer.printed["details"]


@pytest.mark.parametrize("verb", ["ADD", "DEL", "CHECK", "STATUS"])
def test_a_file_in_the_place_of_the_directory_is_a_typed_error(node: Node, verb: str) -> None:
    node.data_dir.mkdir()
    node.directory.touch()
    answer = node.run(verb, SMALL, version="1.1.0")
    assert answer.status == 1
    assert answer.printed["code"] == (50 if verb == "STATUS" else 5)
    assert answer.printed["reason"] == "data-dir-occupied"
    assert str(node.directory) in answer.printed["details"]


def test_who_may_wait_no_longer_for_the_lock_has_taken_nothing(node: Node) -> None:
    node.run("ADD", SMALL)
    before = node.names()
    with (node.directory / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        configuration = {
            "cniVersion": "1.0.0",
            "name": "net",
            "ipam": {**SMALL, "dataDir": str(node.data_dir)},
        }
        request = make_request("ADD", configuration, container_id="c2")
        with pytest.raises(Stopped):
            respond(
                host_local.VERBS,
                request,
                bounds=Bounds(time.monotonic() + 0.02),
                delegates=Delegates(),
            )
    assert node.names() == before


# A disk that takes no more.


@contextmanager
def tmpfs(path: Path, options: str) -> Iterator[None]:
    """A file system of its own."""
    path.mkdir()
    mount("none", str(path), "tmpfs", options=options)
    try:
        yield
    finally:
        unmount(str(path))


@pytest.mark.netns
@pytest.mark.parametrize("pages", range(4))
def test_a_full_disk_is_a_typed_error_and_leaves_no_lease(node: Node, pages: int) -> None:
    """A file takes a page: the owner's and that of the last address of each range set."""
    with tmpfs(node.data_dir, f"size={(pages + 4) * 4096}"):
        (node.data_dir / "filler").write_bytes(b"x" * 4 * 4096)
        answer = node.run("ADD", DUAL)
        if pages == 3:
            assert answer.status == 0
        else:
            assert (answer.printed["code"], answer.printed["reason"]) == (5, "data-dir-full")
            assert set(node.names()) <= set(REMAINING)
        assert node.run("DEL", DUAL, previous=True).status == 0
        assert node.addresses() == []


@pytest.mark.netns
@pytest.mark.parametrize("inodes", range(2, 7))
def test_a_disk_without_inodes_is_a_typed_error_and_leaves_no_lease(
    node: Node, inodes: int
) -> None:
    with tmpfs(node.data_dir, f"size=1m,nr_inodes={inodes}"):
        answer = node.run("ADD", DUAL)
        assert answer.printed["code"] == 5
        assert set(node.names()) <= set(REMAINING)
        assert node.run("DEL", DUAL).printed.get("code") in (None, 5)


@pytest.mark.netns
def test_a_disk_that_is_read_only_is_a_typed_error(node: Node) -> None:
    with tmpfs(node.data_dir, "size=1m"):
        node.run("ADD", DUAL)
        remount = ["mount", "-o", "remount,ro", str(node.data_dir)]
        subprocess.run(remount, check=True, timeout=200)
        assert node.run("CHECK", DUAL, previous=True).status == 0
        for verb in ("ADD", "DEL"):
            answer = node.run(verb, DUAL, container_id="c2")
            assert (answer.printed["code"], answer.printed["reason"]) == (
                5,
                "data-dir-not-writable",
            )
            assert str(node.directory) in answer.printed["details"]
        answer = node.run("STATUS", DUAL, version="1.1.0")
        assert (answer.printed["code"], answer.printed["reason"]) == (50, "data-dir-not-writable")


# CHECK.


@pytest.mark.rule("P4")
def test_check_misses_an_address_that_is_gone_or_anothers(node: Node) -> None:
    node.run("ADD", DUAL)
    assert node.run("CHECK", DUAL, previous=True).status == 0
    lease = node.directory / "fd00:88::2"
    lease.unlink()
    answer = node.run("CHECK", DUAL, previous=True)
    assert answer.printed["code"] == host_local.LEASE_MISSING
    assert answer.printed["reason"] == "lease-missing"
    lease.write_bytes(b"c2\r\neth0")
    assert node.run("CHECK", DUAL, previous=True).printed["code"] == host_local.LEASE_MISSING


@pytest.mark.rule("P4")
def test_check_allows_for_a_result_that_others_have_changed(node: Node) -> None:
    node.run("ADD", DUAL)
    node.last["c1"] = {"cniVersion": "1.0.0", "ips": [{"address": "192.0.2.7/24"}]}
    assert node.run("CHECK", DUAL, previous=True).status == 0
    assert node.run("DEL", DUAL, previous=True).status == 0
    assert node.addresses() == []


# GC.


@pytest.mark.rule("P6")
def test_gc_frees_what_is_of_no_valid_attachment_whoever_gave_it(node: Node) -> None:
    theirs = Node(node.data_dir, ask=ask_reference)
    for name, by in (("c1", node), ("c2", theirs), ("c3", node), ("c4", theirs)):
        by.run("ADD", DUAL, container_id=name)
    answer = node.run("GC", DUAL, version="1.1.0", others=valid("c1", "c2"))
    assert (answer.status, answer.printed) == (0, {})
    assert node.addresses() == ["10.1.2.2", "10.1.2.3", "fd00:88::2", "fd00:88::3"]
    node.run("GC", DUAL, version="1.1.0", others=valid())
    assert node.names() == REMAINING


@pytest.mark.rule("P6")
def test_gc_where_nothing_was_ever_given_makes_nothing(node: Node) -> None:
    assert node.run("GC", DUAL, version="1.1.0", others=valid()).status == 0
    assert not node.data_dir.exists()


@pytest.mark.rule("P6")
def test_gc_that_does_not_say_what_is_valid_frees_nothing(node: Node) -> None:
    node.run("ADD", DUAL)
    node.run("GC", DUAL, version="1.1.0")
    assert node.addresses() == ["10.1.2.2", "fd00:88::2"]


# STATUS.


@pytest.mark.rule("P5")
def test_status_is_ready_before_the_first_add_and_makes_nothing(node: Node) -> None:
    assert node.run("STATUS", DUAL, version="1.1.0").status == 0
    assert not node.data_dir.exists()


@pytest.mark.rule("P5")
def test_status_says_that_a_pool_is_full(node: Node) -> None:
    node.run("ADD", FULL)
    answer = node.run("STATUS", FULL, version="1.1.0")
    assert (answer.printed["code"], answer.printed["reason"]) == (50, "addresses-exhausted")
    node.run("DEL", FULL)
    assert node.run("STATUS", FULL, version="1.1.0").status == 0


@pytest.mark.rule("P5")
def test_status_counts_no_gateway_as_given(node: Node) -> None:
    node.directory.mkdir(parents=True)
    (node.directory / "10.1.2.1").touch()
    assert node.run("STATUS", FULL, version="1.1.0").status == 0


@pytest.mark.rule("P5")
def test_status_waits_for_no_lock(node: Node) -> None:
    node.run("ADD", SMALL)
    with (node.directory / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert node.run("STATUS", SMALL, version="1.1.0").status == 0


@define(eq=False)
class Impatient(Bounds):
    """Bounds that are over when they were asked so often."""

    number: int = 0
    asked: int = field(default=0, init=False)

    def check(self) -> None:
        self.asked += 1
        if self.asked == self.number:
            self.stop()
        super().check()


@pytest.mark.rule("P5")
def test_status_asks_before_each_lease_whether_it_may_go_on(node: Node) -> None:
    """Once as it is read and once for each range set, of which there may be thousands."""
    for name in ("c1", "c2", "c3"):
        node.run("ADD", DUAL, container_id=name)
    files = len(node.names())

    def status(number: int) -> int:
        bounds = Impatient(time.monotonic() + 60, number=number)
        ipam = {**DUAL, "dataDir": str(node.data_dir)}
        request = make_request("STATUS", {"cniVersion": "1.1.0", "name": "net", "ipam": ipam})
        response = respond(host_local.VERBS, request, bounds=bounds, delegates=Delegates())
        assert response.status == 0
        return bounds.asked

    asked = status(0)
    assert asked == files + 2 * 6
    for number in range(1, asked + 1):
        with pytest.raises(Stopped):
            status(number)


@pytest.mark.rule("P5")
def test_status_of_thousands_of_ranges_and_leases_is_an_answer(node: Node) -> None:
    """Each range looked at for each lease, it would take minutes."""
    node.directory.mkdir(parents=True)
    for number in range(4000):
        (node.directory / f"10.1.{number >> 8}.{number & 255}").touch()
    ranges = [
        {"subnet": "10.0.0.0/8", "rangeStart": address, "rangeEnd": address}
        for address in (f"10.{n >> 8}.{n & 255}.9" for n in range(4000))
    ]
    assert node.run("STATUS", {"ranges": [ranges]}, version="1.1.0").status == 0


@pytest.mark.rule("P5")
def test_status_says_that_leases_cannot_be_written(node: Node) -> None:
    answer = Node(Path("/proc/sys/none")).run("STATUS", SMALL, version="1.1.0")
    assert (answer.printed["code"], answer.printed["reason"]) == (50, "data-dir-not-writable")
    node.data_dir.touch()
    answer = node.run("STATUS", SMALL, version="1.1.0")
    assert answer.printed["code"] == 50


# Where it is killed.


Kill = Callable[[Path, str], list[Node]]


@pytest.fixture(scope="module")
def kill() -> Kill:
    """Kill a verb at each of its system calls; return the nodes, as it leaves them."""

    def run(directory: Path, verb: str) -> list[Node]:
        script = [sys.executable, "-m", "tests.plugins.killing"]
        printed = subprocess.run(
            [*script, str(directory), verb, json.dumps(DUAL)],
            cwd=CHECKOUT,
            capture_output=True,
            check=True,
            timeout=200,
        ).stdout
        nodes = [Node(directory / str(number)) for number in range(int(printed))]
        for node in nodes:
            node.last["c1"] = {
                "cniVersion": "1.0.0",
                "ips": [{"address": "10.1.2.2/29"}, {"address": "fd00:88::2/64"}],
            }
        return nodes

    return run


def _states(nodes: Sequence[Node]) -> set[tuple[str, ...]]:
    return {tuple(node.addresses()) for node in nodes}


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
@pytest.mark.parametrize("undone_by", ["DEL", "DEL with a result", "GC", "the reference's DEL"])
def test_of_what_is_killed_nothing_is_left_but_what_del_and_gc_remove(
    tmp_path: Path, kill: Kill, verb: str, undone_by: str
) -> None:
    nodes = kill(tmp_path, verb)
    assert _states(nodes) == {(), ("10.1.2.2",), ("10.1.2.2", "fd00:88::2")} - (
        set() if verb == "ADD" else {("10.1.2.2",)}
    ) | ({("fd00:88::2",)} if verb == "DEL" else set())
    for node in nodes:
        assert set(node.leases().values()) <= {b"c1\r\neth0", b"10.1.2.2", b"fd00:88::2", b""}
        node.ask = ask_reference if "reference" in undone_by else ask_ours
        if undone_by == "GC":
            answer = node.run("GC", DUAL, version="1.1.0", others=valid())
        else:
            answer = node.run("DEL", DUAL, previous="result" in undone_by)
        assert answer.status == 0
        assert node.addresses() == []
        if "reference" not in undone_by:
            assert set(node.names()) <= set(REMAINING)
        assert node.run("ADD", DUAL).status == 0


# What a model says.


Operation = tuple[str, int]


@settings(max_examples=60)
@given(
    operations=st.lists(
        st.tuples(st.sampled_from(["ADD", "ADD", "DEL", "GC"]), st.integers(1, 7)), max_size=25
    ),
    gateway=st.integers(1, 6),
)
def test_it_does_what_a_model_does(operations: Sequence[Operation], gateway: int) -> None:
    """Five or six addresses, seven containers: who is added gets the next free one."""
    ipam = {"subnet": "10.1.2.0/29", "gateway": f"10.1.2.{gateway}"}
    pool = [number for number in range(1, 7) if number != gateway]
    held: dict[int, int] = {}
    last = 0
    with TemporaryDirectory() as directory:
        node = Node(Path(directory))
        for verb, container in operations:
            others = valid(*(f"c{one}" for one in range(1, container + 1))) if verb == "GC" else {}
            answer = node.run(
                verb, ipam, container_id=f"c{container}", version="1.1.0", others=others
            )
            after = [number for number in pool if number > last] + [n for n in pool if n <= last]
            free = [number for number in after if number not in held.values()]
            if verb == "GC":
                held = {one: number for one, number in held.items() if one <= container}
            elif verb == "DEL":
                held.pop(container, None)
            elif container in held:
                assert answer.printed["code"] == host_local.ALREADY_ALLOCATED
            elif not free:
                assert answer.printed["code"] == host_local.EXHAUSTED
            else:
                last = held[container] = free[0]
                assert answer.addresses == [f"10.1.2.{last}"]
            expected = sorted(held.values())
            assert [int(ip_address(one)) & 7 for one in node.addresses()] == expected


def test_an_address_that_is_asked_for_again_is_the_attachments_own(tmp_path: Path) -> None:
    """So who delegated does not have it deleted; another attachment hears that it is taken."""
    node, ipam = Node(tmp_path), {"subnet": "10.1.2.0/29"}
    reasons: list[str | None] = []
    for container in ("c1", "c1", "c2"):
        answer = node.run("ADD", ipam, container_id=container, args="IP=10.1.2.5")
        reasons.append(answer.printed.get("reason"))
    assert reasons == [None, "already-allocated", "address-taken"]
    assert node.addresses() == ["10.1.2.5"]
