"""A case is given to the reference's plugin and to ours, each on a fresh host, and what both answer
and leave is compared call by call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from acni.spec.versions import is_at_least
from tests.plugins.answering import Answer, Ask, ask_ours, ask_reference
from tests.plugins.bridge_cases import Case, Step
from tests.plugins.bridge_intended import ABSENT, Difference, Intended
from tests.plugins.hosts import Host, Seen, host_of

# Every refusal of the reference has this code.
_REFUSED: Final = 999


def compare(
    plugin: str, name: str, case: Case, intended: Sequence[Intended], tmp_path: Path
) -> None:
    """Fail where both differ and it is not intended."""
    theirs, seen_there = _see(plugin, case, ask_reference, tmp_path / "theirs")
    ours, seen_here = _see(plugin, case, ask_ours, tmp_path / "ours")
    expected = [step.code for step in case.steps]
    assert [one.printed.get("code") for one in ours[: len(expected)]] == expected, ours
    assert not any(one.status for one in ours[len(expected) :]), ours
    assert {one.printed["code"] for one in theirs if one.status} <= {_REFUSED}, theirs
    unintended = [
        difference
        for difference in _differences(seen_there, seen_here)
        if not any(row.allows(name, difference) for row in intended)
    ]
    if unintended:
        lines = [*map(str, unintended), *map(str, theirs), *map(str, ours)]
        pytest.fail("\n".join(lines), pytrace=False)


def alike(cases: Mapping[str, object], intended: Sequence[Intended]) -> set[str]:
    """Return the cases of which no row says that they differ; fail where a row is of no case, or
    says nothing.
    """
    apart = {case for row in intended for case in row.cases}
    assert apart <= cases.keys()
    for row in intended:
        for words in (row.reference, row.acni, row.reason):
            assert words == words.strip() != ""
    return cases.keys() - apart


def refused(cases: Mapping[str, Case]) -> list[str]:
    """Return the cases in which a call is refused."""
    return [name for name, case in cases.items() if any(step.code for step in case.steps)]


def require_nothing_left(
    plugin: str, case: Case, tmp_path: Path, *, but: str | None = None
) -> None:
    """Fail where an ADD that ours refuses leaves something.

    Args:
        plugin: The plugin's type.
        case: The case.
        tmp_path: For its leases.
        but: What new places on the host have in their names that may be left.
    """
    with host_of(ask_ours, tmp_path / "ours") as host:
        for step in case.steps:
            prepare(host, step)
            before, leases = host.see(), host.leases()
            answer = take(host, plugin, case, step)
            assert answer.printed.get("code") == step.code
            if step.code is not None and step.verb == "ADD":
                left = {
                    path: value
                    for path, value in host.see().items()
                    if path in before or but is None or but not in path
                }
                assert (left, host.leases()) == (before, leases)


def _see(plugin: str, case: Case, ask: Ask, data_dir: Path) -> tuple[list[Answer], Seen]:
    """Make the calls of a case; return the answers, and what was seen behind each."""
    answers: list[Answer] = []
    seen: Seen = {}
    with host_of(ask, data_dir) as host:
        for number, step in enumerate(_steps(case)):
            prepare(host, step)
            answer = take(host, plugin, case, step)
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


def prepare(host: Host, step: Step) -> None:
    """Do what happens before a call."""
    host.container(step.container)
    for where, command in step.before:
        words = command.replace("PORT", _port_of(host)) if "PORT" in command else command
        host.ip(*words.split(), inside=None if where == "host" else where)
    for where, setting, value in step.settings:
        host.write(setting, value, inside=None if where == "host" else where)


def _port_of(host: Host) -> str:
    """Return the name of the host's end of the pair that was made first."""
    return next(name for name in host.links() if name.startswith("veth"))


def take(host: Host, plugin: str, case: Case, step: Step) -> Answer:
    """Make a call."""
    configuration: Mapping[str, Any] = {
        "cniVersion": case.version,
        "name": "net",
        "type": plugin,
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
