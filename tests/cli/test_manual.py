"""The manual page: roff's man macros, and every verb and flag."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

from acni.cli.manual import manual_lines
from acni.cli.parser import build_parser
from acni.cli.words import walk

Run = Callable[..., subprocess.CompletedProcess[str]]

COMMAND = walk(build_parser(), "acni")
LINES = list(manual_lines(COMMAND))

MACROS = {".TH", ".SH", ".SS", ".TP", ".B"}
ESCAPES = re.compile(r"\\(-|e|&|f[BIR])")


def test_the_page_is_what_the_command_prints(acni: Run) -> None:
    printed = acni("man")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout.splitlines() == LINES


def test_every_line_is_text_or_a_known_macro() -> None:
    assert LINES[0].startswith(".TH ACNI 1 ")
    assert LINES[1:3] == [".SH NAME", next(line for line in LINES if line.startswith("acni \\-"))]
    for line in LINES:
        if line.startswith((".", "'")):
            assert line.split()[0] in MACROS
        assert "\\" not in ESCAPES.sub("", line), line
        fonts = re.findall(r"\\f([BIR])", line)
        assert not fonts or fonts[-1] == "R", line


def test_every_tag_has_its_text() -> None:
    for number, line in enumerate(LINES):
        if line == ".TP":
            tag, text = LINES[number + 1 : number + 3]
            assert not tag.startswith(".")
            assert not text.startswith(".")


def test_it_knows_every_verb_and_flag() -> None:
    text = "\n".join(LINES).replace("\\-", "-")
    for verb in COMMAND.all_verbs():
        if not verb.verbs:
            assert f".SS {' '.join(verb.path)}" in text
    for flag in (flag for verb in COMMAND.all_verbs() for w in verb.flags for flag in w.flags):
        assert flag in text


def test_groff_reads_it_without_a_warning() -> None:
    if shutil.which("groff") is None:
        pytest.skip("cannot run here: groff is not installed")
    read = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z"],
        input="\n".join(LINES) + "\n",
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert read.stderr == ""
