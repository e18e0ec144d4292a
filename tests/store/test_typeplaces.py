"""The places of a plugin's type, between runtimes.

Two sets of locks in this process have descriptions of their own, so the kernel takes them for two
processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from acni import StoreError
from acni.host.locks import STAGES, Place, is_held, place_of
from acni.store.locks import open_locks
from acni.store.typeplaces import TypePlaces

WHERE: Place = place_of("plugin type", "bridge")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def runtimes(stack: ExitStack, state_dir: Path, number: int) -> list[TypePlaces]:
    """Return the places of one type, as three runtimes have them."""
    locks = [stack.enter_context(open_locks(state_dir)) for _ in range(3)]
    return [each.plugin_type("bridge", number) for each in locks]


def add(places: TypePlaces) -> int | None:
    return places.try_take(goes_first=False)


def undo(places: TypePlaces) -> int | None:
    return places.try_take(goes_first=True)


def is_seen(state_dir: Path, first: int, length: int = 1) -> bool:
    """Tell whether some runtime holds any of these bytes."""
    fd = os.open(state_dir / "acni" / "lock" / WHERE.file, os.O_RDWR)
    try:
        return is_held(fd, first, length)
    finally:
        os.close(fd)


def test_so_many_are_taken_by_all_runtimes_together(stack: ExitStack, state_dir: Path) -> None:
    one, other, third = runtimes(stack, state_dir, 3)
    assert [add(one), add(other), add(one)] == [0, 1, 2]
    assert add(third) is None
    assert not one.are_all_ours
    other.give_back(1)
    assert add(third) == 1


def test_one_runtime_may_have_all_of_them(stack: ExitStack, state_dir: Path) -> None:
    one, other, _ = runtimes(stack, state_dir, 2)
    assert [add(one), add(one), add(one), undo(one)] == [0, 1, None, None]
    assert [each.are_all_ours for each in (one, other)] == [True, False]
    assert add(other) is None
    one.give_back(0)
    assert [each.are_all_ours for each in (one, other)] == [False, False]
    assert add(other) == 0


def test_who_found_none_stands_before_those_who_come_later(
    stack: ExitStack, state_dir: Path
) -> None:
    one, other, third = runtimes(stack, state_dir, 1)
    assert add(one) == 0
    assert [add(other), add(third)] == [None, None]
    one.give_back(0)
    assert [add(one), add(third)] == [None, None]
    assert add(other) == 0
    other.give_back(0)
    assert add(third) == 0
    third.give_back(0)
    assert add(one) == 0


def test_who_leaves_the_line_is_in_nobody_s_way(stack: ExitStack, state_dir: Path) -> None:
    one, other, third = runtimes(stack, state_dir, 1)
    assert add(one) == 0
    assert add(other) is None
    one.give_back(0)
    assert add(third) is None
    other.leave_line()
    third.leave_line()
    assert not is_seen(state_dir, WHERE.stages, STAGES)
    assert add(third) == 0


def test_as_long_as_one_undoes_nobody_adds(stack: ExitStack, state_dir: Path) -> None:
    one, other, third = runtimes(stack, state_dir, 1)
    assert add(one) == 0
    assert [add(other), undo(third)] == [None, None]
    one.give_back(0)
    assert add(other) is None
    assert undo(third) == 0
    third.give_back(0)
    assert add(other) is None
    third.take_sign_down()
    assert not is_seen(state_dir, WHERE.sign)
    assert add(other) == 0


def test_two_that_undo_are_not_in_each_other_s_way(stack: ExitStack, state_dir: Path) -> None:
    one, other, third = runtimes(stack, state_dir, 1)
    assert add(one) == 0
    assert [undo(other), undo(third)] == [None, None]
    one.give_back(0)
    assert undo(third) == 0
    third.take_sign_down()
    assert is_seen(state_dir, WHERE.sign)


def test_a_file_that_was_removed_excludes_nobody(stack: ExitStack, state_dir: Path) -> None:
    one, other, third = runtimes(stack, state_dir, 1)
    assert [add(one), add(other), undo(third)] == [0, None, None]
    (state_dir / "acni" / "lock" / WHERE.file).unlink()
    (fourth,) = runtimes(stack, state_dir, 1)[:1]
    assert add(fourth) == 0
    one.give_back(0)
    for each in (one, other, third):
        assert undo(each) is None
        each.leave_line()
        each.take_sign_down()
    fourth.give_back(0)
    assert add(other) == 0


def test_what_cannot_be_locked_is_said_and_nothing_is_held(
    stack: ExitStack, state_dir: Path
) -> None:
    locks = stack.enter_context(open_locks(state_dir))
    places = locks.plugin_type("bridge", 1)
    assert add(places) == 0
    places.give_back(0)
    description = locks._files._current[WHERE.file]
    whole, description.fd = description.fd, os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(StoreError, match="cannot be locked"):
        add(places)
    assert description.users == 0
    os.close(description.fd)
    description.fd = whole
    assert add(places) == 0
