"""Pictures and tables: well-formed, labelled, and nothing in them that a plugin wrote as markup."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.bench import page
from acni.bench.page import Markup

SVG = "{http://www.w3.org/2000/svg}"

HOSTILE = "</svg><script>alert('\"&amp;\x00\x1b[2J\u202e\ud800\uffff')</script>"

TEXT = st.text(st.characters(), max_size=60)
AMOUNT = st.floats(min_value=0, max_value=1e9, allow_subnormal=False)
WIDTH = 860

Picture = Callable[[str, float], Markup]


def bars_of(text: str, value: float) -> Markup:
    return page.bars(text, [(text, value, value / 2, value * 2, text)], unit=text)


def histogram_of(text: str, value: float) -> Markup:
    return page.histogram(text, [value, value / 3], unit=text, marks=[(text, value)])


def lines_of(text: str, value: float) -> Markup:
    return page.lines(text, [text], [(text, [value]), (text, [None])], unit=text, x_title=text)


def waterfall_of(text: str, value: float) -> Markup:
    return page.waterfall(text, [(text, [(text, value, value)])], unit=text)


PICTURES = [
    pytest.param(bars_of, id="bars"),
    pytest.param(histogram_of, id="histogram"),
    pytest.param(lines_of, id="lines"),
    pytest.param(waterfall_of, id="waterfall"),
]


def texts(picture: Markup) -> list[str]:
    """Return what is written in a picture, and what its tooltips say."""
    root = ElementTree.fromstring(picture)  # noqa: S314 (our own)
    return [
        element.text or ""
        for element in root.iter()
        if element.tag in (f"{SVG}text", f"{SVG}title")
    ]


@pytest.mark.parametrize("picture_of", PICTURES)
@given(text=TEXT, value=AMOUNT)
def test_a_picture_is_well_formed_and_within_its_width(
    picture_of: Picture, text: str, value: float
) -> None:
    root = ElementTree.fromstring(picture_of(text, value))  # noqa: S314 (our own)
    assert root.tag == f"{SVG}svg"
    for rect in root.iter(f"{SVG}rect"):
        begin, width = float(rect.attrib["x"]), float(rect.attrib["width"])
        assert 0 <= begin <= begin + width <= WIDTH + 0.01
        assert float(rect.attrib["y"]) >= 0


@pytest.mark.parametrize("picture_of", PICTURES)
def test_hostile_text_stays_text(picture_of: Picture) -> None:
    picture = picture_of(HOSTILE, 3.0)
    root = ElementTree.fromstring(picture)  # noqa: S314 (our own)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "text", "title", "rect", "line", "circle", "polyline")
    }
    assert not set("\x00\x1b\u202e\ud800\uffff") & set(picture)
    assert any("<script>" in text for text in texts(picture))


def test_hostile_text_stays_text_in_a_page() -> None:
    parts = [page.paragraph(HOSTILE), page.table([HOSTILE], [[HOSTILE]], caption=HOSTILE)]
    text = page.page(HOSTILE, [(HOSTILE, parts)])
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 7
    assert not set("\x00\x1b\u202e\ud800\uffff") & set(text)
    assert text.encode().decode() == text


def test_a_page_needs_nothing_else() -> None:
    text = page.page("acni", [("one", [bars_of("a", 1.0)]), ("two", [])])
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|link|img|iframe)|url\(|@import|src=|href=", text)
    assert "prefers-color-scheme: dark" in text


def test_bars_have_labels_values_notes_and_a_unit() -> None:
    picture = page.bars(
        "ADD", [("acni", 4.0, 3.5, 4.75, "50 rounds"), ("libcni", 20.0, 20.0, 20.0, "")], unit="ms"
    )
    said = texts(picture)
    assert {"ADD", "acni", "4.00 ms, 50 rounds", "libcni", "20.0 ms", "ms", "0", "20"} <= set(said)
    first, second = rects(picture)
    assert second["width"] == pytest.approx(5 * first["width"], rel=0.01)
    assert picture.count('class="error"') == 3  # only where there is something to show


def test_a_histogram_counts_every_value_once() -> None:
    values = [1.0, 1.0, 1.4, 2.0, 9.9]
    picture = page.histogram("ADD", values, unit="ms", marks=[("p50", 1.4), ("max", 9.9)])
    said = texts(picture)
    counts = [int(text.split(": ")[1].split()[0]) for text in said if text.endswith(" times")]
    assert sum(counts) == len(values)
    assert {"p50 1.40", "max 9.90", "ms", "times"} <= set(said)


def test_lines_leave_a_gap_where_there_is_no_value() -> None:
    picture = page.lines(
        "ADD",
        ["1", "8", "64"],
        [("acni", [10.0, 20.0, 30.0]), ("libcni", [5.0, None, 6.0])],
        unit="per second",
        x_title="at once",
    )
    said = texts(picture)
    assert {"acni", "libcni", "1", "8", "at once", "per second"} <= set(said)
    assert {"acni, 8: 20.0 per second", "libcni, 1: 5.00 per second"} <= set(said)
    assert not any(text.startswith("libcni, 8") for text in said)
    paths = ElementTree.fromstring(picture).iter(f"{SVG}polyline")  # noqa: S314 (our own)
    assert [len(path.attrib["points"].split()) for path in paths] == [3, 1, 1]


def test_a_waterfall_shows_pieces_where_they_lie() -> None:
    picture = page.waterfall(
        "ADD",
        [
            ("before", [("runtime", 0.0, 1.0)]),
            ("bridge", [("spawn", 1.0, 1.0), ("run", 2.0, 6.0)]),
        ],
        unit="ms",
    )
    assert {"before", "bridge", "7.00 ms", "bridge, run: 6.00 ms", "runtime"} <= set(texts(picture))
    before, spawn, run = rects(picture)[3:]  # after those of the legend
    assert spawn["x"] == pytest.approx(before["x"] + before["width"])
    assert run["width"] == pytest.approx(6 * spawn["width"], rel=0.01)


def test_nothing_measured_is_an_empty_picture() -> None:
    for picture in (
        page.bars("none", [], unit="ms"),
        page.histogram("none", [], unit="ms"),
        page.lines("none", [], [], unit="ms"),
        page.waterfall("none", [], unit="ms"),
    ):
        assert "none" in texts(picture)


@given(st.lists(AMOUNT, min_size=1, max_size=50))
def test_ticks_are_few_and_round(values: list[float]) -> None:
    picture = page.bars("t", [("", value, value, value, "") for value in values], unit="ms")
    root = ElementTree.fromstring(picture)  # noqa: S314 (our own)
    ticks = [
        float(element.text or "")
        for element in root.iter(f"{SVG}text")
        if element.attrib.get("text-anchor") == "middle" and "class" not in element.attrib
    ]
    assert 2 <= len(ticks) <= 8
    assert ticks[0] == 0
    steps = [after - before for before, after in itertools.pairwise(ticks)]
    assert max(steps) == pytest.approx(min(steps))


def rects(picture: Markup) -> list[dict[str, float]]:
    root = ElementTree.fromstring(picture)  # noqa: S314 (our own)
    return [
        {name: float(rect.attrib[name]) for name in ("x", "width")}
        for rect in root.iter(f"{SVG}rect")
    ]
