"""The examples of docs/cli.md run, in their order, with recording plugins on a private host."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acni.cli.parser import GROUPS
from acni.testing import Behaviour, RecordingPlugins

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"

# A note to this test, or a block of examples.
_PART = re.compile(r"<!-- test: (?P<note>.*?) -->|```console\n(?P<block>.*?)```", re.DOTALL)
_EXAMPLE = re.compile(r"\$ (?P<line>[^\n]*)\n(?P<output>(?:(?!\$ )[^\n]*\n)*)")
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def parts() -> Iterator[tuple[str, str]]:
    """Iterate over the notes, and the examples that run: ("note", …) and (line, output)."""
    is_run = True
    for part in _PART.finditer(PAGE.read_text()):
        if part["note"]:
            is_run = part["note"] != "not run"
            yield "note", part["note"]
        elif is_run:
            yield from ((m["line"], m["output"]) for m in _EXAMPLE.finditer(part["block"]))
        else:
            is_run = True


def test_every_verb_has_its_part_and_its_example() -> None:
    text = PAGE.read_text()
    for verb in (name for group in GROUPS.values() for name in group):
        assert f"\n## {verb}\n" in text
        assert f"\n$ acni {verb}" in text


@pytest.mark.netns
@pytest.mark.usefixtures("clean_host")
def test_the_examples_run_and_print_what_the_page_says(
    tmp_path: Path, plugins: RecordingPlugins
) -> None:
    plugins.install("bridge", "portmap")
    conf_dir = tmp_path / "net.d"
    conf_dir.mkdir()
    chain = '"plugins":[{"type":"bridge"},{"type":"portmap","capabilities":{"portMappings":true}}]'
    (conf_dir / "10-dbnet.conflist").write_text(f'{{"cniVersion":"1.1.0","name":"dbnet",{chain}}}')
    (conf_dir / "20-dbnet.conflist").write_text(f'{{"cniVersion":"1.0.0","name":"dbnet",{chain}}}')
    (conf_dir / "30-oldnet.conflist").write_text('{"name":"oldnet"}')
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NETCONFPATH": str(conf_dir),
        "CNI_PATH": plugins.directory,
        "ACNI_STATE_DIR": str(tmp_path / "state"),
    }
    ran = 0
    for line, expected in parts():
        if line == "note":
            _follow(expected, plugins)
            continue
        done = subprocess.run(
            ["sh", "-c", line],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
            check=False,
        )
        printed = done.stdout.replace(str(conf_dir), "/etc/cni/net.d")
        printed = printed.replace(plugins.directory, "/opt/cni/bin")
        matches = doctest.OutputChecker().check_output(expected, printed, _FLAGS)
        assert matches, f"$ {line}\n{printed}"
        assert done.returncode in (0, 5), line
        ran += 1
    assert ran > 15


def _follow(note: str, plugins: RecordingPlugins) -> None:
    if note != "not run":
        plugin, command, what = note.split()
        behaviour = {"fails": Behaviour.failing(msg="in use"), "works": Behaviour()}[what]
        plugins.tell(plugin, command, behaviour)
