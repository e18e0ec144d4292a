"""Ranges of addresses, and the order in which they are tried."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.plugins.ranges import Range, RangeSet, parse_address, parse_range_sets
from acni.skel import Fields, PluginError

BASE = int(IPv4Address("10.0.0.0"))


def make_range(first: int, last: int, gateway: int) -> Range:
    """Make a range of 10.0.0.0/24 from the last bytes of its addresses."""
    addresses = (IPv4Address(BASE + byte) for byte in (first, last, gateway))
    return Range(
        subnet=IPv4Network("10.0.0.0/24"),
        **dict(zip(("first", "last", "gateway"), addresses, strict=True)),
    )


@st.composite
def range_sets(draw: st.DrawFn) -> RangeSet:
    """Draw some small ranges that do not overlap, in any order."""
    ends = draw(st.lists(st.integers(0, 40), min_size=2, max_size=8, unique=True).map(sorted))
    pairs = zip(ends[::2], ends[1::2], strict=False)
    ranges = [make_range(first, last, draw(st.integers(0, 40))) for first, last in pairs]
    return RangeSet(tuple(draw(st.permutations(ranges))))


def as_the_reference_does(of: RangeSet, after: int | None) -> Iterator[int]:
    """Iterate as the reference's RangeIter does, step by step, with numbers for addresses."""
    index, current, start = 0, None, None
    for at, one in enumerate(of.ranges):
        if after is not None and int(one.first) <= after <= int(one.last):
            index, current = at, after
            break
    while True:
        one = of.ranges[index]
        if current is None:
            current = start = int(one.first)
        else:
            if current == int(one.last):
                index = (index + 1) % len(of.ranges)
                one = of.ranges[index]
                current = int(one.first)
            else:
                current += 1
            if start is None:
                start = current
            elif current == start:
                return
        if current != int(one.gateway):
            yield current


@given(of=range_sets(), after=st.none() | st.integers(BASE, BASE + 41))
def test_addresses_are_tried_in_the_references_order(of: RangeSet, after: int | None) -> None:
    found = of.candidates(after=None if after is None else IPv4Address(after))
    assert list(map(int, found)) == list(as_the_reference_does(of, after))


@given(of=range_sets(), after=st.none() | st.integers(BASE, BASE + 41))
def test_each_address_is_tried_once_and_no_gateway_ever(of: RangeSet, after: int | None) -> None:
    found = list(of.candidates(after=None if after is None else IPv4Address(after)))
    assert len(found) == len(set(found)) == of.size
    for address in found:
        one = of.range_of(address)
        assert one is not None
        assert address != one.gateway


@given(of=range_sets(), number=st.integers(BASE - 1, BASE + 42))
def test_a_range_is_found_as_by_a_look_at_each(of: RangeSet, number: int) -> None:
    address = IPv4Address(number)
    assert of.range_of(address) == next((one for one in of.ranges if address in one), None)
    assert of.range_of(IPv6Address(number)) is None


@given(sets=st.lists(range_sets(), min_size=2, max_size=4))
def test_sets_overlap_where_they_have_an_address_in_common(sets: list[RangeSet]) -> None:
    def numbers(of: RangeSet) -> list[int]:
        return [at for each in of.ranges for at in range(int(each.first), int(each.last) + 1)]

    def written(one: Range) -> dict[str, str]:
        return {
            "subnet": str(one.subnet),
            "rangeStart": str(one.first),
            "rangeEnd": str(one.last),
            "gateway": str(one.gateway),
        }

    everything = [at for of in sets for at in numbers(of)]
    ranges = [[written(one) for one in of.ranges] for of in sets]
    fields = Fields({"ipam": {"ranges": ranges}})
    if len(everything) == len(set(everything)):
        assert parse_range_sets(fields, "1.0.0") == tuple(sets)
    else:
        with pytest.raises(PluginError, match="overlaps with"):
            parse_range_sets(fields, "1.0.0")


