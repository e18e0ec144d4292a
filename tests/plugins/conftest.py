"""A host, on which a built-in plugin is asked, and one on which nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acni import netns
from acni.netlink.netfilter import Netfilter
from acni.netns import Namespace
from tests.plugins.answering import ask_ours
from tests.plugins.hosts import Host, host_of


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with host_of(ask_ours, tmp_path / "leases") as made:
        yield made


@pytest.fixture
def bare_host() -> Iterator[Namespace]:
    with netns.anonymous() as made:
        yield made


@pytest.fixture
def firewall(bare_host: Namespace) -> Iterator[Netfilter]:
    made = bare_host.call(Netfilter.open)
    yield made
    made.close()
