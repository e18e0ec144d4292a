"""What may be said of figures taken in a few rounds.

Rule 1: rounds are paired: in each of them everyone had the machine in the same state, by turns.
Rule 2: nothing is compared over fewer than three rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Literal

from attrs import frozen

LEAST_ROUNDS: Final = 3
# Of 1,000 the ends of the interval move by less than what is printed of them.
_RESAMPLES: Final = 1000
_SEED: Final = 1

Compared = Literal["ratio", "difference"]

_COMPARISONS: Final[dict[Compared, Callable[[float, float], float]]] = {
    "ratio": lambda ours, theirs: ours / theirs if theirs else float("inf"),
    "difference": lambda ours, theirs: ours - theirs,
}


class TooFewRounds(ValueError):
    """There are fewer rounds than anything may be said of."""


@frozen(kw_only=True)
class Estimate:
    """A figure, and where it lies in 95 of 100 cases.

    Attributes:
        value: The figure.
        low: The lower end of the interval.
        high: Its upper end.
        rounds: Over how many rounds it was taken.
    """

    value: float
    low: float
    high: float
    rounds: int


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the value that so many of 100 are not above, of values in order."""
    return ordered[(len(ordered) - 1) * percent // 100]


def estimate(rounds: Sequence[float]) -> Estimate:
    """Return the median of rounds, with its interval by bootstrap.

    Raises:
        TooFewRounds: there are fewer than three.
    """
    return _bootstrapped(len(rounds), lambda drawn: statistics.median(rounds[n] for n in drawn))


def compare(ours: Sequence[float], theirs: Sequence[float], compared: Compared) -> Estimate:
    """Return the ratio or difference of two medians, with its interval by bootstrap.

    Args:
        ours: A figure for each round.
        theirs: Another's, for the same rounds.
        compared: How they are compared.

    Raises:
        TooFewRounds: there are fewer than three.
        ValueError: one has rounds that the other has not.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} rounds cannot be paired with {len(theirs)}")
    combine = _COMPARISONS[compared]

    def of_rounds(drawn: Sequence[int]) -> float:
        mine, others = ([those[n] for n in drawn] for those in (ours, theirs))
        return combine(statistics.median(mine), statistics.median(others))

    return _bootstrapped(len(ours), of_rounds)


def _bootstrapped(rounds: int, figure: Callable[[Sequence[int]], float]) -> Estimate:
    """Take a figure of all rounds, and of rounds drawn with replacement for its interval."""
    if rounds < LEAST_ROUNDS:
        raise TooFewRounds(f"{rounds} rounds; {LEAST_ROUNDS} are needed")
    # Seeded: the same figures give the same table.
    random = Random(_SEED)  # noqa: S311 - nothing is kept secret by it
    everyone = range(rounds)
    drawn = sorted(figure(random.choices(everyone, k=rounds)) for _ in range(_RESAMPLES))
    return Estimate(
        value=figure(everyone),
        low=drawn[_RESAMPLES * 25 // 1000],
        high=drawn[_RESAMPLES * 975 // 1000],
        rounds=rounds,
    )
