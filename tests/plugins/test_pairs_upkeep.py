"""GC of the plugins that make pairs of links, by that of bridge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.plugins.answering import ask_reference, valid
from tests.plugins.hosts import Host

pytestmark = pytest.mark.netns

CONFIG: Mapping[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "bridge",
    "isGateway": True,
    "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"},
}
VALID = "cni.dev/valid-attachments"


def marks(host: Host) -> list[str]:
    return sorted(
        link["ifalias"] for link in host.ip("-j", "link") if link.get("ifalias", "acni") != "acni"
    )


@pytest.mark.rule("P6")
def test_gc_removes_what_is_not_valid_and_leaves_the_rest(host: Host) -> None:
    for container in ("c1", "c2", "c3"):
        host.run("ADD", CONFIG, container=container)
    host.run("ADD", {**CONFIG, "name": "other"}, container="c4")
    theirs = {**CONFIG, "cniVersion": "1.0.0"}
    host.run("ADD", theirs, container="c5", ask=ask_reference)
    host.ip("link", "add", "veth9", "type", "veth", "peer", "name", "far9")
    before = host.links()

    answer = host.run("GC", {**CONFIG, **valid("c1", "c5")})
    assert (answer.status, answer.printed) == (0, {}), answer
    assert marks(host) == ["acni net c1 eth0", "acni other c4 eth0"]
    assert len(host.links()) == len(before) - 2
    assert host.links(inside="c2") == ["lo"]
    assert host.links(inside="c5") == ["lo", "eth0"]
    net = sorted(path.name for path in host.data_dir.glob("net/10.*"))
    assert net == ["10.9.0.2", "10.9.0.5"]


@pytest.mark.rule("P6")
def test_gc_with_nothing_valid_removes_all_of_the_network(host: Host) -> None:
    host.run("ADD", CONFIG)
    for _ in range(2):
        assert host.run("GC", {**CONFIG, VALID: []}).status == 0
        assert marks(host) == []
        assert host.leases() == []


def test_gc_that_is_not_told_what_is_valid_removes_nothing(host: Host) -> None:
    host.run("ADD", CONFIG)
    assert host.run("GC", CONFIG).status == 1
    assert marks(host) == ["acni net c1 eth0"]


def test_a_mark_on_another_kind_of_link_is_not_ours(host: Host) -> None:
    host.ip("link", "add", "br9", "alias", "acni net c9 eth0", "type", "bridge")
    assert host.run("GC", {**CONFIG, VALID: []}).status == 0
    assert "br9" in host.links()
