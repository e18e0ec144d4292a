"""Network namespaces."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acni import Busy, NotPermitted
from acni import netns as facade
from acni.errors import InvalidName
from acni.host import netns
from acni.host.netns import NAMED, Namespace
from tests.another_user import open_directory

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("clean_host", "no_thread_left")]


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Fail a test that leaves a thread, or one in another namespace."""
    threads = len(_threads())
    own = Path("/proc/self/ns/net").readlink()
    yield
    until = time.monotonic() + 20  # a joined thread needs a moment to be gone
    while len(_threads()) > threads and time.monotonic() < until:
        time.sleep(0.001)
    assert len(_threads()) <= threads
    assert {(thread / "ns/net").readlink() for thread in _threads()} == {own}


def _threads() -> list[Path]:
    return list(Path("/proc/self/task").iterdir())


@pytest.mark.rule("R30")
def test_a_created_namespace_has_a_name_until_it_is_left() -> None:
    with netns.create("box") as box:
        assert box.path == "/run/netns/box"
        assert _command("ip netns list").split()[0] == "box"
        assert Path(box.path).stat().st_ino == os.fstat(box.fd).st_ino
        assert not os.get_inheritable(box.fd)
    assert not Path(box.path).exists()


def test_a_created_namespace_is_empty_and_another() -> None:
    with netns.create("box") as box:
        assert _links(box) == {"lo"}
        assert netns.run(box, ["ip", "-br", "link"], timeout=10).stdout.split()[1] == b"DOWN"
        with netns.own() as own:
            assert box.identity() != own.identity()


@pytest.mark.rule("R30")
def test_a_namespace_is_removed_when_its_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), netns.create("box"):
        _ = 1 / 0
    assert not Path("/run/netns/box").exists()


def test_the_directory_of_names_is_made_where_it_is_missing() -> None:
    # Covered, not removed: a directory is the machine's, and removing it unmounts what others have
    # mounted there.
    _command("mount -t tmpfs none /run")
    try:
        with netns.create("box") as box:
            assert Path(box.path).exists()
    finally:
        _command("umount -R /run")


def test_a_name_that_is_taken_is_refused_and_left_alone() -> None:
    with netns.create("box") as box:
        with pytest.raises(InvalidName, match="exists"):
            netns.create("box")
        assert netns.identity(box.path) == box.identity()
    Path("/run/netns/file").touch()
    Path("/run/netns/link").symlink_to("/absent")
    for name in ("file", "link"):
        with pytest.raises(InvalidName, match="exists"):
            netns.create(name)
    assert not Path("/absent").exists()


BAD_NAMES = [
    pytest.param("", id="empty"),
    pytest.param(".", id="here"),
    pytest.param("..", id="above"),
    pytest.param("a/b", id="two_components"),
    pytest.param("../victim", id="elsewhere"),
    pytest.param("/absolute", id="absolute"),
    pytest.param("a\0b", id="NUL"),
    pytest.param("x" * 256, id="256_bytes"),
    pytest.param("\u00e9" * 128, id="256_bytes_in_128_characters"),
    pytest.param("\ud800", id="half_a_character"),
    pytest.param("\udcff", id="no_text"),
]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("function", [netns.create, netns.delete], ids=["create", "delete"])
def test_a_name_that_is_no_path_component_is_refused(
    function: Callable[[str], object], name: str
) -> None:
    with pytest.raises(InvalidName, match="is not allowed") as caught:
        function(name)
    assert caught.value.place == "netns name"
    assert _names() == []


@pytest.mark.parametrize("name", ["x" * 255, "\u00e9" * 127, "a b", "-rf", "...", "a\nb"])
def test_any_other_name_is_taken(name: str) -> None:
    with netns.create(name):
        assert _names() == [name]
    assert _names() == []


_FAIL_TO_OPEN = """
import os, sys
from acni.errors import Busy
from acni.host import netns

def refuse(event, arguments):
    if event == "open" and arguments[0] == "/proc/thread-self/ns/net":
        raise OSError(24, "Too many open files")

sys.addaudithook(refuse)
try:
    netns.create("box")
except Busy as error:
    mounts = open("/proc/self/mountinfo").read()
    print(error.message, os.listdir(netns.NAMED), netns.NAMED + "/box" in mounts)
"""


def test_a_failed_creation_leaves_neither_name_nor_mount() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", _FAIL_TO_OPEN],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    ).stdout
    assert printed == "Too many open files [] False\n"


