"""A user namespace of this process's own: inside it any user has the rights of root, over nothing
but the namespaces that are made there.

It has one user and one group, 0, which are the caller's own outside: a file that root makes inside
belongs to the caller, and what belongs to others belongs to nobody.
(user_namespaces(7))
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from acni.host.libc import CLONE_NEWUSER, unshare

# Debian's, Ubuntu's and the kernel's own switches, beside how many namespaces a user may make.
USERNS_CLONE: Final = "kernel.unprivileged_userns_clone"
APPARMOR: Final = "kernel.apparmor_restrict_unprivileged_userns"
LIMITS: Final = (
    "user.max_user_namespaces",
    "user.max_net_namespaces",
    "user.max_mnt_namespaces",
)

# The kernel's answer to a limit that is reached; EUSERS until Linux 4.9.
_TOO_MANY: Final = (errno.ENOSPC, errno.EUSERS)


@frozen
class Obstacle:
    """Why there is no user namespace to be had.

    Attributes:
        why: What was found.
        expected: What has to be changed.
        setting: The setting of the kernel that forbids it, as sysctl(8) names it; empty where it
            is none that is known.
    """

    why: str
    expected: str
    setting: str = ""


def enter_user_namespace(flags: int) -> None:
    """Move this process, of one thread, into a user namespace of its own as its root, and with it
    into the namespaces that the flags name.

    Raises:
        OSError: it may not, or has other threads; :func:`find_obstacle` says why.
    """
    user, group = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | flags)
    # The kernel asks for it before an unprivileged map of groups: a group could be the reason why
    # somebody may not read a file (CVE-2014-8989).
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def read_settings() -> dict[str, str]:
    """Read the settings that may forbid it; those that this kernel lacks are left out."""
    settings: dict[str, str] = {}
    for name in (USERNS_CLONE, APPARMOR, *LIMITS):
        try:
            settings[name] = Path("/proc/sys", *name.split(".")).read_text().strip()
        except OSError:
            continue
    return settings


def find_obstacle(error: OSError, settings: Mapping[str, str]) -> Obstacle:
    """Find why the kernel refused.

    Args:
        error: What it said.
        settings: Its settings.
    """
    said = error.strerror or str(error)
    if error.errno in _TOO_MANY:
        return _limit(settings) or Obstacle(said, f"fewer namespaces, or a higher {LIMITS[0]}")
    if settings.get(USERNS_CLONE) == "0":
        return _forbidden(USERNS_CLONE, "0", "1")
    if settings.get(APPARMOR, "0") != "0":
        return _forbidden(APPARMOR, settings[APPARMOR], "0")
    return Obstacle(
        said,
        "root, or a kernel, a container or a sandbox that lets users make user namespaces (in a "
        "chroot none does)",
    )


def _limit(settings: Mapping[str, str]) -> Obstacle | None:
    none = next((name for name in LIMITS if settings.get(name) == "0"), None)
    return _forbidden(none, "0", "10000") if none else None


def _forbidden(setting: str, value: str, wanted: str) -> Obstacle:
    why = f"the setting {setting} is {value}"
    return Obstacle(why, f"root, or sysctl {setting}={wanted}", setting)
