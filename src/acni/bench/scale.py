"""Where a value lies in a picture, and at which values a reader looks for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from attrs import frozen

_TICKS: Final = 6
# What is smaller is as good as nothing; powers of ten near the smallest float are none.
_LEAST_STEP: Final = 1e-100


@frozen
class Scale:
    """Values on a stretch of the picture.

    Attributes:
        low: The value where it begins.
        high: The value where it ends.
        start: Where it begins, in pixels.
        pixels: How long it is.
        step: From one tick to the next; None: a round one is chosen.
    """

    low: float
    high: float
    start: float
    pixels: float
    step: float | None

    @classmethod
    def upto(
        cls, most: float, pixels: float, *, start: float = 0.0, has_whole_steps: bool = False
    ) -> Scale:
        """Make one from zero to the first tick that is not below ``most``."""
        step = round_step(most / _TICKS)
        step = max(step, 1.0) if has_whole_steps else step
        high = math.ceil(most / step - 1e-9) * step or step
        return cls(0.0, high, start, pixels, step)

    def length(self, value: float) -> float:
        return value / (self.high - self.low) * self.pixels

    def x(self, value: float) -> float:
        return self.start + self.length(value - self.low)

    def ticks(self) -> list[float]:
        step = self.step or round_step((self.high - self.low) / _TICKS)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


@frozen
class Bins:
    low: float
    step: float
    counts: tuple[int, ...]


def bins_of(values: Sequence[float], most: int) -> Bins:
    if not values:
        return Bins(0.0, 1.0, ())
    step = round_step((max(values) - min(values)) / most or max(values) / most or 1.0)
    first = math.floor(min(values) / step)
    places = [math.floor(value / step) - first for value in values]
    counts = tuple(map(places.count, range(max(places) + 1)))
    return Bins(first * step, step, counts)


def round_step(least: float) -> float:
    """Return the next of 1, 2, 5, 10, ... that is not below ``least``."""
    if least < _LEAST_STEP:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= least)