def test_a_name_can_be_deleted_while_the_namespace_lives_on() -> None:
    box = netns.create("box")
    identity = box.identity()
    netns.delete("box")
    assert not Path("/run/netns/box").exists()
    assert box.identity() == identity
    assert _links(box) == {"lo"}
    box.close()


def test_deleting_what_is_not_there_is_an_error() -> None:
    with pytest.raises(InvalidName, match="does not exist"):
        netns.delete("box")


def test_a_file_where_nothing_is_mounted_any_more_can_be_deleted() -> None:
    """A reboot leaves such files where /run is no tmpfs."""
    Path("/run/netns/stale").touch()
    netns.delete("stale")
    assert _names() == []


def test_deleting_a_link_leaves_what_it_leads_to() -> None:
    with netns.create("box") as box:
        Path("/run/netns/link").symlink_to("box")
        netns.delete("link")
        assert netns.identity(box.path) == box.identity()


def test_closing_twice_is_closing_once() -> None:
    namespace = netns.anonymous()
    namespace.close()
    namespace.close()
    assert namespace.fd == -1


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda closed: closed.call(lambda: None), id="call"),
        pytest.param(lambda closed: closed.has_interface("lo"), id="has_interface"),
        pytest.param(lambda closed: closed.identity(), id="identity"),
        pytest.param(netns.identity, id="identity_of"),
        pytest.param(lambda closed: netns.run(closed, ["true"], timeout=10), id="run"),
        pytest.param(lambda closed: netns.set_up(closed, "lo"), id="set_up"),
        pytest.param(lambda closed: netns.pin(closed, "/run/netns/pinned"), id="pin"),
    ],
)
def test_what_is_closed_is_refused_by_name(ask: Callable[[Namespace], object]) -> None:
    closed = netns.anonymous()
    closed.close()
    with pytest.raises(InvalidName, match="was closed") as caught:
        ask(closed)
    assert caught.value.place == "netns"
    assert "not closed" in str(caught.value.expected)
    assert _names() == []


def test_an_opened_namespace_is_the_one_at_the_path_and_keeps_its_name() -> None:
    with netns.create("box") as box:
        with netns.open(box.path) as opened:
            assert opened.identity() == box.identity()
            assert opened.path == box.path
        assert Path(box.path).exists()


def test_a_namespace_can_be_opened_through_a_link(tmp_path: Path) -> None:
    with netns.create("box") as box:
        (tmp_path / "link").symlink_to(box.path)
        assert netns.identity(tmp_path / "link") == box.identity()


def test_an_anonymous_namespace_has_a_path_for_others_as_long_as_it_is_open() -> None:
    with netns.anonymous() as namespace:
        assert _links(namespace) == {"lo"}
        status = _command(f"stat -Lc %i {namespace.path}")
        assert int(status) == os.fstat(namespace.fd).st_ino
        assert netns.identity(namespace.path) == namespace.identity()
    with pytest.raises(InvalidName):
        netns.open(namespace.path)


def test_the_namespace_of_a_process_is_the_one_it_runs_in() -> None:
    with netns.anonymous() as namespace:
        asleep = namespace.call(lambda: subprocess.Popen(["sleep", "30"]))
        try:
            with netns.from_pid(asleep.pid) as found:
                assert found.identity() == namespace.identity()
        finally:
            asleep.kill()
            asleep.wait()
        with pytest.raises(InvalidName, match="No such file"):
            netns.from_pid(asleep.pid)


def _make_fifo(path: Path) -> str:
    os.mkfifo(path)
    return str(path)


def _make_link(path: Path) -> str:
    path.symlink_to("/etc/passwd")
    return str(path)


def _make_deleted(_: Path) -> str:
    with netns.create("gone") as gone:
        return gone.path


