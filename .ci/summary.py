"""Prints how a run of the checks ended, from nox's report and pytest's junit files.

A test that skips with a reason beginning `cannot run here:` could not run on this machine and is
named. Which may not run on which kernel, and why, stands in could-not-run.toml: any other one ran
before, so it counts as failed, and the exit status is 1. The last line counts every test once
however many sessions ran it: failed if it failed in any of them, else passed if it passed in any
of them. A session that failed without a failed test counts there as one failure, so that the line
never says 0 failed for a run that failed.
"""

import fnmatch
import json
import platform
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

CANNOT_RUN = "cannot run here:"
PINNED = Path(__file__).with_name("could-not-run.toml")
# From the outcome that says most about a test to the one that says least.
OUTCOMES = ("failed", "passed", "could not run", "skipped")


def read_outcome(case: ET.Element) -> tuple[str, str]:
    """Return the outcome of one test, and why it did not run if it did not."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed", ""
    skipped = case.find("skipped")
    if skipped is None:
        return "passed", ""
    reason = skipped.get("message", "")
    return ("could not run" if reason.startswith(CANNOT_RUN) else "skipped"), reason


def read_tests(junit: Path) -> dict[str, tuple[str, str]]:
    """Return outcome and reason of each test by its name; empty when pytest did not get so far."""
    tests: dict[str, tuple[str, str]] = {}
    if not junit.exists():
        return tests
    for case in ET.parse(junit).iter("testcase"):  # noqa: S314  # pytest wrote it
        name = f"{case.get('classname')}.{case.get('name')}".lstrip(".")
        tests[name] = strongest(tests.get(name), read_outcome(case))
    return tests


def strongest(*outcomes: tuple[str, str] | None) -> tuple[str, str]:
    """Return the outcome that says most about a test."""
    return min((o for o in outcomes if o), key=lambda o: OUTCOMES.index(o[0]))


def pinned_for(release: str) -> dict[str, str] | None:
    """Return the tests that may not run on a kernel, and why; None where nothing is known of it."""
    sections = tomllib.loads(PINNED.read_text())
    known = [tests for pattern, tests in sections.items() if fnmatch.fnmatchcase(release, pattern)]
    if not known:
        return None
    return {test: reason for tests in known for test, reason in tests.items()}


def how_to_pin(release: str, tests: Mapping[str, str]) -> str:
    """Return what to do about tests that could not run and are not pinned."""
    lines = [
        "These tests could not run here, though they may on this kernel. Bring what is missing, or",
        f'name them in .ci/could-not-run.toml, below ["{release}"] or a pattern that matches it:',
        *(f"{json.dumps(test)} = {json.dumps(reason)}" for test, reason in tests.items()),
    ]
    return "\n".join(lines)


def describe(session: dict[str, str], counts: Counter[str]) -> str:
    """Return the text of a session's line, after its name."""
    if session["result"] == "skipped":
        return f"did not run: {session.get('reason') or 'its interpreter is missing'}"
    if not counts:
        return session["result"]
    text = f"{counts['passed']} passed, {counts['failed']} failed"
    text += "".join(f", {counts[o]} {o}" for o in OUTCOMES[2:] if counts[o])
    if session["result"] != "success" and not counts["failed"]:
        text += ", but the session failed"
    return text


def main(reports: Path, release: str) -> int:
    """Print the closing lines for what is in a directory of reports; return the exit status."""
    runs = [json.loads(report.read_text()) for report in sorted(reports.glob("nox*.json"))]
    sessions = [session for run in runs for session in run["sessions"]]
    every_test: dict[str, tuple[str, str]] = {}
    lines = []
    failed_sessions = 0
    for session in sessions:
        name = session["signatures"][0]
        tests = read_tests(reports / f"{name}.xml")
        for test, outcome in tests.items():
            every_test[test] = strongest(every_test.get(test), outcome)
        counts = Counter(outcome for outcome, _ in tests.values())
        lines.append(f"{name}: {describe(session, counts)}")
        failed_sessions += session["result"] == "failed" and not counts["failed"]

    print()
    could_not = {
        test: reason.removeprefix(CANNOT_RUN).strip()
        for test, (outcome, reason) in sorted(every_test.items())
        if outcome == "could not run"
    }
    known = pinned_for(release)
    pinned = known or {}
    for test, reason in could_not.items():
        print(f"could not run: {test}: {reason}")
    for test, (outcome, _) in sorted(every_test.items()):
        if outcome == "failed":
            print(f"failed: {test}")
        elif outcome == "passed" and test in pinned:
            print(f"ran, though .ci/could-not-run.toml says that it cannot: {test}")
    print(*lines, sep="\n")
    unpinned = dict(could_not.items() - pinned.items())
    if unpinned:
        print(how_to_pin(release, dict(sorted(unpinned.items()))))
    if known is None:
        unpinned = {}
    totals = Counter(outcome for outcome, _ in every_test.values())
    failed = totals["failed"] + failed_sessions + len(unpinned)
    skipped = totals["skipped"] + totals["could not run"] - len(unpinned)
    last = f"{totals['passed']} passed, {failed} failed"
    print(last + (f", {skipped} skipped" if skipped else ""))
    return 1 if unpinned else 0


sys.exit(main(Path(sys.argv[1]), platform.release()))
