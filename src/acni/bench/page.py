"""A report as one HTML file: pictures in SVG and tables, for a browser without scripts and without
a network.

Rule 1: text is escaped where it becomes markup, and nowhere else: what is markup already has a type
    of its own, so that a type checker finds what was forgotten. Plugins' words are hostile input.
Rule 2: nothing is told by colour alone: every mark has a label, or a legend beside it and its value
    as a tooltip.
Rule 3: each picture is well-formed XML by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from acni.bench.drawing import (
    BAR,
    COLOURS,
    LABELS,
    LETTER,
    LINE,
    ROW,
    TOP,
    WIDTH,
    colour_of,
    draw_legend,
    draw_line,
    draw_picture,
    draw_rect,
    draw_row_label,
    draw_text,
    draw_x_axis,
    draw_y_axis,
    xy,
)
from acni.bench.markup import Markup, escaped, figure
from acni.bench.scale import Scale, bins_of

__all__ = [
    "Bar",
    "Markup",
    "Piece",
    "bars",
    "histogram",
    "lines",
    "page",
    "paragraph",
    "table",
    "waterfall",
]

# A bar: its label, its value, the ends of its error bar (both the value where there is none), and
# what is said beside it.
Bar = tuple[str, float, float, float, str]
# A piece of a lane: its kind, where it begins, how long it is.
Piece = tuple[str, float, float]

_PLOT_HEIGHT: Final = 240.0

# Both sets keep three to one against their background, and neighbours apart for colour-blind eyes.
_STYLE: Final = """\
:root { color-scheme: light dark; --paper: #fcfcfb; --ink: #1c1c1a; --faint: #6b6a65;
  --grid: #e3e2dd; --c0: #2a78d6; --c1: #c97a00; --c2: #14875f; --c3: #4a3aa7; --c4: #d03f3e;
  --c5: #c74d85; --c6: #5d7a1f; --c7: #85827a; }
@media (prefers-color-scheme: dark) { :root { --paper: #1a1a19; --ink: #ecebe6; --faint: #a3a29b;
  --grid: #383835; --c0: #4d97ee; --c1: #d99a2b; --c2: #2fae82; --c3: #9a90ee; --c4: #ec7070;
  --c5: #df76a5; --c6: #96b653; --c7: #8f8c84; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  max-width: 900px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2.2em; }
svg { display: block; width: 100%; height: auto; margin: 1em 0; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg text.title { font-weight: 600; font-size: 13px; }
svg text.faint { fill: var(--faint); }
svg .grid { stroke: var(--grid); } svg .axis, svg .error { stroke: var(--ink); }
svg .mark { stroke: var(--faint); stroke-dasharray: 3 3; }
svg .line { fill: none; stroke-width: 2; }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3em; }
th, td { padding: .25em .8em; border-bottom: 1px solid var(--grid); text-align: left; }
th.number, td.number { text-align: right; }
.wide { overflow-x: auto; }
""" + "".join(
    f".f{n} {{ fill: var(--c{n}); }} .s{n} {{ stroke: var(--c{n}); }}\n" for n in range(COLOURS)
)


def page(title: str, sections: Iterable[tuple[str, Sequence[Markup]]]) -> str:
    """Put a report together.

    Args:
        title: What it is about.
        sections: The heading of each section, and what is in it.

    Returns:
        The text of an HTML file that needs no other.

    Example:
        >>> from acni.bench import page
        >>> text = page.page("acni & co", [("Times", [page.paragraph("1 < 2")])])
        >>> "<title>acni &amp; co</title>" in text, "<p>1 &lt; 2</p>" in text
        (True, True)
    """
    body = "\n".join(
        f"<h2>{escaped(heading)}</h2>\n" + "\n".join(parts) for heading, parts in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Nothing is fetched and nothing run, whatever came through.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escaped(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escaped(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def paragraph(text: str) -> Markup:
    """Make a paragraph of text.

    Example:
        >>> from acni.bench import page
        >>> page.paragraph("<b>")
        '<p>&lt;b&gt;</p>'
    """
    return Markup(f"<p>{escaped(text)}</p>")


def table(
    heading: Sequence[str], rows: Iterable[Sequence[str | float]], *, caption: str = ""
) -> Markup:
    """Make a table; numbers stand to the right.

    Args:
        heading: The names of the columns.
        rows: The cells of each row: text, or a number.
        caption: What it shows.

    Example:
        >>> from acni.bench import page
        >>> print(page.table(["plugin", "ms"], [["bridge", 21.3]]))
        <div class="wide"><table>...<td>bridge</td><td class="number">21.3</td>...
    """
    filled = [tuple(row) for row in rows]
    numeric = [
        bool(filled) and all(isinstance(row[column], float | int) for row in filled)
        for column in range(len(heading))
    ]
    head = "".join(
        f"<th{_number_class(is_number)}>{escaped(name)}</th>"
        for name, is_number in zip(heading, numeric, strict=True)
    )
    body = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in filled)
    told = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return Markup(
        f'<div class="wide"><table>{told}\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def bars(title: str, rows: Sequence[Bar], *, unit: str) -> Markup:
    """Draw a horizontal bar for each row, from zero, with its error bar, value and note.

    Args:
        title: What is compared.
        rows: Label, value, lower and upper end of the error bar, note.
        unit: The values' unit: "ms", "ADDs per second".

    Example:
        >>> from acni.bench import page
        >>> picture = page.bars("ADD", [("acni", 4.1, 3.9, 4.6, "median of 50")], unit="ms")
        >>> "4.10 ms, median of 50" in picture
        True
    """
    # What is said beside a bar needs its room to the right of it.
    said = [_beside(value, unit, note) for _, value, _, _, note in rows]
    room = min(LETTER * max(map(len, said), default=0) + 12, WIDTH / 2)
    scale = Scale.upto(
        max((high for *_, high, _ in rows), default=0), WIDTH - LABELS - room, start=LABELS
    )
    drawn = [
        part
        for number, (row, beside) in enumerate(zip(rows, said, strict=True))
        for part in _bar(scale, TOP + number * ROW, row, beside)
    ]
    below = TOP + len(rows) * ROW
    return draw_picture(title, below + 44, [*draw_x_axis(scale, TOP, below, unit), *drawn])


def histogram(
    title: str,
    values: Sequence[float],
    *,
    unit: str,
    marks: Sequence[tuple[str, float]] = (),
    most_bins: int = 30,
) -> Markup:
    """Draw how often values are found between two others.

    Args:
        title: What was measured.
        values: The values.
        unit: Their unit.
        marks: What is marked by a line, such as percentiles: its label and its value.
        most_bins: How many columns there are at most.

    Example:
        >>> from acni.bench import page
        >>> picture = page.histogram("ADD", [3.0, 3.1, 4.2], unit="ms", marks=[("p50", 3.1)])
        >>> "p50 3.10" in picture
        True
    """
    width = WIDTH - 80
    top = TOP + LINE * len(marks)
    below = top + _PLOT_HEIGHT * 0.75
    bins = bins_of(values, most_bins)
    low, step, counts = bins.low, bins.step, bins.counts
    scale = Scale(low, low + step * max(len(counts), 1), 60.0, width, step=None)
    height = Scale.upto(max(counts, default=0), below - top, has_whole_steps=True)
    drawn: list[str] = []
    for number, count in enumerate(counts):
        left, right = scale.x(low + number * step), scale.x(low + (number + 1) * step)
        size = height.length(count)
        tip = f"{figure(low + number * step)} to {figure(low + (number + 1) * step)} {unit}"
        tip += f": {count} times"
        drawn.append(draw_rect(left + 0.5, below - size, right - left - 1, size, number=0, tip=tip))
    for number, (label, value) in enumerate(marks):
        drawn += _mark(scale.x(value), TOP + LINE * number, below, f"{label} {figure(value)}")
    across = draw_x_axis(scale, top, below, unit)
    up = draw_y_axis(height, below, 60.0, width, "times")
    return draw_picture(title, below + 44, [*across, *up, *drawn])


def lines(
    title: str,
    x_labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[float | None]]],
    *,
    unit: str,
    x_title: str = "",
) -> Markup:
    """Draw a line for each series over the same places.

    Args:
        title: What is compared.
        x_labels: The places, evenly apart.
        series: The name of each, and its value at each place; None where it has none.
        unit: The values' unit.
        x_title: What the places are.

    Example:
        >>> from acni.bench import page
        >>> picture = page.lines("ADD", ["1", "8"], [("acni", [40.0, None])], unit="ms")
        >>> "acni, 1: 40.0 ms" in picture
        True
    """
    names = [name for name, _ in series]
    legend, legend_height = draw_legend(names)
    top = TOP + legend_height + 24
    below = top + _PLOT_HEIGHT
    left, width = 60.0, WIDTH - 100
    values = [value for _, of_one in series for value in of_one if value is not None]
    height = Scale.upto(max(values, default=0), _PLOT_HEIGHT)
    places = [left + width * (n + 0.5) / max(len(x_labels), 1) for n in range(len(x_labels))]
    drawn: list[str] = []
    for number, (name, of_one) in enumerate(series):
        points = [
            (x, below - height.length(value), label, value)
            for x, label, value in zip(places, x_labels, of_one, strict=True)
            if value is not None
        ]
        drawn += [
            f'<polyline class="line s{colour_of(number)}" points="{path}"/>'
            for path in _paths(height, below, zip(places, of_one, strict=True))
        ]
        for x, y, label, value in points:
            tip = escaped(f"{name}, {label}: {figure(value)} {unit}")
            drawn.append(
                f'<circle class="f{colour_of(number)}" cx="{xy(x)}" cy="{xy(y)}" r="4">'
                f"<title>{tip}</title></circle>"
            )
    labels = [
        draw_text(x, below + 18, label, anchor="middle")
        for x, label in zip(places, x_labels, strict=True)
    ]
    labels.append(draw_text(left + width / 2, below + 38, x_title, anchor="middle", kind="faint"))
    axes = draw_y_axis(height, below, left, width, unit)
    return draw_picture(title, below + 48, [*legend, *axes, *labels, *drawn])


def waterfall(
    title: str,
    lanes: Sequence[tuple[str, Sequence[Piece]]],
    *,
    unit: str,
    kinds: Sequence[str] = (),
) -> Markup:
    """Draw what took how long, one lane below the other, on one axis of time.

    Args:
        title: What was measured.
        lanes: The label of each lane, and its pieces: kind, begin, length.
        unit: The unit of time.
        kinds: The kinds in the order of their colours, where pictures are to have the same;
            others follow as they come.

    Example:
        >>> from acni.bench import page
        >>> picture = page.waterfall("ADD", [("bridge", [("run", 0.4, 3.0)])], unit="ms")
        >>> "bridge, run: 3.00 ms" in picture
        True
    """
    found = (kind for _, pieces in lanes for kind, _, _ in pieces)
    kinds = list(dict.fromkeys([*kinds, *found]))
    legend, legend_height = draw_legend(kinds)
    top = TOP + legend_height
    ends = [begin + length for _, pieces in lanes for _, begin, length in pieces]
    # A lane's sum stands behind its last piece.
    scale = Scale.upto(max(ends, default=0), WIDTH - LABELS - 90, start=LABELS)
    below = top + len(lanes) * ROW
    drawn: list[str] = []
    for number, (label, pieces) in enumerate(lanes):
        y = top + number * ROW
        drawn.append(draw_row_label(y, label))
        for kind, begin, length in pieces:
            tip = f"{label}, {kind}: {figure(length)} {unit}"
            colour = kinds.index(kind)
            # Half a pixel is still seen; what takes no time at all is not there.
            seen = max(scale.length(length), 0.5 if length > 0 else 0)
            drawn.append(draw_rect(scale.x(begin), y + 5, seen, BAR, number=colour, tip=tip))
        if pieces:
            _, begin, length = pieces[-1]
            whole = sum(length for _, _, length in pieces)
            text = f"{figure(whole)} {unit}"
            drawn.append(draw_text(scale.x(begin + length) + 6, y + 17, text))
    return draw_picture(title, below + 44, [*legend, *draw_x_axis(scale, top, below, unit), *drawn])


def _mark(x: float, y: float, below: float, label: str) -> list[str]:
    """Draw a line down to the axis, its label on the side that has room."""
    is_far_right = x > WIDTH * 0.75
    side, anchor = (-4.0, "end") if is_far_right else (4.0, "start")
    return [
        draw_line(x, y + 4, x, below, "mark"),
        draw_text(x + side, y + 12, label, anchor=anchor),
    ]


def _bar(scale: Scale, y: float, row: Bar, beside: str) -> list[str]:
    label, value, low, high, _ = row
    middle = y + 5 + BAR / 2
    drawn = [
        draw_row_label(y, label),
        draw_rect(scale.x(0), y + 5, scale.length(value), BAR, number=0, tip=f"{label}: {beside}"),
        draw_text(scale.x(max(value, high)) + 8, y + 17, beside),
    ]
    if high > low:
        drawn += [
            draw_line(scale.x(low), middle, scale.x(high), middle, "error"),
            draw_line(scale.x(low), middle - 4, scale.x(low), middle + 4, "error"),
            draw_line(scale.x(high), middle - 4, scale.x(high), middle + 4, "error"),
        ]
    return drawn


def _paths(
    height: Scale, below: float, points: Iterable[tuple[float, float | None]]
) -> Iterator[str]:
    """Make a path of the points up to each gap."""
    for is_there, run in itertools.groupby(points, lambda point: point[1] is not None):
        if is_there:
            yield " ".join(f"{xy(x)},{xy(below - height.length(value or 0))}" for x, value in run)


def _beside(value: float, unit: str, note: str) -> str:
    return f"{figure(value)} {unit}" + (f", {note}" if note else "")


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return f"<td>{escaped(value)}</td>"
    return f'<td class="number">{figure(value)}</td>'


def _number_class(is_number: bool) -> str:
    return ' class="number"' if is_number else ""
