"""Messages and attributes, packed and read: inverse where they are whole, one error where not."""

from __future__ import annotations

import contextlib
import errno
import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from acni.netlink.errors import DONE, Malformed, NetlinkError, Verdict
from acni.netlink.messages import (
    Answer,
    Message,
    attribute,
    attributes,
    be16,
    be32,
    be32_of,
    be64_of,
    elements,
    encoded,
    header,
    header_of,
    nested,
    pack,
    size_of,
    text,
    text_of,
    u8,
    u8_of,
    u16,
    u16_of,
    u32,
    u32_of,
    unpack,
)
from tests.netlink.scripted import CAPPED, TLVS, some

KINDS = st.integers(0, 0x3FFF)
ATTRIBUTES = st.lists(st.tuples(KINDS, st.binary(max_size=40)), max_size=8)
MESSAGES = st.lists(
    st.builds(Message, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=60)),
    max_size=6,
)
FIRSTS = st.integers(0, 0xFFFFFFFF)


@given(ATTRIBUTES)
def test_attributes_are_read_as_they_were_packed(pairs: list[tuple[int, bytes]]) -> None:
    packed = b"".join(attribute(kind, value) for kind, value in pairs)
    assert len(packed) % 4 == 0
    assert attributes(packed) == dict(pairs)


@given(KINDS, ATTRIBUTES)
def test_attributes_within_one_are_read_from_its_value(
    kind: int, pairs: list[tuple[int, bytes]]
) -> None:
    packed = nested(kind, *(attribute(inner, value) for inner, value in pairs))
    ((outer, value),) = attributes(packed).items()
    assert outer == kind
    assert struct.unpack_from("=H", packed, 2)[0] == kind | 0x8000
    assert attributes(value) == dict(pairs)


@given(MESSAGES, FIRSTS)
@example([Message(16, 0, b"")] * 3, 0xFFFFFFFF)
def test_messages_are_read_as_they_were_packed(messages: list[Message], first: int) -> None:
    packed = pack(messages, first=first)
    assert len(packed) == sum(size_of(message) for message in messages)
    answers = unpack(packed)
    assert [Message(a.kind, a.flags, a.body) for a in answers] == [
        Message(m.kind, m.flags | 5, m.body) for m in messages
    ]
    assert [a.sequence for a in answers] == [
        (first + index) % (1 << 32) for index in range(len(messages))
    ]


@given(st.binary(max_size=120))
def test_no_bytes_are_read_as_messages_or_attributes_but_with_one_error(data: bytes) -> None:
    for read in (unpack, attributes):
        is_whole_or_malformed(read, data)


@given(MESSAGES, st.data())
def test_what_is_cut_or_changed_is_read_or_is_one_error(
    messages: list[Message], data: st.DataObject
) -> None:
    packed = bytearray(pack(messages, first=1))
    if packed:
        where = data.draw(st.integers(0, len(packed) - 1))
        packed[where] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(packed)))
    is_whole_or_malformed(unpack, bytes(packed[:cut]))


@given(st.sampled_from([2, 3]), st.integers(0, 0xFFFF), st.binary(max_size=80))
def test_no_bytes_are_read_as_a_verdict_but_with_one_error(
    kind: int, flags: int, body: bytes
) -> None:
    answer = Answer(kind, flags, 1, 1, body)
    is_whole_or_malformed(lambda _: answer.verdict(), body)


def is_whole_or_malformed(read: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(Malformed):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(bytes(15), id="less than a header"),
        pytest.param(struct.pack("=IHHII", 15, 16, 0, 1, 1), id="shorter than its header"),
        pytest.param(struct.pack("=IHHII", 20, 16, 0, 1, 1), id="longer than the datagram"),
        pytest.param(struct.pack("=IHHII", 16, 16, 0, 1, 1) + b"\0", id="a byte behind it"),
    ],
)
def test_a_datagram_that_is_not_whole_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        unpack(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x04\0\x01", id="less than a header"),
        pytest.param(struct.pack("=HH", 3, 1), id="shorter than its header"),
        pytest.param(struct.pack("=HH", 6, 1) + b"\0", id="longer than the data"),
        pytest.param(struct.pack("=HHI", 8, 1, 7) + b"\0\0", id="two bytes behind it"),
    ],
)
def test_attributes_that_are_not_whole_are_malformed(data: bytes) -> None:
    for read in (attributes, elements):
        with pytest.raises(Malformed):
            read(data)


def test_a_list_has_all_that_is_in_it_whatever_the_kinds() -> None:
    assert elements(u8(1, 2) + u16(1, 3) + u8(9, 4)[:5]) == [b"\2", b"\3\0", b"\4"]


def test_who_asks_for_an_answer_is_said() -> None:
    asks = [answer.flags & 4 for answer in unpack(pack(some(3), first=7, acknowledged=[8]))]
    assert asks == [0, 4, 0]


def test_numbers_of_the_network_are_read() -> None:
    assert (be32_of(b"\0\0\1\2"), be64_of(b"\0\0\0\1\0\0\0\2")) == (258, (1 << 32) + 2)


def test_of_attributes_of_one_kind_the_last_one_counts() -> None:
    assert attributes(u8(1, 2) + u8(1, 3)) == {1: b"\3"}


def test_the_last_attribute_needs_no_padding() -> None:
    assert attributes(u8(1, 2)[:5]) == {1: b"\2"}


