"""Which link of the host is an attachment's, proved from both sides."""

from __future__ import annotations

from sys import byteorder

import pytest
from attrs import evolve

from acni.netlink.linkmessages import RTM_GETLINK
from acni.netlink.messages import DUMP
from acni.netlink.wire import Datagram, KernelWire
from acni.plugins.owners import Owner
from acni.spec.attachment import AttachmentId
from tests.plugins.answering import ask_reference
from tests.plugins.hosts import Host

pytestmark = pytest.mark.netns

CONFIG = {"cniVersion": "1.0.0", "name": "net", "type": "bridge"}


@pytest.mark.rule("P3")
@pytest.mark.parametrize("previous", [True, False])
@pytest.mark.parametrize("is_bridge_gone", [True, False])
def test_a_renamed_link_is_found_by_its_mark_with_an_empty_netns(
    host: Host, previous: bool, is_bridge_gone: bool
) -> None:
    """Neither the name nor the container leads to it: the namespace is somewhere, but not told."""
    for container in ("c1", "c11"):
        host.run("ADD", CONFIG, container=container)
        rename_port(host, container, to=f"old-{container}")
    if is_bridge_gone:
        host.ip("link", "del", "cni0")
    assert host.run("DEL", CONFIG, previous=previous, is_gone=True).status == 0
    assert host.links() == ["lo", *(() if is_bridge_gone else ("cni0",)), "old-c11"]
    assert host.links(inside="c1") == ["lo"]


def rename_port(host: Host, container: str, *, to: str) -> None:
    name = Owner("net", AttachmentId(container)).link_name
    host.ip("link", "set", name, "down")
    host.ip("link", "set", name, "name", to)


def test_no_links_are_listed_where_the_name_is_found(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delete costs as much beside a thousand others as alone; only a renamed link costs more."""
    lists: list[bytes] = []
    send = KernelWire.send

    def sending(wire: KernelWire, data: bytes) -> None:
        kind, flags = int.from_bytes(data[4:6], byteorder), int.from_bytes(data[6:8], byteorder)
        if (kind, flags & DUMP) == (RTM_GETLINK, DUMP):
            lists.append(data)
        send(wire, data)

    monkeypatch.setattr(KernelWire, "send", sending)
    for listed in ([], [1]):
        lists.clear()
        host.run("ADD", CONFIG)
        if listed:
            rename_port(host, "c1", to="old0")
        assert host.run("DEL", CONFIG, is_gone=True).status == 0
        assert len(lists) == len(listed)
        assert len(host.links()) == 2


def test_a_list_that_always_changes_is_left_to_gc(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside thousands that come and go a delete of what is gone would be owed."""
    host.run("ADD", CONFIG)
    rename_port(host, "c1", to="old0")
    receive = KernelWire.receive

    def receiving(wire: KernelWire) -> Datagram | None:
        taken = receive(wire)
        if taken is None:
            return None
        data = bytearray(taken.data)
        flags = int.from_bytes(data[6:8], byteorder) | 0x10  # NLM_F_DUMP_INTR
        data[6:8] = flags.to_bytes(2, byteorder)
        return evolve(taken, data=bytes(data))

    with monkeypatch.context() as patch:
        patch.setattr(KernelWire, "receive", receiving)
        answer = host.run("DEL", CONFIG, is_gone=True)
    assert (answer.status, host.links()) == (0, ["lo", "cni0", "old0"])
    collecting = {**CONFIG, "cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
    assert host.run("GC", collecting).status == 0
    assert host.links() == ["lo", "cni0"]


def test_what_the_reference_made_is_found_by_its_result_alone(host: Host) -> None:
    """The interface has another name by now, so the container does not lead there."""
    host.run("ADD", CONFIG, ask=ask_reference)
    host.ip("link", "set", "eth0", "down", inside="c1")
    host.ip("link", "set", "eth0", "name", "old0", inside="c1")
    assert host.run("DEL", CONFIG).status == 0
    assert len(host.links()) == 3
    assert host.run("DEL", CONFIG, previous=True).status == 0
    assert len(host.links()) == 2


def test_a_name_of_a_result_that_another_link_has_by_now_proves_nothing(host: Host) -> None:
    host.run("ADD", CONFIG, ask=ask_reference)
    name = host.last["c1", "eth0"]["interfaces"][1]["name"]
    host.ip("link", "del", name)
    host.ip("link", "add", name, "type", "veth", "peer", "name", "far0")
    host.ip("link", "set", name, "master", "cni0")
    assert host.run("DEL", CONFIG, previous=True).status == 0
    assert name in host.links()


def test_a_port_of_another_bridge_is_not_this_ones(host: Host) -> None:
    host.run("ADD", CONFIG, ask=ask_reference)
    assert host.run("DEL", {**CONFIG, "bridge": "br9"}, previous=True).status == 0
    assert host.links(inside="c1") == ["lo", "eth0"]
    host.ip("link", "add", "br9", "type", "bridge")
    assert host.run("DEL", {**CONFIG, "bridge": "br9"}, previous=True).status == 0
    assert host.links(inside="c1") == ["lo", "eth0"]
