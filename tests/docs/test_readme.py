"""The README's example runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acni import netns
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
