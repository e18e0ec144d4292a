"""Names that cannot exist wrongly: each is parsed once, before any path is built from it, on every
verb.

Rule 1: ``fullmatch`` always: Python's ``$`` also matches before a trailing newline.
Rule 2: an interface name is limited in bytes, not characters.
Rule 3: the file name of a record is checked as a whole (255 bytes) before anything runs.

(specification, section 2, "Parameters"; section 1, "name", "type"; rules R1, R7, R14, R53, R55,
R56)
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final, NewType, cast

from acni.errors import InvalidName

ContainerId = NewType("ContainerId", str)
"""A parsed container ID (specification, section 2, "CNI_CONTAINERID").

Example:
    >>> identity: spec.ContainerId = acni.AttachmentId("web").container_id
    >>> identity
    'web'
"""
NetworkName = NewType("NetworkName", str)
"""A parsed network name (specification, section 1, "name").

Example:
    >>> name: spec.NetworkName = network.name
    >>> name
    'dbnet'
"""
IfName = NewType("IfName", str)
"""A parsed interface name, at most 15 bytes (specification, section 2, "CNI_IFNAME").

Example:
    >>> ifname: spec.IfName = acni.AttachmentId("web").ifname
    >>> ifname
    'eth0'
"""
PluginType = NewType("PluginType", str)
"""A parsed plugin type, which is one path component (specification, section 1, "type").

Example:
    >>> kind: spec.PluginType = network.plugins[0].type
    >>> kind
    'bridge'
"""
NetnsPath = NewType("NetnsPath", str)
"""The absolute path of a network namespace (specification, section 2, "CNI_NETNS").

Example:
    >>> path: spec.NetnsPath = acni.Attachment(container_id="web", netns=4711).netns
    >>> path
    '/proc/4711/ns/net'
"""

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_NAME_EXPECTED: Final = "a letter or digit, then letters, digits, '_', '.', '-' (ASCII)"

# IFNAMSIZ is 16 with the NUL; '%' is the kernel's name template; 'all' and 'default' are
# directories of sysctl.
_IFNAME_FORBIDDEN: Final = re.compile(r"[/:%\s\x00-\x1f\x7f]")
_IFNAME_RESERVED: Final = frozenset({".", "..", "all", "default"})
# The kernel's isspace() reads bytes as Latin-1: to it, the "à" of UTF-8 holds a no-break space.
_KERNEL_SPACE: Final = b"\xa0"

# MAX_ARG_STRLEN is 131072 with the NUL; an entry is NAME=VALUE.
MAX_ENVIRONMENT_ENTRY: Final = 131_071
MAX_FILE_NAME: Final = 255
_DASHES_BETWEEN: Final = 2  # <network>-<container>-<ifname>
MAX_IFNAME_BYTES: Final = 15
PATH_MAX: Final = 4096
PID_MAX_LIMIT: Final = 4_194_304  # include/linux/threads.h


def parse_container_id(value: object) -> ContainerId:
    """Parse a container ID (specification, section 2, "CNI_CONTAINERID")."""
    return ContainerId(_matching("container ID", value))


def parse_network_name(value: object) -> NetworkName:
    """Parse a network's name (specification, section 1, "name")."""
    return NetworkName(_matching("network name", value))


def parse_ifname(value: object) -> IfName:
    """Parse an interface name: what the kernel takes, and nothing that a path or a sysctl could
    trip over.
    """
    expected = (
        "1 to 15 bytes without '/', ':', '%', space or control character, and no reserved name"
    )
    if (
        not isinstance(value, str)
        or not value
        or value in _IFNAME_RESERVED
        or _IFNAME_FORBIDDEN.search(value)
    ):
        raise _invalid("interface name", value, expected)
    encoded = _encoded("interface name", value, expected)
    if len(encoded) > MAX_IFNAME_BYTES or _KERNEL_SPACE in encoded:
        raise _invalid("interface name", value, expected)
    return IfName(value)


def parse_plugin_type(value: object) -> PluginType:
    """Parse a plugin's type: one path component (CVE-2021-20206 was ``../../bin/reboot``)."""
    expected = (
        "one path component: not empty, no '/' or NUL, not '.' or '..', not beginning with '-'"
    )
    if not isinstance(value, str) or not value or value in (".", "..") or value.startswith("-"):
        raise _invalid("plugin type", value, expected)
    if (
        "/" in value
        or "\0" in value
        or len(_encoded("plugin type", value, expected)) > MAX_FILE_NAME
    ):
        raise _invalid("plugin type", value, expected)
    return PluginType(value)


