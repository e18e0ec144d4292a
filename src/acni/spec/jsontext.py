"""JSON that travels untouched: values are read for us, their text is kept for everybody else.

Unknown fields, key order, ``1e2`` and thirty-digit integers pass through configuration, prevResult
and record as they were written, because what is sent on is spliced from the original text and never
dumped again (specification, section 1: fields that the runtime does not know are passed
"unaltered").

Rule 1: what is read is strict: UTF-8 without a byte order mark, no NaN or Infinity, no number that
    overflows a float.
Rule 2: hostile text is refused by counting, before it is parsed: 1 MiB of ``[],[],`` costs 27 MiB
    and 73 ms otherwise.
Rule 3: of duplicate keys the last one counts, as in Go's encoding/json, which the plugins use.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, NoReturn, TypeGuard, TypeVar

# A false start may read all that follows it: 64 KiB of them would cost seconds. So many characters
# read in vain, each false start counted as some more, cost a few milliseconds.
MAX_WASTED: Final = 1 << 18
_FALSE_START: Final = 200

_SPACES: Final = frozenset(" \t\n\r")
_SPACE: Final = re.compile(r"[ \t\n\r]*")
# A string, whole or cut off, or a bracket; possessive, so that nothing is read twice.
_BRACKET: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_OBJECT_START: Final = re.compile(r'\{[ \t\n\r]*["}]')


Read = TypeVar("Read")
Kind = TypeVar("Kind")


class JsonError(ValueError):
    """A text is not the JSON that was expected; the border that reads it turns this into an error
    with a place.
    """


class Bounds(NamedTuple):
    """What a text may have at most, counted before it is parsed."""

    structure: int
    depth: int
    characters: int


# The largest real documents (a whereabouts or multus list) have some hundred brackets and commas,
# ten levels deep; 1 MiB of honest text has about this many. A fixed depth, because the parser's own
# depends on how deep its caller stands.
DOCUMENT: Final = Bounds(structure=65_536, depth=100, characters=1 << 20)
# One member more breaks no bound of a text so short, whose depth stays what it was.
SURELY_WITHIN: Final = 32_768


class Member(NamedTuple):
    """A value in a document: what it says and how it was written."""

    text: str
    value: Any


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Tell whether a JSON value is an array."""
    return isinstance(value, list)


def decode(raw: bytes) -> str:
    """Decode UTF-8 strictly; ``json.loads`` would also take UTF-16, UTF-32 and raw surrogates."""
    try:
        text = raw.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise JsonError(f"not UTF-8 at byte {error.start}") from None
    if text.startswith("\ufeff"):
        raise JsonError("starts with a byte order mark")
    return text


def strip(text: str) -> str:
    """Strip JSON's white space; ``str.strip`` would also take a form feed or a no-break space."""
    return text.strip(" \t\n\r")


def object_members(
    text: str, bounds: Bounds = DOCUMENT, *, listed: str | None = None
) -> dict[str, Member]:
    """Read one JSON object; each member keeps its own text, in the order of the document.

    Args:
        text: The whole text.
        bounds: What it may have at most.
        listed: The name of a member whose elements keep their own text, too: where it is an array,
            its value is a list of :class:`Member`.

    Raises:
        JsonError: the text is no JSON object, or more than white space follows it.
    """
    require_bounds(text, bounds)
    members, end = _reading(lambda text, at: _object(text, at, listed), text, _skip(text, 0))
    if end != len(text) and _skip(text, end) != len(text):
        raise JsonError(f"text after the JSON object, at character {end}")
    return members


def inner_members(text: str) -> dict[str, Member]:
    """Read one JSON object that was part of a document read before; each member keeps its own
    text.
    """
    return _reading(_object, text, 0)[0]


def require_bounds(text: str, bounds: Bounds = DOCUMENT) -> None:
    """Refuse a text that would be expensive to parse.

    Raises:
        JsonError: it has more structure, or is nested deeper, than it may be.
    """
    if len(text) > bounds.characters:
        raise JsonError(f"more than {bounds.characters} characters")
    brackets = text.count("[") + text.count("{")
    if brackets + text.count(",") > bounds.structure:
        raise JsonError(f"more than {bounds.structure} brackets and commas")
    if brackets > bounds.depth and _depth(text) > bounds.depth:
        raise JsonError(f"nested deeper than {bounds.depth} levels")


def array_elements(text: str) -> list[Member]:
    """Read one JSON array that was part of a document read before; each element keeps its own
    text.
    """
    return _reading(_array, text, 0)[0]


def fold_key(key: str) -> str:
    """Fold a key as Go's encoding/json does: ASCII letters, and the two others that fold to one."""
    return key.lower().replace("\N{LATIN SMALL LETTER LONG S}", "s")


