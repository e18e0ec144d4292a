"""A page shows what was measured, and a plugin's words as words."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from acni.bench.comparison import compare
from acni.bench.failures import Failure
from acni.bench.picture import Beside, draw_report
from tests.bench.conftest import made_report

HOSTILE = "<script>alert(1)</script>"


def test_a_page_has_its_pictures_and_tables() -> None:
    text = draw_report(made_report())
    titles = titles_of(text)
    for at_once in range(2):
        of_step = titles[4 * at_once : 4 * at_once + 4]
        assert of_step == [
            "The ADD that took the median time",
            "ADD, from call to return",
            "The DEL that took the median time",
            "DEL, from call to return",
        ]
    assert titles[8:] == ["Containers attached and detached", "From call to return"]
    for told in ("p99, ms", "before the plugins", "8 at once", "a second"):
        assert told in text


def test_two_measurements_stand_side_by_side() -> None:
    earlier, now = made_report(), made_report(2.0)
    names = ("executable", "builtin")
    beside = Beside(report=earlier, comparison=compare(earlier, now), names=names)
    text = draw_report(now, beside)
    assert titles_of(text)[:6] == [
        f"{verb}, 1 at once: {what}" for verb in ("ADD", "DEL") for what in ("medians", *names)
    ]
    for told in ("executable, ms", "builtin, ms", "slower", "2.00"):
        assert told in text


def titles_of(page: str) -> list[str]:
    """Return what the pictures of a page are called."""
    pictures = re.findall("<svg.*?</svg>", page, re.DOTALL)
    return [ElementTree.fromstring(picture).attrib["aria-label"] for picture in pictures]  # noqa: S314 (our own)


def test_a_plugins_words_are_no_markup() -> None:
    failure = Failure(verb="ADD", plugin=HOSTILE, error="E", message=HOSTILE, example=HOSTILE)
    text = draw_report(made_report(failures=(failure,)))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
