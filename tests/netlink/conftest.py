"""Two namespaces, each with a socket: a host and a pod."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from acni import netns
from acni.netlink.netfilter import Netfilter
from acni.netlink.sockets import Netlink, open_inside
from acni.netns import Namespace


@pytest.fixture
def host() -> Iterator[Namespace]:
    with netns.anonymous() as made:
        yield made


@pytest.fixture
def pod() -> Iterator[Namespace]:
    with netns.anonymous() as made:
        yield made


@pytest.fixture
def on_host(host: Namespace) -> Iterator[Netlink]:
    with open_inside(host.fd, path=host.path) as netlink:
        yield netlink


@pytest.fixture
def in_pod(pod: Namespace) -> Iterator[Netlink]:
    with open_inside(pod.fd, path=pod.path) as netlink:
        yield netlink


@pytest.fixture
def firewall(host: Namespace) -> Iterator[Netfilter]:
    made = host.call(Netfilter.open)
    yield made
    made.close()
