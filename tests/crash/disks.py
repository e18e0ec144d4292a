"""Disks whose power can be cut: a file system in an image, shut down without its journal's flush.

All mounts are in the mount namespace of a private host.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen

from acni.host.libc import MS_BIND, mount, unmount

# XFS_IOC_GOINGDOWN, which is EXT4_IOC_SHUTDOWN too, and its flag "do not flush the log".
_SHUTDOWN: Final = 0x8004587D
_NO_LOG_FLUSH: Final = 2

_MEBIBYTE: Final = 1 << 20
# xfs takes no less.
_SIZES: Final[Mapping[str, int]] = {"ext4": 64 * _MEBIBYTE, "xfs": 320 * _MEBIBYTE}
_MAKE: Final[Mapping[str, Sequence[str]]] = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
}

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_OTHER_BOOT: Final = "b0075000-0000-4000-8000-000000000001\n"


class NoDiskError(Exception):
    """Such a file system cannot be made or mounted here."""


@frozen
class Disk:
    """A mounted file system.

    Attributes:
        image: The file it is in.
        path: Where it is mounted.
    """

    image: Path
    path: Path

    def cut(self) -> None:
        """Cut the power and give it back: what was not synced is gone."""
        self.shut_down()
        self.mount_again()

    def shut_down(self) -> None:
        """Let whatever is asked of it fail, and what was not synced be gone."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def mount_again(self) -> None:
        """Mount it again, with what it kept."""
        _run("umount", str(self.path))
        _run("mount", "-o", "loop", str(self.image), str(self.path))

    def sync(self) -> None:
        """Let all that is there survive: the ground of a run is no part of it."""
        _run("sync", "--file-system", str(self.path))


@contextmanager
def mounted(filesystem: str, directory: Path) -> Generator[Disk]:
    """Make a file system in a directory and mount it there.

    Raises:
        NoDiskError: the tools, the kernel or the rights are missing.
    """
    disk = Disk(directory / f"{filesystem}.img", directory / filesystem)
    disk.path.mkdir()
    program, *options = _MAKE[filesystem]
    if shutil.which(program) is None:
        raise NoDiskError(f"no {program}")
    with disk.image.open("wb") as image:
        image.truncate(_SIZES[filesystem])
    try:
        _run(program, *options, str(disk.image))
        _run("mount", "-o", "loop", str(disk.image), str(disk.path))
    except subprocess.CalledProcessError as error:
        raise NoDiskError(f"{error.cmd[0]}: {error.stderr.decode().strip()}") from error
    try:
        yield disk
    finally:
        _run("umount", str(disk.path))
        disk.image.unlink()


@contextmanager
def another_boot(directory: Path) -> Generator[None]:
    """Let the kernel name another boot."""
    other = directory / "boot_id"
    other.write_text(_OTHER_BOOT)
    mount(str(other), _BOOT_ID, flags=MS_BIND)
    try:
        yield
    finally:
        unmount(_BOOT_ID)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
