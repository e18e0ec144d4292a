"""Host ports that nobody named (``hostPort`` 0): one is picked, and found again later.

Rule 1: what ADD picked stands in its result, in a member of its own: ``portMappings``, in the shape
    of the capability. Results have no place for it, so programs in Go lose it; CHECK and DEL then
    look which ports the table has lead to the container.
Rule 2: it is free at all addresses that it is to lead to, and at none of these another's.
Rule 3: that a port is free when one looks means little: the table decides, and whoever comes second
    picks another.

(CONVENTIONS.md, "portMappings")
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from attrs import evolve

from acni.netlink.families import IpAddress
from acni.plugins.freeports import PortSettings
from acni.plugins.passing import with_member
from acni.plugins.podelements import Port, ports_of
from acni.plugins.portmap_settings import NAMES, Settings, Wanted
from acni.plugins.tables import Entry
from acni.skel.errors import PluginError
from acni.spec.result import Result

NO_PORT_FREE: Final = 113

Led = Mapping[IpAddress, Collection[Port]]
"""The host's ports that lead to each address."""


def led_by(entries: Sequence[Entry]) -> Led:
    """Return what leads to the addresses of entries."""
    return {entry.address: frozenset(ports_of(entry)) for entry in entries}


def recognise(settings: Settings, led: Led) -> Settings:
    """Name the ports that were picked, as far as they lead to all addresses that they are to."""
    found: dict[Wanted, Wanted] = {}
    named = {one.host_port for one in settings.wanted}
    # What is wanted at the addresses of one family may be taken for a port of both otherwise.
    for one in sorted(settings.to_pick, key=lambda one: one.host_address is not None):
        for number in sorted(_numbers(led) - named):
            named_one = evolve(one, host_port=number)
            if _leads(named_one, led):
                named.add(number)
                found[one] = named_one
                break
    return _with(settings, found)


def pick(
    settings: Settings,
    host: PortSettings,
    whose: str,
    is_free: Callable[[Wanted], bool],
    *,
    refused: Collection[int] = (),
) -> Settings:
    """Pick a port for each that nobody named.

    Args:
        settings: What is asked for.
        host: The host's settings.
        whose: Whose they are to be, in words.
        is_free: Tells whether nobody has a port, and no program listens on it.
        refused: Ports that turned out to be another's.

    Raises:
        PluginError: no port is free.
    """
    found: dict[Wanted, Wanted] = {}
    given = {one.host_port for one in settings.wanted} | set(refused)
    for one in settings.to_pick:
        candidates = host.candidates(f"{whose} {one.protocol} {one.pod_port}")
        named = (evolve(one, host_port=number) for number in candidates if number not in given)
        free = next(filter(is_free, named), None)
        if free is None:
            message = f"no port of the host is free for {one.pod_port}/{NAMES[one.protocol]}"
            raise PluginError(NO_PORT_FREE, message, reason="no-port-free")
        given.add(free.host_port)
        found[one] = free
    return _with(settings, found)


def with_ports(previous: Result, settings: Settings) -> Result:
    """Return a result that says which ports lead to the container."""
    return with_member(previous, "portMappings", [dict(_said(one)) for one in settings.wanted])


def _said(one: Wanted) -> Iterator[tuple[str, object]]:
    yield "hostPort", one.host_port
    yield "containerPort", one.pod_port
    yield "protocol", NAMES[one.protocol]
    if one.host_address is not None:
        yield "hostIP", str(one.host_address)


def _with(settings: Settings, found: Mapping[Wanted, Wanted]) -> Settings:
    return evolve(settings, wanted=tuple(found.get(one, one) for one in settings.wanted))


def _numbers(led: Led) -> set[int]:
    return {port.host_port for ports in led.values() for port in ports}


def _leads(one: Wanted, led: Led) -> bool:
    """Tell whether a port leads to each address of its families, and to one at least."""
    ports = [(one.port_for(address), there) for address, there in led.items()]
    asked = [port in there for port, there in ports if port is not None]
    return bool(asked) and all(asked)
