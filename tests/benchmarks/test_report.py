"""The report has its bars, lines and labels, and needs no network."""

from __future__ import annotations

import html
from xml.etree import ElementTree as ET

import pytest
from attrs import asdict, evolve

from harness.goals import read_goals
from harness.orders import BRIDGE, BUILT_IN, CHAIN, FLOOR, FSYNC, LIBCNI, NOOP, POWER, PROCESS
from harness.report import report
from harness.results import PERCENTILES, Key
from tests.benchmarks.conftest import Made

ADD = Key(peer=LIBCNI, phase="add", plugin=NOOP, at_once=8)
PEERS = (FLOOR, LIBCNI, FSYNC, *PROCESS)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def page(made: Made) -> str:
    for number, peer in enumerate(PEERS):
        for at_once in (1, 8, 64):
            rates = [1000 + 100 * number + spread for spread in (-10, 0, 20)]
            made.add(evolve(ADD, peer=peer, at_once=at_once), *rates)
    for line in made.lines:
        line["percentiles_us"] = [float(10 * percent) for percent in PERCENTILES]
    waterfall = Key(peer=PROCESS[0], phase="waterfall", plugin=BRIDGE, at_once=1)
    lanes = [["acni", [["engine", 0.0, 0.5]]], ["bridge", [["run", 0.5, 20.0]]]]
    made.lines.append(asdict(waterfall) | {"round": 0, "lanes": lanes})
    made.add(evolve(ADD, peer="cold libcni", at_once=1), 5e3, 6e3, 7e3, figure="p50_us")
    return report(made.results())


def pictures(page: str) -> dict[str, ET.Element]:
    """Map the title of each picture of a page to it."""
    found = [f"<svg{part.partition('</svg>')[0]}</svg>" for part in page.split("<svg")[1:]]
    parsed = [ET.fromstring(text) for text in found]  # noqa: S314 (our own page)
    return {picture.attrib["aria-label"]: picture for picture in parsed}


def words(picture: ET.Element) -> set[str]:
    return {text.text or "" for text in picture.iter(f"{SVG}text")}


@pytest.mark.parametrize("at_once", [1, 8, 64])
def test_every_peer_has_its_bar_and_its_ratio(page: str, at_once: int) -> None:
    picture = pictures(page)[f"ADDs, {NOOP}, {at_once} at once"]
    bars = [tip.text or "" for tip in picture.iter(f"{SVG}title")]
    for number, peer in enumerate(PEERS):
        assert any(bar.startswith(f"{peer}: 1{number}") for bar in bars), peer
        assert peer in words(picture)
    assert not any("1.00 x libcni" in bar for bar in bars)
    assert any("1.27 x libcni" in bar for bar in bars)


def test_longer_bars_are_of_those_who_do_more(page: str) -> None:
    picture = pictures(page)[f"ADDs, {NOOP}, 8 at once"]
    widths = [float(bar.attrib["width"]) for bar in picture.iter(f"{SVG}rect")]
    assert len(widths) == len(PEERS)
    assert widths == sorted(set(widths))


def test_distributions_scaling_waterfall_and_cold_processes_have_pictures(page: str) -> None:
    shown = pictures(page)
    distribution = shown[f"An ADD, {NOOP}, 64 at once, in the last round"]
    drawn = len(list(distribution.iter(f"{SVG}polyline")))
    assert drawn == len(PEERS) - 1  # the floor adds nothing
    assert {str(percent) for percent in PERCENTILES} <= words(distribution)
    (scaling,) = [picture for title, picture in shown.items() if "by how many are at once" in title]
    assert {"1 at once", "8 at once", "64 at once"} <= words(scaling)
    waterfall = shown[f"One ADD, {BRIDGE}, {PROCESS[0]}"]
    assert {"acni", "bridge", "engine", "run"} <= words(waterfall)
    assert "cold libcni, add" in words(shown["A command, begun anew each time"])


def test_what_one_peer_or_one_cell_alone_did_has_no_picture(made: Made) -> None:
    made.add(evolve(ADD, plugin=BRIDGE), 10, 11, 12)
    made.add(ADD, 10, 11, 12)
    assert not pictures(report(made.results()))


def test_the_two_chains_stand_side_by_side(made: Made) -> None:
    key = Key(peer=POWER[0], phase="add", plugin=CHAIN, at_once=8, chain_length=3)
    for peer, rate in ((POWER[0], 10), (BUILT_IN[0], 300), (BUILT_IN[1], 250)):
        made.add(evolve(key, peer=peer), rate, rate, rate)
    picture = pictures(report(made.results()))[f"ADDs, {CHAIN}, 8 at once"]
    assert {"Debian's", "built in, asyncio", "built in, trio"} <= words(picture)
    bars = [tip.text or "" for tip in picture.iter(f"{SVG}title")]
    assert any("30.00 x Debian's" in bar for bar in bars)


def test_goals_and_figures_of_elsewhere_stand_in_the_page(page: str) -> None:
    assert "2 x A &lt;fast&gt; one" in page
    text = html.unescape(page)
    for goal in read_goals():
        assert goal.words.replace("`", "").replace("*", "") in text, goal.words
    assert "ocicni" in text


def test_the_page_fetches_nothing(page: str) -> None:
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