def spellings(*keys: str) -> Mapping[str, str]:
    """Map what a key folds to, to the key: for :func:`spell_keys`."""
    return {fold_key(key): key for key in keys}


def spell_keys(members: Mapping[str, Kind], spelled: Mapping[str, str]) -> dict[str, Kind]:
    """Spell the keys that fold to known ones as those are; of two spellings the last counts, as in
    Go.
    """
    return {spelled.get(fold_key(key), key): member for key, member in members.items()}


def objects_in(text: str) -> Iterator[dict[str, Any]]:
    """Iterate over the JSON objects in mixed text, such as logs with an error at their end."""
    at, wasted = 0, 0
    while wasted < MAX_WASTED and (start := _OBJECT_START.search(text, at)):
        begin = start.start()
        try:
            value, at = _DECODER.raw_decode(text, begin)
        except (ValueError, RecursionError) as error:
            # How far a false start was read; a number that is refused does not say.
            reached = getattr(error, "pos", len(text))
            at, wasted = begin + 1, wasted + reached - begin + _FALSE_START
        else:
            yield value


def join(members: Mapping[str, str]) -> str:
    """Write an object from keys and the text of their values."""
    return "{" + ",".join([f"{_quoted(key)}:{text}" for key, text in members.items()]) + "}"


def dump(value: object, default: Callable[[Any], object] | None = None) -> str:
    """Write a value of ours, compactly and in ASCII (a lone surrogate stays an escape).

    Args:
        value: The value.
        default: Makes a JSON value of what is none, or raises TypeError.

    Raises:
        JsonError: the value has no JSON form (NaN, Infinity, a set, …).
    """
    if type(value) is str:
        return _quoted(value)
    encoder = _ENCODER if default is None else _encoder(default)
    try:
        return encoder.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise JsonError(f"no JSON value: {error}") from None


def _depth(text: str) -> int:
    deepest = depth = 0
    for token in _BRACKET.finditer(text):
        character = token[0][0]
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _object(text: str, at: int, listed: str | None = None) -> tuple[dict[str, Member], int]:
    """Read the object that begins here; return its members and its end."""
    members: dict[str, Member] = {}
    scan = _DECODER.raw_decode
    at = _skip(text, _expect(text, at, "{"))
    if text[at : at + 1] == "}":
        return members, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise JsonError(f"expected a key in double quotes at character {at}")
        key, at = scan(text, at)
        at = _after(text, at, ":")
        if key == listed and text[at : at + 1] == "[":
            value, end = _array(text, at)
        else:
            value, end = scan(text, at)
        members[key] = Member(text[at:end], value)
        at = end if text[end : end + 1] not in _SPACES else _skip(text, end)
        if text[at : at + 1] == "}":
            return members, at + 1
        at = _after(text, at, ",")


def _array(text: str, at: int) -> tuple[list[Member], int]:
    """Read the array that begins here; return its elements and its end."""
    elements: list[Member] = []
    scan = _DECODER.raw_decode
    at = _skip(text, _expect(text, at, "["))
    if text[at : at + 1] == "]":
        return elements, at + 1
    while True:
        value, end = scan(text, at)
        elements.append(Member(text[at:end], value))
        at = end if text[end : end + 1] not in _SPACES else _skip(text, end)
        if text[at : at + 1] == "]":
            return elements, at + 1
        at = _after(text, at, ",")


def _reading(read: Callable[[str, int], Read], text: str, at: int) -> Read:
    """Read something, and say what is wrong with it in our words."""
    try:
        return read(text, at)
    except json.JSONDecodeError as error:
        raise JsonError(f"{error.msg} (line {error.lineno}, column {error.colno})") from None
    except JsonError:
        raise
    except ValueError as error:  # an integer of over 4,300 digits, or a number refused by us
        raise JsonError(str(error).partition(";")[0]) from None


def _after(text: str, at: int, character: str) -> int:
    """Return where the next value begins: behind a separator and the white space around it."""
    if text[at : at + 1] == character:
        at += 1
    else:
        at = _expect(text, _skip(text, at), character)
    return _skip(text, at) if text[at : at + 1] in _SPACES else at


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _expect(text: str, at: int, character: str) -> int:
    if text[at : at + 1] != character:
        found = repr(text[at : at + 20]) if at < len(text) else "the end of the text"
        raise JsonError(f"expected {character!r} at character {at}, got {found}")
    return at + 1


# What json.dumps does with text, without making an encoder each time (0.1 us instead of 0.8).
_quoted: Final = json.encoder.encode_basestring_ascii


def _encoder(default: Callable[[Any], object] | None) -> json.JSONEncoder:
    return json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=default)


# json.dumps makes one each time, which costs more than most values.
_ENCODER: Final = _encoder(None)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:20]} is out of range")
    return number


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
