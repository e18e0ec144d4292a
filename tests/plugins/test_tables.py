"""Whose an element is can be told by the words beside it."""

from __future__ import annotations

from acni.plugins.owners import Owner, network_mark
from acni.plugins.tables import comment_of
from acni.spec.attachment import AttachmentId


def test_owners_with_long_names_are_told_apart_and_by_their_network() -> None:
    owners = [Owner("n" * 90, AttachmentId("c" * 90 + str(number))) for number in range(3)]
    comments = {comment_of(owner) for owner in owners}
    assert len(comments) == 3
    assert all(len(one) <= 127 and one.startswith(network_mark("n" * 90)) for one in comments)
    longest = Owner("n" * 200, AttachmentId("c" * 200))
    assert len(comment_of(longest)) <= 127
