"""Two measurements differ when chance does not explain it."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from acni.bench.comparison import WHOLE, compare, judge
from acni.bench.percentiles import summarize
from tests.bench.conftest import made_report

SECONDS = st.lists(st.floats(0.001, 10), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("scale", "verdict"),
    [
        pytest.param(2.0, "slower", id="twice"),
        pytest.param(0.5, "faster", id="half"),
        pytest.param(1.01, "the same", id="a-hundredth"),
    ],
)
def test_a_comparison_says_what_takes_longer(scale: float, verdict: str) -> None:
    ratios = compare(made_report(), made_report(scale)).ratios
    whole = [ratio for ratio in ratios if ratio.lane == WHOLE]
    assert [(ratio.at_once, ratio.command) for ratio in whole] == [
        (at_once, command) for at_once in (1, 8) for command in ("ADD", "DEL")
    ]
    run = next(ratio for ratio in ratios if ratio.phase == "run")
    assert run.ratio == pytest.approx(scale)
    assert run.verdict == verdict
    assert whole[0].verdict == verdict
    # The runtime's own takes as long as before.
    before = next(ratio for ratio in ratios if ratio.lane == "before the plugins")
    assert before.verdict == "the same"


@given(SECONDS, SECONDS)
def test_a_verdict_is_the_other_ones_opposite(one: list[float], other: list[float]) -> None:
    opposite = {"faster": "slower", "slower": "faster", "the same": "the same"}
    first, second = summarize(one), summarize(other)
    assert judge(first, second) == opposite[judge(second, first)]
    assert judge(first, first) == "the same"


def test_few_measurements_show_no_difference() -> None:
    assert judge(summarize([1.0, 1.1]), summarize([1.05, 3.0])) == "the same"


def test_what_differs_besides_is_told() -> None:
    earlier, now = made_report(), made_report()
    assert compare(earlier, now).warnings == ()
    machine = evolve(earlier.machine, kernel="6.1", cpus=99)
    other = evolve(earlier, machine=machine, plugins=("third",), is_complete=False, steps=())
    warnings = compare(other, now).warnings
    for told in ("kernel", "number of processors", "third", "end", "nothing was measured"):
        assert any(told in warning for warning in warnings)
