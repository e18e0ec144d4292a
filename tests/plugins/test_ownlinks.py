"""Which links of the host are an attachment's, by what it is told of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from acni.netlink.links import get_link
from acni.netlink.sockets import open_inside
from acni.plugins.owners import Owner
from acni.plugins.ownlinks import find_own, other_end
from acni.spec.attachment import AttachmentId
from tests.plugins.answering import ask_ours
from tests.plugins.hosts import Host, host_of

pytestmark = pytest.mark.netns

CONFIG = {"cniVersion": "1.0.0", "name": "net", "type": "bridge"}


def test_an_index_alone_proves_nothing(host: Host, tmp_path: Path) -> None:
    """Another host has a link of the same index, whose other end has the same index, too."""
    with host_of(ask_ours, tmp_path / "other") as other:
        for each in (host, other):
            each.run("ADD", CONFIG)
        inside = [link["ifindex"] for link in host.ip("-j", "link", inside="c1")]
        assert inside == [link["ifindex"] for link in other.ip("-j", "link", inside="c1")]
        container = host.container("c1")
        with (
            open_inside(container.fd, path=container.path) as there,
            open_inside(host.namespace.fd, path="") as here,
            open_inside(other.namespace.fd, path="") as elsewhere,
        ):
            link = get_link(there, "eth0")
            found = other_end(here, container.fd, link)
            assert found is not None
            assert found.alias == "acni net c1 eth0"
            assert other_end(elsewhere, container.fd, link) is None


def test_another_interface_of_the_container_is_another_one(host: Host, tmp_path: Path) -> None:
    """Its other end is on another host, where it has the index that one of ours has here."""
    host.run("ADD", CONFIG, ifname="net1")
    container = host.container("c1")
    with host_of(ask_ours, tmp_path / "other") as other:
        other.ip("link", "add", "eth0", "type", "veth", "peer", "name", "far0")
        other.ip("link", "set", "eth0", "netns", container.path)
        (far,) = other.ip("-j", "link", "show", "far0")
        (ours,) = (link for link in host.ip("-j", "link") if link["ifname"].startswith("veth"))
        with (
            open_inside(container.fd, path=container.path) as there,
            open_inside(host.namespace.fd, path="") as here,
        ):
            link = get_link(there, "eth0")
            assert link.peer == far["ifindex"]
            if far["ifindex"] != ours["ifindex"]:
                link = evolve(link, peer=ours["ifindex"])
            assert other_end(here, container.fd, link) is None


def test_a_link_without_a_mark_is_its_names(host: Host) -> None:
    """ADD was killed before it could mark it."""
    owner = Owner("net", AttachmentId("c1"))
    host.ip("link", "add", owner.link_name, "type", "veth", "peer", "name", "far0")
    with open_inside(host.namespace.fd, path="") as here:
        assert find_own(here, owner) is not None
        host.ip("link", "set", owner.link_name, "alias", "acni net c2 eth0")
        assert find_own(here, owner) is None
        assert find_own(here, Owner("net", AttachmentId("c3"))) is None
