"""Results that were not measured."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import asdict

from harness.results import Key, Results

HEADING = {
    "date": "2026-11-26",
    "quick": False,
    "share": 1.0,
    "machine": {
        "processor": "A <fast> one",
        "processors": "2",
        "memory": "4 GiB",
        "kernel": "Linux 6.18",
        "file system": "ext4",
        "system": "Debian GNU/Linux 13 (trixie)",
        "acni": "0.1.0",
        "Python": "3.13.5",
    },
    "missing": {"go-cni": "there is no go"},
    "failures": [],
}


class Made:
    """Results made by hand."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def add(self, key: Key, *rounds: float, figure: str = "ops") -> None:
        """Let there be a figure of something in each round."""
        for number, value in enumerate(rounds):
            self.lines.append(asdict(key) | {"round": number, figure: value})

    def results(self) -> Results:
        return Results(heading=HEADING, lines=tuple(self.lines))


@pytest.fixture
def made() -> Made:
    return Made()
