"""The closing lines of `.ci/run`, and when they fail it."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

SUMMARY = Path(__file__).parents[1] / ".ci" / "summary.py"

Summary = Callable[..., tuple[int, list[str]]]


def case(name: str, inside: str = "") -> str:
    return f'<testcase classname="tests.test_a" name="{name}">{inside}</testcase>'


def skipped(reason: str) -> str:
    return f"<skipped message={quoteattr(reason)}/>"


FORKS = case("test_forks[trio]", skipped("cannot run here: no pids controller"))
FAILS = case("test_fails", "<failure/>")
PASSES = case("test_passes")
IN_VAIN = case("test_in_vain", skipped("only asyncio has one"))
PINNED = '"tests.test_a.test_forks[trio]" = "no pids controller"'


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    """Run it over the cases of some sessions, with a list of what may not run on this kernel."""

    def run(
        *sessions: str, pinned: str = "", kernel: str = "*", result: str = "success"
    ) -> tuple[int, list[str]]:
        shutil.copy(SUMMARY, tmp_path)
        (tmp_path / "could-not-run.toml").write_text(f'["{kernel}"]\n{pinned}\n')
        reports = tmp_path / "reports"
        reports.mkdir()
        for number, cases in enumerate(sessions):
            session = {"signatures": [f"tests-{number}"], "result": result}
            document = json.dumps({"sessions": [session]})
            (reports / f"nox-{number}.json").write_text(document)
            (reports / f"tests-{number}.xml").write_text(f"<testsuites>{cases}</testsuites>")
        done = subprocess.run(
            [sys.executable, str(tmp_path / SUMMARY.name), str(reports)],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    return run


def test_what_could_not_run_and_is_pinned_is_named_and_fails_nothing(summary: Summary) -> None:
    status, lines = summary(PASSES + FORKS + IN_VAIN, PASSES + FORKS, pinned=PINNED)
    assert status == 0
    assert lines == [
        "",
        "could not run: tests.test_a.test_forks[trio]: no pids controller",
        "tests-0: 1 passed, 0 failed, 1 could not run, 1 skipped",
        "tests-1: 1 passed, 0 failed, 1 could not run",
        "1 passed, 0 failed, 2 skipped",
    ]


def test_of_a_kernel_without_a_section_nothing_is_known_to_have_run(summary: Summary) -> None:
    status, lines = summary(PASSES + FORKS, pinned=PINNED, kernel="0.99.*")
    assert status == 0
    assert PINNED in lines
    assert lines[-1] == "1 passed, 0 failed, 1 skipped"


@pytest.mark.parametrize(
    "pinned",
    [
        pytest.param("", id="not pinned"),
        pytest.param(PINNED.replace("trio", "asyncio"), id="another test"),
        pytest.param(PINNED.replace("no pids", "no cpu"), id="another reason"),
    ],
)
def test_what_ran_before_and_could_not_run_now_fails_and_is_told_how_to_pin(
    pinned: str, summary: Summary
) -> None:
    status, lines = summary(PASSES + FORKS, pinned=pinned)
    assert status == 1
    assert lines[-2:] == [PINNED, "1 passed, 1 failed"]
    assert f'["{platform.release()}"]' in lines[-3]


def test_what_is_pinned_and_ran_in_any_session_is_named_and_fails_nothing(
    summary: Summary,
) -> None:
    status, lines = summary(case("test_forks[trio]"), FORKS, pinned=PINNED)
    assert status == 0
    (said,) = [line for line in lines if "though" in line]
    assert said.endswith("tests.test_a.test_forks[trio]")
    assert lines[-1] == "1 passed, 0 failed"


def test_a_failure_in_any_session_is_counted_once(summary: Summary) -> None:
    _, lines = summary(PASSES + FAILS, case("test_fails"), FAILS, result="failed")
    assert "failed: tests.test_a.test_fails" in lines
    assert lines[-1] == "1 passed, 2 failed"  # the second session failed of something else


def test_the_list_of_this_repository_can_be_read(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SUMMARY), str(tmp_path)], capture_output=True, timeout=200, check=True
    )
    assert done.stdout == b"\n\n0 passed, 0 failed\n"
