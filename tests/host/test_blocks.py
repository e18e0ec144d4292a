"""An asynchronous block of two functions."""

from __future__ import annotations

import pytest

from acni.host.blocks import Block

pytestmark = pytest.mark.anyio


async def test_it_is_entered_and_left_whatever_happens_inside() -> None:
    told: list[str] = []

    async def enter() -> int:  # noqa: ASYNC124 (a block awaits it)
        told.append("entered")
        return 7

    async with Block(enter, lambda: told.append("left")) as value:
        assert value == 7
        assert told == ["entered"]
    with pytest.raises(LookupError):
        async with Block(enter, lambda: told.append("left")):
            raise LookupError
    assert told == ["entered", "left"] * 2


async def test_what_could_not_be_entered_is_not_left() -> None:
    async def refuse() -> None:  # noqa: ASYNC124 (a block awaits it)
        raise LookupError

    def leave() -> None:
        raise AssertionError("left")

    with pytest.raises(LookupError):
        async with Block(refuse, leave):
            raise AssertionError("entered")


async def test_what_is_left_early_is_left_once() -> None:
    told: list[str] = []

    async def enter() -> None:  # noqa: ASYNC124 (a block awaits it)
        told.append("entered")

    block = Block(enter, lambda: told.append("left"))
    async with block:
        block.leave()
        assert told == ["entered", "left"]
    assert told == ["entered", "left"]
    async with block:
        assert told == ["entered", "left", "entered"]
    assert told == ["entered", "left"] * 2
