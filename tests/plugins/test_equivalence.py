"""The reference's address plugins and ours, given the same, answer the same and leave the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.plugins.answering import Answer, Ask, Node, ask_ours, ask_reference
from tests.plugins.cases import HOST_LOCAL, STATIC, Case
from tests.plugins.intended import EVERYWHERE
from tests.plugins.intended import HOST_LOCAL as HOST_LOCAL_INTENDED
from tests.plugins.intended import STATIC as STATIC_INTENDED

CASES: Final = {"host-local": HOST_LOCAL, "static": STATIC}
INTENDED: Final = {"host-local": HOST_LOCAL_INTENDED, "static": STATIC_INTENDED}
RESOLV_CONF: Final = """
# made by hand
nameserver 192.0.2.53
nameserver 2001:db8::53 extra
; another remark
domain first.example
domain example.org
search example.org
search a.example b.example
options ndots:2 timeout:1
sortlist 10.0.0.0
nameserver
"""

# Every refusal of the reference has this code.
REFUSED: Final = 999

Seen = tuple[list[tuple[int, Any]], Mapping[str, bytes]]


def _see(case: Case, plugin: str, ask: Ask, directory: Path) -> tuple[list[Answer], Seen]:
    """Make the calls of a case; return the answers, and what is compared of them and their
    leases.
    """
    (directory.parent / "resolv.conf").write_text(RESOLV_CONF)
    node = Node(directory, plugin, ask)
    answers: list[Answer] = []
    for step in case.steps:
        ipam = {**case.ipam, **step.change}
        if "resolvConf" in ipam:
            path = str(directory.parent / "resolv.conf")
            ipam["resolvConf"] = ipam["resolvConf"].format(resolv_conf=path)
        answers.append(
            node.run(
                step.verb,
                ipam,
                container_id=step.container_id,
                args=step.args,
                previous=step.previous,
                version=case.version,
                others=case.others,
            )
        )
    compared = [(one.status, _result(one) if one.status == 0 else None) for one in answers]
    return answers, (compared, node.leases())


def _result(answer: Answer) -> Any:
    """Leave out an empty ``dns``, which Debian's version always prints and newer ones never."""
    return {key: value for key, value in answer.printed.items() if (key, value) != ("dns", {})}


_ALL = [
    pytest.param(plugin, name, case, id=f"{plugin}-{name}".replace(" ", "_"))
    for plugin, cases in CASES.items()
    for name, case in cases.items()
]


@pytest.mark.rule("P9")
@pytest.mark.parametrize(("plugin", "name", "case"), _ALL)
def test_reference_and_built_in_do_the_same(
    tmp_path: Path, plugin: str, name: str, case: Case
) -> None:
    theirs, seen_there = _see(case, plugin, ask_reference, tmp_path / "theirs")
    ours, seen_here = _see(case, plugin, ask_ours, tmp_path / "ours")
    assert [one.printed.get("code") for one in ours] == [step.code for step in case.steps], ours
    refused = [one.printed["code"] for one in theirs if one.status]
    assert set(refused) <= {REFUSED}
    if name in INTENDED[plugin]:
        assert seen_here != seen_there
    else:
        assert seen_here == seen_there, theirs


@pytest.mark.parametrize("plugin", CASES)
def test_there_are_many_cases_and_each_intended_difference_is_one(plugin: str) -> None:
    agreeing = CASES[plugin].keys() - INTENDED[plugin].keys()
    assert len(agreeing) >= 40
    assert INTENDED[plugin].keys() <= CASES[plugin].keys()


def test_an_intended_difference_names_what_it_follows_from() -> None:
    for row in (*EVERYWHERE, *HOST_LOCAL_INTENDED.values(), *STATIC_INTENDED.values()):
        for words in (row.reference, row.acni, row.reason):
            assert words == words.strip() != ""


@pytest.mark.rule("P9")
@pytest.mark.parametrize("plugin", CASES)
def test_what_newer_references_know_of_routes_is_passed_on(tmp_path: Path, plugin: str) -> None:
    """Debian's 1.1.1 drops ``mtu``, ``advmss``, ``priority``, ``table`` and ``scope``: 1.9 does
    not.
    """
    route = {"dst": "0.0.0.0/0", "mtu": 1400, "advmss": 1360, "priority": 5, "table": 7, "scope": 0}
    ipam = {"subnet": "10.1.2.0/24", "addresses": [{"address": "10.1.2.3/24"}], "routes": [route]}
    answer = Node(tmp_path, plugin).run("ADD", ipam, version="1.1.0")
    assert answer.printed["routes"] == [route]
    assert answer.printed["cniVersion"] == "1.1.0"
    assert "interfaces" not in answer.printed
