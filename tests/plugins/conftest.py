"""A host, on which a built-in plugin is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.answering import ask_ours
from tests.plugins.hosts import Host, host_of


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with host_of(ask_ours, tmp_path / "leases") as made:
        yield made
