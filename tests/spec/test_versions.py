"""One version is selected among those that a configuration offers (R9)."""

from __future__ import annotations

import itertools
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.errors import ConfigError, VersionUnsupported
from acni.spec.versions import (
    SUPPORTED_VERSIONS,
    common_version,
    have_same_shape,
    is_at_least,
    offered_versions,
)


@pytest.mark.rule("R9")
@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        pytest.param([], "0.1.0", id="R9 nothing offered"),
        pytest.param([""], "0.1.0", id="R9 empty text"),
        pytest.param(["", ""], "0.1.0", id="R9 empty texts"),
        pytest.param(["0.1.0"], "0.1.0", id="R9 the oldest"),
        pytest.param(["1.1.0"], "1.1.0", id="R9 the newest"),
        pytest.param(["0.4.0", "1.0.0"], "1.0.0", id="R9 the list is higher"),
        pytest.param(["1.0.0", "0.4.0"], "1.0.0", id="R9 cniVersion is higher"),
        pytest.param(["", "0.3.1"], "0.3.1", id="R9 only the list"),
        pytest.param(["1.0.0", "1.0.0"], "1.0.0", id="R9 twice the same"),
        pytest.param(["0.4.0", "1.2.0", "2.0.0"], "0.4.0", id="R9 newer ones are skipped"),
        pytest.param(["1.1.0-rc1", "1.0.0"], "1.0.0", id="R9 a pre-release is skipped"),
        pytest.param(["0.3.2", "0.3.0"], "0.3.0", id="R9 an unreleased one is skipped"),
        pytest.param(["0.3.1", "0.3.0", "0.10.0"], "0.3.1", id="R9 not as text: 0.10.0"),
    ],
)
def test_the_highest_supported_version_is_selected(offered: list[str], selected: str) -> None:
    assert offered_versions(offered, "$.cniVersion")[-1] == selected