def parse_netns_path(value: object) -> NetnsPath:
    """Parse a namespace into its path, which is absolute, because plugins run in ``/``.

    Args:
        value: The path, the ID of a process in it, or an object whose ``path`` is the path.
    """
    expected = "an absolute path without NUL, shorter than 4096 bytes, or a process ID"
    path = _netns_path(value)
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise _invalid("netns", path, expected)
    if len(_encoded("netns", path, expected)) >= PATH_MAX:
        raise _invalid("netns", path, expected)
    return NetnsPath(path)


def _netns_path(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= PID_MAX_LIMIT:
        return f"/proc/{value:d}/ns/net"
    if isinstance(value, os.PathLike):
        return cast("os.PathLike[str]", value).__fspath__()
    return getattr(value, "path", value)


def parse_cni_args(value: object) -> Mapping[str, str]:
    """Parse the pairs of CNI_ARGS; what would change its meaning, or break the plugins' parser, is
    refused (R53).

    An error names the key, never the value: values may be secrets.
    """
    return _parse_cni_args(value, forbidden=";=")


def parse_recorded_cni_args(value: object) -> Mapping[str, str]:
    """Parse the pairs of CNI_ARGS of a record. ocicni takes them from its environment, where a
    value may hold ``=``: what was attached with it must be deleted with it.
    """
    return _parse_cni_args(value, forbidden=";")


def _parse_cni_args(value: object, forbidden: str) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidName(
            f"{type(value).__name__} is not allowed; expected a mapping of names to values",
            place="CNI_ARGS",
            expected="a mapping of names to values",
        )
    pairs: dict[str, str] = {}
    for key, text in cast("Mapping[object, object]", value).items():
        name = _parse_argument(key, "a name", ";=")
        if not name:
            raise _argument_error("an empty name")
        pairs[name] = _parse_argument(text, f"the value of {ascii(name)[:80]}", forbidden)
    size = len(f"CNI_ARGS={cni_args_text(pairs)}".encode())
    if size > MAX_ENVIRONMENT_ENTRY:
        expected = f"at most {MAX_ENVIRONMENT_ENTRY} bytes in all"
        raise InvalidName("too long", place="CNI_ARGS", expected=expected)
    return pairs


def _parse_argument(value: object, what: str, forbidden: str) -> str:
    # isprintable: no control characters, and no surrogates, which UTF-8 cannot write.
    if not isinstance(value, str) or not value.isprintable():
        raise _argument_error(what)
    if any([mark in value for mark in forbidden]):  # noqa: C419 (at most two)
        raise _argument_error(what)
    return value


def _argument_error(what: str) -> InvalidName:
    return InvalidName(
        f"{what} is not allowed",
        place="CNI_ARGS",
        expected="text without ';', '=' or control characters (args takes anything)",
    )


def cni_args_text(cni_args: Mapping[str, str]) -> str:
    """Write CNI_ARGS as the environment has it: ``K=V;K=V``."""
    return ";".join([f"{key}={text}" for key, text in cni_args.items()])


def parse_cni_args_text(text: str) -> Mapping[str, str]:
    """Read ``K=V;K=V`` as the environment variable and cnitool have it; nothing for the empty
    text.
    """
    pairs = [pair.partition("=") for pair in text.split(";")] if text else []
    if not all(separator for _, separator, _ in pairs):
        raise InvalidName(
            "a pair has no '='",
            place="CNI_ARGS",
            expected="NAME=VALUE pairs separated by ';'",
        )
    return parse_cni_args({key: value for key, _, value in pairs})


def record_name(network: NetworkName, container_id: ContainerId, ifname: IfName) -> str:
    """Name the record of an attachment as libcni does: ``<network>-<container>-<ifname>``."""
    name = f"{network}-{container_id}-{ifname}"
    if len(name.encode()) > MAX_FILE_NAME:
        raise InvalidName(
            f"the names are too long together ({len(name.encode())} bytes)",
            place="network name, container ID, interface name",
            expected=f"at most {MAX_FILE_NAME - 2} bytes together",
            network=network,
            container_id=container_id,
            ifname=ifname,
        )
    return name


def is_of_one_attachment(name: str) -> bool:
    """Tell whether the file name of a record is that of one attachment alone: others can have it
    only where one of the three names in it has a dash of its own (``a-b`` with ``c``, ``a`` with
    ``b-c``).
    """
    return name.count("-") == _DASHES_BETWEEN


def _matching(field: str, value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _invalid(field, value, _NAME_EXPECTED)
    return value


def _encoded(field: str, value: str, expected: str) -> bytes:
    try:
        return value.encode("utf-8", "strict")
    except UnicodeEncodeError:
        raise _invalid(field, value, expected) from None


def _invalid(field: str, value: object, expected: str) -> InvalidName:
    shown = ascii(value)[:80] if isinstance(value, str) else type(value).__name__
    return InvalidName(
        f"{shown} is not allowed; expected {expected}", place=field, expected=expected
    )
