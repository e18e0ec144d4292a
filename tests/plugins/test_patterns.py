"""Expressions of the list of what is allowed: found where the reference finds them, and in time."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.plugins.patterns import parse_pattern

PIECES = ["a", "b", ".", "[ab]", "[^a]", "^", "$", "(", ")", "|", "*", "+", "?", "{1,2}", "{2}"]


def finds(pattern: str, text: str) -> bool:
    return parse_pattern(pattern).is_found_in(text)


@pytest.mark.parametrize(
    ("pattern", "text", "is_found"),
    [
        (r"^net\.ipv4\.conf\..*\.arp_(ignore|announce)$", "net.ipv4.conf.x.arp_announce", True),
        (r"^net\.ipv4\.conf\..*\.arp_(ignore|announce)$", "net.ipv4.conf.x.arp_ignored", False),
        ("(?:a|b)+?c", "xabbac", True),
        ("(?P<x>a){2,}$", "baa", True),
        ("^a{0,2}$", "aaa", False),
        ("^(a|ab)(c|bcd)$", "abcd", True),
        ("a{,2}", "a{,2}", True),
        (r"\bnet\b", "a.net.b", True),
        (r"\Bnet", "a.net.b", False),
        (r"^\w+$", "\u00e9", False),
        (r"\x41\.\z", "A.", True),
        (r"[]a]+\[", "a][", True),
        (r"[^\]]\]", "a]", True),
        ("(?i)^NET", "net", True),
        ("", "", True),
        ("a||b", "", True),
    ],
)
def test_they_are_found_where_the_reference_finds_them(
    pattern: str, text: str, is_found: bool
) -> None:
    assert finds(pattern, text) == is_found


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", ")", "a)", "[", "[[a]", "[a--b]", "[[:alpha:]]", r"\pN", r"\Qa\E", "\\", r"\Z"),
        *("*", "a**", "a++", "a{2}{2}", "a{1001}", "a{2,1}", "[b-a]", "((a*)*)*"),
        *(r"(a)\1", "(?=a)", "(?!a)", "(?<=a)", "(?P=x)", "(?#a)", "(?s)a"),
        *("a" * 1001, "(" * 30 + ")" * 30),
    ],
)
def test_what_is_not_understood_is_refused_without_a_warning(pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError) as raised:  # noqa: PT011, what it says is the expression
            parse_pattern(pattern)
    assert str(raised.value) in pattern


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(net\.?|[a-z_0-9.]+)+$",
        "^(a|a)*$",
        "^" + "a?" * 60 + "a" * 60 + "$",
        "(a|a)" * 60 + "x",
        ".*" * 60 + "x",
        "((a|a){1000}b?){1000}x",
    ],
)
def test_all_ways_are_gone_at_once(pattern: str) -> None:
    """One after the other they would take longer than anybody waits."""
    assert not finds(pattern, "net." + "a" * 190 + "B")


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.text("abc", max_size=6))
def test_they_are_found_where_python_finds_them(pattern: str, text: str) -> None:
    try:
        expected = re.search(pattern, text) is not None
        found = finds(pattern, text)
    except (re.error, ValueError):
        return
    assert found == expected
