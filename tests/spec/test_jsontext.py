"""JSON travels untouched, and hostile JSON is refused before it costs anything."""

from __future__ import annotations

import json
import time
import timeit
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.spec.jsontext import (
    DOCUMENT,
    JsonError,
    array_elements,
    decode,
    dump,
    join,
    object_members,
    objects_in,
    strip,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
SPACE = st.text(" \t\n\r", max_size=3)


@pytest.mark.rule("R6")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("123456789012345678901234567890", id="30-digit integer"),
        pytest.param("1e2", id="exponent"),
        pytest.param("1.0", id="whole float"),
        pytest.param("1e+23", id="what Go would print otherwise"),
        pytest.param("-0", id="negative zero"),
        pytest.param("0.1000", id="trailing zeros"),
        pytest.param(r'"\u00e9\/é"', id="escapes beside letters"),
        pytest.param(r'"\ud800"', id="lone surrogate as an escape"),
        pytest.param('[ 1,\n\t{ "b" : 2 , "a":1}]', id="white space and key order"),
        pytest.param('{"x":1,"x":2}', id="duplicate keys inside"),
        pytest.param("null", id="null"),
        pytest.param("9" * 4300, id="the longest integer"),
    ],
)
def test_the_text_of_a_value_is_kept(text: str) -> None:
    members = object_members(f' {{ "a" : {text} , "b":[]}}\n')
    assert members["a"].text == text
    assert members["a"].value == json.loads(text)
    assert list(members) == ["a", "b"]


def test_of_duplicate_keys_the_last_one_counts() -> None:
    """Rule 3 of the module."""
    members = object_members('{"a":1,"b":2,"\\u0061":3}')
    assert {key: member.text for key, member in members.items()} == {"a": "3", "b": "2"}


@pytest.mark.rule("R6")
@given(st.dictionaries(st.text(), st.tuples(VALUES, SPACE, SPACE)), st.booleans(), SPACE)
def test_an_object_survives_reading_and_joining(
    document: dict[str, tuple[Any, str, str]], ascii_only: bool, around: str
) -> None:
    """R6: keys, their order and the text of the values."""
    texts = {
        key: json.dumps(value, ensure_ascii=ascii_only) for key, (value, *_) in document.items()
    }
    spaced = ",".join(
        f"{before}{json.dumps(key)}{after}:{before}{texts[key]}{after}"
        for key, (_, before, after) in document.items()
    )
    members = object_members(f"{around}{{{around}{spaced}{around}}}{around}")
    assert [(key, member.text) for key, member in members.items()] == list(texts.items())
    again = object_members(join({key: member.text for key, member in members.items()}))
    assert list(again.items()) == list(members.items())


