"""Runs what the pages show: every fenced block of a page, in order, in a directory of its own.

A block of ``console`` is run line by line by bash, and prints what the page says (``...`` stands
for anything). A command that fails is followed by ``echo $?``. A block of ``python`` is run as a
program.
Before a block a comment may say what else is to be done::

    <!-- test: not run -->              the block is for readers
    <!-- test: file net.d/10.conf -->   the block is the content of that file
    <!-- test: bridge DEL fails -->     from now on that recording plugin fails, or works
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from attrs import Factory, define, frozen

from acni.testing import Behaviour, RecordingPlugins, look_for_leftovers
from tests.host.conftest import delegated, unified

__all__ = ["delegated"]

DOCS = Path(__file__).parents[2] / "docs"

_PART = re.compile(
    r"^<!-- test: (?P<note>.*?) -->$|^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_EXAMPLE = re.compile(r"^[#$] (?P<line>[^\n]*)\n(?P<output>(?:(?![#$] )[^\n]*\n)*)", re.MULTILINE)
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# What the pages call the places of a node.
PLACES = {
    "/etc/cni/net.d": "net.d",
    "/opt/cni/bin": "plugins/bin",
    "/var/lib/sandboxd/cni": "state",
}


@frozen(kw_only=True)
class Block:
    """A fenced block, and the notes before it."""

    language: str
    text: str
    notes: tuple[str, ...]


def blocks_of(text: str) -> list[Block]:
    """Extract the fenced blocks of a Markdown text."""
    blocks: list[Block] = []
    notes: list[str] = []
    for part in _PART.finditer(text):
        if part["note"]:
            notes.append(part["note"])
        else:
            block = Block(language=part["language"], text=part["text"], notes=tuple(notes))
            blocks.append(block)
            notes = []
    return blocks


# What a page says pytest prints has no word about another project's deprecations.
_OF_A_PAGE_S_OWN_TESTS = {"PYTEST_ADDOPTS": "-p no:warnings"}


@define(eq=False)
class Reader:
    """Does what a page says, in a directory and in a control group where there is one; counts what
    it ran.
    """

    home: Path
    plugins: RecordingPlugins
    variables: Mapping[str, str]
    group: Path | None = None
    ran: int = 0
    _status: int = 0
    _places: dict[str, str] = Factory(dict[str, str])

    def follow(self, text: str) -> None:
        for block in blocks_of(text):
            self._follow(block)
        assert self._status == 0, "the last command failed"

    def take_place(self, place: str, here: str) -> None:
        """Let ``here`` be what the page calls ``place``."""
        self._places[place] = here

    def _follow(self, block: Block) -> None:
        for note in block.notes:
            kind, _, rest = note.partition(" ")
            if note == "not run":
                return
            if kind == "file":
                path = self.home / rest
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self._here(block.text))
                return
            plugin, command, what = note.split()
            behaviour = {"fails": Behaviour.failing(msg="in use"), "works": Behaviour()}[what]
            self.plugins.tell(plugin, command, behaviour)
        match block.language:
            case "console":
                self._type(block.text)
            case "python":
                self._run_program(block.text)
            case _:
                pass

    def _here(self, text: str) -> str:
        for place, here in self._places.items():
            text = text.replace(place, here)
        return text

    def _as_written(self, text: str) -> str:
        for place, here in self._places.items():
            text = text.replace(here, place)
        return text

    def _run_program(self, text: str) -> None:
        done = self._run([sys.executable, "-W", "error::ResourceWarning", "-c", self._here(text)])
        assert (done.returncode, done.stdout) == (0, ""), f"{text}\n{done.stdout}"
        self.ran += 1

    def _type(self, text: str) -> None:
        examples = list(_EXAMPLE.finditer(text))
        assert examples, text
        for example in examples:
            line = example["line"]
            assert self._status == 0 or line == "echo $?", f"before: $ {line}"
            # The shell of a page lives on from line to line: its variables and its last status.
            before = f". ./.environment\n(exit {self._status})"
            after = "status=$?; export -p >.environment; exit $status"
            done = self._run(["bash", "-c", f"{before}\n{self._here(line)}\n{after}"])
            printed = self._as_written(done.stdout)
            matches = doctest.OutputChecker().check_output(example["output"], printed, _FLAGS)
            assert matches, f"$ {line}\n{printed}"
            self._status = done.returncode
            self.ran += 1

    def _run(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        (self.home / ".environment").touch()
        if self.group is not None:
            procs = f"{self.group}/cgroup.procs"
            argv = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', procs, *argv]
        return subprocess.run(
            argv,
            env={**self.variables, **_OF_A_PAGE_S_OWN_TESTS},
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )


@pytest.fixture
def page_host(clean_host: None) -> Iterator[None]:
    """A clean host, from which what the pages make is taken again: bridges, and the firewall."""
    del clean_host
    before = set(look_for_leftovers().links)
    yield
    for name in set(look_for_leftovers().links) - before:
        subprocess.run(["ip", "link", "del", name], check=True, timeout=20)
    subprocess.run(["nft", "flush", "ruleset"], check=True, timeout=20)


@pytest.fixture
def plain_reader(tmp_path: Path) -> Reader:
    """A reader on a node with Debian's plugins, where nothing is set up."""
    bin_dir = Path(sys.executable).parent
    return Reader(
        home=tmp_path,
        plugins=RecordingPlugins(tmp_path / "plugins"),
        variables={"PATH": f"{bin_dir}:{os.environ['PATH']}", "HOME": str(tmp_path)},
    )


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """A reader on a node with recording plugins and the network dbnet, in the usual places."""
    return make_reader(tmp_path)


@pytest.fixture
def delegated_reader(tmp_path: Path, delegated: Path) -> Iterator[Reader]:
    """A reader like that, as a service in a control group that was delegated to it."""
    reader = make_reader(tmp_path)
    reader.group = delegated
    reader.take_place("/sys/fs/cgroup", str(unified()))
    yield reader
    (delegated / "runs").rmdir()


def make_reader(home: Path) -> Reader:
    """Make a reader on a node with recording plugins and the network dbnet, in the usual places."""
    plugins = RecordingPlugins(home / "plugins")
    plugins.install("bridge", "portmap")
    (home / "net.d").mkdir()
    (home / "net.d" / "10-dbnet.conflist").write_text(
        '{"cniVersion":"1.0.0","name":"dbnet","plugins":[{"type":"bridge"},'
        '{"type":"portmap","capabilities":{"portMappings":true}}]}'
    )
    places = {place: str(home / here) for place, here in PLACES.items()}
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "NETCONFPATH": places["/etc/cni/net.d"],
        "CNI_PATH": places["/opt/cni/bin"],
        "ACNI_STATE_DIR": places["/var/lib/sandboxd/cni"],
    }
    return Reader(home=home, plugins=plugins, variables=variables, places=places)
