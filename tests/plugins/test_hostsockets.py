"""Sockets of the host that calls lend each other."""

from __future__ import annotations

import pytest

from acni import netns
from acni.netlink.links import list_links
from acni.netlink.sockets import Netlink
from acni.plugins.hostsockets import netlink_of
from tests.plugins.calling import make_call

pytestmark = pytest.mark.netns


def test_a_socket_is_lent_again_in_its_own_namespace_alone() -> None:
    call = make_call({})

    def lent() -> Netlink:
        with netlink_of(call) as host:
            assert [link.name for link in list_links(host)] == ["lo"]
            return host

    with netns.anonymous() as one, netns.anonymous() as other:
        first = one.call(lent)
        assert one.call(lent) is first
        assert other.call(lent) is not first
    call.kept.close()
    assert first.fileno() == -1
