"""What holds for the conversion of every result between any two versions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.spec import ResultError, parse_result
from tests.spec.models import (
    OLDEST,
    VERSIONS,
    Model,
    can_say_nothing_of,
    family,
    random_model,
    sayable,
    written,
)

_MODELS = st.randoms(use_true_random=False).map(random_model)
_VERSIONS = st.sampled_from(VERSIONS)


def _text(model: Model, version: str) -> str:
    return json.dumps(written(sayable(model, version), version))


def _converted(text: str, version: str) -> object:
    return json.loads(parse_result(text, version).raw)


@pytest.mark.rule("R42")
@given(_MODELS, _VERSIONS, _VERSIONS)
def test_a_conversion_loses_what_either_version_cannot_say_and_nothing_else(
    model: Model, printed: str, wanted: str
) -> None:
    said = sayable(model, printed)
    text = _text(model, printed)
    if can_say_nothing_of(said, wanted) and printed not in OLDEST:
        with pytest.raises(ResultError, match="no address"):
            parse_result(text, wanted)
        return
    assert _converted(text, wanted) == written(sayable(said, wanted), wanted)


@pytest.mark.rule("R42")
@given(_MODELS, _VERSIONS, _VERSIONS)
def test_up_and_down_again_loses_nothing(model: Model, one: str, other: str) -> None:
    older, newer = sorted((one, other), key=VERSIONS.index)
    text = _text(model, older)
    up = parse_result(text, newer)
    if can_say_nothing_of(model, older):
        return
    assert _converted(up.raw, older) == json.loads(text)


@pytest.mark.rule("R42")
@given(_MODELS, _VERSIONS, _VERSIONS)
def test_down_and_up_again_loses_what_the_older_version_cannot_say(
    model: Model, one: str, other: str
) -> None:
    older, newer = sorted((one, other), key=VERSIONS.index)
    if can_say_nothing_of(model, older):
        return
    down = parse_result(_text(model, newer), older)
    assert _converted(down.raw, newer) == written(sayable(sayable(model, newer), older), newer)


@pytest.mark.rule("R42")
@given(_MODELS, _VERSIONS)
def test_converting_to_its_own_version_leaves_the_text_as_it_is(model: Model, version: str) -> None:
    text = _text(model, version)
    assert parse_result(text, version).raw == text


@pytest.mark.rule("R42")
@given(_MODELS, _VERSIONS, _VERSIONS)
def test_converting_twice_is_converting_once(model: Model, printed: str, wanted: str) -> None:
    if can_say_nothing_of(model, wanted):
        return
    once = parse_result(_text(model, printed), wanted)
    twice = parse_result(once.raw, wanted)
    assert (twice, twice.raw) == (once, once.raw)


@pytest.mark.rule("R42")
@given(_MODELS, _VERSIONS, _VERSIONS, _VERSIONS)
def test_the_way_between_two_versions_does_not_matter_where_it_only_goes_up(
    model: Model, one: str, another: str, third: str
) -> None:
    oldest, middle, newest = sorted((one, another, third), key=VERSIONS.index)
    text = _text(model, oldest)
    detour = parse_result(parse_result(text, middle).raw, newest)
    direct = parse_result(text, newest)
    assert json.loads(detour.raw) == json.loads(direct.raw)


@pytest.mark.rule("R42")
@given(_MODELS, _VERSIONS, _VERSIONS)
def test_addresses_and_routes_survive_in_order(model: Model, printed: str, wanted: str) -> None:
    """R42: all of them, or with 0.1.0 and 0.2.0 the first address of each family and its routes."""
    if can_say_nothing_of(model, wanted):
        return
    result = parse_result(_text(model, printed), wanted)
    addresses = [ip["address"] for ip in model.ips]
    routes = [route["dst"] for route in model.routes]
    if printed in OLDEST or wanted in OLDEST:
        kinds = sorted(set(map(family, addresses)))
        addresses = [next(each for each in addresses if family(each) == kind) for kind in kinds]
        routes = [dst for kind in kinds for dst in routes if family(dst) == kind]
    assert [ip.address for ip in result.ips] == addresses
    assert [route.dst for route in result.routes] == routes
