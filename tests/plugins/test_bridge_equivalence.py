"""The reference's bridge and ours, given the same, answer the same and leave the same on a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.bridge_cases import CASES
from tests.plugins.bridge_intended import INTENDED
from tests.plugins.comparing import alike, compare, refused, require_nothing_left

pytestmark = [pytest.mark.deep, pytest.mark.netns]


@pytest.mark.rule("P1", "P2", "P3", "P4", "P9")
@pytest.mark.parametrize("name", CASES, ids=[name.replace(" ", "_") for name in CASES])
def test_reference_and_built_in_do_the_same(tmp_path: Path, name: str) -> None:
    compare("bridge", name, CASES[name], INTENDED, tmp_path)


def test_there_are_many_cases_and_each_row_is_of_some() -> None:
    assert len(alike(CASES, INTENDED)) >= 30


@pytest.mark.rule("P1")
@pytest.mark.parametrize("name", refused(CASES), ids=lambda name: name.replace(" ", "_"))
def test_what_is_refused_leaves_nothing_but_the_bridge(tmp_path: Path, name: str) -> None:
    require_nothing_left("bridge", CASES[name], tmp_path, but="cni0")
