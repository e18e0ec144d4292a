"""A private host: network and mount namespaces of this process's own, so that nothing it does
touches the machine.

Inside it bridges, firewall rules, named namespaces and the plugins' bookkeeping are private; it
dies with its last process and needs no cleanup. Who may not make such namespaces gets them in a
user namespace, as its root. What is inside is the same: the same directories, empty, and the same
rights over the network.

Made by root it may leave empty mount points (``/var/lib/cni``, ``/run/netns``, ``/run/cni``); made
by others it leaves nothing.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Final

from acni.errors import AcniError
from acni.host import netns
from acni.host.libc import CLONE_NEWNET, CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, mount, unshare
from acni.host.mirror import mirror
from acni.host.user_namespace import enter_user_namespace, find_obstacle, read_settings

# Where the reference plugins, ip netns and acni keep state.
COVERED: Final = ("/var/lib/cni", "/run/netns", "/run/cni")

_CGROUPS: Final = "/sys/fs/cgroup"
_NOT_WRITABLE: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


class PrivateHostError(AcniError):
    """A private host cannot be made here; nothing was changed that the machine would notice.

    ``place`` is the setting of the kernel that forbids it, where it is one.

    Example:
        >>> import threading
        >>> proceed = threading.Event()
        >>> thread = threading.Thread(target=proceed.wait)
        >>> thread.start()
        >>> try:
        ...     testing.enter_private_host()
        ... except testing.PrivateHostError as error:
        ...     print(error.expected)
        a single thread
        >>> proceed.set()
        >>> thread.join()
    """

    exit_status = 2


def enter_private_host() -> None:
    """Move this process into a private host, for good. It takes no root where the kernel lets
    users make user namespaces: the process is then root inside.

    Raises:
        PrivateHostError: the process has other threads (they would stay outside), or may not make
            namespaces.

    Example:
        >>> import subprocess, sys
        >>> program = '''if True:
        ...     from acni import testing
        ...     testing.enter_private_host()
        ...     print(*testing.look_for_leftovers().links)
        ... '''
        >>> done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        >>> done.stdout.split()
        [b'lo']
    """
    if threading.active_count() > 1:
        raise PrivateHostError(
            "the process already has threads, which would stay outside", expected="a single thread"
        )
    _make_namespaces()
    try:
        _cover_mounts()
        with netns.own() as own:
            netns.set_up(own, "lo")
        _forward()
    except OSError as error:
        raise PrivateHostError(
            f"cannot be furnished: {error}", expected="the right to mount"
        ) from error


def _make_namespaces() -> None:
    try:
        try:
            unshare(CLONE_NEWNET | CLONE_NEWNS)
        except PermissionError:
            enter_user_namespace(CLONE_NEWNET | CLONE_NEWNS)
    except OSError as error:
        obstacle = find_obstacle(error, read_settings())
        raise PrivateHostError(
            f"namespaces cannot be made: {obstacle.why}",
            place=obstacle.setting or None,
            expected=obstacle.expected,
        ) from error


def _cover_mounts() -> None:
    mount("none", "/", flags=MS_PRIVATE | MS_REC)
    _show_own_links()
    for path in COVERED:
        _make_directory(path)
        mount("tmpfs", path, "tmpfs", options="mode=0755")  # a state directory others may not write


def _show_own_links() -> None:
    """Mount a fresh sysfs, which has this namespace's links; the control groups of the old one must
    stay reachable for runtimes.
    """
    groups = os.open(_CGROUPS, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount("sysfs", "/sys", "sysfs")
        mount(f"/proc/self/fd/{groups}", _CGROUPS, flags=MS_BIND | MS_REC)
    except PermissionError:
        # In a user namespace, where a container covers parts of it. Links are asked for by netlink.
        pass
    finally:
        os.close(groups)


def _make_directory(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        mirror(_nearest(path))
        os.makedirs(path, exist_ok=True)


def _nearest(path: str) -> str:
    """Find the nearest directory above that exists."""
    above = os.path.dirname(path)
    return os.path.realpath(above) if os.path.isdir(above) else _nearest(above)


def _forward() -> None:
    """Let packets pass from one bridge to another."""
    try:
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    except OSError as error:
        # A container's /proc/sys may be read-only; pods on one bridge need no forwarding.
        if error.errno not in _NOT_WRITABLE:
            raise
