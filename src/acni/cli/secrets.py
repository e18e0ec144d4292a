"""What is not shown unless asked for: values of CNI_ARGS, ``args`` and capability arguments, and
whatever stands under a key that looks like a secret's.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from acni.spec.jsontext import DOCUMENT, dump, is_array, is_object, join, object_members

HIDDEN: Final = "(hidden, see --show-secrets)"

# What is shown was read before, each document within its own bounds; a record and a request hold
# several.
SHOWN: Final = DOCUMENT._replace(
    structure=sys.maxsize, depth=DOCUMENT.depth + 4, characters=sys.maxsize
)

_SECRET: Final = re.compile(
    r"pass(word|wd|phrase)?\d*$|secret|token|credential|(api|private|access|shared)[_-]?key|psk|^auth",
    re.IGNORECASE,
)
# Objects whose names are shown and whose values are not: capability arguments, in a request and in
# a record.
_ARGUMENTS: Final = frozenset({"runtimeconfig", "capabilityargs"})


def without_secrets(text: str) -> str:
    """Hide the secrets of a JSON object; what holds none stays as it was written."""
    members = object_members(text, SHOWN).items()
    return join({key: _member(key, member.text) for key, member in members})


def hidden_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Hide the values of CNI_ARGS, and those of variables whose name looks like a secret's."""
    shown = {name: HIDDEN if _SECRET.search(name) else text for name, text in environment.items()}
    if shown.get("CNI_ARGS"):
        names = (pair.partition("=")[0] for pair in shown["CNI_ARGS"].split(";"))
        shown["CNI_ARGS"] = ";".join(f"{name}={HIDDEN}" for name in names)
    return shown


def _member(key: str, text: str) -> str:
    value = json.loads(text)
    hidden = _hide(key, value)
    return text if hidden == value else dump(hidden)


def _hide(key: str, value: Any) -> Any:
    if key.casefold() == "args" or _SECRET.search(key):
        return HIDDEN
    if key.casefold() == "cniargs" and is_array(value):
        return [_hide_pair(pair) for pair in value]
    if key.casefold() in _ARGUMENTS and is_object(value):
        return dict.fromkeys(value, HIDDEN)
    if is_object(value):
        return {inner: _hide(inner, below) for inner, below in value.items()}
    if is_array(value):
        return [_hide("", below) for below in value]
    return value


def _hide_pair(pair: Any) -> Any:
    return [pair[0], HIDDEN] if is_array(pair) and pair else HIDDEN
