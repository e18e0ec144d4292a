"""Regular expressions as the reference reads them, found in a short text in bounded time.

The reference's are RE2, which looks at all ways through an expression at once. Python's ``re``
tries one after the other, and holds the interpreter meanwhile: a line of a dozen characters stops a
program for days. So the expression is taken apart here, and ``re`` only says which single
characters are meant. A set of places in the text is one number, a bit for each.

Rule 1: what is not understood is refused, and never guessed: what only one of Go and Python knows,
    references to groups, what looks around.
Rule 2: an expression is as long, and as deep, as somebody writes it by hand: the time is bounded.

(github.com/google/re2/wiki/Syntax)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

_MOST: Final = 1000  # characters of one, and repetitions, as with RE2
_MOST_GROUPS: Final = 20  # one in the other
_MOST_REPEATS: Final = 2  # one in the other
_REPEAT: Final = re.compile(r"(?:([*+?])|\{([0-9]{1,4})(?:(,)([0-9]{1,4})?)?\})(\??)")
_AGAIN: Final = re.compile(r"[*+?]|\{[0-9]+(,[0-9]*)?\}")
_GROUP: Final = re.compile(r"\((?:\?:|\?P?<[A-Za-z_][A-Za-z0-9_]*>|(?!\?))")
_CLASS: Final = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]")
_ESCAPE: Final = re.compile(r"\\(?:[dDsSwWafnrtv]|x[0-9A-Fa-f]{2}|[!-/:-@\[-`{-~])")
_PLACES: Final = {"^": r"\A", r"\A": r"\A", "$": r"\Z", r"\z": r"\Z", r"\b": r"\b", r"\B": r"\B"}
_IGNORES_CASE: Final = "(?i)"
# What Go knows in a class and Python does not, and what Python warns of.
_UNCLEAR: Final = re.compile(r"\[:|^\[\[|--|&&|~~|\|\|")


@define
class _Text:
    text: str
    _masks: dict[re.Pattern[str], int] = field(factory=dict[re.Pattern[str], int])

    def places(self, pattern: re.Pattern[str]) -> int:
        """Return where a pattern is found."""
        if pattern not in self._masks:
            found = (at for at in range(len(self.text) + 1) if pattern.match(self.text, at))
            self._masks[pattern] = sum(1 << at for at in found)
        return self._masks[pattern]


# From the places where it may begin to those where it may end.
_Step = Callable[[_Text, int], int]


@frozen
class Pattern:
    """A regular expression."""

    _step: _Step

    def is_found_in(self, text: str) -> bool:
        """Tell whether it is found anywhere in a text."""
        return self._step(_Text(text), (1 << (len(text) + 1)) - 1) != 0


def parse_pattern(text: str) -> Pattern:
    """Parse a regular expression.

    Raises:
        ValueError: it is none, or one that is not understood here.
    """
    if len(text) > _MOST:
        raise ValueError(text)
    flags = re.ASCII
    if text.startswith(_IGNORES_CASE):
        flags, text = flags | re.IGNORECASE, text.removeprefix(_IGNORES_CASE)
    reader = _Reader(text, flags)
    step, _ = reader.alternatives(0)
    if reader.at != len(text):
        raise ValueError(text)
    return Pattern(step)


@define
class _Reader:
    text: str
    flags: int
    at: int = 0

    def alternatives(self, groups: int) -> tuple[_Step, int]:
        """Read what stands between bars: the step, and how deep its repetitions are."""
        if groups > _MOST_GROUPS:
            raise ValueError(self.text)
        read = [self._sequence(groups)]
        while self._take("|"):
            read.append(self._sequence(groups))
        steps = [step for step, _ in read]
        return (steps[0] if len(steps) == 1 else _any_of(steps)), max(deep for _, deep in read)

    def _sequence(self, groups: int) -> tuple[_Step, int]:
        steps: list[_Step] = []
        deepest = 0
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            step, deep = self._repeated(*self._one(groups))
            steps.append(step)
            deepest = max(deep, deepest)
        return _one_after_the_other(steps), deepest

    def _repeated(self, step: _Step, deep: int) -> tuple[_Step, int]:
        found = _REPEAT.match(self.text, self.at)
        if found is None:
            return step, deep
        self.at = found.end()
        sign, least, comma, most, _ = found.groups()
        low = int(sign == "+" if sign else least)
        high = {"*": None, "+": None, "?": 1}[sign] if sign else low
        if comma:
            high = int(most) if most else None
        is_wrong = max(low, high or 0) > _MOST or (high is not None and high < low)
        if is_wrong or deep == _MOST_REPEATS or _AGAIN.match(self.text, self.at):
            raise ValueError(self.text)
        return _repeat(step, low, high), deep + 1

    def _one(self, groups: int) -> tuple[_Step, int]:
        if found := _GROUP.match(self.text, self.at):
            self.at = found.end()
            inner = self.alternatives(groups + 1)
            if not self._take(")"):
                raise ValueError(self.text)
            return inner
        for place, written in _PLACES.items():
            if self._take(place):
                return _at(self._compiled(written)), 0
        return _character(self._compiled(self._atom())), 0

    def _atom(self) -> str:
        """Read what stands for one character."""
        first = self.text[self.at]
        known = {"[": _CLASS, "\\": _ESCAPE}.get(first)
        if known is None:
            if first == "(" or _AGAIN.match(self.text, self.at):
                raise ValueError(self.text)
            self.at += 1
            return first if first == "." else re.escape(first)
        found = known.match(self.text, self.at)
        if found is None or (first == "[" and _UNCLEAR.search(found[0])):
            raise ValueError(self.text)
        self.at = found.end()
        return found[0]

    def _compiled(self, atom: str) -> re.Pattern[str]:
        try:
            return re.compile(atom, self.flags)
        except re.error as error:
            raise ValueError(self.text) from error

    def _take(self, sign: str) -> bool:
        is_there = self.text.startswith(sign, self.at)
        self.at += len(sign) if is_there else 0
        return is_there


def _at(pattern: re.Pattern[str]) -> _Step:
    return lambda text, places: places & text.places(pattern)


def _character(pattern: re.Pattern[str]) -> _Step:
    return lambda text, places: (places & text.places(pattern)) << 1


def _any_of(steps: list[_Step]) -> _Step:
    def step(text: _Text, places: int) -> int:
        ends = 0
        for one in steps:
            ends |= one(text, places)
        return ends

    return step


def _one_after_the_other(steps: list[_Step]) -> _Step:
    def step(text: _Text, places: int) -> int:
        for one in steps:
            if not places:
                break
            places = one(text, places)
        return places

    return step


def _repeat(once: _Step, least: int, most: int | None) -> _Step:
    def step(text: _Text, places: int) -> int:
        for _ in range(least):
            before, places = places, once(text, places)
            if places == before:  # and so it stays
                break
        # As often as there are places, and each leads to no new one twice.
        ends, new, left = places, places, most
        while new and (left is None or left > least):
            new = once(text, new) & ~ends
            ends |= new
            left = None if left is None else left - 1
        return ends

    return step
