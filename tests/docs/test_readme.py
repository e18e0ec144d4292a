"""The README's example runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

import acni
from acni import netns
from tests.another_user import as_another_user, open_directory
from tests.docs.conftest import DOCS, Block, Reader, blocks_of

README = DOCS.parent / "README.md"


def python_blocks() -> list[Block]:
    return [block for block in blocks_of(README.read_text()) if block.language == "python"]


def test_the_readme_has_one_short_example() -> None:
    (block,) = python_blocks()
    assert len([line for line in block.text.splitlines() if line]) < 15


@pytest.mark.netns
@pytest.mark.anyio
@pytest.mark.usefixtures("clean_host")
async def test_the_example_attaches_on_recording_plugins(reader: Reader, tmp_path: Path) -> None:
    (block,) = python_blocks()
    opening = 'state_dir="/var/lib/sandboxd/cni"'
    conf_dir, plugin_dirs = str(tmp_path / "net.d"), [reader.plugins.directory]
    places = f"state_dir={str(tmp_path / 'state')!r}, {conf_dir=}, {plugin_dirs=}"
    assert block.text.count(opening) == 1
    names: dict[str, Any] = {}
    exec(block.text.replace(opening, places), names)  # noqa: S102 (our own page)
    with netns.anonymous() as box:
        assert await names["attach"]("web", box.path) == "192.0.2.7"
    assert reader.plugins.held == {"bridge/web/eth0", "portmap/web/eth0"}


@pytest.mark.netns
@pytest.mark.usefixtures("page_host")
def test_the_command_lines_of_the_readme_run(reader: Reader) -> None:
    blocks = [b.text for b in blocks_of(README.read_text()) if "netns create" in b.text]
    (text,) = blocks
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    quiet = [f"# {line} > /dev/null\n" for line in lines]
    reader.follow(f"```console\n{''.join(quiet)}```\n")
    assert reader.ran == len(lines) > 3


@pytest.mark.netns
@pytest.mark.usefixtures("clean_host")
def test_the_first_command_runs_for_another_user_with_python_and_nothing_else() -> None:
    """All of it but pip, which would ask the network; `nox -s package` does that."""
    first = next(block for block in blocks_of(README.read_text()) if block.language == "console")
    parts = first.text.removeprefix("$ ").strip().split(" && ")
    assert parts == [
        "python3 -m venv .venv",
        ".venv/bin/pip install -q .",
        ".venv/bin/acni demo",
    ]
    with open_directory() as directory:
        user = as_another_user()
        tool = shutil.which(user[0])
        assert tool is not None
        bare = partial(
            subprocess.run,
            cwd=directory,
            env={"PATH": "/nonexistent"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        made = bare([tool, *user[1:], sys.executable, "-m", "venv", "--without-pip", ".venv"])
        assert made.returncode == 0, made.stderr
        # What pip would install: acni and what it needs.
        (site,) = (directory / ".venv" / "lib").glob("python3*/site-packages")
        homes = {str(Path(module.__file__ or "").parents[1]) for module in (acni, anyio, attrs)}
        (site / "installed.pth").write_text("\n".join(sorted(homes)))
        shown = bare([tool, *user[1:], ".venv/bin/python", "-m", "acni", "demo"])
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "nothing is left" in shown.stdout
