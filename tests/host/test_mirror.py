"""A directory of root's that a user writes to, in a private host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.netns


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with one of everything, in which another file system is mounted."""
    place = tmp_path / "place"
    (place / "inner" / "deep").mkdir(parents=True)
    (place / "inner" / "file").write_text("inner file")
    (place / "file").write_text("file")
    (place / "link").symlink_to("inner")
    (place / "dangling").symlink_to("nowhere")
    os.mkfifo(place / "fifo")
    (place / "closed").mkdir(mode=0o000)
    return place


def test_it_shows_what_was_there_and_takes_what_is_new(place: Path) -> None:
    report = _run(
        """
        mount("tmpfs", place + "/inner/deep", "tmpfs")
        Path(place, "inner/deep/mounted").touch()
        mirror(place)
        listed = sorted(os.listdir(place))
        Path(place, "new").mkdir()
        report = [
            listed,
            Path(place, "file").read_text(),
            Path(place, "link/file").read_text(),
            os.readlink(place + "/dangling"),
            Path(place, "fifo").is_fifo(),
            os.listdir(place + "/inner/deep"),
        ]
        """,
        place,
    )
    listed = ["closed", "dangling", "fifo", "file", "inner", "link"]
    assert report == [listed, "file", "inner file", "nowhere", True, ["mounted"]]
    assert not (place / "new").exists()


def test_what_is_changed_below_it_is_the_same_on_both_sides(place: Path) -> None:
    _run(
        """
        mirror(place)
        Path(place, "inner/new").touch()
        Path(place, "file").write_text("changed")
        report = None
        """,
        place,
    )
    assert (place / "inner" / "new").exists()
    assert (place / "file").read_text() == "changed"


def test_a_directory_without_names_is_one_that_takes_them(tmp_path: Path) -> None:
    report = _run(
        """
        mirror(place)
        Path(place, "new").touch()
        report = os.listdir(place)
        """,
        tmp_path,
    )
    assert report == ["new"]
    assert list(tmp_path.iterdir()) == []


def _run(script: str, place: Path) -> Any:
    program = "\n".join(
        [
            "import json, os, sys",
            "from pathlib import Path",
            "from acni.host.libc import mount",
            "from acni.host.mirror import mirror",
            "from acni.host.private_host import enter_private_host",
            "enter_private_host()",
            "place = sys.argv[1]",
            textwrap.dedent(script),
            "print(json.dumps(report))",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(place)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
