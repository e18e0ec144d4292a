"""Addresses are recognised exactly as ipaddress does it, only faster."""

from __future__ import annotations

import ipaddress

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
