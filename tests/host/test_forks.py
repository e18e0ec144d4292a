"""Forked children give up what they got, and disturb nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import acni
from acni.host.forks import given_up_in_children
from acni.testing import ScriptedRunner


class Given:
    def __init__(self) -> None:
        self.by: int | None = None

    def give_up(self) -> None:
        self.by = os.getpid()


def in_child(says: object) -> bool:
    """Fork, and tell what a callable says in the child."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if says() else 1  # type: ignore[operator]
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def test_a_child_gives_up_what_its_parent_keeps() -> None:
    given = Given()
    with given_up_in_children(given):
        assert in_child(lambda: given.by == os.getpid())
        assert given.by is None
    assert in_child(lambda: given.by is None)


@pytest.mark.anyio
async def test_a_child_keeps_no_descriptor_and_no_lock_of_a_runtime(state_dir: Path) -> None:
    """It lives on when the runtime is gone; the next one is not refused."""

    def has_none() -> bool:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
        return not any(link.readlink().is_relative_to(state_dir) for link in links)

    reader, writer = os.pipe()
    async with acni.open_runtime(state_dir=state_dir, runner=ScriptedRunner()):
        assert in_child(has_none)
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
    try:
        async with acni.open_runtime(state_dir=state_dir, runner=ScriptedRunner()) as runtime:
            assert await runtime.debts() == ()
    finally:
        os.close(writer)
        os.waitpid(child, 0)  # noqa: ASYNC222 (it ends with the pipe)
        os.close(reader)
