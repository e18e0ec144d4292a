"""A report is what it was written as, and nothing else is one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acni import ConfigError
from acni.bench.report import dump_report, parse_report
from tests.bench.conftest import made_report


def test_a_report_is_read_as_it_was_written() -> None:
    report = made_report()
    assert parse_report(dump_report(report).encode(), place="old.json") == report


def changed(**members: Any) -> str:
    return json.dumps(json.loads(dump_report(made_report())) | members)


NO_REPORTS = [
    pytest.param("", "not JSON", id="empty"),
    pytest.param("[" * 100_000, "not JSON", id="deep"),
    pytest.param("[]", "not an object", id="list"),
    pytest.param("{}", "format None", id="no-format"),
    pytest.param(changed(format=2), "format 2", id="later"),
    pytest.param(changed(network=7), r"expected str @ \$.network", id="number-for-a-name"),
    pytest.param(changed(count="50"), r"expected int @ \$.count", id="text-for-a-number"),
    pytest.param(changed(machine=None), "machine", id="nothing"),
]


@pytest.mark.parametrize(("text", "said"), NO_REPORTS)
def test_what_is_no_report_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse_report(text.encode(), place="old.json")
    assert caught.value.place == "old.json"


def test_a_report_names_no_host_and_no_path() -> None:
    text = dump_report(made_report())
    assert "/" not in text
    assert set(json.loads(text)["machine"]) == {"kernel", "architecture", "cpus", "python", "acni"}


def test_shares_are_of_the_whole() -> None:
    verb = made_report().steps[0].verbs[0]
    assert sum(phase.share for phase in verb.phases) == pytest.approx(1.0)
    runs = [phase.share for phase in verb.phases if phase.phase == "run"]
    assert verb.runtime_share == pytest.approx(1.0 - sum(runs))
    assert verb.waterfall.seconds == verb.seconds.p50
