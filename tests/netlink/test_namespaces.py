"""The numbers that a namespace knows others by."""

from __future__ import annotations

import pytest

from acni.netlink.errors import NetlinkError
from acni.netlink.links import Peer, get_link, new_veth
from acni.netlink.namespaces import netnsid_of
from acni.netlink.sockets import Netlink
from acni.netns import Namespace

pytestmark = pytest.mark.netns


def test_a_namespace_has_a_number_once_a_link_leads_there(
    host: Namespace, pod: Namespace, on_host: Netlink, in_pod: Netlink
) -> None:
    assert netnsid_of(on_host, pod.fd) is None
    on_host.request(new_veth("veth1", peer=Peer(name="eth0", netns_fd=pod.fd)))
    for netlink, name, other in ((on_host, "veth1", pod), (in_pod, "eth0", host)):
        # The number is made when somebody is told of the link.
        assert get_link(netlink, name).peer_netnsid == netnsid_of(netlink, other.fd)


def test_what_is_no_namespace_has_no_number(on_host: Netlink) -> None:
    with pytest.raises(NetlinkError):
        netnsid_of(on_host, -1)
