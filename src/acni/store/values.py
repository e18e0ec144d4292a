"""Members of a JSON object as they are expected: of one type, and there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acni.spec.jsontext import is_array, is_object


class Mismatch(ValueError):
    """A member is missing or of another type."""


def text_at(values: Mapping[str, Any], key: str) -> str:
    """Return a text.

    Raises:
        Mismatch: it is none, or missing.
    """
    value = values.get(key)
    if not isinstance(value, str):
        raise Mismatch(f"expected text at {key}")
    return value


def number_at(values: Mapping[str, Any], key: str) -> int:
    """Return an integer; a truth value is none.

    Raises:
        Mismatch: it is none, or missing.
    """
    value = values.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Mismatch(f"expected a number at {key}")
    return value


def mapping_at(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object.

    Raises:
        Mismatch: it is none, or missing.
    """
    value = values.get(key)
    if not is_object(value):
        raise Mismatch(f"expected an object at {key}")
    return value


def list_at(values: Mapping[str, Any], key: str) -> list[Any]:
    """Return an array.

    Raises:
        Mismatch: it is none, or missing.
    """
    value = values.get(key)
    if not is_array(value):
        raise Mismatch(f"expected a list at {key}")
    return value


def texts_at(values: Mapping[str, Any], key: str) -> list[str]:
    """Return an array of texts.

    Raises:
        Mismatch: it is none, or missing.
    """
    texts = list_at(values, key)
    if not all(isinstance(text, str) for text in texts):
        raise Mismatch(f"expected text at {key}")
    return texts
