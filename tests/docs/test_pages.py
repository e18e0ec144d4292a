"""What the pages show runs, and prints what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.conftest import DOCS, Reader, blocks_of

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120), pytest.mark.usefixtures("page_host")]


def test_the_tutorial_runs_on_the_reference_plugins(plain_reader: Reader) -> None:
    plain_reader.follow((DOCS / "tutorial.md").read_text())
    assert plain_reader.ran > 20


DELEGATED = DOCS / "how-to" / "kill-runs-whole.md"
HOW_TO = sorted(set((DOCS / "how-to").glob("*.md")) - {DELEGATED})


def test_there_are_pages_to_follow() -> None:
    assert len(HOW_TO) >= 5


@pytest.mark.parametrize("page", HOW_TO, ids=[page.stem for page in HOW_TO])
def test_a_how_to_runs_on_recording_plugins(page: Path, reader: Reader) -> None:
    assert blocks_of(page.read_text())
    reader.follow(page.read_text())
    assert reader.ran


def test_the_how_to_on_control_groups_runs_in_one_that_was_delegated(
    delegated_reader: Reader,
) -> None:
    delegated_reader.follow(DELEGATED.read_text())
    assert delegated_reader.ran > 2
