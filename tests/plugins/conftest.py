"""A runner of plugins in this process, and its threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Fail a test after which a thread of ours lives."""
    before = set(threading.enumerate())
    yield
    left = {each.name for each in threading.enumerate() if each not in before}
    assert {name for name in left if name.startswith("acni-")} == set()
