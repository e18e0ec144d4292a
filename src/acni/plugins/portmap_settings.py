"""What ``portmap`` is configured with, parsed once.

Rule 1: a key that asks for what is not done here is refused (P11), but for those that say how the
    reference is to do it: both of its backends, and the mark that its rules use.
Rule 2: a port is asked for once. Two that want the same port of the host are refused whole.
Rule 3: 0 is any port of the host (:mod:`acni.plugins.pickedports`); one that is not named at all is
    an error.

(the reference's plugins/meta/portmap; CONVENTIONS.md, "portMappings")
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from acni.netlink.families import IpAddress, is_v4
from acni.plugins.addressing import parse_its_address
from acni.plugins.linksettings import unsupported
from acni.plugins.owners import Owner
from acni.plugins.podelements import Port, publishing
from acni.plugins.ranges import parse_address
from acni.plugins.tables import Entry
from acni.skel.call import Call
from acni.skel.reading import Fields
from acni.spec.capabilities import PortMapping
from acni.spec.commands import Command
from acni.spec.result import Result

PROTOCOLS: Final[Mapping[str, int]] = {
    "tcp": int(socket.IPPROTO_TCP),
    "udp": int(socket.IPPROTO_UDP),
    "sctp": int(socket.IPPROTO_SCTP),
}
NAMES: Final[Mapping[int, str]] = {number: name for name, number in PROTOCOLS.items()}
"""Protocols by their numbers."""

_MOST_PORT: Final = 65535
_BACKENDS: Final = ("", "iptables", "nftables")
_CONDITIONS: Final = ("conditionsV4", "conditionsV6")


@frozen(kw_only=True)
class Wanted:
    """A port that is asked for.

    Attributes:
        protocol: IPPROTO_TCP, _UDP or _SCTP.
        host_port: The host's; 0, one is to be picked.
        pod_port: The pod's.
        host_address: The only address of the host; an unspecified one means all of its family, and
            None all of both.
    """

    protocol: int
    host_port: int
    pod_port: int
    host_address: IpAddress | None = None

    def port_for(self, address: IpAddress) -> Port | None:
        """Return the port as it leads to an address; None where it is of the other family."""
        at = self.host_address
        if at is not None and at.version != address.version:
            return None
        return Port(
            protocol=self.protocol,
            host_port=self.host_port,
            pod_port=self.pod_port,
            host_address=None if at is None or at.is_unspecified else at,
        )


@frozen(kw_only=True)
class Settings:
    """What ``portmap`` is to do.

    Attributes:
        wanted: The ports, each once.
        is_returning: Whether what comes from the container's neighbours, itself and 127.0.0.1 gets
            the host's address (``snat``).
        for_anyone: Whether all that comes by the ports does (``masqAll``).
        overrides: Whether a port is published though somebody's rule may want it left alone.
    """

    wanted: tuple[Wanted, ...]
    is_returning: bool
    for_anyone: bool
    overrides: bool

    @property
    def to_pick(self) -> tuple[Wanted, ...]:
        """Those of which the host's port is to be picked."""
        return tuple(one for one in self.wanted if not one.host_port)

    def leading_to(self, addresses: Sequence[IpAddress]) -> Settings:
        """Return it without the ports that lead to none of a container's addresses."""
        leading = (
            one
            for one in self.wanted
            if any(one.port_for(address) is not None for address in addresses)
        )
        return evolve(self, wanted=tuple(leading))

    def entries(self, owner: Owner, addresses: Sequence[IpAddress]) -> list[Entry]:
        """Return what the table is to have, of ports that are named.

        Args:
            owner: Whose it is.
            addresses: The container's, one of a family.
        """
        found: list[Entry] = []
        for address in addresses:
            found_ports = (one.port_for(address) for one in self.wanted if one.host_port)
            ports = [port for port in found_ports if port is not None]
            if ports:
                found.append(
                    publishing(
                        owner,
                        address,
                        ports,
                        is_returning=self.is_returning,
                        for_anyone=self.for_anyone,
                    )
                )
        return found


