"""Whatever stands in any place of a state directory: it works or says why not, in bounded time, and
nothing outside is touched.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest

from acni import AcniError, Attachment, AttachmentId, NetworkConfig, Runtime, netns
from acni.cli import main
from acni.host.libc import MNT_DETACH, mount, unmount
from acni.host.locks import file_of

pytestmark = pytest.mark.netns

PLACES = [
    "results",
    "results/net-c0-eth0",
    "results/net-c1-eth0",
    "results/other",
    "acni",
    "acni/FORMAT",
    "acni/FORMAT.new",
    "acni/journal",
    "acni/journal/000",
    "acni/journal/000.1",
    "acni/journal/001",
    "acni/spare",
    "acni/spare/000",
    "acni/spare/000/00000000",
    "acni/spare/000/00000001",
    "acni/debts",
    f"acni/debts/{'0' * 64}",
    "acni/quarantine",
    "acni/quarantine/old",
    "acni/lock",
    f"acni/lock/{file_of('c0')}",
    f"acni/lock/{file_of('c1')}",
]


def _socket(path: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(path.parent)  # its path may be too long for an address
        listener.bind(path.name)
    os.fchdir(here)
    os.close(here)


def _sparse(path: Path) -> None:
    path.touch(0o600)
    os.truncate(path, 1 << 40)


def _device(major: int, minor: int) -> Callable[[Path, Path], object]:
    return lambda path, _: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(major, minor))


KINDS: dict[str, Callable[[Path, Path], object]] = {
    "nothing": lambda _, __: None,
    "link to a file": lambda path, victims: path.symlink_to(victims / "file"),
    "link to a directory": lambda path, victims: path.symlink_to(victims / "directory"),
    "dangling link": lambda path, victims: path.symlink_to(victims / "nowhere"),
    "link to itself": lambda path, _: path.symlink_to(path),
    "hard link": lambda path, victims: path.hardlink_to(victims / "file"),
    "fifo": lambda path, _: os.mkfifo(path),
    "socket": lambda path, _: _socket(path),
    "directory": lambda path, _: path.mkdir(),
    "full directory": lambda path, victims: shutil.copytree(victims / "directory", path),
    "no bytes": lambda path, _: path.touch(0o600),
    "random bytes": lambda path, _: path.write_bytes(os.urandom(5000)),
    "a huge file": lambda path, _: _sparse(path),
    "zeros": _device(1, 5),
    "a hole": _device(1, 3),
    "a terminal": _device(5, 0),
}

# Each kind stands at some places and each place meets some kinds wherever the tests run.
EACH_AT_EACH = [
    pytest.param(
        place,
        kind,
        id=f"{place}-{kind}",
        marks=() if (row + column) % 4 == 0 else pytest.mark.deep,
    )
    for row, place in enumerate(PLACES)
    for column, kind in enumerate(KINDS)
]


def clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def seen(root: Path) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for path in (root, *sorted(root.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found.append((str(path), status.st_mode, status.st_mtime_ns, status.st_ino, content))
    return found


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """On a file system that costs no syncs, for there are many of these tests."""
    mount("none", str(tmp_path), "tmpfs", options="mode=0700")
    yield tmp_path / "state"
    unmount(str(tmp_path), MNT_DETACH)


@pytest.fixture
def victims(state_dir: Path, tmp_path: Path) -> Iterator[Path]:
    """What is outside, and must stay as it is."""
    victims = tmp_path / "victims"
    (victims / "directory" / "inside").mkdir(parents=True)
    (victims / "file").write_text("precious")
    (victims / "directory" / "net-c0-eth0").write_text("precious as well")
    before = seen(victims)
    yield victims
    assert seen(victims) == before


Opened = Callable[..., AbstractAsyncContextManager[Runtime]]


async def make(opened: Opened, network: NetworkConfig) -> None:
    """Make a state directory with an attachment, and one that is gone."""
    with netns.anonymous() as first, netns.anonymous() as second:
        async with opened() as runtime:
            await runtime.add(network, Attachment(container_id="c0", netns=first.path))
            await runtime.add(network, Attachment(container_id="c9", netns=second.path))
            await runtime.delete(AttachmentId("c9"))


# On one loop: neither knows anything of files, and there are many of them.
@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.anyio
@pytest.mark.parametrize(("place", "kind"), EACH_AT_EACH)
async def test_it_works_or_says_why_not(
    place: str,
    kind: str,
    opened: Opened,
    network: NetworkConfig,
    attachment: Attachment,
    state_dir: Path,
    victims: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await make(opened, network)
    clear(state_dir / place)
    KINDS[kind](state_dir / place, victims)
    look(state_dir, capsys)
    failed: set[str] = set()
    with anyio.fail_after(30):
        try:
            async with opened() as runtime:
                for name, ask in (
                    ("list", runtime.attachments),
                    ("debts", runtime.debts),
                    ("add", lambda: runtime.add(network, attachment)),
                    ("delete", lambda: runtime.delete(AttachmentId("c0"), network=network)),
                    ("delete", lambda: runtime.delete(attachment, network=network)),
                    ("recover", runtime.recover),
                ):
                    try:
                        await ask()
                    except AcniError as error:
                        assert str(error)  # noqa: PT017
                        failed.add(name)
        except AcniError as error:
            assert str(error)  # noqa: PT017
            failed.add("open")
    assert kind != "nothing" or not failed


def look(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Looking works or says why not, too, and changes nothing."""
    before = [str(path) for path in sorted(state_dir.rglob("*"))]
    for arguments in (["ls"], ["debt", "list"], ["inspect", "c0"]):
        status = main([*arguments, "--state-dir", str(state_dir)])
        said = capsys.readouterr()
        assert status == 0 or said.err
        assert "Traceback" not in said.err
    assert [str(path) for path in sorted(state_dir.rglob("*"))] == before
