"""What a plugin can change on a host or in a container, looked at twice and compared.

Left out is what changes without anybody's doing: timers, counters, whether a link is running, what
the kernel says to itself (link-local addresses, routes to them, the table of the host's own
addresses), neighbours that were found and not set, and hardware addresses, which are random.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from acni.netlink.addresses import list_addresses
from acni.netlink.links import Link, list_links
from acni.netlink.neighbours import list_neighbours
from acni.netlink.routes import list_routes
from acni.netlink.sockets import open_here

_SETTINGS: Final = Path("/proc/sys/net")
# Of the others below /proc/sys/net some change by themselves, or are the machine's.
_FOLDERS: Final = ("ipv4", "ipv6")
_NOT_SETTINGS: Final = ("neigh", "route", "nf_", "flush")
_LOCAL_TABLE: Final = 255
_UNICAST: Final = 1
_UNREACHABLE: Final = 7
_LINK_SCOPE: Final = 253
_BY_HAND: Final = 0x80  # NUD_PERMANENT


@frozen
class HostState:
    """What was found at one moment, line by line.

    Attributes:
        lines: What is said of each thing: ``link br0``, ``address eth0 192.0.2.9/24``, ``route
            0.0.0.0/0 eth0``, ``neighbour eth0 192.0.2.1``, ``setting ipv4/ip_forward``, ``file
            /var/lib/cni/networks/net/10.1.0.2``.

    Example:
        >>> state = testing.HostState({"link lo": "up", "setting ipv4/ip_forward": "1"})
        >>> state.without(["setting ipv4/*"]).lines
        {'link lo': 'up'}
    """

    lines: Mapping[str, str]

    def without(self, patterns: Sequence[str]) -> HostState:
        """Leave out what matches one of some patterns, as a shell's.

        Args:
            patterns: Such as ``link br0``, ``* br0*`` or ``setting ipv4/conf/br0/*``.

        Example:
            >>> testing.HostState({"link lo": "up"}).without(["link *"]).lines
            {}
        """
        return HostState(
            {
                line: said
                for line, said in self.lines.items()
                if not any(fnmatch.fnmatchcase(line, pattern) for pattern in patterns)
            }
        )

    def beyond(self, earlier: HostState) -> list[str]:
        """Describe in lines what is otherwise than it was; of a link that came or went not what
        comes and goes with it.

        Args:
            earlier: What was found then.

        Example:
            >>> before = testing.HostState({"link lo": "up"})
            >>> testing.HostState({"link lo": "down", "link eth0": "up"}).beyond(before)
            ['new: link eth0 (up)', 'was up, is down: link lo']
        """
        now, then = self.lines, earlier.lines
        passing = {_settings_of(line) for line in now.keys() ^ then.keys()}
        now = {line: said for line, said in now.items() if _folder_of(line) not in passing}
        then = {line: said for line, said in then.items() if _folder_of(line) not in passing}
        return [
            *(f"new: {line} ({now[line]})" for line in sorted(now.keys() - then.keys())),
            *(f"gone: {line} ({then[line]})" for line in sorted(then.keys() - now.keys())),
            *(
                f"was {then[line]}, is {now[line]}: {line}"
                for line in sorted(now.keys() & then.keys())
                if now[line] != then[line]
            ),
        ]


def _settings_of(line: str) -> str | None:
    """Name the folder of a link's settings."""
    what, _, name = line.partition(" ")
    return f"conf/{name}" if what == "link" else None


def _folder_of(line: str) -> str:
    """Name the folder that a setting is in: ``conf/eth0``."""
    what, _, path = line.partition(" ")
    return "/".join(path.split("/")[1:-1]) if what == "setting" else ""


def look_here(directories: Iterable[str | os.PathLike[str]] = ()) -> HostState:
    """Look at the calling thread's namespace, and at directories.

    Args:
        directories: What is below them is told by name.

    Example:
        >>> with netns.anonymous() as box:
        ...     state = box.call(testing.look_here)
        >>> state.lines["link lo"]
        'kind None, mtu 65536, down'
    """
    return HostState(dict([*_network(), *_settings(), *_files(directories)]))


def _network() -> Iterator[tuple[str, str]]:
    with open_here() as netlink:
        links = {link.index: link for link in list_links(netlink)}
        addresses = list_addresses(netlink)
        routes = list_routes(netlink, table=None)
        neighbours = list_neighbours(netlink)
    names = {index: link.name for index, link in links.items()}
    for link in links.values():
        yield f"link {link.name}", _said_of(link, names)
    for address in addresses:
        if address.scope != _LINK_SCOPE:
            yield f"address {names.get(address.index)} {address.interface}", "there"
    for route in routes:
        is_ours = route.kind in (_UNICAST, _UNREACHABLE) and route.table != _LOCAL_TABLE
        if is_ours and not (route.destination.is_link_local or route.destination.is_multicast):
            where = names.get(route.index or 0, "nowhere")
            said = f"via {route.gateway_address}, metric {route.priority}, table {route.table}"
            yield f"route {route.destination} {where} {route.table} {route.priority}", said
    for neighbour in neighbours:
        if neighbour.state & _BY_HAND and not neighbour.address.is_multicast:
            yield f"neighbour {names.get(neighbour.index)} {neighbour.address}", "there"


def _said_of(link: Link, names: Mapping[int, str]) -> str:
    said = [f"kind {link.kind}", f"mtu {link.mtu}", "up" if link.is_up else "down"]
    if link.master is not None:
        said.append(f"port of {names.get(link.master)}")
    if link.is_promiscuous:
        said.append("promiscuous")
    if link.alias is not None:
        said.append(f"alias {link.alias}")
    return ", ".join(said)


def _settings() -> Iterator[tuple[str, str]]:
    for folder in _FOLDERS:
        for directory, folders, names in os.walk(_SETTINGS / folder):
            folders[:] = [name for name in folders if not name.startswith(_NOT_SETTINGS)]
            for name in names:
                if name.startswith(_NOT_SETTINGS):
                    continue
                path = Path(directory, name)
                try:
                    said = path.read_text().strip()
                except OSError:  # write-only, without a value yet, or its link is gone
                    continue
                yield f"setting {path.relative_to(_SETTINGS)}", said


def _files(directories: Iterable[str | os.PathLike[str]]) -> Iterator[tuple[str, str]]:
    for root in directories:
        for directory, _, names in os.walk(root):
            for name in names:
                yield f"file {Path(directory, name)}", "there"
