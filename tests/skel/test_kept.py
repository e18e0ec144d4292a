"""What calls leave for those after them."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from attrs import define

from acni.skel.kept import Kept


@define(eq=False)
class Thing:
    """Something that is dear."""

    is_closed: bool = False

    def close(self) -> None:
        self.is_closed = True


def test_what_came_back_is_lent_again_and_what_is_lent_is_not() -> None:
    kept = Kept()
    with kept.lent("key", Thing) as first, kept.lent("key", Thing) as second:
        assert first is not second
    with kept.lent("key", Thing) as third, kept.lent("other", Thing) as other:
        assert third is first
        assert other not in (first, second)


def test_it_comes_back_whatever_comes_of_it() -> None:
    kept = Kept()
    with pytest.raises(KeyboardInterrupt), kept.lent("key", Thing) as one:
        raise KeyboardInterrupt
    with kept.lent("key", Thing) as again:
        assert again is one


def test_what_cannot_be_made_is_not_kept() -> None:
    def fail() -> Thing:
        raise OSError

    kept = Kept()
    with pytest.raises(OSError), kept.lent("key", fail):  # noqa: PT011 (no other is raised)
        pass
    with kept.lent("key", Thing) as one:
        assert not one.is_closed


def closed(*things: Thing) -> list[bool]:
    return [thing.is_closed for thing in things]


def test_all_is_closed_at_last() -> None:
    kept = Kept()
    with kept.lent("key", Thing) as idle, kept.lent("key", Thing) as other:
        pass
    with kept.lent("key", Thing) as lent:
        kept.close()
        assert closed(lent) == [False]
    assert closed(lent, idle, other) == [True] * 3


def test_with_its_block_all_is_closed() -> None:
    with Kept() as kept:
        with kept.lent("key", Thing) as one:
            pass
        assert closed(one) == [False]
    assert closed(one) == [True]


def test_a_forked_child_has_none_of_its_parents() -> None:
    kept = Kept()
    with kept.lent("key", Thing) as parents:
        pass

    def look() -> bool:
        with kept.lent("key", Thing) as one:
            is_own = one is not parents
        kept.close()
        return is_own and one.is_closed and not parents.is_closed

    assert in_child(look)


def in_child(function: Callable[[], bool]) -> bool:
    if (pid := os.fork()) == 0:
        os._exit(0 if function() else 1)
    return os.waitpid(pid, 0)[1] == 0


def test_what_is_shared_is_one_for_all_of_a_process_and_a_key() -> None:
    kept = Kept()
    first = kept.shared("a list", list[int])
    assert kept.shared("a list", list[int]) is first
    assert kept.shared("another", list[int]) is not first
    assert in_child(lambda: kept.shared("a list", list[int]) is not first)
    kept.close()
    assert kept.shared("a list", list[int]) is not first


def test_what_was_parsed_is_parsed_once_and_what_could_not_be_again() -> None:
    kept, begun = Kept(), list[str]()

    def parse() -> list[int]:
        begun.append("")
        if len(begun) == 1:
            raise ValueError("as the test wants it")
        return []

    with pytest.raises(ValueError, match="as the test"):
        kept.parsed("a text", parse)
    first = kept.parsed("a text", parse)
    assert kept.parsed("a text", parse) is first
    assert kept.parsed("another", parse) is not first
    assert len(begun) == 3


def test_of_what_was_parsed_few_are_remembered() -> None:
    kept = Kept()
    first = kept.parsed(0, list[int])
    for number in range(1000):
        kept.parsed(number, list[int])
    assert kept.parsed(0, list[int]) is not first
