"""GC and STATUS of bandwidth."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from acni.netlink import qdiscs
from acni.netlink.errors import NetlinkError
from acni.netlink.filters import redirect
from acni.netlink.messages import CREATE, EXCL, Message, text
from acni.netlink.sockets import open_inside
from acni.netlink.tcmessages import INGRESS_HANDLE, ROOT, TCA_KIND, tc_message
from acni.netlink.wire import KernelWire
from tests.plugins.answering import ask_ours, valid
from tests.plugins.bandwidth_cases import BOTH, IFB
from tests.plugins.chained import Case, Step, look_at_shapers, prepare, take
from tests.plugins.hosts import Host, host_of

pytestmark = pytest.mark.netns

CASE = Case(config=BOTH, version="1.1.0", pairs=(("c1", "eth0"), ("c2", "eth0")))
CONFIG: Mapping[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "bandwidth",
    **BOTH,
}
VALID = "cni.dev/valid-attachments"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with host_of(ask_ours, tmp_path) as made:
        results = prepare(made, CASE)
        for container in ("c1", "c2"):
            step = Step(container=container)
            assert take(made, "bandwidth", CASE, step, results).status == 0
        yield made


def marks(host: Host) -> list[str]:
    return sorted(link["ifalias"] for link in host.ip("-j", "link") if "ifalias" in link)


@pytest.mark.rule("P6")
def test_gc_removes_what_is_not_valid_and_leaves_the_rest(host: Host) -> None:
    for name, mark in (("ifb7", "acni other c7 eth0"), ("ifb8", "somebody's")):
        host.ip("link", "add", name, "type", "ifb")
        host.ip("link", "set", name, "alias", mark)
    host.ip("link", "set", "veth0", "alias", "acni net c9 eth0")
    host.ip("link", "add", "ifb9", "type", "ifb")

    answer = host.run("GC", {**CONFIG, **valid("c1")})
    assert (answer.status, answer.printed) == (0, {}), answer
    left = ["acni net c1 eth0", "acni net c9 eth0", "acni other c7 eth0", "somebody's"]
    assert marks(host) == left
    assert "ifb9" in host.links()
    for _ in range(2):
        assert host.run("GC", {**CONFIG, VALID: []}).status == 0
        assert marks(host) == left[1:]


@pytest.mark.rule("P6")
def test_gc_leaves_nothing_at_the_end_of_a_container_that_lives(host: Host) -> None:
    host.ip("link", "add", "other", "type", "ifb")
    before = look_at_shapers(host)
    assert host.run("GC", {**CONFIG, **valid("c1")}).status == 0
    after = look_at_shapers(host)
    assert {key: value for key, value in before.items() if "veth0" in key} == {
        key: value for key, value in after.items() if "veth0" in key
    }
    assert not [key for key in after if "veth1" in key]


def test_gc_that_is_not_told_what_is_valid_removes_nothing(host: Host) -> None:
    assert host.run("GC", CONFIG).status == 1
    assert IFB in host.links()


@pytest.mark.rule("P5")
def test_status_is_content_where_an_add_would_succeed_and_makes_nothing(host: Host) -> None:
    before = host.see(), look_at_shapers(host)
    assert host.run("STATUS", CONFIG).status == 0
    assert (host.see(), look_at_shapers(host)) == before


@pytest.mark.rule("P5")
@pytest.mark.parametrize("kind", [b"ifb", b"tbf", b"ingress", b"u32", b"mirred"])
def test_status_says_what_the_kernel_lacks(
    host: Host, kind: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does when it is asked for a kind that it has not."""
    send = KernelWire.send

    def asking_for_another(wire: KernelWire, data: bytes) -> None:
        send(wire, data.replace(kind + b"\0", b"x" * len(kind) + b"\0"))

    monkeypatch.setattr(KernelWire, "send", asking_for_another)
    answer = host.run("STATUS", CONFIG)
    assert (answer.printed["code"], answer.printed["reason"]) == (50, "kernel-feature")
    assert "this kernel has no" in answer.printed["msg"]


def unknown_qdisc() -> Message:
    kind = text(TCA_KIND, "nosuchkind")
    return tc_message(36, CREATE | EXCL, kind, index=1, parent=ROOT, handle=1 << 16)


def unknown_filter() -> Message:
    kind = text(TCA_KIND, "nosuchkind")
    return tc_message(44, CREATE | EXCL, kind, index=1, parent=INGRESS_HANDLE, info=1 << 16 | 768)


def unknown_action() -> Message:
    known = redirect(1, 1)
    return evolve(known, body=known.body.replace(b"mirred\0", b"nosuch\0"))


@pytest.mark.parametrize("message", [unknown_qdisc, unknown_filter, unknown_action])
def test_the_kernel_says_of_a_kind_that_it_has_not_that_there_is_none(
    message: Callable[[], Message], host: Host
) -> None:
    """STATUS and ADD rely on it."""
    namespace = host.namespace
    with open_inside(namespace.fd, path=namespace.path) as netlink:
        netlink.request(qdiscs.add_ingress(1))
        with pytest.raises(NetlinkError) as raised:
            netlink.request(message())
    assert raised.value.errno == errno.ENOENT
