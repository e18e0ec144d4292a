"""Frames: a torn tail is no corruption, what is behind damage is used, old ones never come up."""

from __future__ import annotations

import json
import struct
import time
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.store.frames import Frame, encode, read_frames

MAGIC = b"\xacni1"
HEADER_BYTES = 20

texts = st.text(st.characters(codec="utf-8"), max_size=40)
objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    texts, st.none() | st.booleans() | st.integers() | texts | st.lists(texts, max_size=3)
)
lists_of_objects = st.lists(objects, min_size=1, max_size=8)


def segment(facts: list[dict[str, Any]], first: int = 1) -> list[bytes]:
    return [encode(first + place, one) for place, one in enumerate(facts)]


def numbered(facts: list[dict[str, Any]], first: int = 1) -> tuple[Frame, ...]:
    return tuple(Frame(first + place, one) for place, one in enumerate(facts))


@given(lists_of_objects, st.integers(0, 2**62), st.integers(0, 64))
def test_what_was_written_is_read_again(
    facts: list[dict[str, Any]], first: int, preallocated: int
) -> None:
    data = b"".join(segment(facts, first))
    reading = read_frames(data + bytes(preallocated))
    assert reading.frames == numbered(facts, first)
    assert reading.end == len(data)
    assert reading.damage == 0


@given(lists_of_objects, st.data())
def test_a_segment_cut_anywhere_is_a_prefix_of_its_frames_and_not_damaged(
    facts: list[dict[str, Any]], data: st.DataObject
) -> None:
    frames = segment(facts)
    whole = b"".join(frames)
    cut = data.draw(st.integers(0, len(whole)))
    ends = [sum(map(len, frames[:count])) for count in range(len(frames) + 1)]
    kept = max(count for count, end in enumerate(ends) if end <= cut)
    for torn in (whole[:cut], whole[:cut] + bytes(len(whole) - cut)):
        reading = read_frames(torn)
        # The zeros of a torn frame may be those it was to have there.
        assert reading.frames[:kept] == numbered(facts)[:kept]
        assert len(reading.frames) in (kept, kept + 1)
        assert reading.end == ends[len(reading.frames)]
        assert reading.damage == 0


@given(st.lists(objects, min_size=2, max_size=8), st.data())
def test_a_flipped_bit_costs_its_frame_alone_and_is_corruption_unless_it_is_the_last(
    facts: list[dict[str, Any]], data: st.DataObject
) -> None:
    frames = segment(facts)
    hit = data.draw(st.integers(0, len(frames) - 1))
    place = data.draw(st.integers(0, len(frames[hit]) - 1))
    damaged = bytearray(frames[hit])
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    reading = read_frames(b"".join([*frames[:hit], bytes(damaged), *frames[hit + 1 :]]))
    expected = numbered(facts)
    assert reading.frames == expected[:hit] + expected[hit + 1 :]
    is_last = hit == len(frames) - 1
    assert reading.damage == (0 if is_last else hit + 2)
    # Whoever writes on spoils none of the good ones.
    assert reading.end == sum(map(len, frames[:hit] if is_last else frames))


@given(lists_of_objects, lists_of_objects, st.data())
def test_frames_of_an_earlier_use_never_come_up(
    old: list[dict[str, Any]], new: list[dict[str, Any]], data: st.DataObject
) -> None:
    earlier = b"".join(segment(old, first=1))
    first = len(old) + data.draw(st.integers(1, 1000))
    frames = segment(new, first)
    written = b"".join(frames)
    torn = data.draw(st.integers(0, len(written)))
    for begun in (written, written[:torn]):
        reading = read_frames(begun + earlier[len(begun) :])
        count = len(reading.frames)
        if count and reading.frames[0].number >= first:
            assert reading.frames == numbered(new, first)[:count]
            assert reading.damage == 0
        else:  # nothing of the new use is there yet
            assert len(begun) < len(frames[0])
    assert read_frames(written + earlier[len(written) :]).frames == numbered(new, first)


def test_a_frame_in_a_string_of_another_one_is_none() -> None:
    """A plugin's result is in there, and is the plugin's to write."""
    inner = encode(9, {"kind": "end", "operation": "0" * 32, "outcome": "gone"})
    outer = encode(1, {"result": inner.decode("latin-1")})
    assert [frame.number for frame in read_frames(outer).frames] == [1]
    assert [frame.number for frame in read_frames(outer[:-1]).frames] == []


@pytest.mark.parametrize(
    "body", [b"[]", b"null", b'"text"', b"{", b"", b"\xff", b"[" * 5000, b'{"a":' * 5000]
)
def test_what_is_no_object_is_no_frame_however_well_it_is_wrapped(body: bytes) -> None:
    number = 1
    checksum = zlib.crc32(body, zlib.crc32(struct.pack("<Q", number)))
    wrapped = struct.pack("<4sIIQ", MAGIC, len(body), checksum, number) + body
    reading = read_frames(wrapped + encode(2, {"is": "good"}))
    assert reading.frames == (Frame(2, {"is": "good"}),)
    assert reading.damage == 2


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_a_number_after_which_none_could_be_written_is_no_frame_s(number: int) -> None:
    assert read_frames(encode(number, {})).frames == ()
    assert len(read_frames(encode(2**63 - 1, {})).frames) == 1


@given(st.binary(max_size=2000))
def test_rubbish_is_read_and_means_nothing(data: bytes) -> None:
    assert read_frames(data).frames == ()
    assert read_frames(MAGIC + data).frames == ()


MEBIBYTE = 1 << 20
claims_all_that_follows = struct.pack("<4sIIQ", MAGIC, MEBIBYTE, 0, 0)
claims_a_kibibyte = struct.pack("<4sIIQ", MAGIC, 1024, 0, 0)


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(MAGIC, id="magics"),
        pytest.param(claims_all_that_follows, id="claiming all that follows"),
        pytest.param(claims_a_kibibyte, id="claiming a kibibyte"),
        pytest.param(MAGIC + bytes(16), id="claiming nothing"),
        pytest.param(encode(1, {}), id="one number for ever"),
        pytest.param(encode(1, {})[:-1], id="each cut short"),
    ],
)
def test_a_hostile_mebibyte_costs_a_few_looks_at_it(unit: bytes) -> None:
    """Against its own size and not against the clock: twice as much takes about twice as long."""

    def cost(size: int) -> float:
        data = (unit * (size // len(unit) + 1))[:size]
        best = float("inf")
        for _ in range(3):
            begun = time.process_time()
            read_frames(data)
            best = min(best, time.process_time() - begun)
        return best

    small, large = cost(MEBIBYTE // 8), cost(MEBIBYTE)
    # Squared it would be 64 times; nine tenths of that leave room for a busy machine.
    assert large < 0.05 or large < small * 32


def test_the_object_stands_as_compact_json() -> None:
    assert json.loads(encode(7, {"a": "é"})[HEADER_BYTES:]) == {"a": "é"}
