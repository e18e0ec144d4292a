"""The tables in the pages: between two comments of the README, and of a page of the documentation.

Rule 1: what lies between the comments is made of the results that are kept, and of nothing else; a
    test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from harness.orders import CHAIN, EITHER
from harness.results import Results
from harness.table import (
    builtin_table,
    costs_table,
    elsewhere_table,
    goals_table,
    losses_table,
    machine_words,
    missing_words,
    peers_table,
)

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = ROOT / "benchmarks" / "results" / "latest.jsonl"
PAGES: Final = (ROOT / "README.md", ROOT / "docs" / "concepts" / "benchmarks.md")


def sections(results: Results) -> Mapping[str, str]:
    """Make every section that a page may have, by its name."""
    return {
        "machine": "\n".join(filter(None, (machine_words(results), missing_words(results)))),
        "goals": goals_table(results),
        "adds": peers_table(results, "add"),
        "deletes": peers_table(results, "delete"),
        "costs": costs_table(results),
        "builtin": builtin_table(results, EITHER),
        "ports": builtin_table(results, CHAIN),
        "losses": losses_table(results),
        "elsewhere": elsewhere_table(),
    }


def filled(page: str, results: Results) -> str:
    """Return a page with its sections made anew."""
    for name, text in sections(results).items():
        begin, end = f"<!-- benchmark {name} -->\n", f"<!-- benchmark {name} end -->"
        before, found, rest = page.partition(begin)
        if found:
            _, closing, after = rest.partition(end)
            if not closing:
                raise ValueError(f"{begin.strip()} has no end")
            page = f"{before}{begin}\n{text}\n\n{end}{after}"
    return page


def write_pages(results: Results) -> None:
    """Make the sections of all pages anew."""
    for path in PAGES:
        path.write_text(filled(path.read_text(), results))
