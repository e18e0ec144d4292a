"""Settings of a network namespace by their names, and which of them may be set.

Rule 1: a name is one below ``net.``, of dots or of slashes. ``IFNAME`` in it is the interface, put
    in once the name is taken apart: an interface's name may hold dots.
Rule 2: where the administrator keeps a list of what is allowed, what none of its lines is found in
    is refused. Each line is a regular expression (:mod:`acni.plugins.patterns`), looked for
    anywhere in the name as it is configured, as newer references do (1.1.1 knows no list).
Rule 3: they are read and written by a thread that is in the namespace: ``/proc/sys/net`` is that
    of whoever opens a file there.

(the reference's plugins/meta/tuning)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import frozen

from acni.host.files import read_regular, upwards
from acni.netlink.errors import NetlinkError
from acni.netlink.settings import read_sysctl, write_sysctl
from acni.plugins.patterns import Pattern, parse_pattern
from acni.skel.errors import Code, PluginError, code_of
from acni.skel.reading import Fields

ALLOW_LIST: Final = "/etc/cni/tuning/allowlist.conf"
NOT_ALLOWED: Final = 108

_IFNAME: Final = "IFNAME"
_EXPECTED: Final = "a setting below net, such as net.ipv4.conf.IFNAME.arp_ignore"
_EXPECTED_VALUE: Final = "a line that is not empty"
_MOST_BYTES: Final = 1 << 16
# The kernel's longest have some 60, and an interface's name 15.
_LONGEST: Final = 200


@frozen(kw_only=True)
class Sysctl:
    """A setting and its value.

    Attributes:
        key: Its name as it is configured.
        path: Its path below ``/proc/sys/net``.
        value: What is written.
    """

    key: str
    path: str
    value: str


def parse_sysctl(fields: Fields, key: str, value: str, ifname: str) -> Sysctl:
    """Parse a setting of a configuration.

    Args:
        fields: Where it stands.
        key: Its name.
        value: Its value.
        ifname: The interface.

    Raises:
        PluginError: it is none below ``net``, or the value is none.
    """
    parts = key.replace(".", "/").replace(_IFNAME, ifname, 1).split("/")
    root, *path = [part for part in parts if part] or [""]
    # Two dots would count as slashes here, and not lead upwards; they are no name all the same.
    is_name = key.isprintable() and ".." not in key and len(key) <= _LONGEST
    if root != "net" or not path or not is_name:
        raise fields.error(ascii(key)[1:-1], "no setting of a network", _EXPECTED)
    # The kernel reads one line; of nothing, and of half a character, it is never given any.
    if not value.strip() or not value.replace("\t", " ").isprintable():
        raise fields.error(key, "no value of a setting", _EXPECTED_VALUE)
    return Sysctl(key=key, path="/".join(path), value=value)


def require_allowed(sysctls: Iterable[Sysctl], allow_list: str) -> None:
    """Refuse what the administrator does not allow.

    Args:
        sysctls: What is to be set.
        allow_list: The path of the list; where there is none, all are allowed.

    Raises:
        PluginError: one is not allowed, or the list cannot be read.
    """
    patterns = _read_allowed(allow_list)
    if patterns is None:
        return
    for sysctl in sysctls:
        if not any(pattern.is_found_in(sysctl.key) for pattern in patterns):
            message = f"{ascii(sysctl.key)[:80]} is not allowed by {allow_list}"
            raise PluginError(NOT_ALLOWED, message, reason="sysctl-not-allowed")


def read_all(paths: Iterable[str]) -> Mapping[str, str]:
    """Read settings of the calling thread's namespace; those that cannot be read, which some can be
    written only, are left out.

    Raises:
        PluginError: one is not there, or the machine is short of something.
    """
    values: dict[str, str] = {}
    for path in paths:
        try:
            values[path] = read_sysctl(path)
        except NetlinkError as error:
            if error.errno != errno.EACCES:
                raise _refusal(error, path) from error
    return values


def write_all(values: Iterable[tuple[str, str]]) -> None:
    """Write settings of the calling thread's namespace, by path.

    Raises:
        PluginError: one cannot be written, the first that cannot.
    """
    for path, value in values:
        try:
            write_sysctl(path, value)
        except NetlinkError as error:
            raise _refusal(error, path) from error


def put_back_all(values: Iterable[tuple[str, str]]) -> list[str]:
    """Write settings of the calling thread's namespace, by path, as far as they are there.

    Returns:
        What was refused.

    Raises:
        PluginError: the machine is short of something.
    """
    refused: list[str] = []
    for path, value in values:
        try:
            write_sysctl(path, value or "\n")  # an empty list; a write of no bytes does nothing
        except NetlinkError as error:
            refusal = _refusal(error, path)
            if refusal.code == Code.TRY_AGAIN:
                raise refusal from error
            if error.errno != errno.ENOENT:
                refused.append(refusal.msg)
    return refused


def is_same(one: str, other: str) -> bool:
    """Tell whether two values are the same: the kernel puts tabs between numbers."""
    return one.split() == other.split()


def _refusal(error: NetlinkError, path: str) -> PluginError:
    reason = "not-permitted" if error.errno in (errno.EPERM, errno.EROFS) else None
    message = f"net/{path}: {error.strerror}"
    return PluginError(code_of(error.errno), message, reason=reason)


def _read_allowed(path: str) -> list[Pattern] | None:
    try:
        text = read_regular(path, max_bytes=_MOST_BYTES, follow=True).decode()
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError) and not _leads_nowhere(path):
            return None
        message = f"{path} cannot be read: {error}"
        raise PluginError(Code.IO_FAILURE, message, reason="allow-list-unreadable") from error
    lines = map(str.strip, text.split("\n"))
    return [_pattern(path, number, line) for number, line in enumerate(lines, 1) if line]


def _pattern(path: str, number: int, line: str) -> Pattern:
    try:
        return parse_pattern(line)
    except ValueError as error:
        message = f"line {number} of {path} is no regular expression that is understood here"
        raise PluginError(Code.IO_FAILURE, message, reason="allow-list-unreadable") from error


def _leads_nowhere(path: str) -> bool:
    """Tell whether there is a link in the way: somebody keeps a list, which is elsewhere."""
    return any(os.path.islink(one) and not os.path.exists(one) for one in upwards(path))
