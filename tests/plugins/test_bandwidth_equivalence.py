"""The reference's bandwidth and ours, given the same, answer the same and leave the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.bandwidth_cases import CASES, INTENDED
from tests.plugins.chained import look_at_shapers, require_sound_rows, require_the_same

pytestmark = [pytest.mark.deep, pytest.mark.netns]


@pytest.mark.rule("P2", "P3", "P4", "P9")
@pytest.mark.parametrize("name", CASES, ids=[name.replace(" ", "_") for name in CASES])
def test_reference_and_built_in_do_the_same(tmp_path: Path, name: str) -> None:
    require_the_same("bandwidth", name, CASES[name], look_at_shapers, INTENDED, tmp_path)


def test_there_are_many_cases_and_each_row_is_of_some() -> None:
    require_sound_rows(CASES, INTENDED)
