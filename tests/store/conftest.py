"""Fixtures of the tests that put hostile files into a state directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file outside, which must stay as it is."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    yield victim
    assert victim.read_text() == "precious"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where slots lie."""
    place = tmp_path / "journal"
    place.mkdir()
    return place


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    """Where what is damaged is kept."""
    aside = tmp_path / "quarantine"
    aside.mkdir()
    return aside
