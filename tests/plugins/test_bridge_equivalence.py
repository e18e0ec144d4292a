"""The reference's bridge and ours, given the same, answer the same and leave the same on a host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from acni.spec.versions import is_at_least
from tests.plugins.answering import Answer, Ask, ask_ours, ask_reference
from tests.plugins.bridge_cases import CASES, Case, Step
from tests.plugins.bridge_intended import ABSENT, INTENDED, Difference
from tests.plugins.hosts import Host, Seen, host_of

pytestmark = [pytest.mark.deep, pytest.mark.netns]

# Every refusal of the reference has this code.
REFUSED = 999


@pytest.mark.rule("P1", "P2", "P3", "P4", "P9")
@pytest.mark.parametrize("name", CASES, ids=[name.replace(" ", "_") for name in CASES])
def test_reference_and_built_in_do_the_same(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    theirs, seen_there = _see(case, ask_reference, tmp_path / "theirs")
    ours, seen_here = _see(case, ask_ours, tmp_path / "ours")
    expected = [step.code for step in case.steps]
    assert [one.printed.get("code") for one in ours[: len(expected)]] == expected, ours
    assert not any(one.status for one in ours[len(expected) :]), ours
    assert {one.printed["code"] for one in theirs if one.status} <= {REFUSED}, theirs
    unintended = [
        difference
        for difference in _differences(seen_there, seen_here)
        if not any(row.allows(name, difference) for row in INTENDED)
    ]
    if unintended:
        lines = [*map(str, unintended), *map(str, theirs), *map(str, ours)]
        pytest.fail("\n".join(lines), pytrace=False)


def _see(case: Case, ask: Ask, data_dir: Path) -> tuple[list[Answer], Seen]:
    """Make the calls of a case; return the answers, and what was seen behind each."""
    answers: list[Answer] = []
    seen: Seen = {}
    with host_of(ask, data_dir) as host:
        for number, step in enumerate(_steps(case)):
            _prepare(host, step)
            answer = _take(host, case, step)
            answers.append(answer)
            behind = {**_answered(host, step, answer), **host.see(), "leases": host.leases()}
            seen |= {f"{number} {step.verb}/{path}": value for path, value in behind.items()}
    return answers, seen


def _steps(case: Case) -> Iterator[Step]:
    yield from case.steps
    added = {(step.container, step.ifname): step for step in case.steps if step.verb == "ADD"}
    for verb in ("CHECK", "DEL") if case.is_whole else ():
        for (container, ifname), step in added.items():
            is_known = verb != "CHECK" or is_at_least(case.version, "0.4.0")
            if step.code is None and is_known:
                yield Step(
                    verb=verb,
                    container=container,
                    ifname=ifname,
                    args=step.args,
                    previous=is_at_least(case.version, "0.4.0"),
                    change=step.change,
                )


def _prepare(host: Host, step: Step) -> None:
    host.container(step.container)
    for where, command in step.before:
        host.ip(*command.split(), inside=None if where == "host" else where)
    for where, setting, value in step.settings:
        host.write(setting, value, inside=None if where == "host" else where)


def _take(host: Host, case: Case, step: Step) -> Answer:
    configuration: Mapping[str, Any] = {
        "cniVersion": case.version,
        "name": "net",
        "type": "bridge",
        **case.config,
        **step.change,
    }
    return host.run(
        step.verb,
        configuration,
        container=step.container,
        ifname=step.ifname,
        args=step.args,
        previous=step.previous,
        is_gone=step.is_gone,
    )


def _answered(host: Host, step: Step, answer: Answer) -> Seen:
    told = {} if step.verb != "ADD" else host.told(answer, step.container)
    return {"status": answer.status} | {f"result {key}": value for key, value in told.items()}


def _differences(there: Seen, here: Seen) -> list[Difference]:
    found: list[Difference] = []
    for path in sorted(there.keys() | here.keys()):
        theirs, ours = there.get(path, ABSENT), here.get(path, ABSENT)
        if json.dumps(theirs, sort_keys=True) != json.dumps(ours, sort_keys=True):
            found.append(Difference(path=path.partition("/")[2], theirs=theirs, ours=ours))
    return found


def test_there_are_many_cases_and_each_row_is_of_some() -> None:
    apart = {case for row in INTENDED for case in row.cases}
    assert apart <= CASES.keys()
    assert len(CASES.keys() - apart) >= 30
    for row in INTENDED:
        for words in (row.reference, row.acni, row.reason):
            assert words == words.strip() != ""


@pytest.mark.rule("P1")
@pytest.mark.parametrize(
    "name",
    [name for name, case in CASES.items() if any(step.code for step in case.steps)],
    ids=lambda name: name.replace(" ", "_"),
)
def test_what_is_refused_leaves_nothing_but_the_bridge(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    with host_of(ask_ours, tmp_path / "ours") as host:
        for step in case.steps:
            _prepare(host, step)
            before, leases = host.see(), host.leases()
            answer = _take(host, case, step)
            assert answer.printed.get("code") == step.code
            if step.code is not None and step.verb == "ADD":
                behind = {path: value for path, value in host.see().items() if path in before}
                new = host.see().keys() - before.keys()
                assert (behind, host.leases()) == (before, leases)
                assert not [path for path in new if "cni0" not in path]
