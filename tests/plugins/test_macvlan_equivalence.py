"""The reference's macvlan and ours, given the same, answer the same and leave the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.answering import ask_ours
from tests.plugins.comparing import compare, prepare, take
from tests.plugins.hosts import host_of
from tests.plugins.macvlan_cases import CASES
from tests.plugins.macvlan_intended import INTENDED

pytestmark = [pytest.mark.deep, pytest.mark.netns]


@pytest.mark.rule("P1", "P2", "P3", "P4", "P9")
@pytest.mark.parametrize("name", CASES, ids=[name.replace(" ", "_") for name in CASES])
def test_reference_and_built_in_do_the_same(tmp_path: Path, name: str) -> None:
    compare("macvlan", name, CASES[name], INTENDED, tmp_path)


def test_there_are_many_cases_and_each_row_is_of_some() -> None:
    apart = {case for row in INTENDED for case in row.cases}
    assert apart <= CASES.keys()
    assert len(CASES.keys() - apart) >= 20
    for row in INTENDED:
        for words in (row.reference, row.acni, row.reason):
            assert words == words.strip() != ""


@pytest.mark.rule("P1")
@pytest.mark.parametrize(
    "name",
    [name for name, case in CASES.items() if any(step.code for step in case.steps)],
    ids=lambda name: name.replace(" ", "_"),
)
def test_what_is_refused_leaves_nothing(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    with host_of(ask_ours, tmp_path / "ours") as host:
        for step in case.steps:
            prepare(host, step)
            before, leases = host.see(), host.leases()
            answer = take(host, "macvlan", case, step)
            assert answer.printed.get("code") == step.code
            if step.code is not None and step.verb == "ADD":
                assert (host.see(), host.leases()) == (before, leases)
