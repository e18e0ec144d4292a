"""Addresses are recognised exactly as ipaddress does it, only faster."""

from __future__ import annotations

import ipaddress
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from acni.spec.addresses import address_of, is_address, is_with_length


def is_one(text: str) -> bool:
    if "%" in text:  # a zone
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


NEARLY = st.text("0123456789abfF:.x%", max_size=45)
GROUPS = st.lists(st.sampled_from(["", "0", "1", "ffff", "12345", "1.2.3.4", "g"]), max_size=10)


@given(
    NEARLY
    | GROUPS.map(":".join)
    | st.lists(st.sampled_from(["0", "01", "9", "255", "256", ""]), max_size=5).map(".".join)
    | st.ip_addresses().map(str)
)
@example("::")
@example("1::")
@example("1:2:3:4:5:6:7::")
@example("::2:3:4:5:6:7:8")
@example("1:2:3:4::5:6:7:8")
@example("1::2::3")
@example(":::")
@example("::ffff:192.0.2.7")
@example("fe80::1%eth0")
@example("\u0661.2.3.4")
@example("1.2.3.4\n")
def test_a_text_is_an_address_if_ipaddress_says_so(text: str) -> None:
    assert is_address(text) is is_one(text)
    if is_one(text):
        assert address_of(text) == ipaddress.ip_address(text)


def test_every_octet_is_read_as_ipaddress_reads_it_in_each_place() -> None:
    for number, width, place in itertools.product(range(400), (1, 2, 3), range(4)):
        octets = ["7"] * 4
        octets[place] = f"{number:0{width}}"
        text = ".".join(octets)
        assert is_address(text) is is_one(text), text


@pytest.mark.parametrize(
    "text", ["250.199.24.10", "1:2:3:4:5:6:7:8", "a:1::f:9", "::", "a:1::", "::ffff:192.0.2.7"]
)
def test_an_address_with_a_character_more_less_or_changed_is_read_as_ipaddress_reads_it(
    text: str,
) -> None:
    for at in range(len(text) + 1):
        before, behind = text[:at], text[at:]
        assert is_address(before + behind[1:]) is is_one(before + behind[1:])
        for character in map(chr, range(128)):
            for changed in (before + character + behind, before + character + behind[1:]):
                assert is_address(changed) is is_one(changed), ascii(changed)


def test_any_number_and_length_of_groups_is_read_as_ipaddress_reads_it() -> None:
    for before, colons, after, digits in itertools.product(
        range(9), range(1, 8), range(9), range(1, 6)
    ):
        text = ":".join(["1"] * before) + ":" * colons + ":".join(["f" * digits] * after)
        assert is_address(text) is is_one(text), text


def test_a_prefix_length_is_a_decimal_number_up_to_the_familys() -> None:
    for number in range(1100):
        assert is_with_length(f"192.0.2.7/{number}") is (number <= 32)
        assert is_with_length(f"2001:db8::7/{number:04}") is (number <= 128)
    for character in map(chr, range(128)):
        assert is_with_length(f"192.0.2.7/{character}") is character.isdigit()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7/24", True),
        ("192.0.2.7/0", True),
        ("192.0.2.7/32", True),
        ("192.0.2.7/024", True),
        ("2001:db8::7/128", True),
        ("::ffff:192.0.2.7/120", True),
        ("192.0.2.7/33", False),
        ("2001:db8::7/129", False),
        ("192.0.2.7", False),
        ("192.0.2.7/", False),
        ("192.0.2.7/255.255.255.0", False),
        ("192.0.2.7/+24", False),
        ("192.0.2.7/\u0662\u0664", False),
        ("192.0.2.7/24/24", False),
        ("192.0.02.7/24", False),
        ("fe80::1%eth0/64", False),
        ("192.0.2.7/24\n", False),
        ("192.0.2.7/" + "0" * 5000 + "24", True),
        ("192.0.2.7/" + "9" * 5000, False),
        ("/24", False),
        ("", False),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else value,
)
def test_an_address_with_its_prefix_length_is_what_go_reads(text: str, expected: bool) -> None:
    assert is_with_length(text) is expected
