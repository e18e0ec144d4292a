"""The pieces of a picture in SVG: shapes, labels, axes, a legend.

Sizes are pixels of a picture that is 860 wide; a browser scales it. Colours are classes, which the
page's style fills for light and for dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from acni.bench.markup import Markup, escaped, figure, shorten
from acni.bench.scale import Scale

WIDTH: Final = 860.0
LABELS: Final = 190.0
ROW: Final = 26.0
BAR: Final = 16.0
TOP: Final = 30.0
# A line of text of 12 pixels: its height, and a letter's width, generously.
LINE: Final = 16.0
LETTER: Final = 6.8
# So many colours the style has.
COLOURS: Final = 8


def draw_picture(title: str, height: float, parts: Iterable[str]) -> Markup:
    said = escaped(title)
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" '
        f'viewBox="0 0 {xy(WIDTH)} {xy(height)}">\n'
        + "\n".join([draw_text(4, 16, title, kind="title", most=110), *parts])
        + "\n</svg>"
    )


def draw_legend(names: Sequence[str]) -> tuple[list[str], float]:
    """Draw a legend, over as many lines as it needs; return it and its height."""
    drawn: list[str] = []
    x, y = 4.0, TOP
    for number, name in enumerate(names):
        width = 22 + LETTER * len(shorten(name)) + 14
        if x + width > WIDTH:
            x, y = 4.0, y + LINE + 4
        drawn.append(draw_rect(x, y, 12, 12, number=number, tip=name))
        drawn.append(draw_text(x + 18, y + 10.5, shorten(name)))
        x += width
    return drawn, (y - TOP + LINE + 8 if names else 0.0)


def draw_x_axis(scale: Scale, top: float, below: float, unit: str) -> list[str]:
    drawn = [draw_line(scale.start, below, scale.start + scale.pixels, below, "axis")]
    for tick in scale.ticks():
        x = scale.x(tick)
        drawn.append(draw_line(x, top, x, below, "grid"))
        drawn.append(draw_text(x, below + 16, figure(tick, is_tick=True), anchor="middle"))
    middle = scale.start + scale.pixels / 2
    return [*drawn, draw_text(middle, below + 34, unit, anchor="middle", kind="faint")]


def draw_y_axis(scale: Scale, below: float, left: float, width: float, unit: str) -> list[str]:
    drawn: list[str] = []
    for tick in scale.ticks():
        y = below - scale.length(tick)
        drawn.append(draw_line(left, y, left + width, y, "grid" if tick else "axis"))
        drawn.append(draw_text(left - 8, y + 4, figure(tick, is_tick=True), anchor="end"))
    top = below - scale.pixels
    return [*drawn, draw_text(left - 8, top - 12, unit, anchor="start", kind="faint")]


def draw_rect(x: float, y: float, width: float, height: float, *, number: int, tip: str) -> str:
    """Draw a rectangle in the colour of that number, with a tooltip."""
    return (
        f'<rect class="f{colour_of(number)}" x="{xy(x)}" y="{xy(y)}" '
        f'width="{xy(max(width, 0))}" height="{xy(max(height, 0))}">'
        f"<title>{escaped(tip)}</title></rect>"
    )


def draw_line(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{xy(x)}" y1="{xy(y)}" x2="{xy(to_x)}" y2="{xy(to_y)}"/>'


def draw_text(
    x: float, y: float, text: str, *, anchor: str = "start", kind: str = "", most: int = 80
) -> str:
    named = f' class="{kind}"' if kind else ""
    short = escaped(shorten(text, most))
    return f'<text{named} x="{xy(x)}" y="{xy(y)}" text-anchor="{anchor}">{short}</text>'


def draw_row_label(y: float, label: str) -> str:
    most = int((LABELS - 10) / LETTER)
    return draw_text(LABELS - 8, y + 17, label, anchor="end", most=most)


def colour_of(number: int) -> int:
    return number % COLOURS


def xy(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
