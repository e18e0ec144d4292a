"""The addresses that host-local gives away: ranges, sets of ranges, and the order in which a set is
tried.

Rule 1: a set yields one address of one family; its ranges, and those of different sets, do not
    overlap.
Rule 2: an IPv4 address written as IPv6 is an IPv4 address, as in Go.
Rule 3: a range may begin with its network's address and end with its broadcast address where its
    configuration says so; by itself it leaves both out.

(the reference's plugins/ipam/host-local/backend/allocator, range.go, range_set.go, config.go)
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Final

from attrs import frozen

from acni.skel.errors import Code, PluginError
from acni.skel.reading import Fields
from acni.spec.addresses import address_of, interface_of, is_address, is_with_length
from acni.spec.versions import is_at_least

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# A network's own address and one more are needed, and in IPv4 the broadcast address.
_LEAST_HOST_BITS: Final = 2


@frozen(kw_only=True)
class Range:
    """Consecutive addresses of one subnet.

    Attributes:
        subnet: Where they are; its prefix length is that of each address.
        first: The first that may be given.
        last: The last that may be given.
        gateway: Never given.
    """

    subnet: Network
    first: Address
    last: Address
    gateway: Address

    def __contains__(self, address: Address) -> bool:
        return address.version == self.first.version and int(self.first) <= int(address) <= int(
            self.last
        )

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def overlaps(self, other: Range) -> bool:
        """Tell whether an address is in both."""
        return self.first in other or other.first in self

    def between(self, first: int, last: int) -> Iterator[Address]:
        """Iterate over what may be given of a part of it."""
        make = ipaddress.IPv4Address if self.first.version == 4 else ipaddress.IPv6Address  # noqa: PLR2004
        gateway = int(self.gateway) if self.gateway.version == self.first.version else None
        number = first
        while number <= last:
            if number != gateway:
                yield make(number)
            number += 1

    @property
    def size(self) -> int:
        """How many addresses may be given."""
        return int(self.last) - int(self.first) + 1 - (self.gateway in self)


@frozen
class RangeSet:
    """Ranges of one family, of which an attachment gets one address."""

    ranges: tuple[Range, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.ranges))

    def range_of(self, address: Address) -> Range | None:
        """Find the range that has an address: one look, for a configuration has room for thousands
        of ranges, and a directory for as many leases.
        """
        behind = bisect_right(self._in_order, int(address), key=lambda one: int(one.first))
        nearest = self._in_order[max(0, behind - 1)]
        return nearest if address in nearest else None

    @cached_property
    def _in_order(self) -> tuple[Range, ...]:
        return tuple(sorted(self.ranges, key=lambda one: int(one.first)))

    def candidates(self, *, after: Address | None) -> Iterator[Address]:
        """Iterate over its addresses, once over each, in the order in which they are tried.

        Args:
            after: The address that was given last: who crashes again and again does not get the
                same address before all others were given. None begins at the front, and so does
                one that is in no range.
        """
        begin = None if after is None else self._place_of(after)
        if after is None or begin is None:
            for one in self.ranges:
                yield from one.between(int(one.first), int(one.last))
            return
        current = self.ranges[begin]
        yield from current.between(int(after) + 1, int(current.last))
        for one in self.ranges[begin + 1 :] + self.ranges[:begin]:
            yield from one.between(int(one.first), int(one.last))
        yield from current.between(int(current.first), int(after))

    def _place_of(self, address: Address) -> int | None:
        return next((at for at, one in enumerate(self.ranges) if address in one), None)

    @property
    def size(self) -> int:
        """How many addresses may be given."""
        return sum(one.size for one in self.ranges)


def canonical(address: Address) -> Address:
    """Make IPv4 of an IPv4 address that is written as IPv6."""
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address


def parse_address(text: str) -> Address:
    """Parse an address as Go does.

    Raises:
        ValueError: it is none; a zone has no place in it.
    """
    if not is_address(text):
        raise ValueError(f"{text!a} is no address")
    return canonical(address_of(text))


def parse_range_sets(fields: Fields, cni_version: str) -> tuple[RangeSet, ...]:
    """Parse the range sets of a request configuration: the runtime's first, then the single range
    of the older form, then ``ranges``.

    Args:
        fields: The whole configuration.
        cni_version: Its version; before 0.3.0 a result has one address of each family.

    Raises:
        PluginError: one of them cannot be used, or there is none; names the place.
    """
    ipam = fields.inner("ipam")
    lists = list(_lists(fields.inner("runtimeConfig"), "ipRanges"))
    if ipam.has("subnet"):
        lists.append((ipam.at("subnet"), (ipam,)))
    lists += _lists(ipam, "ranges")
    if not lists:
        raise ipam.error("ranges", "no range", "a list of range sets")
    sets = [(place, _parse_range_set(place, written)) for place, written in lists]
    _require_distinct(sets)
    _require_one_of_a_family(ipam, sets, cni_version)
    return tuple(one for _, one in sets)


Written = tuple[str, tuple[Fields, ...]]


def _lists(fields: Fields, key: str) -> Iterator[Written]:
    for index, written in enumerate(fields.object_lists(key)):
        yield f"{fields.at(key)}[{index}]", written


def _parse_range_set(place: str, written: Sequence[Fields]) -> RangeSet:
    if not written:
        raise _error(place, "an empty range set", "at least one range")
    ranges = tuple(map(_parse_range, written))
    for one, other in pairwise(ranges):
        if one.first.version != other.first.version:
            raise _error(place, "IPv4 and IPv6 in one range set", "one family")
    for one, other in _neighbours(ranges):
        if one.overlaps(other):
            raise _error(place, f"{one} and {other} overlap", "ranges that do not")
    return RangeSet(ranges)


def _neighbours(ranges: Iterable[Range]) -> Iterator[tuple[Range, Range]]:
    """Pair each range with the one that begins next: if any two overlap, two of these do.

    All pairs of what a configuration has room for, some ten thousand, would take minutes.
    """
    return pairwise(sorted(ranges, key=lambda one: (one.first.version, int(one.first))))


def _parse_range(fields: Fields) -> Range:
    subnet = _parse_subnet(fields)
    expected = f"an address of {subnet}"
    base = subnet.network_address
    first = fields.parsed("rangeStart", parse_address, expected) or base + 1
    last = fields.parsed("rangeEnd", parse_address, expected) or _last_of(subnet)
    for key, address in (("rangeStart", first), ("rangeEnd", last)):
        if address not in subnet:
            raise fields.error(key, f"{address} is not in {subnet}", expected)
    if int(first) > int(last):
        raise fields.error("rangeStart", f"{first} is behind {last}", "an address before rangeEnd")
    gateway = fields.parsed("gateway", parse_address, "an address") or base + 1
    if gateway.version != subnet.version:
        raise fields.error("gateway", f"{gateway} is of the other family", f"IPv{subnet.version}")
    return Range(subnet=subnet, first=first, last=last, gateway=gateway)


def _parse_subnet(fields: Fields) -> Network:
    expected = "a network, such as 10.88.0.0/16"
    subnet = fields.parsed("subnet", _parse_network, expected)
    if subnet is None:
        raise fields.error("subnet", "no subnet", expected)
    if subnet.max_prefixlen - subnet.prefixlen < _LEAST_HOST_BITS:
        raise fields.error("subnet", f"{subnet} is too small to allocate from", expected)
    return subnet


def _parse_network(text: str) -> Network:
    """Parse a network as the reference takes it: an address with a prefix length and no host bits,
    no IPv4 written as IPv6.
    """
    if not is_with_length(text):
        raise ValueError(text)
    interface = interface_of(text)
    if interface.ip != interface.network.network_address or canonical(interface.ip) != interface.ip:
        raise ValueError(text)
    return interface.network


def _last_of(subnet: Network) -> Address:
    return subnet.broadcast_address - (subnet.version == 4)  # noqa: PLR2004


def _require_distinct(sets: Sequence[tuple[str, RangeSet]]) -> None:
    set_of = {id(one): index for index, (_, of) in enumerate(sets) for one in of.ranges}
    for pair in _neighbours(one for _, of in sets for one in of.ranges):
        if pair[0].overlaps(pair[1]):
            (place, one), (other_place, other) = (
                sets[index] for index in sorted(set_of[id(range_)] for range_ in pair)
            )
            message = f"{one} overlaps with {other} of {place}"
            raise _error(other_place, message, "range sets that do not overlap")


def _require_one_of_a_family(
    ipam: Fields, sets: Sequence[tuple[str, RangeSet]], cni_version: str
) -> None:
    families = [one.ranges[0].first.version for _, one in sets]
    if len(families) > len(set(families)) and not is_at_least(cni_version, "0.3.0"):
        message = f"{cni_version} has one address of each family"
        raise ipam.error("ranges", message, "one range set of each family")


def _error(place: str, message: str, expected: str) -> PluginError:
    return PluginError(Code.INVALID_CONFIG, f"{message} at {place}", details=f"expected {expected}")
