"""What the pages show runs, and prints what they say."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.docs.conftest import DOCS, Reader, blocks_of

pytestmark = [
    pytest.mark.deep,
    pytest.mark.netns,
    pytest.mark.usefixtures("page_host"),
]


def test_the_tutorial_runs_on_the_reference_plugins(plain_reader: Reader) -> None:
    plain_reader.follow((DOCS / "tutorial.md").read_text())
    assert plain_reader.ran > 20


def test_the_tutorial_of_a_plugin_runs(plain_reader: Reader) -> None:
    plain_reader.follow((DOCS / "tutorial-plugin.md").read_text())
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


RECOVER = DOCS / "how-to" / "recover-at-boot.md"


def test_the_unit_waits_for_its_mount_and_does_what_the_page_does(reader: Reader) -> None:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    (text,) = [block.text for block in blocks_of(RECOVER.read_text()) if block.language == "ini"]
    unit.read_string(text)
    command = unit["Service"]["ExecStart"].removeprefix("/usr/bin/")
    assert f"--state-dir {unit['Unit']['RequiresMountsFor']} " in command
    assert unit["Unit"]["Before"] == unit["Install"]["WantedBy"]
    reader.follow(f"```console\n$ {command}\n$ acni ls\nSTATE {'...'}\n```\n")
    assert reader.ran == 2


def test_the_state_directory_of_the_page_is_one_that_a_runtime_takes() -> None:
    (lines,) = [
        block.text for block in blocks_of(RECOVER.read_text()) if "tmpfiles.d" in block.text
    ]
    kinds = [line.split() for line in lines.splitlines() if not line.startswith("#")]
    assert kinds[-1] == ["d", "/var/lib/sandboxd/cni", "0700", "root", "root", "-"]
