"""How long a verb may go on."""

from __future__ import annotations

import time

import pytest

from acni.skel import Bounds, Stopped
from tests.skel.asking import bounds


def test_a_verb_goes_on_until_it_is_told_to_stop() -> None:
    within = bounds(60)
    within.check()
    assert 50 < within.seconds_left() <= 60
    within.stop()
    with pytest.raises(Stopped):
        within.check()
    assert within.seconds_left() == 0


def test_it_is_out_of_time_at_its_deadline() -> None:
    over = Bounds(time.monotonic())
    assert over.is_over()
    assert over.seconds_left() == 0
    with pytest.raises(Stopped):
        over.check()


def test_no_except_exception_of_a_plugin_goes_on_regardless() -> None:
    assert not issubclass(Stopped, Exception)
