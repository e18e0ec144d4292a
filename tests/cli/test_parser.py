"""The command's words."""

from __future__ import annotations

import shutil

import pytest

from acni.cli.parser import GROUPS, build_parser
from acni.cli.words import Verb, walk

WHOLE = {name: verb for verb in walk(build_parser(), "acni").verbs for name in verb.names}


def test_every_verb_that_is_listed_is_there() -> None:
    assert {verb for group in GROUPS.values() for verb in group} == WHOLE.keys() - {"delete"}


@pytest.mark.parametrize("name", WHOLE)
def test_a_verb_that_is_built_alone_has_the_same_words(name: str) -> None:
    few: tuple[Verb, ...] = walk(build_parser(name), "acni").verbs
    assert WHOLE[name] in few
    assert len(few) < len(GROUPS) + 1


@pytest.mark.parametrize("first", [None, "--nonsense", "nonsense", ""])
def test_where_no_verb_is_named_there_are_all(first: str | None) -> None:
    assert {name for verb in walk(build_parser(first), "acni").verbs for name in verb.names} == set(
        WHOLE
    )


def test_help_needs_none(capsys: pytest.CaptureFixture[str]) -> None:
    texts: list[str] = []
    for first in ("--help", None):
        with pytest.raises(SystemExit):
            build_parser(first).parse_args(["--help"])
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert all(verb in texts[0] for verb in WHOLE if verb != "delete")


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("0", 80), ("wide", 80), ("", 80)])
@pytest.mark.parametrize("words", [["add", "--help"], ["debt", "retry", "--help"]])
def test_help_is_as_wide_as_argparse_s_own(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    columns: str,
    width: int,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    parser = build_parser(words[0])
    assert shutil.get_terminal_size().columns == width
    with pytest.raises(SystemExit):
        parser.parse_args(words)
    options = capfd.readouterr().out.partition("options:")[2]
    assert width - 20 < max(map(len, options.splitlines())) <= width - 2
