"""Percentiles by nearest rank, against their definition."""

from __future__ import annotations

import itertools
import math
import statistics

from hypothesis import given
from hypothesis import strategies as st

from acni.bench.percentiles import median_place, percentile, summarize

SECONDS = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=300)


@given(SECONDS, st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(
    seconds: list[float], percent: int
) -> None:
    found = percentile(sorted(seconds), percent)
    asked = math.ceil(len(seconds) * percent / 100)
    assert found in seconds
    assert sum(value <= found for value in seconds) >= asked
    assert sum(value < found for value in seconds) < asked


@given(SECONDS)
def test_a_summary_is_in_order(seconds: list[float]) -> None:
    summary = summarize(seconds)
    ordered = [summary.least, summary.p50, summary.p90, summary.p99, summary.most]
    assert ordered == sorted(ordered)
    assert (summary.least, summary.most) == (min(seconds), max(seconds))
    assert summary.p50 == statistics.median_low(seconds)
    assert summary.median_low <= summary.p50 <= summary.median_high
    assert summary.least <= summary.mean <= summary.most
    assert summary.count == len(seconds)


@given(SECONDS, st.randoms())
def test_the_order_of_measuring_changes_no_summary(seconds: list[float], random: object) -> None:
    shuffled = list(seconds)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert summarize(shuffled) == summarize(seconds)


@given(SECONDS)
def test_the_median_is_found_where_it_was_measured(seconds: list[float]) -> None:
    assert seconds[median_place(seconds)] == statistics.median_low(seconds)


def test_the_interval_of_the_median_holds_it_in_95_of_100_runs() -> None:
    # Of all ways in which 13 coins fall: the median of what is measured for ever is 0.
    held = total = 0
    for signs in itertools.product((-1.0, 1.0), repeat=13):
        summary = summarize([sign * (place + 1) for place, sign in enumerate(signs)])
        held += summary.median_low <= 0 <= summary.median_high
        total += 1
    assert held / total >= 0.95