def _make_left_behind(_: Path) -> str:
    with netns.create("left") as left:
        pass
    Path(left.path).touch()
    return left.path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda _: "/proc/self/ns/mnt", "another kind", id="mount_namespace"),
        pytest.param(lambda _: "/proc/self/ns/pid", "another kind", id="pid_namespace"),
        pytest.param(lambda _: "/proc/self/ns/user", "another kind", id="user_namespace"),
        pytest.param(lambda _: "/etc/passwd", "is no namespace", id="file"),
        pytest.param(_make_link, "is no namespace", id="link_to_a_file"),
        pytest.param(lambda _: "/dev/null", "is no namespace", id="device"),
        pytest.param(lambda _: "/proc/self/net/dev", "is no namespace", id="file_of_proc"),
        pytest.param(str, "No such file", id="missing"),
        pytest.param(lambda path: str(path.parent), "is no namespace", id="directory"),
        pytest.param(_make_fifo, "is no namespace", id="FIFO"),
        pytest.param(_make_deleted, "No such file", id="deleted"),
        pytest.param(_make_left_behind, "is no namespace", id="name_left_behind"),
        pytest.param(lambda _: "/etc/passwd/x", "Not a directory", id="below_a_file"),
        pytest.param(lambda _: "/" + "x" * 300, "File name too long", id="too_long"),
        pytest.param(lambda _: "", "is not allowed", id="empty"),
        pytest.param(lambda _: "run/netns/box", "is not allowed", id="relative"),
        pytest.param(lambda _: "/run/netns/a\0b", "is not allowed", id="NUL"),
        pytest.param(lambda _: "/run/netns/\ud800", "is not allowed", id="half_a_character"),
    ],
)
def test_what_is_no_network_namespace_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], str], reason: str
) -> None:
    path = make(tmp_path / "wrong")
    for _ in range(3):  # a descriptor left each time would be seen
        with pytest.raises(InvalidName, match=reason) as caught:
            netns.open(path)
        assert caught.value.place == "netns"
        assert caught.value.expected


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOMEM, errno.ENFILE], ids=os.strerror)
@pytest.mark.parametrize("call", ["open", "ioctl"])
def test_what_the_machine_cannot_say_is_not_taken_for_a_namespace_that_is_gone(
    call: str, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever took it for that would leave there what is only there: a delete, for instance."""

    def fail(*_: object) -> int:
        raise OSError(error, os.strerror(error))

    with netns.anonymous() as box:
        with monkeypatch.context() as patch:
            patch.setattr(os if call == "open" else fcntl, call, fail)
            with pytest.raises(Busy, match=os.strerror(error)) as caught:
                netns.open(box.path)
        assert caught.value.place == box.path
        netns.open(box.path).close()


def _make_socket(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as bound:
        # A name that is too long for bind() would be the working directory's.
        bound.bind(f"/run/netns/{path.name}")
    return f"/run/netns/{path.name}"


def _make_directory(path: Path) -> str:
    path.mkdir()
    return str(path)


def _make_file(path: Path) -> str:
    path.touch()
    return str(path)


def _make_dangling(path: Path) -> str:
    path.symlink_to(path.parent / "absent")
    return str(path)


def _make_loop(path: Path) -> str:
    path.symlink_to(path)
    return str(path)


def _make_dead(_: Path) -> str:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return f"/proc/{ended.pid}/ns/net"


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(netns.open, id="open"),
        pytest.param(netns.identity, id="identity"),
        pytest.param(lambda path: netns.run(path, ["true"], timeout=10), id="run"),
        pytest.param(lambda path: netns.pin(path, "/run/netns/pinned"), id="pin"),
        pytest.param(netns.unpin, id="unpin"),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_make_file, id="file"),
        pytest.param(_make_directory, id="directory"),
        pytest.param(_make_fifo, id="FIFO"),
        pytest.param(_make_socket, id="socket"),
        pytest.param(_make_dangling, id="dangling_link"),
        pytest.param(_make_loop, id="link_to_itself"),
        pytest.param(lambda _: "/proc/self/ns/mnt", id="mount_namespace"),
        pytest.param(lambda _: "/x" * 2048, id="longer_than_PATH_MAX"),
        pytest.param(_make_dead, id="dead_process"),
    ],
)
def test_every_way_in_refuses_what_is_no_network_namespace_and_waits_for_nothing(
    tmp_path: Path, make: Callable[[Path], str], ask: Callable[[str], object]
) -> None:
    path = make(tmp_path / "wrong")
    began = time.monotonic()
    with pytest.raises(InvalidName) as caught:
        ask(path)
    assert time.monotonic() - began < 10
    assert caught.value.place == "netns"
    assert "pinned" not in _names()


@pytest.mark.parametrize("pid", [0, -1, 1 << 22, 1 << 40])
def test_what_is_no_process_has_no_namespace(pid: int) -> None:
    with pytest.raises(InvalidName, match="No such file") as caught:
        netns.from_pid(pid)
    assert caught.value.place == "netns"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_make_file, id="file"),
        pytest.param(_make_fifo, id="FIFO"),
        pytest.param(_make_socket, id="socket"),
        pytest.param(_make_dangling, id="dangling_link"),
        pytest.param(_make_loop, id="link_to_itself"),
    ],
)
def test_what_stands_at_a_name_is_not_made_a_namespace_and_can_be_deleted(
    make: Callable[[Path], str],
) -> None:
    make(Path("/run/netns/wrong"))
    began = time.monotonic()
    with pytest.raises(InvalidName, match="exists"):
        netns.create("wrong")
    netns.delete("wrong")
    assert time.monotonic() - began < 10
    assert _names() == []


def test_a_directory_at_a_name_is_refused_and_left_alone() -> None:
    _make_directory(Path("/run/netns/wrong"))
    with pytest.raises(InvalidName, match="is a directory"):
        netns.delete("wrong")
    assert _names() == ["wrong"]
    Path("/run/netns/wrong").rmdir()


def test_a_name_that_was_mounted_twice_can_be_deleted() -> None:
    netns.create("box").close()
    _command("mount --bind /run/netns/box /run/netns/box")
    netns.delete("box")
    assert _names() == []
    assert "/run/netns/box" not in Path("/proc/self/mountinfo").read_text()


def test_deleting_leaves_no_mount() -> None:
    def mounts() -> str:
        return Path("/proc/self/mountinfo").read_text()

    netns.create("first").close()  # makes the directory of names a mount
    netns.delete("first")
    before = mounts()
    for name in ("box", "a b"):
        with netns.create(name):
            assert mounts() != before
        assert mounts() == before
    netns.create("box").close()
    netns.delete("box")
    assert mounts() == before


def test_the_identity_is_another_for_every_namespace_whatever_its_inode() -> None:
    inodes: list[int] = []
    identities: list[netns.NetnsIdentity] = []
    until = time.monotonic() + 30
    while len(inodes) < 10 or (len(set(inodes)) == len(inodes) and time.monotonic() < until):
        with netns.anonymous() as namespace:
            inodes.append(os.fstat(namespace.fd).st_ino)
            identities.append(namespace.identity())
    assert len(set(inodes)) < len(inodes), "the kernel used no inode again: nothing was tested"
    assert len(set(identities)) == len(identities)


def test_the_identity_is_the_same_by_whatever_way() -> None:
    with netns.create("box") as box, netns.open(box.path) as again:
        asked = [
            again.identity(),
            netns.identity(box),
            netns.identity(box.path),
            netns.identity(Path(box.path)),
            box.call(lambda: netns.identity("/proc/thread-self/ns/net")),
        ]
        assert asked == [box.identity()] * 5


def test_the_identity_of_older_kernels_is_another_for_every_namespace_too() -> None:
    identities = set[netns.NetnsIdentity]()
    for _ in range(10):
        with netns.anonymous() as namespace:
            identities.add(namespace._older_identity())
            assert namespace._older_identity() in identities
    assert len(identities) == 10
    assert {identity.kind for identity in identities} == {"cookie"}


def test_a_call_happens_inside_and_returns_what_the_function_returns() -> None:
    with netns.anonymous() as namespace:
        inside = namespace.call(lambda: Path("/proc/thread-self/ns/net").stat().st_ino)
        assert inside == os.fstat(namespace.fd).st_ino


def test_an_error_inside_is_raised_outside() -> None:
    with netns.anonymous() as namespace, pytest.raises(ZeroDivisionError):
        namespace.call(lambda: 1 / 0)


def test_interfaces_are_seen_where_they_are() -> None:
    with netns.anonymous() as namespace, netns.anonymous() as other:
        _inside(namespace, "ip link add eth0 type bridge")
        assert namespace.has_interface("lo")
        assert namespace.has_interface("eth0")
        assert not other.has_interface("eth0")
        assert not namespace.has_interface("eth1")


def test_no_descriptor_left_is_not_taken_for_no_interface() -> None:
    with (
        netns.anonymous() as namespace,
        _no_more_descriptors(),
        pytest.raises(Busy, match="Too many open files"),
    ):
        namespace.has_interface("lo")


def test_setting_up_adds_to_the_flags_that_are_there() -> None:
    with netns.anonymous() as namespace:
        _inside(namespace, "ip link add eth0 type bridge")
        _inside(namespace, "ip link set eth0 mtu 1400 arp off")
        netns.set_up(namespace, "eth0")
        netns.set_up(namespace, "eth0")
        shown = netns.run(namespace, ["ip", "link", "show", "eth0"], timeout=10).stdout
    assert {b"UP", b"NOARP"} <= set(shown.split(b"<")[1].split(b">")[0].split(b","))
    assert b"mtu 1400" in shown


def test_setting_up_what_is_not_there_is_an_error() -> None:
    with netns.anonymous() as namespace, pytest.raises(OSError, match="No such device"):
        netns.set_up(namespace, "eth0")


def test_a_program_runs_inside_and_is_returned_finished() -> None:
    with netns.create("box") as box:
        for namespace in (box, box.path, Path(box.path)):
            script = "readlink /proc/self/ns/net; echo err >&2; exit 3"
            finished = netns.run(namespace, ["sh", "-c", script], timeout=10)
            assert finished.returncode == 3
            assert finished.stdout == f"net:[{os.fstat(box.fd).st_ino}]\n".encode()
            assert finished.stderr == b"err\n"


def test_a_program_reads_nothing_and_inherits_no_descriptor() -> None:
    with netns.anonymous() as namespace:
        os.set_inheritable(namespace.fd, True)
        finished = netns.run(namespace, ["sh", "-c", "cat; ls /proc/self/fd"], timeout=10)
    assert finished.stdout.split() == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("script", ["sleep 30", "trap '' TERM; sleep 30", "sleep 3 & sleep 30"])
def test_a_program_that_takes_too_long_is_killed(script: str) -> None:
    started = time.monotonic()
    with netns.anonymous() as namespace, pytest.raises(subprocess.TimeoutExpired):
        netns.run(namespace, ["sh", "-c", script], timeout=0.2)
    assert time.monotonic() - started < 10


def test_a_program_that_is_not_there_is_an_error() -> None:
    with netns.anonymous() as namespace, pytest.raises(FileNotFoundError):
        netns.run(namespace, ["/absent"], timeout=10)


def test_the_facade_has_the_same_functions() -> None:
    for name in facade.__all__:
        assert getattr(facade, name) is getattr(netns, name)


def _command(text: str) -> str:
    return subprocess.run(
        text.split(), check=True, timeout=200, capture_output=True, text=True
    ).stdout


def _command_of(argv: list[str]) -> str:
    return subprocess.run(argv, check=True, timeout=200, capture_output=True, text=True).stdout


def _inside(namespace: Namespace, text: str) -> None:
    finished = netns.run(namespace, text.split(), timeout=10)
    assert finished.returncode == 0, finished.stderr


def _names() -> list[str]:
    return [path.name for path in Path(NAMED).iterdir()]


def _links(namespace: Namespace) -> set[str]:
    listed = netns.run(namespace, ["ls", "/proc/self/net/dev_snmp6"], timeout=10).stdout.decode()
    return set(listed.split())


@contextmanager
def _no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


UNPRIVILEGED = """
import os, sys
from acni import AcniError, netns
with netns.anonymous() as made:
    os.setgid(65534)
    os.setuid(65534)
    for action in (netns.anonymous, lambda: made.has_interface("lo")):
        try:
            action()
        except AcniError as error:
            print(type(error).__name__, error.exit_status, error.expected)
"""


def test_a_process_that_may_not_is_told_what_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    told = f"{NotPermitted.__name__} 2 root, or the capabilities that namespaces need"
    assert done.stdout.splitlines() == [told, told]


def _mounts() -> int:
    return len(Path("/proc/self/mounts").read_text().splitlines())


@pytest.mark.netns
def test_a_pinned_namespace_outlives_what_led_to_it_and_goes_with_the_block(tmp_path: Path) -> None:
    path = tmp_path / "pinned"
    mounts = _mounts()
    box = netns.anonymous()
    identity = box.identity()
    with netns.pin(box, path) as pinned:
        box.close()
        assert pinned.path == str(path)
        with netns.open(path) as opened:
            assert opened.identity() == identity
    assert not path.exists()
    assert _mounts() == mounts


@pytest.mark.netns
def test_a_pin_stays_when_it_is_closed_and_is_pinned_again_by_its_path(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    mounts = _mounts()
    with netns.anonymous() as box:
        identity = box.identity()
        netns.pin(box.path, first).close()
    with netns.pin(first, second) as again:
        netns.unpin(first)
        assert again.identity() == identity
    assert _mounts() == mounts
    with pytest.raises(InvalidName, match="No such file"):
        netns.unpin(first)


@pytest.mark.netns
def test_a_path_that_holds_a_pin_is_taken(tmp_path: Path) -> None:
    with netns.anonymous() as box, netns.pin(box, tmp_path / "pin") as pinned:
        for namespace in (box, pinned, pinned.path):
            with pytest.raises(InvalidName, match="exists") as caught:
                netns.pin(namespace, pinned.path)
            assert caught.value.expected == "a path that is free"
        assert netns.identity(pinned.path) == box.identity()


@pytest.mark.netns
def test_a_pin_that_was_mounted_twice_can_be_unpinned(tmp_path: Path) -> None:
    mounts = _mounts()
    with netns.anonymous() as box:
        netns.pin(box, tmp_path / "pin").close()
    _command(f"mount --bind {tmp_path}/pin {tmp_path}/pin")
    netns.unpin(tmp_path / "pin")
    assert list(tmp_path.iterdir()) == []
    assert _mounts() == mounts


_PIN_AS_NOBODY = """
import os, sys
from acni import NotPermitted, netns
box = netns.anonymous()
os.setgid(65534)
os.setuid(65534)
def free_name():
    netns.create("box")
def pinned():
    netns.pin(box, "/tmp/nobody/pin")
def unpinned():
    netns.unpin("/tmp/nobody/rooted")
def deleted():
    netns.delete("rooted")
for action in (free_name, pinned, unpinned, deleted):
    try:
        action()
    except NotPermitted as error:
        print(action.__name__, error.message)
"""


@pytest.mark.netns
def test_who_may_not_mount_is_told_so_and_leaves_nothing() -> None:
    with (
        open_directory() as directory,
        netns.anonymous() as box,
        netns.pin(box, directory / "rooted"),
        netns.create("rooted"),
    ):
        script = _PIN_AS_NOBODY.replace("/tmp/nobody", str(directory))
        printed = _command_of([sys.executable, "-c", script])
        assert printed.splitlines() == [
            "free_name Operation not permitted",
            "pinned Operation not permitted",
            "unpinned Operation not permitted",
            "deleted Operation not permitted",
        ]
        assert [path.name for path in directory.iterdir()] == ["rooted"]
        assert _names() == ["rooted"]


@pytest.mark.netns
@pytest.mark.parametrize("of", ["file", "own namespace", "link to a pin"])
def test_only_a_pin_is_unpinned(of: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with netns.anonymous() as box, netns.pin(box, tmp_path / "pin") as pinned:
        (tmp_path / "link").symlink_to(pinned.path)
        other = {
            "file": path,
            "own namespace": Path("/proc/self/ns/net"),
            "link to a pin": tmp_path / "link",
        }[of]
        with pytest.raises(InvalidName):
            netns.unpin(other)
        assert netns.identity(pinned.path) == box.identity()
    assert path.read_text() == "precious"


@pytest.mark.netns
@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("relative", "is not allowed", id="relative"),
        pytest.param("/proc/self/exe", "exists", id="taken"),
        pytest.param("/absent/pin", "No such file", id="no directory"),
        pytest.param("/etc/hostname/pin", "Not a directory", id="below a file"),
        pytest.param("/tmp/a\0b", "is not allowed", id="NUL"),
        pytest.param("/tmp/" + "x" * 300, "too long", id="too long"),
    ],
)
def test_a_pin_needs_a_path_that_is_free(path: str, message: str) -> None:
    mounts = _mounts()
    with netns.anonymous() as box, pytest.raises(InvalidName, match=message):
        netns.pin(box, path)
    assert _mounts() == mounts


@pytest.mark.netns
def test_what_is_no_namespace_is_not_pinned(tmp_path: Path) -> None:
    with pytest.raises(InvalidName, match="is no namespace"):
        netns.pin(Path("/etc/hostname"), tmp_path / "pin")
    assert list(tmp_path.iterdir()) == []


def test_an_interface_is_switched_up_and_down() -> None:
    seen: list[bool] = []

    def switch() -> None:
        for is_up in (True, True, False):
            netns.switch_interface("lo", is_up=is_up)
            seen.append(netns.is_interface_up("lo"))

    with netns.anonymous() as box:
        box.call(switch)
    assert seen == [True, True, False]


def test_an_interface_that_is_not_there_cannot_be_switched() -> None:
    with netns.anonymous() as box, pytest.raises(OSError, match="No such device"):
        box.call(lambda: netns.switch_interface("eth7", is_up=True))


def test_a_namespace_for_which_there_is_no_thread_is_a_typed_error() -> None:
    before = threading.stack_size(1 << 46)  # more than there is room for
    try:
        with pytest.raises(Busy, match="no thread"):
            netns.anonymous()
    finally:
        threading.stack_size(before)
