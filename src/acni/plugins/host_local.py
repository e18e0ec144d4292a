"""``host-local``: an address plugin that gives addresses of ranges, kept as files of this host.

In the words and files of the reference, with which it may share a directory at any time
(:mod:`acni.plugins.leases`). What it does otherwise, each for a reason:

* The addresses of one ADD are taken under one lock, and what a failed ADD undoes is what it took:
  the reference releases all that the owner has.
* DEL needs the place of the leases only, so a configuration whose ranges are none any more still
  deletes (P3). It makes no directory.
* CHECK wants an address of each range set, the reference any address (P4).
* GC, which the reference has not: what is in the directory belongs to the network, and GC is told
  all attachments of the network that are valid. So a lease of none of them is released, whichever
  runtime gave it (specification, section 2, "GC").
* STATUS says before an ADD what it would fail of (P5).

(the reference's plugins/ipam/host-local)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from attrs import evolve, field, frozen

from acni.plugins.addressing import (
    argument_error,
    ipam_of,
    known_args,
    parse_interface,
    parse_path,
    parse_routes,
    parsed_argument,
    parsed_texts,
)
from acni.plugins.lease_refusals import io_failure, no_place, reading_resolv_conf, working_in
from acni.plugins.leaselock import locked_directory, make_directories
from acni.plugins.leases import MAX_LEASE_BYTES, Held, Leases, Owner, addresses_in
from acni.plugins.ranges import Address, RangeSet, canonical, parse_address, parse_range_sets
from acni.plugins.resolvconf import read_resolv_conf
from acni.skel.bounds import Bounds
from acni.skel.call import Call, Verbs
from acni.skel.errors import Code, PluginError
from acni.skel.reading import Fields
from acni.skel.results import NO_DNS, make_result
from acni.spec import reasons
from acni.spec.reasons import ADDRESSES_EXHAUSTED
from acni.spec.result import Dns, IpConfig, Result, Route

EXHAUSTED: Final = 100
ADDRESS_TAKEN: Final = 101
ALREADY_ALLOCATED: Final = 102
LEASE_MISSING: Final = 103

DEFAULT_DATA_DIR: Final = "/var/lib/cni/networks"

_ADDRESS: Final = "an address, with or without a prefix length"
_PATH: Final = "a path"


def add(call: Call) -> Result:
    """Give an address of each range set, or none."""
    settings = _parse_settings(call)
    owner = _owner(call)
    dns = _read_dns(settings)
    directory = _directory(call)
    with working_in(directory):
        make_directories(directory)
        with locked_directory(directory, bounds=call.bounds) as fd:
            addresses = _take(Leases(fd, call.bounds), owner, settings)
    ips = [_ip(one, of) for one, of in zip(addresses, settings.range_sets, strict=True)]
    return make_result(ips=ips, routes=settings.routes, dns=dns)


def delete(call: Call) -> None:
    """Release what the attachment has; there may be nothing."""
    previous = () if call.previous is None else call.previous.ips
    with _existing_leases(call) as leases:
        if leases is not None:
            leases.release(_owner(call), [canonical(ip.ip.ip) for ip in previous])


def check(call: Call) -> None:
    """Raise where a range set has no address of the attachment."""
    settings = _parse_settings(call)
    owner = _owner(call)
    previous = () if call.previous is None else call.previous.ips
    with _existing_leases(call) as leases:
        held: tuple[Address, ...] = ()
        if leases is not None:
            named = (canonical(ip.ip.ip) for ip in previous)
            held = tuple(address for address in named if leases.is_of(address, owner))
            if _missing(settings, held) is not None:
                held = leases.addresses_of(owner)
    missing = _missing(settings, held)
    if missing is not None:
        raise PluginError(
            LEASE_MISSING,
            f"{call.container_id}/{call.ifname} has no address of {missing}",
            reason="lease-missing",
        )


def gc(call: Call) -> None:
    """Release what is of no valid attachment."""
    valid = [Owner(one.container_id, one.ifname) for one in call.valid or ()]
    with _existing_leases(call) as leases:
        failures = [] if leases is None or call.valid is None else leases.keep_only(valid)
    if failures:
        raise io_failure(_directory(call), failures[0])


def status(call: Call) -> None:
    """Raise where an ADD would find no place to write, or no address."""
    settings = _parse_settings(call)
    _read_dns(settings)
    directory = _directory(call)
    _require_writable(directory)
    with working_in(directory):
        taken = tuple(addresses_in(directory, call.bounds))
    for range_set in settings.range_sets:
        if _given_of(range_set, taken, call.bounds) >= range_set.size:
            raise _exhausted(Code.NOT_AVAILABLE, range_set)


# What is configured.


@frozen(kw_only=True)
class _Settings:
    """What an ADD needs.

    Attributes:
        range_sets: Of each, an attachment gets one address.
        asked: The address that is asked for, by the number of its range set.
        routes: The routes of the result.
        resolv_conf: The file that has its DNS settings, or None.
    """

    range_sets: tuple[RangeSet, ...]
    asked: Mapping[int, Address] = field(factory=dict[int, Address])
    routes: tuple[Route, ...]
    resolv_conf: str | None


def _parse_settings(call: Call) -> _Settings:
    settings = call.parsed(_parse_fields)
    asked = _asked(call)
    return evolve(settings, asked=_assign(asked, settings.range_sets)) if asked else settings


def _parse_fields(fields: Fields, cni_version: str) -> _Settings:
    ipam = ipam_of(fields)
    return _Settings(
        range_sets=parse_range_sets(fields, cni_version),
        routes=parse_routes(ipam),
        resolv_conf=ipam.parsed("resolvConf", parse_path, _PATH),
    )


def _asked(call: Call) -> tuple[Address, ...]:
    """Return the addresses that are asked for, each once: by CNI_ARGS, ``args`` and the runtime."""
    fields = call.fields
    asked: tuple[Address, ...] = ()
    text = known_args(call, ("IP",)).get("IP")
    if text:
        asked = (parsed_argument("IP", text, _parse_asked, _ADDRESS),)
    for place in (fields.inner("args").inner("cni"), fields.inner("runtimeConfig")):
        asked += parsed_texts(place, "ips", _parse_asked, _ADDRESS)
    return tuple(dict.fromkeys(asked))


def _parse_asked(text: str) -> Address:
    return parse_interface(text).ip if "/" in text else parse_address(text)


def _assign(asked: Iterable[Address], range_sets: tuple[RangeSet, ...]) -> Mapping[int, Address]:
    """Assign the addresses that are asked for to range sets: each gets one of its own at most.

    Raises:
        PluginError: one of them cannot be given.
    """
    assigned: dict[int, Address] = {}
    for address in asked:
        found = next((at for at, one in enumerate(range_sets) if one.range_of(address)), None)
        if found is None or found in assigned:
            why = "is in no range" if found is None else "is the second of its range set"
            raise PluginError(Code.INVALID_CONFIG, f"{address}, which is asked for, {why}")
        of = range_sets[found].range_of(address)
        if of is not None and of.gateway == address:
            message = f"{address}, which is asked for, is a gateway"
            raise PluginError(Code.INVALID_CONFIG, message)
        assigned[found] = address
    return assigned


def _owner(call: Call) -> Owner:
    owner = Owner(call.container_id, call.ifname)
    if len(owner.content) > MAX_LEASE_BYTES:
        raise argument_error("CNI_CONTAINERID", f"at most {MAX_LEASE_BYTES} bytes")
    return owner


def _directory(call: Call) -> str:
    """Return the directory of the leases; plugins run in ``/``."""
    data_dir = ipam_of(call.fields).parsed("dataDir", parse_path, _PATH) or DEFAULT_DATA_DIR
    return os.path.join(data_dir, call.network)


def _read_dns(settings: _Settings) -> Dns:
    if settings.resolv_conf is None:
        return NO_DNS
    with reading_resolv_conf(settings.resolv_conf):
        return read_resolv_conf(settings.resolv_conf)


# What is taken.


def _take(leases: Leases, owner: Owner, settings: _Settings) -> tuple[Address, ...]:
    """Take an address of each range set and write it down."""
    held = leases.held_by(owner)
    addresses: list[Address] = []
    with leases.taking(owner) as take:
        for index, range_set in enumerate(settings.range_sets):
            asked = settings.asked.get(index)
            if asked is not None:
                address = take([asked])
                if address is None:
                    raise _taken(asked, range_set, is_own=asked in held.addresses)
            else:
                _require_none(held, owner, range_set)
                address = take(range_set.candidates(after=leases.last_given(index)))
                if address is None:
                    raise _exhausted(EXHAUSTED, range_set)
            leases.remember(index, address, are_all_ours=held.are_all_ours)
            addresses.append(address)
    return tuple(addresses)


def _require_none(held: Held, owner: Owner, range_set: RangeSet) -> None:
    """Refuse a second address; one that is asked for may be a second one, as in the reference."""
    for address in held.addresses:
        if range_set.range_of(address):
            raise PluginError(
                ALREADY_ALLOCATED,
                f"{address} has been allocated to {owner.container_id}/{owner.ifname} before",
                reason=reasons.ALREADY_ALLOCATED,
            )


def _taken(address: Address, range_set: RangeSet, *, is_own: bool) -> PluginError:
    """Make the error of an address that is asked for, and somebody's or the attachment's own."""
    message = f"requested IP address {address} is not available in range set {range_set}"
    reason = reasons.ALREADY_ALLOCATED if is_own else "address-taken"
    return PluginError(ADDRESS_TAKEN, message, reason=reason)


def _exhausted(code: int, range_set: RangeSet) -> PluginError:
    message = f"no IP addresses available in range set: {range_set}"
    return PluginError(code, message, reason=ADDRESSES_EXHAUSTED)


def _ip(address: Address, range_set: RangeSet) -> IpConfig:
    of = next(one for one in range_set.ranges if address in one)
    written = f"{address}/{of.subnet.prefixlen}"
    return IpConfig(address=written, gateway=str(of.gateway), interface=None)


def _given_of(range_set: RangeSet, taken: Iterable[Address], bounds: Bounds) -> int:
    """Count the addresses of a range set that are taken; a gateway was never to be given."""
    count = 0
    for address in taken:
        bounds.check()
        of = range_set.range_of(address)
        count += of is not None and of.gateway != address
    return count


def _missing(settings: _Settings, held: Iterable[Address]) -> RangeSet | None:
    """Find a range set of which no address is held."""
    held = tuple(held)
    return next((one for one in settings.range_sets if not any(map(one.range_of, held))), None)


# Where it is written.


@contextmanager
def _existing_leases(call: Call) -> Generator[Leases | None]:
    """Hold the lock of the leases; None where there is no directory, and so no lease."""
    directory = _directory(call)
    with working_in(directory), ExitStack() as stack:
        leases = None
        with contextlib.suppress(FileNotFoundError):
            fd = stack.enter_context(locked_directory(directory, bounds=call.bounds))
            leases = Leases(fd, call.bounds)
        yield leases


def _require_writable(directory: str) -> None:
    """Ask for the directory, or the one in which it would be made."""
    while not os.path.lexists(directory) and directory != "/":
        directory = os.path.dirname(directory)
    if (refusal := no_place(directory)) is not None:
        raise refusal


VERBS: Final = Verbs(add=add, delete=delete, check=check, gc=gc, status=status)
