"""What may be said of few rounds."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics import TooFewRounds, compare, estimate, percentile

POSITIVE = st.floats(min_value=0.1, max_value=1e6)
ROUNDS = st.lists(POSITIVE, min_size=3, max_size=8)
PAIRS = st.lists(st.tuples(POSITIVE, POSITIVE), min_size=3, max_size=8)


@given(st.lists(POSITIVE, max_size=2))
def test_nothing_is_said_of_fewer_than_three_rounds(rounds: list[float]) -> None:
    with pytest.raises(TooFewRounds, match=f"{len(rounds)} rounds"):
        estimate(rounds)
    with pytest.raises(TooFewRounds):
        compare(rounds, rounds, "ratio")


def test_rounds_that_only_one_has_are_no_pair() -> None:
    with pytest.raises(ValueError, match="3 rounds cannot be paired with 4"):
        compare([1.0] * 3, [1.0] * 4, "ratio")


@given(ROUNDS)
def test_an_estimate_is_the_median_within_its_interval(rounds: list[float]) -> None:
    found = estimate(rounds)
    assert found.value == statistics.median(rounds)
    assert min(rounds) <= found.low <= found.value <= found.high <= max(rounds)
    assert found.rounds == len(rounds)


@given(PAIRS)
def test_a_ratio_lies_between_the_best_and_the_worst_that_rounds_allow(
    pairs: list[tuple[float, float]],
) -> None:
    ours, theirs = (list(those) for those in zip(*pairs, strict=True))
    found = compare(ours, theirs, "ratio")
    assert found.value == statistics.median(ours) / statistics.median(theirs)
    assert min(ours) / max(theirs) <= found.low <= found.high <= max(ours) / min(theirs)


@given(ROUNDS)
def test_the_rounds_of_a_ratio_are_paired(theirs: list[float]) -> None:
    """Whatever the machine did in a round, twice as fast in each is twice as fast, surely."""
    found = compare([2 * each for each in theirs], theirs, "ratio")
    assert found.low == pytest.approx(2)
    assert found.high == pytest.approx(2)


@given(PAIRS)
def test_the_same_figures_give_the_same_interval(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = (list(those) for those in zip(*pairs, strict=True))
    assert compare(ours, theirs, "difference") == compare(ours, theirs, "difference")


def test_an_interval_grows_with_the_spread() -> None:
    narrow, wide = estimate([9, 10, 11]), estimate([5, 10, 15])
    assert wide.high - wide.low > narrow.high - narrow.low > 0


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 50), (99, 99), (100, 100)], ids=str)
def test_a_percentile_is_a_value_that_was_there(percent: int, expected: int) -> None:
    assert percentile(range(1, 101), percent) == expected
