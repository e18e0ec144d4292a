"""``args`` of plugin configurations: what a caller adds to them.

(CONVENTIONS.md, '"args" in network config'; rules R52, R63)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from acni.errors import ConfigError
from acni.spec.jsontext import JsonError, dump, inner_members, is_object, join, object_members


def parse_args(value: object) -> Mapping[str, Any]:
    """Parse the ``args`` of a caller into a JSON object of our own (CONVENTIONS.md, '"args" in
    network config').

    Raises:
        ConfigError: it is no mapping of text to JSON values.
    """
    expected = "a mapping of names to JSON values"
    if not isinstance(value, Mapping):
        raise ConfigError(f"no mapping but {type(value).__name__}", place="args", expected=expected)
    given = dict(cast("Mapping[object, object]", value))
    if not given:
        return {}
    if not all(isinstance(key, str) for key in given):
        raise ConfigError("a name that is no text", place="args", expected=expected)
    try:
        return {key: member.value for key, member in object_members(dump(given)).items()}
    except JsonError as error:
        raise ConfigError(str(error), place="args", expected=expected) from None


def merge_args(written: str, args: Mapping[str, Any]) -> str:
    """Merge an object into a text of a document, which counts as empty where it is no object."""
    members = inner_members(written) if written.startswith("{") else {}
    texts = {key: member.text for key, member in members.items()}
    for key, value in args.items():
        texts[key] = merge_args(texts.get(key, "null"), value) if is_object(value) else dump(value)
    return join(texts)
