"""Data on standard output: a table for a person, JSON documents for a machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from acni.errors import printable


def print_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below a heading, in columns."""
    for line in _aligned([tuple(heading), *(tuple(map(printable, row)) for row in rows)]):
        print(line)


def print_documents(documents: Iterable[object], output: str) -> None:
    """Print JSON documents: one list (json), or one a line (jsonl)."""
    print_texts([json.dumps(document) for document in documents], output)


def print_texts(texts: Iterable[str], output: str) -> None:
    """Print the texts of JSON documents as they are: one list (json), or one a line (jsonl)."""
    if output == "json":
        print("[" + ",".join(texts) + "]")
    else:
        for text in texts:
            print(one_line(text))


def one_line(text: str) -> str:
    """Put a JSON text on one line: a line break in it is white space, a string has none."""
    # Not splitlines(): it also breaks at U+2028 and others, which may stand in a string.
    return text.replace("\r", " ").replace("\n", " ")


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()
