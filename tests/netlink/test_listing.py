"""Of what the kernel lists only that of one link is kept, where one was asked for."""

from __future__ import annotations

import pytest
from attrs import frozen

from acni.netlink.listing import on_link


@frozen
class Listed:
    index: int | None


ONE, OTHER, NONE = Listed(1), Listed(2), Listed(None)


@pytest.mark.parametrize(
    ("index", "kept"), [(1, (ONE,)), (3, ()), (None, (ONE, OTHER, NONE))], ids=str
)
def test_what_is_on_the_link_is_kept(index: int | None, kept: tuple[Listed, ...]) -> None:
    assert on_link([ONE, None, OTHER, NONE], index) == kept
