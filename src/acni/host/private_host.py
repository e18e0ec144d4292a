"""A private host: network and mount namespaces of this process's own, so that nothing it does
touches the machine.

Inside it bridges, firewall rules, named namespaces and the plugins' bookkeeping are private; it
dies with the process and needs no cleanup. Empty mount points may remain (``/var/lib/cni``,
``/run/netns``, ``/run/cni``, ``/run/acni-cgroup``).
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from acni.errors import AcniError
from acni.host import netns
from acni.host.libc import CLONE_NEWNET, CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, mount, unshare

# Where the reference plugins, ip netns and acni keep state.
COVERED: Final = ("/var/lib/cni", "/run/netns", "/run/cni")


class PrivateHostError(AcniError):
    """A private host cannot be made here; nothing was changed that the machine would notice.

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


def enter_private_host() -> None:
    """Move this process into a private host, for good.

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
    try:
        unshare(CLONE_NEWNET | CLONE_NEWNS)
    except OSError as error:
        raise PrivateHostError(
            f"namespaces cannot be made: {error.strerror}", expected="root, or CAP_SYS_ADMIN"
        ) from error
    try:
        _cover_mounts()
        with netns.own() as own:
            netns.set_up(own, "lo")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    except OSError as error:
        raise PrivateHostError(
            f"cannot be furnished: {error}", expected="the right to mount"
        ) from error


def _cover_mounts() -> None:
    mount("none", "/", flags=MS_PRIVATE | MS_REC)
    # A fresh sysfs shows this namespace's links; the control groups below the old one must stay
    # reachable for runtimes.
    aside = Path("/run/acni-cgroup")
    aside.mkdir(exist_ok=True)
    mount("/sys/fs/cgroup", str(aside), flags=MS_BIND | MS_REC)
    mount("sysfs", "/sys", "sysfs")
    mount(str(aside), "/sys/fs/cgroup", flags=MS_BIND | MS_REC)
    for path in COVERED:
        os.makedirs(path, exist_ok=True)
        mount("tmpfs", path, "tmpfs", options="mode=0755")  # a state directory others may not write
