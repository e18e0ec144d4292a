"""The command: measure, print the table, write the report, and the pages where that is asked."""

from __future__ import annotations

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from harness import orders
from harness.building import build, install_missing
from harness.machine import describe_machine
from harness.pages import KEPT, sections, write_pages
from harness.pool import move_to_private_host, pool
from harness.report import report
from harness.results import Results, read_results, renewed, write_results
from harness.running import Course


def main(arguments: list[str] | None = None) -> None:
    """Do what the arguments say."""
    given = _parser().parse_args(arguments)
    if given.results:
        results = read_results(given.results)
    else:
        if not given.no_install:
            install_missing()
        results = measure(
            given.directory, quick=bool(given.quick), only=tuple(given.only), share=given.share
        )
    given.output.mkdir(parents=True, exist_ok=True)
    write_results(results, given.output / "run.jsonl")
    (given.output / "report.html").write_text(report(results))
    for name in ("machine", "goals", "builtin", "ports", "losses"):
        print(f"\n{sections(results)[name]}")
    print(f"\n{given.output}: run.jsonl, report.html")
    if given.write:
        if given.only and not given.results:
            results = renewed(read_results(KEPT), results, given.only)
        write_results(results, KEPT)
        write_pages(results)


def measure(
    directory: Path, *, quick: bool, only: tuple[str, ...] = (), share: float = 1.0
) -> Results:
    """Compile everybody and let them take turns, on the file system of a directory.

    The process is in a private host from then on.
    """
    with tempfile.TemporaryDirectory(prefix="acni-bench-", dir=directory) as home:
        programs_home, states = Path(home, "programs"), Path(home, "states")
        programs_home.mkdir()
        states.mkdir()
        programs = build(programs_home)
        machine = describe_machine(states)
        move_to_private_host(Path(home))
        with pool() as spaces:
            course = Course(programs=programs, home=states, netns=spaces)
            lines = tuple(course.run(orders.cells(quick=quick, only=only, share=share)))
    heading = {
        "date": datetime.now(UTC).date().isoformat(),
        "quick": quick,
        "share": share,
        "machine": machine,
        "missing": programs.missing,
        "failures": course.failures,
    }
    return Results(heading=heading, lines=lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__)
    parser.add_argument("quick", nargs="?", choices=("quick",), help="90 seconds instead of 10 min")
    groups = orders.groups()
    parser.add_argument("--only", action="append", choices=groups, default=[], help="may be more")
    parser.add_argument("--share", type=float, default=1.0, help="how many of the operations")
    parser.add_argument("--directory", type=Path, default="/var/tmp", help="where states lie")  # noqa: S108
    parser.add_argument("--output", type=Path, default=KEPT.parent, help="where the report lies")
    parser.add_argument("--write", action="store_true", help="keep it, in README and docs as well")
    parser.add_argument("--no-install", action="store_true", help="install nothing of Debian")
    parser.add_argument("--results", type=Path, help="measure nothing, take these")
    return parser