@pytest.mark.rule("R6")
@given(st.lists(st.tuples(VALUES, SPACE)), SPACE)
def test_the_elements_of_an_array_keep_their_text(
    elements: list[tuple[Any, str]], around: str
) -> None:
    texts = [json.dumps(value) for value, _ in elements]
    spaced = ",".join(space + json.dumps(value) + space for value, space in elements)
    read = array_elements(f"[{around}{spaced}{around}]")
    assert [element.text for element in read] == texts
    assert [element.value for element in read] == [json.loads(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", r"expected '\{' at character 0, got the end", id="empty"),
        pytest.param("  ", "got the end of the text", id="only white space"),
        pytest.param("[]", r"expected '\{'", id="array"),
        pytest.param("null", r"expected '\{'", id="null"),
        pytest.param('"{}"', r"expected '\{'", id="text"),
        pytest.param("{", "key in double quotes", id="unclosed"),
        pytest.param('{"a"', "expected ':'", id="key without value"),
        pytest.param('{"a":', "Expecting value", id="value missing"),
        pytest.param('{"a":1', "expected ','", id="cut off"),
        pytest.param('{"a":1,}', "key in double quotes", id="trailing comma"),
        pytest.param('{,"a":1}', "key in double quotes", id="leading comma"),
        pytest.param('{"a":1 "b":2}', "expected ','", id="comma missing"),
        pytest.param('{"a" 1}', "expected ':'", id="colon missing"),
        pytest.param("{a:1}", "key in double quotes", id="bare key"),
        pytest.param("{'a':1}", "key in double quotes", id="single quotes"),
        pytest.param("{1:1}", "key in double quotes", id="number as a key"),
        pytest.param('{"a":1}x', "text after the JSON object", id="text after it"),
        pytest.param('{"a":1}{}', "text after the JSON object", id="two objects"),
        pytest.param('{"a":1}\0', "text after the JSON object", id="NUL after it"),
        pytest.param('{"a":1}\u00a0', "text after the JSON object", id="no-break space after it"),
        pytest.param('{"a":"\n"}', "control character", id="newline in text"),
        pytest.param('{"a":"\\x"}', "escape", id="bad escape"),
        pytest.param('{"a":"', "Unterminated", id="unterminated text"),
        pytest.param('{"a":NaN}', "NaN is no JSON number", id="NaN"),
        pytest.param('{"a":[Infinity]}', "Infinity is no JSON number", id="Infinity"),
        pytest.param('{"a":-Infinity}', "-Infinity is no JSON number", id="-Infinity"),
        pytest.param('{"a":1e999}', "1e999 is out of range", id="overflow"),
        pytest.param('{"a":-1e999}', "-1e999 is out of range", id="negative overflow"),
        pytest.param('{"a":01}', "expected ','", id="leading zero"),
        pytest.param('{"a":1.}', "expected ','", id="bare point"),
        pytest.param('{"a":+1}', "Expecting value", id="plus"),
        pytest.param('{"a":0x1}', "expected ','", id="hexadecimal"),
        pytest.param('{"a":1}//', "text after the JSON object", id="comment"),
        pytest.param('{"a":True}', "Expecting value", id="Python's True"),
        pytest.param('{"a":' + "9" * 5000 + "}", "4300 digits", id="5,000-digit integer"),
        pytest.param('{"a":-' + "9" * 5000 + "}", "4300 digits", id="negative 5,000 digits"),
        pytest.param('{"a":' + "[" * 60_000, "nested deeper than 100", id="nested lists"),
        pytest.param('{"a":' * 60_000, "nested deeper than 100", id="nested objects"),
        pytest.param("[],[]," * 174_000, "brackets and commas", id="1 MiB of lists"),
        pytest.param('{"a":[' + "1," * DOCUMENT.structure, "brackets and commas", id="commas"),
    ],
)
def test_what_is_no_json_object_is_refused(text: str, message: str) -> None:
    with pytest.raises(JsonError, match=message):
        object_members(text)


def test_hostile_text_is_refused_before_it_is_parsed() -> None:
    """Rule 2 of the module: it costs a count, not 70 ms."""
    hostile = '{"a":[' + "[],[]," * 174_000 + "1]}"

    def refuse() -> None:
        with pytest.raises(JsonError, match="more than 65536 brackets and commas"):
            object_members(hostile)

    refusal = timeit.repeat(refuse, number=1, repeat=5)
    parsing = timeit.repeat(lambda: json.loads(hostile), number=1, repeat=2)
    assert min(refusal) < min(parsing) / 3


def test_as_much_structure_as_is_allowed_is_read() -> None:
    members = object_members('{"a":[' + "0," * (DOCUMENT.structure - 2) + "0]}")
    assert len(members["a"].value) == DOCUMENT.structure - 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        pytest.param(b"\xff", "not UTF-8 at byte 0", id="no UTF-8"),
        pytest.param(b'{"a":"\xe9"}', "not UTF-8 at byte 6", id="Latin-1"),
        pytest.param(b"\xed\xa0\x80", "not UTF-8", id="raw surrogate"),
        pytest.param(b"\xc0\x80", "not UTF-8", id="overlong NUL"),
        pytest.param(b"\xef\xbb\xbf{}", "byte order mark", id="BOM"),
        pytest.param('{"a":1}'.encode("utf-16"), "not UTF-8", id="UTF-16"),
    ],
)
def test_only_utf8_without_a_byte_order_mark_is_decoded(raw: bytes, message: str) -> None:
    """Rule 1 of the module."""
    with pytest.raises(JsonError, match=message):
        decode(raw)


