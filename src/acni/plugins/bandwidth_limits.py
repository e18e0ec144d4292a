"""What ``bandwidth`` is configured with, and what it is to the kernel.

Rule 1: limits of the configuration come before those that the runtime asks for, as soon as one of
    them is said, as with the reference.
Rule 2: the numbers are the reference's, so that its CHECK finds ours and the other way round. Only
    where its own run over 32 bits ours stay at the most: a burst that is meant to be no bound
    (kubelet's is 2 Gbit) would be any.

(the reference's plugins/meta/bandwidth; CONVENTIONS.md, "bandwidth")
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from acni.netlink.qdiscs import MOST, TICK_NS, Bucket
from acni.plugins.linksettings import unsupported
from acni.skel.call import Call
from acni.skel.reading import Fields

_KEYS: Final = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
_NOT_DONE: Final = ("shapedSubnets", "unshapedSubnets")
_BITS: Final = 8
_LEAST_RATE: Final = _BITS  # a byte a second
# Fewer than the 4 GiB that the kernel counts.
_MOST_BURST: Final = MOST * _BITS - 1
_MICROSECONDS: Final = 1_000_000
# By which the greatest burst takes a microsecond; what takes less holds nothing.
_MOST_RATE: Final = _MOST_BURST // _BITS * _MICROSECONDS * _BITS
_NANOSECONDS: Final = 1_000_000_000
_TICKS: Final = 1000 / TICK_NS  # of a microsecond
# How long what is sent may wait, in microseconds: 25 ms.
_LATENCY: Final = 25_000.0


@frozen(kw_only=True)
class Limits:
    """What may pass, by direction, as the container sees it.

    Attributes:
        ingress: What it gets; None is all.
        egress: What it sends; None is all.
    """

    ingress: Bucket | None
    egress: Bucket | None

    @property
    def are_none(self) -> bool:
        """Whether all may pass."""
        return self.ingress is None and self.egress is None


def parse_limits(call: Call) -> Limits:
    """Parse the configuration.

    Raises:
        PluginError: a rate without a burst, a burst without a rate, a number out of range, a burst
            that holds nothing, or subnets, which are not told apart here.
    """
    fields = call.fields
    for place in (fields, fields.inner("runtimeConfig").inner("bandwidth")):
        for key in _NOT_DONE:
            if place.get(key):
                instead = "leave it out: what a container gets or sends is limited as a whole"
                raise unsupported(place, key, instead)
    if not any(map(fields.has, _KEYS)):
        fields = fields.inner("runtimeConfig").inner("bandwidth")
    return Limits(ingress=_parse(fields, "ingress"), egress=_parse(fields, "egress"))


def bucket_of(rate: int, burst: int) -> Bucket:
    """Make the bucket of a limit.

    Args:
        rate: Bits a second.
        burst: Bits.
    """
    rate, burst = rate // _BITS, burst // _BITS
    microseconds = int(burst * _MICROSECONDS / rate)
    return Bucket(
        rate=rate,
        buffer=min(int(microseconds * _TICKS), MOST),
        limit=min(int(rate * _LATENCY / _MICROSECONDS) + burst, MOST),
    )


def held_bytes(bucket: Bucket) -> int:
    """Return how many bytes a full bucket holds, as the kernel counts them."""
    return bucket.buffer * TICK_NS * bucket.rate // _NANOSECONDS


def is_of_a_limit(bucket: Bucket) -> bool:
    """Tell whether a bucket has the numbers of some limit, whichever it is: what may wait beside
    its burst is what is sent in 25 ms.
    """
    if bucket.limit == MOST:
        return True
    burst = bucket.limit - int(bucket.rate * _LATENCY / _MICROSECONDS)
    return burst > 0 and bucket == bucket_of(bucket.rate * _BITS, burst * _BITS)


def _parse(fields: Fields, direction: str) -> Bucket | None:
    rate_key, burst_key = f"{direction}Rate", f"{direction}Burst"
    rate = fields.number(rate_key, 0, least=0, most=_MOST_RATE)
    burst = fields.number(burst_key, 0, least=0, most=_MOST_BURST)
    if not rate and not burst:
        return None
    for key, number, other in ((burst_key, burst, rate_key), (rate_key, rate, burst_key)):
        if not number:
            raise fields.error(key, f"{other} without {key}", "both of them, or none")
    if rate < _LEAST_RATE:
        raise fields.error(rate_key, f"{rate} bits a second are no byte", f"at least {_LEAST_RATE}")
    if not held_bytes(bucket := bucket_of(rate, burst)):  # the kernel refuses such a bucket
        message = f"{burst} bits hold no byte at {rate} bits a second"
        raise fields.error(burst_key, message, "a burst of some packets")
    return bucket