@pytest.mark.parametrize("are_sets", [True, False], ids=["sets", "ranges_of_a_set"])
def test_as_many_ranges_as_there_is_room_for_are_compared_in_time(are_sets: bool) -> None:
    """All pairs would take minutes, in which a verb does not look whether it may go on."""
    written = [{"subnet": f"10.{at >> 8}.{at & 255}.0/24"} for at in range(16_000)]
    ranges = [[one] for one in written] if are_sets else [written]
    sets = parse_range_sets(Fields({"ipam": {"ranges": ranges}}), "1.0.0")
    assert len(sets) == len(ranges)


def test_a_range_of_ipv6_is_not_counted_out() -> None:
    (of,) = parse_range_sets(Fields({"ipam": {"subnet": "fd00::/64"}}), "1.0.0")
    assert list(map(str, islice(of.candidates(after=None), 2))) == ["fd00::2", "fd00::3"]
    last = IPv6Address("fd00::ffff:ffff:ffff:ffff")
    assert list(map(str, islice(of.candidates(after=last), 2))) == ["fd00::2", "fd00::3"]
    assert of.size == 2**64 - 2


@pytest.mark.parametrize(
    ("subnet", "first", "last", "gateway"),
    [
        ("10.1.2.0/30", "10.1.2.1", "10.1.2.2", "10.1.2.1"),
        ("10.0.0.0/8", "10.0.0.1", "10.255.255.254", "10.0.0.1"),
        ("0.0.0.0/0", "0.0.0.1", "255.255.255.254", "0.0.0.1"),
        ("fd00::/126", "fd00::1", "fd00::3", "fd00::1"),
    ],
)
def test_what_a_range_leaves_unsaid_is_the_references(
    subnet: str, first: str, last: str, gateway: str
) -> None:
    (of,) = parse_range_sets(Fields({"ipam": {"subnet": subnet}}), "1.0.0")
    expected = Range(
        subnet=ip_network(subnet),
        first=ip_address(first),
        last=ip_address(last),
        gateway=ip_address(gateway),
    )
    assert of.ranges == (expected,)


def test_the_runtimes_ranges_come_first_and_then_the_older_form() -> None:
    configuration = {
        "ipam": {"subnet": "10.2.0.0/24", "ranges": [[{"subnet": "10.3.0.0/24"}]]},
        "runtimeConfig": {"ipRanges": [[{"subnet": "10.1.0.0/24"}]]},
    }
    sets = parse_range_sets(Fields(configuration), "1.0.0")
    assert [str(one.ranges[0].subnet) for one in sets] == [
        "10.1.0.0/24",
        "10.2.0.0/24",
        "10.3.0.0/24",
    ]


@pytest.mark.parametrize(
    ("ipam", "place"),
    [
        pytest.param({}, "$.ipam.ranges", id="nothing"),
        pytest.param({"ranges": [[]]}, "$.ipam.ranges[0]", id="empty"),
        pytest.param({"subnet": "x"}, "$.ipam.subnet", id="older"),
        pytest.param(
            {
                "ranges": [
                    [{"subnet": "10.1.0.0/24"}],
                    [{"subnet": "10.2.0.0/24", "rangeEnd": "10.3.0.1"}],
                ]
            },
            "$.ipam.ranges[1][0].rangeEnd",
            id="end",
        ),
        pytest.param(
            {"subnet": "10.1.0.0/24", "ranges": [[{"subnet": "10.1.0.0/25"}]]},
            "$.ipam.ranges[0]",
            id="overlap",
        ),
    ],
)
def test_what_is_refused_names_its_place(ipam: dict[str, object], place: str) -> None:
    with pytest.raises(PluginError) as caught:
        parse_range_sets(Fields({"ipam": ipam}), "1.0.0")
    assert caught.value.code == 7
    assert caught.value.msg.endswith(f" at {place}")


@pytest.mark.parametrize(
    "text", ["", "10.1.2", "10.1.2.03", "fe80::1%eth0", "10.1.2.3/24", "0x0a.1.2.3", " 10.1.2.3"]
)
def test_what_is_no_address_in_go_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        parse_address(text)
