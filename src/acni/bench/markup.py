"""Text that becomes markup: escaped once, where it does.

What is markup already has a type of its own, so that a type checker finds what was forgotten.
"""

from __future__ import annotations

import html
import math
from typing import Final, NewType

from acni.errors import printable

Markup = NewType("Markup", str)

# Numbers outside of these are written with an exponent.
_PLAIN: Final = 1e-6, 1e15


def escaped(text: str) -> str:
    """Escape text for element and attribute; what XML cannot hold is written as Python does."""
    return html.escape(printable(text))


def shorten(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def figure(value: float, *, is_tick: bool = False) -> str:
    """Write a number with three digits that count; all of a whole number's, and a tick's as few
    as it has.
    """
    if not value or isinstance(value, int):
        return f"{value:.0f}"
    if not _PLAIN[0] <= abs(value) < _PLAIN[1]:
        return f"{value:.2e}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    written = f"{value:.{digits}f}"
    return written.rstrip("0").rstrip(".") if is_tick and "." in written else written
