"""What ADD and DEL of the plugins have in common that make links."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from acni.plugins.attaching import has_ipam, netns_of, owner_of, undo_with
from acni.plugins.owners import Owner
from acni.spec.attachment import AttachmentId
from tests.plugins.calling import Names, make_call


def failing(*steps: Callable[[], object]) -> None:
    """Take steps, and then fail."""
    with ExitStack() as undo:
        for step in steps:
            undo_with(undo, step)
        raise ValueError("the first")


def test_what_was_done_last_is_undone_first_and_the_first_error_is_told() -> None:
    undone: list[str] = []

    def fail() -> None:
        undone.append("second")
        raise OSError

    with pytest.raises(ValueError, match="the first"):
        failing(lambda: undone.append("first"), fail)
    assert undone == ["second", "first"]


def test_an_undo_lets_through_what_is_no_error() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing(interrupt)


def test_a_call_is_its_attachments() -> None:
    call = make_call({}, names=Names(container_id="c7", ifname="net1", network="web"))
    assert owner_of(call) == Owner("web", AttachmentId("c7", "net1"))
    with pytest.raises(AssertionError):
        netns_of(call)


def test_only_an_ipam_with_a_type_is_told() -> None:
    assert has_ipam(make_call({"ipam": {"type": "static"}}))
    assert not has_ipam(make_call({"ipam": {}}))
    assert not has_ipam(make_call({}))
