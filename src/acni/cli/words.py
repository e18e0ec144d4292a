"""The command's words as values, walked out of the parser: what completions and the manual are made
from.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final, cast

from attrs import frozen

_OPTIONAL: Final = ("?", "*", argparse.REMAINDER)
_REPEATED: Final = ("+", "*", argparse.REMAINDER)


@frozen(kw_only=True)
class Word:
    """A flag or a positional argument.

    Attributes:
        flags: The ways to write a flag; empty for a positional argument.
        value: What its value is called; empty where it takes none.
        choices: The values it may have, where they are known.
        help: What it is for.
        is_optional: It may be left out.
        is_repeated: It may be given more than once.
    """

    flags: tuple[str, ...]
    value: str
    choices: tuple[str, ...]
    help: str
    is_optional: bool
    is_repeated: bool


@frozen(kw_only=True)
class Verb:
    """A verb, or the command itself.

    Attributes:
        path: The words that call it: ``("acni", "debt", "list")``.
        names: Its last word and the aliases of that.
        help: What it does.
        flags: Its flags.
        places: Its positional arguments, in order.
        verbs: The verbs below it.
    """

    path: tuple[str, ...]
    names: tuple[str, ...]
    help: str
    flags: tuple[Word, ...]
    places: tuple[Word, ...]
    verbs: tuple[Verb, ...]

    def all_verbs(self) -> Iterator[Verb]:
        """Iterate over it and all verbs below it, itself first."""
        yield self
        for verb in self.verbs:
            yield from verb.all_verbs()


def walk(parser: argparse.ArgumentParser, *path: str, names: tuple[str, ...] = ()) -> Verb:
    """Read the words of a parser.

    Args:
        parser: The parser.
        path: The words that call it.
        names: The last of these and its aliases.
    """
    # argparse shows its actions to subclasses only.
    actions = parser._actions  # pyright: ignore[reportPrivateUsage]
    words = [_word(action) for action in actions if not isinstance(action.choices, dict)]
    return Verb(
        path=path,
        names=names or path[-1:],
        help=parser.description or "",
        flags=tuple(word for word in words if word.flags),
        places=tuple(word for word in words if not word.flags),
        verbs=tuple(verb for action in actions for verb in _verbs(action, path)),
    )


def _verbs(action: argparse.Action, path: tuple[str, ...]) -> Iterator[Verb]:
    choices: object = action.choices
    if not isinstance(choices, dict):
        return
    parsers = cast("dict[str, argparse.ArgumentParser]", choices)
    names: dict[argparse.ArgumentParser, list[str]] = {}
    for name, parser in parsers.items():  # an alias leads to the same parser
        names.setdefault(parser, []).append(name)
    for parser, called in names.items():
        yield walk(parser, *path, called[0], names=tuple(called))


def _word(action: argparse.Action) -> Word:
    is_place = not action.option_strings
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    return Word(
        flags=tuple(action.option_strings),
        value="" if action.nargs == 0 else metavar,
        choices=tuple(map(str, action.choices or ())),
        help=action.help or "",
        is_optional=action.nargs in _OPTIONAL if is_place else not action.required,
        is_repeated=action.nargs in _REPEATED or "repeatable" in (action.help or ""),
    )