def test_numbers_are_the_machines_or_the_networks() -> None:
    assert u8(1, 0xAB) == struct.pack("=HHBxxx", 5, 1, 0xAB)
    assert u16(1, 0xABCD) == struct.pack("=HHHxx", 6, 1, 0xABCD)
    assert u32(1, 0xABCDEF01) == struct.pack("=HHI", 8, 1, 0xABCDEF01)
    assert be16(1, 0xABCD) == struct.pack("=HH", 6, 1) + b"\xab\xcd\0\0"
    assert be32(1, 0xABCDEF01) == struct.pack("=HH", 8, 1) + b"\xab\xcd\xef\x01"


@pytest.mark.parametrize("write", [u8, u16, u32, be16, be32], ids=lambda each: each.__name__)
@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_a_number_that_does_not_fit_is_refused(
    write: Callable[[int, int], bytes], value: int
) -> None:
    with pytest.raises(NetlinkError) as raised:
        write(1, value)
    assert raised.value.errno == errno.ERANGE


@pytest.mark.parametrize(
    "read", [u8_of, u16_of, u32_of, be32_of, be64_of], ids=lambda each: each.__name__
)
@pytest.mark.parametrize("size", [0, 3, 9])
def test_a_number_of_another_size_is_malformed(read: Callable[[bytes], int], size: int) -> None:
    with pytest.raises(Malformed):
        read(bytes(size))


@given(st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))
def test_numbers_are_read_as_they_were_packed(small: int, middle: int, large: int) -> None:
    assert u8_of(attributes(u8(1, small))[1]) == small
    assert u16_of(attributes(u16(1, middle))[1]) == middle
    assert u32_of(attributes(u32(1, large))[1]) == large


@given(st.binary(max_size=15))
def test_a_name_is_bytes_to_the_kernel_and_survives(name: bytes) -> None:
    shown = text_of(name + b"\0")
    assert attributes(text(1, shown))[1] == name.partition(b"\0")[0] + b"\0"


@pytest.mark.parametrize("value", ["a\0b", "\ud800"], ids=ascii)
def test_what_is_no_text_is_refused(value: str) -> None:
    with pytest.raises(NetlinkError) as raised:
        encoded(value)
    assert raised.value.errno == errno.EINVAL


def test_an_attribute_that_is_too_long_is_refused_and_never_cut() -> None:
    assert len(attribute(1, bytes(0xFFFB))) == 0x10000
    with pytest.raises(NetlinkError) as raised:
        attribute(1, bytes(0xFFFC))
    assert raised.value.errno == errno.EMSGSIZE


def test_a_header_is_as_it_was_packed_or_refused() -> None:
    layout = struct.Struct("=BI")
    assert header_of(layout, header(layout, 1, 2) + b"more") == (1, 2)
    with pytest.raises(NetlinkError) as raised:
        header(layout, 256, 2)
    assert raised.value.errno == errno.ERANGE
    with pytest.raises(Malformed):
        header_of(layout, b"1234")


ABOUT = struct.pack("=IHHII", 24, 16, 5, 1, 0)
SAID = text(1, "no such thing") + u32(2, 20)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        pytest.param(Answer(2, CAPPED, 1, 1, bytes(4) + ABOUT), DONE, id="done"),
        pytest.param(Answer(3, 2, 1, 1, bytes(4)), DONE, id="end of a list"),
        pytest.param(Answer(3, 2, 1, 1, b""), DONE, id="end of a list, of an old kernel"),
        pytest.param(
            Answer(2, CAPPED, 1, 1, struct.pack("=i", -17) + ABOUT),
            Verdict(code=errno.EEXIST),
            id="refused",
        ),
        pytest.param(
            Answer(2, CAPPED | TLVS, 1, 1, struct.pack("=i", -22) + ABOUT + SAID),
            Verdict(code=errno.EINVAL, words="no such thing", offset=20),
            id="refused with words",
        ),
        pytest.param(
            Answer(2, TLVS, 1, 1, struct.pack("=i", -22) + ABOUT + bytes(8) + SAID),
            Verdict(code=errno.EINVAL, words="no such thing", offset=20),
            id="refused with words behind our whole message",
        ),
        pytest.param(
            Answer(3, 2 | TLVS, 1, 1, struct.pack("=i", -22) + SAID),
            Verdict(code=errno.EINVAL, words="no such thing", offset=20),
            id="a list that is refused with words",
        ),
        pytest.param(
            Answer(2, CAPPED | TLVS, 1, 1, bytes(4) + ABOUT + text(1, "beware")),
            Verdict(code=0, words="beware"),
            id="done, with a warning",
        ),
    ],
)
def test_a_verdict_says_what_the_kernel_means(answer: Answer, verdict: Verdict) -> None:
    assert answer.is_verdict
    assert answer.verdict() == verdict


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(2, 0, 1, 1, b"\0\0\0"), id="no number"),
        pytest.param(Answer(2, 0, 1, 1, struct.pack("=i", 5)), id="a positive number"),
        pytest.param(Answer(2, 0, 1, 1, struct.pack("=i", -4096)), id="no errno"),
        pytest.param(Answer(2, TLVS, 1, 1, bytes(6)), id="no header"),
        pytest.param(Answer(2, TLVS, 1, 1, bytes(8)), id="half a header"),
        pytest.param(Answer(2, CAPPED | TLVS, 1, 1, bytes(20) + b"\1"), id="words that are none"),
    ],
)
def test_what_cannot_be_a_verdict_is_malformed(answer: Answer) -> None:
    with pytest.raises(Malformed):
        answer.verdict()


def test_netlinks_own_messages_are_no_data() -> None:
    assert [Answer(kind, 0, 1, 1, b"").is_data for kind in (1, 2, 3, 4, 16)] == [
        *[False] * 4,
        True,
    ]