def parse_settings(call: Call) -> Settings:
    """Parse the configuration; which port an ADD picked is what its result says.

    Raises:
        PluginError: a member is not what was expected, asks for what is not done here, or two ports
            are the same; names the place.
    """
    fields = call.fields
    _refuse_what_is_not_done(fields)
    asked = _parse_wanted(fields.inner("runtimeConfig"))
    # The result before an ADD is others'.
    told = None if call.command is Command.ADD else call.previous
    return Settings(
        wanted=asked if told is None else _named(asked, told.port_mappings),
        is_returning=fields.flag("snat", True),
        for_anyone=fields.flag("masqAll"),
        overrides=fields.flag("overrideNatRules"),
    )


def addresses_of(result: Result) -> list[IpAddress]:
    """Return the first address of each family that a result gives to a container."""
    on_host = {place for place, one in enumerate(result.interfaces) if not one.sandbox}
    found: dict[int, IpAddress] = {}
    for ip in result.ips:
        if ip.interface not in on_host:
            address = parse_its_address(ip.address)
            found.setdefault(address.version, address)
    return list(found.values())


def _refuse_what_is_not_done(fields: Fields) -> None:
    for key in _CONDITIONS:
        if fields.texts(key):
            instead = "arguments of iptables are no elements: write a rule for admin_ports"
            raise unsupported(fields, key, instead)
    if fields.text("externalSetMarkChain"):
        instead = "nothing is marked here: leave it out"
        raise unsupported(fields, "externalSetMarkChain", instead)
    if fields.text("backend", "") not in _BACKENDS:
        expected = "iptables or nftables: either is done by a table of acni's"
        raise fields.error("backend", "an unknown backend", expected)


def _parse_wanted(runtime: Fields) -> tuple[Wanted, ...]:
    found: dict[Wanted, Fields] = {}
    for fields in runtime.objects("portMappings"):
        one = _parse_one(fields)
        for other in found:
            if one != other and _is_same_port(one, other):
                raise fields.error("hostPort", f"{one.host_port} is there twice", "a port once")
        found.setdefault(one, fields)
    return tuple(found)


def _named(asked: tuple[Wanted, ...], said: Iterable[PortMapping]) -> tuple[Wanted, ...]:
    """Name the ports that were picked, as a result says them."""
    given = {one.host_port for one in asked}
    picked = {
        Wanted(
            protocol=PROTOCOLS[one.protocol],
            host_port=0,
            pod_port=one.container,
            host_address=one.host_ip,
        ): one.host
        for one in said
        if one.host not in given
    }
    return tuple(evolve(one, host_port=picked[one]) if one in picked else one for one in asked)


def _parse_one(fields: Fields) -> Wanted:
    expected = " or ".join(PROTOCOLS)
    protocol = fields.text("protocol", "tcp").lower()
    if protocol not in PROTOCOLS:
        raise fields.error("protocol", f"{fields.shown(protocol)} is no protocol here", expected)
    host_port = _parse_port(fields, "hostPort", least=0)
    pod_port = _parse_port(fields, "containerPort", least=1)
    at = fields.parsed("hostIP", parse_address, "an address of the host")
    return Wanted(
        protocol=PROTOCOLS[protocol], host_port=host_port, pod_port=pod_port, host_address=at
    )


def _parse_port(fields: Fields, key: str, *, least: int) -> int:
    port = fields.number(key, least=least, most=_MOST_PORT)
    if port is None:
        raise fields.error(key, f"no {key}", f"a port from {least} to {_MOST_PORT}")
    return port


def _is_same_port(one: Wanted, other: Wanted) -> bool:
    if (one.protocol, one.host_port) != (other.protocol, other.host_port) or not one.host_port:
        return False
    versions = [_versions(at) for at in (one.host_address, other.host_address)]
    if not versions[0] & versions[1]:
        return False
    places = [at for at in (one.host_address, other.host_address) if at and not at.is_unspecified]
    return len(places) < len(versions) or places[0] == places[1]


def _versions(at: IpAddress | None) -> set[int]:
    return {4, 6} if at is None else {at.version}


def describe(port: Port) -> str:
    """Write a port of the host as ``8080/tcp``."""
    at = port.host_address
    where = "" if at is None else f"{at}:" if is_v4(at) else f"[{at}]:"
    return f"{where}{port.host_port}/{NAMES.get(port.protocol, str(port.protocol))}"
