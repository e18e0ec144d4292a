"""Whose a link of the host is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acni.plugins.owners import BRIDGE_MARK, Owner, is_mark, network_mark
from acni.spec.attachment import AttachmentId
from acni.spec.names import parse_ifname

_NAMES = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,254}", fullmatch=True)
_IFNAMES = st.from_regex(r"[a-z0-9]{1,15}", fullmatch=True)
_OWNERS = st.builds(Owner, _NAMES, st.builds(AttachmentId, _NAMES, _IFNAMES))


@given(_OWNERS)
def test_a_name_and_a_mark_are_what_the_kernel_takes(owner: Owner) -> None:
    assert parse_ifname(owner.link_name) == owner.link_name
    assert len(owner.link_name) == 15
    assert len(owner.mark.encode()) < 256
    assert is_mark(owner.mark)
    assert owner.mark.startswith(network_mark(owner.network))


@given(_OWNERS, _OWNERS)
def test_two_owners_have_two_names_and_two_marks(one: Owner, other: Owner) -> None:
    is_same = one == other
    assert (one.link_name == other.link_name) is is_same
    assert (one.mark == other.mark) is is_same
    if one.network != other.network:
        assert not one.mark.startswith(network_mark(other.network))


def test_long_names_are_told_apart_where_they_end() -> None:
    one = Owner("n" * 254 + "a", AttachmentId("c" * 254 + "a"))
    other = Owner("n" * 254 + "b", AttachmentId("c" * 254 + "b"))
    assert network_mark(one.network) != network_mark(other.network)
    assert one.mark != other.mark


def test_an_owner_may_own_what_is_unmarked_or_marked_for_it() -> None:
    owner = Owner("net", AttachmentId("c1"))
    assert owner.may_own(None)
    assert owner.may_own("acni net c1 eth0")
    assert not owner.may_own("acni net c2 eth0")
    assert not owner.may_own("uplink")


def test_what_somebody_else_wrote_is_no_mark() -> None:
    assert not any(map(is_mark, (None, "", "uplink", "acnix", BRIDGE_MARK)))
