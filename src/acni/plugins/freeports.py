"""Ports of the host to be given where none is named: which there are, and in which order.

Rule 1: a port is a dynamic one: no program is at home there, and none needs a privilege for it.
Rule 2: one that the kernel gives to nobody by itself comes first (``ip_local_port_range``). It does
    not know that a port leads to a container: a program that asks for any may be given the same,
    and would never be called.
Rule 3: what an administrator reserved (``ip_local_reserved_ports``) is given to nobody.
Rule 4: where the search begins follows from whose the port is to be: those that search at the same
    time begin in different places, and who comes again is given the same, unless it is taken.

(RFC 6335, section 6; the kernel's Documentation/networking/ip-sysctl.rst)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

DYNAMIC: Final = range(49152, 65536)
"""RFC 6335's dynamic ports, which are assigned to nothing."""

_SETTINGS: Final = "/proc/sys/net/ipv4"
_USUAL_LOCAL: Final = range(32768, 61000)


@frozen(kw_only=True)
class PortSettings:
    """What the kernel is told about the ports of a host.

    Attributes:
        local: Those of which it gives one to whoever asks for any.
        reserved: Those that it gives to nobody who does.
    """

    local: range
    reserved: tuple[range, ...]

    def candidates(self, whose: str) -> Iterator[int]:
        """Iterate over the ports that may be given, the better ones first.

        Args:
            whose: Whose the port is to be, in words.
        """
        begins, ends = self.local.start, self.local.stop
        outside = [range(DYNAMIC.start, begins), range(max(ends, DYNAMIC.start), DYNAMIC.stop)]
        inside = [range(max(begins, DYNAMIC.start), min(ends, DYNAMIC.stop))]
        for ranges in (outside, inside):
            for number in _beginning_anywhere(ranges, whose):
                if not any(number in one for one in self.reserved):
                    yield number


def read_port_settings() -> PortSettings:
    """Read the settings of the calling thread's namespace; what cannot be read is as usual."""
    first, _, last = _read("ip_local_port_range").strip().partition("\t")
    reserved = (one.partition("-") for one in _read("ip_local_reserved_ports").split(","))
    ranges = (_range(first, last or first) for first, _, last in reserved)
    return PortSettings(
        local=_range(first, last) or _USUAL_LOCAL,
        reserved=tuple(one for one in ranges if one is not None),
    )


def _beginning_anywhere(ranges: Sequence[range], whose: str) -> Iterator[int]:
    digest = int.from_bytes(hashlib.blake2b(whose.encode(), digest_size=8).digest(), "big")
    length = sum(map(len, ranges))
    for step in range(length):  # one is needed, mostly, of thousands
        place = (digest + step) % length
        for numbers in ranges:
            if place < len(numbers):
                yield numbers[place]
                break
            place -= len(numbers)


def _range(first: str, last: str) -> range | None:
    try:
        return range(int(first), int(last) + 1)
    except ValueError:
        return None


def _read(name: str) -> str:
    try:
        with open(f"{_SETTINGS}/{name}", encoding="ascii") as file:
            return file.read()
    except OSError:  # /proc is not there, or not for everybody
        return ""