@pytest.mark.rule("R9")
@pytest.mark.parametrize(
    "version",
    [
        "1",
        "1.0",
        "1.0.0.0",
        "01.0.0",
        "1.00.0",
        "v1.0.0",
        " 1.0.0",
        "1.0.0 ",
        "1.0.0\n",
        "1.0.0-",
        "1.0.x",
        "\u0661.\u0660.\u0660",
        "-1.0.0",
        "latest",
        "\ud800",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("others", [[], ["1.0.0"]], ids=["alone", "beside a good one"])
def test_what_is_no_version_is_an_error(version: str, others: list[str]) -> None:
    """R9: a typing error must not select an older version silently."""
    with pytest.raises(ConfigError) as caught:
        offered_versions([*others, version], "net.conflist: $.cniVersion")
    assert caught.value.place == "net.conflist: $.cniVersion"
    assert caught.value.expected == "a version such as 1.0.0"
    assert str(caught.value).isascii()


def _is_version(text: str) -> bool:
    try:
        offered_versions([text, "1.0.0"], "")
    except ConfigError:
        return False
    return True


@pytest.mark.rule("R9")
@pytest.mark.parametrize(
    ("before", "after", "taken"),
    [
        pytest.param("", ".0.0", string.digits, id="R9 a first number of one digit"),
        pytest.param("0.", ".0", string.digits, id="R9 a second one"),
        pytest.param("0.0.", "", string.digits, id="R9 a third one"),
        pytest.param("1", ".0.0", string.digits, id="R9 a first number of two digits"),
        pytest.param("0.1", ".0", string.digits, id="R9 a second one of two"),
        pytest.param("0.0.1", "", string.digits, id="R9 a third one of two"),
        pytest.param("10", ".0.0", string.digits, id="R9 a first number of three digits"),
        pytest.param("0.10", ".0", string.digits, id="R9 a second one of three"),
        pytest.param("0.0.10", "", string.digits, id="R9 a third one of three"),
        pytest.param("0", ".0.0", "", id="R9 after a leading zero"),
        pytest.param("0.0", ".0", "", id="R9 after a second one"),
        pytest.param("0.0.0", "", "", id="R9 after a third one"),
        pytest.param("1", "0.0", ".", id="R9 the first dot"),
        pytest.param("1.0", "0", ".", id="R9 the second dot"),
        pytest.param("1.0.0", "rc", "-+", id="R9 the sign of a pre-release or a build"),
        pytest.param(
            "1.0.0-rc", "5", string.ascii_letters + string.digits + ".-+", id="R9 a build"
        ),
        pytest.param(
            "1.0.0-", "", string.ascii_letters + string.digits + ".-", id="R9 a pre-release"
        ),
    ],
)
def test_a_version_is_three_numbers_and_perhaps_a_pre_release(
    before: str, after: str, taken: str
) -> None:
    every = map(chr, range(128))
    assert {c for c in every if _is_version(before + c + after)} == set(taken)


@pytest.mark.rule("R9")
def test_nothing_supported_is_an_error_that_names_what_was_offered() -> None:
    with pytest.raises(VersionUnsupported, match=r"1\.2\.0, 2\.0\.0-beta") as caught:
        offered_versions(["1.2.0", "", "2.0.0-beta"], "$.cniVersion")
    assert caught.value.place == "$.cniVersion"
    assert caught.value.expected == "one of " + ", ".join(SUPPORTED_VERSIONS)


@pytest.mark.rule("R9")
def test_an_error_names_ten_of_the_offered_versions_and_shortens_each() -> None:
    long = "9.0.0-" + "a" * 100
    with pytest.raises(VersionUnsupported) as unsupported:
        offered_versions([long, *(f"2.0.{n}" for n in range(10))], "")
    names = [long[:40], *(f"2.0.{n}" for n in range(9))]
    assert unsupported.value.message == "no supported version among " + ", ".join(names)
    with pytest.raises(ConfigError) as malformed:
        offered_versions(["é" * 100], "")
    assert malformed.value.message == f"{ascii('é' * 100)[:40]} is no version"


@pytest.mark.rule("R9")
def test_exactly_the_released_versions_are_supported() -> None:
    assert SUPPORTED_VERSIONS == ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")


@pytest.mark.rule("R9")
@given(st.lists(st.sampled_from(SUPPORTED_VERSIONS), min_size=1))
def test_the_order_of_the_offer_does_not_matter(offered: list[str]) -> None:
    selected = offered_versions(offered, "")[-1]
    assert all(is_at_least(selected, version) for version in offered)
    assert offered_versions(reversed(offered), "")[-1] == selected


def test_versions_are_ordered_as_they_were_released() -> None:
    for older, newer in itertools.combinations(SUPPORTED_VERSIONS, 2):
        assert is_at_least(newer, older)
        assert not is_at_least(older, newer)
    assert all(is_at_least(version, version) for version in SUPPORTED_VERSIONS)


@pytest.mark.rule("R42")
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0.1.0", "0.2.0", True),
        ("0.3.0", "0.4.0", True),
        ("1.0.0", "1.1.0", True),
        ("0.2.0", "0.3.0", False),
        ("0.4.0", "1.0.0", False),
        ("0.1.0", "1.1.0", False),
        ("1.0.0", "2.0.0", False),
    ],
)
def test_results_have_three_shapes(one: str, other: str, same: bool) -> None:
    assert have_same_shape(one, other) is same
    assert have_same_shape(other, one) is same


@pytest.mark.rule("R42")
def test_every_version_has_a_shape() -> None:
    assert all(have_same_shape(version, version) for version in SUPPORTED_VERSIONS)


@pytest.mark.rule("R9")
@pytest.mark.parametrize(
    ("offered", "answers", "common"),
    [
        pytest.param(("1.0.0",), [], "1.0.0", id="R9 nobody asked"),
        pytest.param(("1.0.0", "1.1.0"), [["1.1.0", "1.0.0"]], "1.1.0", id="R9 the highest"),
        pytest.param(
            ("0.4.0", "1.0.0", "1.1.0"),
            [["0.4.0", "1.0.0"], ["1.1.0", "1.0.0", "0.4.0"]],
            "1.0.0",
            id="R9 of every plugin",
        ),
        pytest.param(("0.3.1", "0.4.0"), [["0.3.1", "9.9.9", ""]], "0.3.1", id="R9 nonsense"),
        pytest.param(("1.0.0", "1.1.0"), [["1.0.0"], ["1.1.0"]], None, id="R9 none of all"),
        pytest.param(("1.1.0",), [[]], None, id="R9 a plugin without any"),
    ],
)
def test_the_highest_version_that_every_plugin_supports_is_common(
    offered: tuple[str, ...], answers: list[list[str]], common: str | None
) -> None:
    assert common_version(offered, answers) == common
