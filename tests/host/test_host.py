"""Which host this is."""

from __future__ import annotations

import re

import pytest

from acni.host import netns
from acni.host.host import this_host


def test_a_host_is_the_same_as_long_as_it_runs() -> None:
    host = this_host()
    assert host == this_host()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", host.boot)


@pytest.mark.netns
def test_inside_another_network_namespace_it_is_another_host_of_the_same_boot() -> None:
    with netns.anonymous() as namespace:
        inside = namespace.call(this_host)
        assert inside.netns == namespace.identity() != this_host().netns
        assert inside.boot == this_host().boot


@pytest.mark.netns
def test_it_has_what_stands_behind_a_path_and_is_not_its_own() -> None:
    host = this_host()
    with netns.anonymous() as namespace, netns.anonymous() as other:
        assert host.has(namespace.path, namespace.identity())
        assert host.has(namespace.path, None)
        assert not host.has(other.path, namespace.identity())
    assert not host.has(namespace.path, None)
    assert not host.has("/proc/self/ns/net", None)
    assert not host.has("", None)
