"""What a list of times says: percentiles by nearest rank, so that each is one that was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from attrs import frozen

# Of a normal distribution, 95 of 100 lie within so many standard deviations.
_DEVIATIONS: Final = 1.96


@frozen(kw_only=True)
class Summary:
    """Times in short, in seconds.

    Attributes:
        count: How many there are.
        least: The shortest.
        p50: The median.
        p90: What 90 of 100 do not exceed.
        p99: What 99 of 100 do not exceed.
        most: The longest.
        mean: The mean.
        median_low: With ``median_high`` what the median lies between, were it measured for ever: in
            95 of 100 such runs.
        median_high: The other end.
    """

    count: int
    least: float
    p50: float
    p90: float
    p99: float
    most: float
    mean: float
    median_low: float
    median_high: float


def summarize(seconds: Sequence[float]) -> Summary:
    """Summarize times, of which there is one at least."""
    ordered = sorted(seconds)
    low, high = _median_ranks(len(ordered))
    return Summary(
        count=len(ordered),
        least=ordered[0],
        p50=percentile(ordered, 50),
        p90=percentile(ordered, 90),
        p99=percentile(ordered, 99),
        most=ordered[-1],
        # A mean of floats may end up beside all of them.
        mean=min(max(math.fsum(ordered) / len(ordered), ordered[0]), ordered[-1]),
        median_low=ordered[low],
        median_high=ordered[high],
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the least value that so many of 100 do not exceed, by nearest rank.

    Args:
        ordered: The values in ascending order; one at least.
        percent: Of 100, from 1 to 100.
    """
    return ordered[-(-len(ordered) * percent // 100) - 1]


def median_place(seconds: Sequence[float]) -> int:
    """Return the place of the median among values as they came."""
    places = sorted(range(len(seconds)), key=seconds.__getitem__)
    return places[-(-len(places) // 2) - 1]


def _median_ranks(count: int) -> tuple[int, int]:
    """Return the places, from 0, of the ends of the median's interval: how many values lie below it
    is a toss of ``count`` coins.
    """
    spread = _DEVIATIONS * math.sqrt(count) / 2
    low = math.floor(count / 2 - spread)
    high = math.ceil(count / 2 + spread)
    return max(low, 0), min(high, count - 1)
