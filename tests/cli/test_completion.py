"""Completions are made from the parser, so that they know every verb and every flag."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acni.cli.completion import bash, fish, zsh
from acni.cli.parser import GROUPS, build_parser
from acni.cli.words import walk

Run = Callable[..., subprocess.CompletedProcess[str]]

COMMAND = walk(build_parser(), "acni")
WRITERS = {"bash": bash, "zsh": zsh, "fish": fish}


def test_every_verb_is_in_one_group_of_the_help(acni: Run) -> None:
    grouped = [name for group in GROUPS.values() for name in group]
    assert sorted(grouped) == sorted(verb.path[1] for verb in COMMAND.verbs)
    assert len(grouped) == len(set(grouped))
    text = acni("--help").stdout
    for group, verbs in GROUPS.items():
        assert f"\n{group}:\n  {next(iter(verbs))} " in text


def test_every_word_has_its_help() -> None:
    for verb in COMMAND.all_verbs():
        assert verb.help
        assert [word for word in (*verb.flags, *verb.places) if not word.help] == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_reads(shell: str, acni: Run) -> None:
    script = acni("completion", shell)
    assert (script.returncode, script.stderr) == (0, "")
    assert script.stdout == WRITERS[shell](COMMAND)
    if shutil.which(shell) is None:
        pytest.skip(f"cannot run here: {shell} is not installed")
    read = subprocess.run(
        [shell, "-n"], input=script.stdout, capture_output=True, text=True, timeout=200, check=False
    )
    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_knows_every_verb_and_flag(shell: str) -> None:
    script = WRITERS[shell](COMMAND)
    for verb in COMMAND.all_verbs():
        assert verb.path[-1] in script
        for flag in (flag for word in verb.flags for flag in word.flags):
            assert (flag.lstrip("-") if shell == "fish" else flag) in script


def completed(environment: dict[str, str], cwd: Path, *words: str) -> list[str]:
    """Complete the last word as bash does: through the function that ``complete`` names."""
    program = """
source <(acni completion bash)
compopt() { :; }  # outside of a completion it refuses
[[ $(complete -p acni) == 'complete -F _acni acni' ]] || exit 9
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_acni
printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(
        ["bash", "-c", program, "bash", "acni", *words],
        env=environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        pytest.param(("pl",), ["plan"], id="verb"),
        pytest.param(("debt", ""), ["list", "retry", "forget"], id="action"),
        pytest.param(("debt", "forget", "--r"), ["--reason"], id="flag"),
        pytest.param(("delete", "--cont"), ["--container-id"], id="flag of an alias"),
        pytest.param(("ls", "-o", ""), ["human", "json", "jsonl"], id="value"),
        pytest.param(("ls", "--output", "j"), ["json", "jsonl"], id="value begun"),
        pytest.param(("plan", ""), ["add", "check", "del", "status"], id="choice"),
        pytest.param(("plan", "add", ""), ["net"], id="network"),
        pytest.param(("add", "-i", "eth0", "n"), ["net"], id="network behind a flag"),
        pytest.param(("add", "--quiet", "n"), ["net"], id="network behind a switch"),
        pytest.param(("add", "net", "net"), ["net.d"], id="path of a namespace"),
        pytest.param(("add", "--conf-dir", "ne"), ["net.d"], id="directory"),
        pytest.param(("add", "--trace", "ne"), ["net.d"], id="file"),
        pytest.param(("gc", "net", "--keep-from", "ne"), ["net.d"], id="another file"),
        pytest.param(("add", "--container-id", ""), [], id="value that nobody knows"),
        pytest.param(("completion", "f"), ["fish"], id="shell"),
        pytest.param(("add", "net", "/run/x", ""), [], id="nothing more"),
    ],
)
def test_bash_completes(
    words: tuple[str, ...], candidates: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    assert completed(environment, tmp_path, *words) == candidates


def test_another_shell_is_refused(acni: Run) -> None:
    assert acni("completion", "tcsh").returncode == 2