def test_only_the_white_space_of_json_is_stripped() -> None:
    assert strip(" \t\r\n{}\u00a0\n") == "{}\u00a0"
    assert strip("\f{}\v") == "\f{}\v"


@given(st.text() | st.text('{}[]",:0123456789eE.-\\ntfu \t'))
def test_any_text_is_read_as_json_would_be_or_refused(text: str) -> None:
    try:
        members = object_members(text)
    except JsonError:
        return
    assert {key: member.value for key, member in members.items()} == json.loads(text)


@given(st.binary())
def test_any_bytes_are_decoded_or_refused(raw: bytes) -> None:
    with suppress(JsonError):
        assert decode(raw).encode() == raw


@pytest.mark.rule("R13")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("no object { here }", [], id="braces in prose"),
        pytest.param("a {} b", [{}], id="empty object"),
        pytest.param('log {"a":1} log {"b":2}', [{"a": 1}, {"b": 2}], id="between logs"),
        pytest.param('{"a":1}{"b":2}', [{"a": 1}, {"b": 2}], id="no gap"),
        pytest.param('{"a":{"b":2}}', [{"a": {"b": 2}}], id="the outermost counts"),
        pytest.param('{ "a": {"b":2}', [{"b": 2}], id="inside a broken one"),
        pytest.param('msg="{" {"b":2}', [{"b": 2}], id="a quoted brace before"),
        pytest.param('{Name:x {"b":2}}', [{"b": 2}], id="a Go struct around"),
        pytest.param('{"a":NaN} {"b":2}', [{"b": 2}], id="NaN is no object"),
        pytest.param('{\n\t"a": 1\n}', [{"a": 1}], id="pretty-printed"),
        pytest.param('{"a":"}"}', [{"a": "}"}], id="a brace in text"),
    ],
)
def test_objects_are_found_in_mixed_text(text: str, found: list[object]) -> None:
    assert list(objects_in(text)) == found


def test_false_starts_are_bounded_but_objects_are_not() -> None:
    real = '{"b":2}'
    assert list(objects_in('{"' * 1000 + real)) == [{"b": 2}]
    assert list(objects_in('{"' * 2000 + real)) == []

    assert len(list(objects_in(real * 5000))) == 5000


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("{" * 65_536, id="braces"),
        pytest.param("\n{" * 32_768, id="braces on lines"),
        pytest.param('{"a":' * 13_107, id="nested objects"),
        pytest.param('{"a":[[[[[[[[' * 5_041, id="nested lists"),
        pytest.param('{"' * 32_768, id="keys"),
        pytest.param('{"a":[' + '{"b":1},' * 8_000, id="unclosed"),
        pytest.param(('{"":[' * 1000 + "1e9," * 15_000)[:65_536], id="numbers"),
        pytest.param('{"a":[' * 1000 + "1," * 28_000, id="lists"),
        pytest.param('{"a":1e999,' * 6000, id="numbers that are refused"),
        pytest.param(('{"a":' + "9" * 5000 + ",") * 13, id="integers that are too long"),
    ],
)
def test_hostile_mixed_text_is_given_up_soon(hostile: str) -> None:
    """It would hold the loop for a second otherwise."""
    seconds = timeit.repeat(
        lambda: list(objects_in(hostile)), number=1, repeat=3, timer=time.thread_time
    )
    assert min(seconds) < 0.5


@given(VALUES)
def test_what_is_dumped_reads_the_same(value: object) -> None:
    assert dump(value).isascii()
    assert json.loads(dump(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(float("nan"), id="NaN"),
        pytest.param([float("inf")], id="Infinity"),
        pytest.param({1, 2}, id="set"),
        pytest.param(b"x", id="bytes"),
        pytest.param({(1, 2): 3}, id="a tuple as a key"),
        pytest.param(object(), id="object"),
        pytest.param(10**5000, id="5,000-digit integer"),
    ],
)
def test_a_value_without_a_json_form_is_refused(value: object) -> None:
    with pytest.raises(JsonError, match="no JSON value"):
        dump(value)


def test_endless_values_are_refused() -> None:
    ring: list[object] = []
    ring.append(ring)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (ring, deep):
        with pytest.raises(JsonError, match="no JSON value"):
            dump(value)
