"""What libcni, ocicni and go-cni test, and what acni has for it: ``docs/peer-tests.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import frozen

from tests.mutation import CHECKOUT

_CASES: Final = re.compile(
    r"(?P<letter>[A-Z])(?P<first>[1-9]\d*)(?P<part>[a-z]?)(-(?P=letter)(?P<last>\d+))?"
)


@frozen(kw_only=True)
class Suite:
    """A file of a peer's tests.

    Attributes:
        peer: Whose it is.
        cases: The numbers of its cases: ``A1-A81``.
        file: The file, in the peer's repository.
        lines: Where each case begins, in the order of the numbers.
    """

    peer: str
    cases: str
    file: str
    lines: Sequence[int]


@frozen(kw_only=True)
class Row:
    """One or more cases that fix the same.

    Attributes:
        cases: Their numbers: ``A1``, ``A38-A44``, ``O6a``, and several of these.
        words: What they fix.
        tests: Tests of ours, as pytest names them, that fail where acni does otherwise than this
            row says.
        differs: What acni does instead, and why; empty where it does the same.
        unbound: Why the cases ask nothing of acni; empty where they do.
    """

    cases: str
    words: str
    tests: Sequence[str] = ()
    differs: str = ""
    unbound: str = ""


def read_peers() -> tuple[dict[str, Any], ...]:
    """Read whose tests they are, and as of when."""
    return tuple(_read()["peer"])


def read_suites() -> tuple[Suite, ...]:
    """Read the files of tests, in their order."""
    return tuple(Suite(**suite) for suite in _read()["suite"])


def read_rows() -> tuple[Row, ...]:
    """Read the rows, in their order."""
    return tuple(Row(**row) for row in _read()["row"])


def _read() -> dict[str, Any]:
    return tomllib.loads((CHECKOUT / "docs" / "peer-tests.toml").read_text())


def cases_of(cases: str) -> Iterator[tuple[str, str]]:
    """Iterate over the cases of a row or a suite, ranges written out, and the part of each."""
    for written in cases.split():
        match = _CASES.fullmatch(written)
        assert match, written
        letter, first, part = match["letter"], int(match["first"]), match["part"]
        for number in range(first, int(match["last"] or first) + 1):
            yield f"{letter}{number}", part
