"""What is done as much as possible."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from acni.plugins.thorough import do_all
from acni.skel import Bounds, PluginError, Stopped


def refusing(word: str) -> Callable[[], None]:
    def refuse() -> None:
        raise PluginError(999, word)

    return refuse


def test_what_fails_keeps_nothing_from_being_done_and_the_first_error_is_told() -> None:
    done: list[str] = []
    with pytest.raises(PluginError, match="first"):
        do_all([refusing("first"), lambda: done.append("good"), refusing("last")])
    assert done == ["good"]


def test_when_time_is_over_nothing_more_is_begun() -> None:
    done: list[str] = []
    do_all([lambda: done.append("in time")], bounds=Bounds(math.inf))
    with pytest.raises(Stopped):
        do_all([lambda: done.append("late")], bounds=Bounds(0.0))
    assert done == ["in time"]
