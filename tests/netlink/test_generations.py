"""What was read stands while nobody else changed a rule, and not a moment longer."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from acni.netlink.generations import Ledger, ReadByOne


class Notes(list[int]):
    """What was read, each with how many changes of others there were by then."""


def note(ledger: Ledger, generation: int) -> None:
    with ledger.making() as made:
        made.append(generation)


STEPS = st.lists(st.sampled_from(["ours", "ours, untold", "theirs", "look"]), max_size=40)


@given(STEPS)
def test_what_was_read_before_a_change_of_others_is_not_lent(steps: Sequence[str]) -> None:
    """One of ours that was not told counts as theirs; all others keep what was read."""
    ledger, generation, others = Ledger(), 7, 0
    last: Notes | None = None
    for step in steps:
        if step == "look":
            notes = ledger.remembered(Notes, now=generation)
            assert set(notes) <= {others}
            assert (notes is last) == bool(notes)
            notes.append(others)
            last = notes
            continue
        generation += 1
        others += step != "ours"
        if step == "ours":
            note(ledger, generation)


def test_who_looked_at_an_earlier_generation_has_what_came_since_as_well() -> None:
    """Another thread was faster."""
    ledger = Ledger()
    first = ledger.remembered(Notes, now=7)
    note(ledger, 8)
    assert ledger.remembered(Notes, now=8) is first
    assert ledger.remembered(Notes, now=7) is first
    assert ledger.remembered(Notes, now=8) is first
    second = ledger.remembered(Notes, now=9)
    assert second is not first
    assert ledger.remembered(Notes, now=8) is second


def test_each_kind_has_its_own() -> None:
    ledger = Ledger()
    assert ledger.remembered(dict[str, int], now=7) == {}
    assert ledger.remembered(Notes, now=7) == []


def test_where_nobody_looks_nothing_is_kept() -> None:
    ledger = Ledger()
    first = ledger.remembered(Notes, now=0)
    for generation in range(1, 20_000):
        note(ledger, generation)
    assert ledger.remembered(Notes, now=19_999) is not first


def test_of_several_that_read_one_does_and_the_others_find_it_read() -> None:
    there, done = ReadByOne(), list[str]()
    with ThreadPoolExecutor(1) as thread:
        with there.reading():
            other = thread.submit(read_into, there, done)
            while not other.running() and not other.done():
                pass
            done.append("read")
        other.result()
    assert done == ["read", "found"]


def test_nobody_waits_for_one_that_hangs() -> None:
    there, done = ReadByOne(most_seconds=0.001), list[str]()
    with ThreadPoolExecutor(1) as thread, there.reading():
        thread.submit(read_into, there, done).result()
        assert done == ["read"]
    read_into(there, done)  # what was not had is not given back
    assert done == ["read", "found"]


def read_into(there: ReadByOne, done: list[str]) -> None:
    with there.reading():
        done.append("found" if done else "read")


def test_who_looks_while_a_batch_is_under_way_waits_for_it() -> None:
    """The kernel has made a generation that is not noted yet."""
    ledger = Ledger()
    first = ledger.remembered(Notes, now=7)
    with ThreadPoolExecutor(1) as thread:
        with ledger.making() as made:
            looked = thread.submit(ledger.remembered, Notes, now=8)
            while not looked.running() and not looked.done():
                pass
            made.append(8)
        assert looked.result() is first
        with ledger.making():  # another one, which goes on
            assert thread.submit(ledger.remembered, Notes, now=9).result() is not first
