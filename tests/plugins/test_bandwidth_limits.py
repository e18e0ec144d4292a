"""What bandwidth is configured with, and the numbers that the kernel is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from acni.netlink.qdiscs import MOST, TICK_NS, Bucket
from acni.plugins.bandwidth_limits import bucket_of, is_of_a_limit, parse_limits
from acni.skel import PluginError
from tests.plugins.calling import make_call

EIGHT = {"ingressRate": 8_000_000, "ingressBurst": 800_000}
MOST_RATE = 8 * (MOST - 1) * 1_000_000
BUCKET = Bucket(rate=1_000_000, buffer=1_562_500, limit=125_000)


def test_a_limit_is_bytes_a_second_ticks_and_what_may_wait_for_25_ms() -> None:
    assert bucket_of(8_000_000, 800_000) == BUCKET


@given(st.integers(8, (1 << 64) - 1), st.integers(8, 8 * MOST - 1))
def test_no_number_runs_over_and_no_bucket_holds_more_than_was_asked_for(
    rate: int, burst: int
) -> None:
    bucket = bucket_of(rate, burst)
    assert bucket.rate == rate // 8
    assert 0 <= bucket.buffer <= MOST
    assert 0 < bucket.limit <= MOST
    assert is_of_a_limit(bucket)
    assert bucket.buffer * TICK_NS * bucket.rate <= burst // 8 * 1_000_000_001


@pytest.mark.parametrize("change", [{"limit": 125_001}, {"buffer": 1_562_499}, {"limit": 25_000}])
def test_other_numbers_are_of_no_limit(change: Mapping[str, int]) -> None:
    assert not is_of_a_limit(evolve(BUCKET, **change))


def test_directions_are_limited_by_themselves() -> None:
    limits = parse_limits(make_call({"egressRate": 8_000_000, "egressBurst": 800_000}))
    assert (limits.ingress, limits.egress, limits.are_none) == (None, BUCKET, False)
    limits = parse_limits(make_call(EIGHT))
    assert (limits.ingress, limits.egress) == (BUCKET, None)


@pytest.mark.parametrize(
    ("config", "is_limited"),
    [
        ({}, False),
        ({"runtimeConfig": {"bandwidth": EIGHT}}, True),
        ({"ingressRate": 0, "runtimeConfig": {"bandwidth": EIGHT}}, False),
        ({"ingressRate": None, "runtimeConfig": {"bandwidth": EIGHT}}, True),
        ({**EIGHT, "runtimeConfig": {"bandwidth": {}}}, True),
        ({"runtimeConfig": {"bandwidth": {**EIGHT, "unknown": 1}}}, True),
    ],
)
def test_what_is_configured_comes_before_what_the_runtime_asks_for(
    config: Mapping[str, Any], is_limited: bool
) -> None:
    assert parse_limits(make_call(config)).are_none is not is_limited


@pytest.mark.rule("P11")
@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"ingressRate": 1000}, "$.ingressBurst"),
        ({"egressBurst": 1000}, "$.egressRate"),
        ({"egressRate": 7, "egressBurst": 1000}, "$.egressRate"),
        ({"egressRate": -1, "egressBurst": 1000}, "$.egressRate"),
        ({"egressRate": 1000, "egressBurst": 8 * MOST}, "$.egressBurst"),
        ({"egressRate": True, "egressBurst": 1000}, "$.egressRate"),
        ({"egressRate": (1 << 64) - 1, "egressBurst": 8 * MOST - 1}, "$.egressRate"),
        ({"egressRate": MOST_RATE + 8, "egressBurst": 8 * MOST - 1}, "$.egressRate"),
        ({"egressRate": MOST_RATE, "egressBurst": 8 * MOST - 9}, "$.egressBurst"),
        ({"ingressRate": 8000, "ingressBurst": 7}, "$.ingressBurst"),
        ({"ingressRate": 8_000_000, "ingressBurst": 8}, "$.ingressBurst"),
        (
            {"runtimeConfig": {"bandwidth": {"ingressRate": 1000}}},
            "$.runtimeConfig.bandwidth.ingressBurst",
        ),
        ({"runtimeConfig": {"bandwidth": [1]}}, "$.runtimeConfig.bandwidth"),
    ],
)
def test_what_cannot_be_done_is_refused_and_named(config: Mapping[str, Any], place: str) -> None:
    with pytest.raises(PluginError) as raised:
        parse_limits(make_call(config))
    assert raised.value.code == 7
    assert raised.value.msg.endswith(f"at {place}")


@pytest.mark.rule("P11")
@pytest.mark.parametrize("key", ["shapedSubnets", "unshapedSubnets", "ShapedSubnets"])
def test_subnets_that_are_to_be_told_apart_are_refused(key: str) -> None:
    """A limit that is of everything would be another one."""
    told = {**EIGHT, key: ["192.0.2.0/24"]}
    for config in (told, {"runtimeConfig": {"bandwidth": told}}):
        with pytest.raises(PluginError) as raised:
            parse_limits(make_call(config))
        assert (raised.value.code, raised.value.reason) == (2, "unsupported")
        assert raised.value.msg.lower().endswith(f"{key}".lower())
    assert parse_limits(make_call({**EIGHT, key: []})).ingress == BUCKET
