"""The pipes of a plugin."""

from __future__ import annotations

import os

import pytest

from acni.host.files import close_all
from acni.host.pipes import Output, bytes_in, guard_copy, output_pipe, request_end


@pytest.mark.parametrize("size", [0, 1, 65_536, 3 << 20])
def test_a_request_is_there_whole_and_then_ends(size: int) -> None:
    opened: list[int] = []
    fd = request_end(b"x" * size, opened)
    with os.fdopen(fd, "rb") as request:
        assert request.read() == b"x" * size
    assert opened == [fd]


def test_output_is_read_without_waiting_and_kept_up_to_its_cap() -> None:
    opened: list[int] = []
    read_end, write_end = output_pipe(opened)
    head, tail = Output(read_end, 3, keeps_tail=False), Output(read_end, 3, keeps_tail=True)
    assert not head.read(100)
    os.write(write_end, b"abcde")
    assert bytes_in(read_end) == 5
    assert not head.read(100)
    assert (bytes(head.data), head.is_over) == (b"abc", True)
    os.write(write_end, b"fghij")
    assert not tail.read(100)
    assert bytes(tail.data) == b"hij"
    os.close(write_end)
    assert head.read(100)
    close_all(read_end)


def test_a_copy_of_the_guard_stands_above_what_a_child_gets() -> None:
    opened: list[int] = []
    copy = guard_copy(0, opened)
    assert copy > 3
    assert opened == [copy]
    close_all(copy)
