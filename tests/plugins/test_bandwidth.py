"""bandwidth limits, releases, and undoes what goes wrong, wherever it does."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from acni.netlink.wire import KernelWire
from acni.plugins.bandwidth_links import own_name
from acni.plugins.catalog import BUILT_IN
from acni.plugins.owners import Owner
from acni.skel import Bounds, Stopped
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from acni.spec.attachment import AttachmentId
from acni.spec.plugin import Request, Response
from tests.plugins.answering import ask_ours
from tests.plugins.bandwidth_cases import BOTH, EGRESS, IFB, INGRESS
from tests.plugins.chained import Case, Machine, look_at_shapers
from tests.plugins.hosts import host_of
from tests.skel.asking import bounds, request

pytestmark = pytest.mark.netns

CASE = Case(config=BOTH, pairs=(("c1", "eth0"), ("c1", "net1")))


def ifbs(machine: Machine) -> dict[str, str | None]:
    links = machine.host.ip("-j", "link")
    return {one["ifname"]: one.get("ifalias") for one in links if one["ifname"][:2] == "bw"}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with host_of(ask_ours, tmp_path) as host:
        yield Machine(host, "bandwidth", CASE, look_at_shapers)


def owner(ifname: str) -> Owner:
    return Owner("net", AttachmentId("c1", ifname))


@pytest.mark.rule("P2", "P3", "P12")
def test_what_an_add_makes_a_delete_removes_and_again(machine: Machine) -> None:
    before = machine.see()
    told = machine.take().printed
    assert [one["name"] for one in told["interfaces"]] == ["veth0", "eth0", IFB]
    assert ifbs(machine) == {IFB: "acni net c1 eth0"}
    assert machine.take("CHECK").status == 0
    for _ in range(2):
        assert machine.take("DEL").status == 0
        assert machine.see() == before
    assert machine.take("DEL", is_gone=True).status == 0


@pytest.mark.rule("P3")
@pytest.mark.parametrize("config", [EGRESS, BOTH], ids=["egress", "both"])
def test_a_delete_that_is_told_no_namespace_leaves_nothing_at_the_end_of_one_that_lives(
    machine: Machine, config: Mapping[str, Any]
) -> None:
    change = {**dict.fromkeys(BOTH, 0), **config}
    before = machine.see()
    assert machine.take(ifname="net1", change=change).status == 0
    other = machine.see()
    assert machine.take(change=change).status == 0
    assert machine.take("DEL", is_gone=True, change=change).status == 0
    assert machine.see() == other
    assert machine.take("DEL", is_gone=True, ifname="net1", change={"ingressRate": 7}).status == 0
    assert machine.see() == before
    assert machine.take(change=change).status == 0


@pytest.mark.rule("P3")
def test_a_delete_that_is_told_no_namespace_leaves_a_queue_of_the_administrator(
    machine: Machine,
) -> None:
    none = dict.fromkeys(INGRESS, 0)
    tc = "qdisc add dev veth0 root handle 1: tbf rate 1mbit burst 10k latency 9ms"
    assert machine.take(change=none, before=[("host", f"tc {tc}")]).status == 0
    assert machine.take("DEL", is_gone=True, change=none).status == 0
    seen = machine.see()
    assert "host/qdisc veth0 tbf" in seen
    assert "host/qdisc veth0 ingress" not in seen


def test_each_interface_of_a_container_has_a_link_of_its_own(machine: Machine) -> None:
    before = machine.see()
    for ifname in ("eth0", "net1"):
        assert machine.take(ifname=ifname).status == 0
    second = own_name(owner("net1"))
    assert ifbs(machine) == {IFB: "acni net c1 eth0", second: "acni net c1 net1"}
    for ifname in ("eth0", "net1"):
        assert machine.take("CHECK", ifname=ifname).status == 0
    assert machine.take("DEL").status == 0
    assert ifbs(machine) == {second: "acni net c1 net1"}
    assert machine.take("CHECK", ifname="net1").status == 0
    assert machine.take("DEL", ifname="net1").status == 0
    assert machine.see() == before


def test_what_the_reference_added_is_checked_and_deleted_and_the_other_way_round(
    machine: Machine,
) -> None:
    before = machine.see()
    assert machine.theirs().status == 0
    assert ifbs(machine) == {IFB: None}
    assert machine.take("CHECK").status == 0
    assert machine.take("DEL").status == 0
    assert machine.see() == before
    assert machine.take().status == 0
    assert machine.theirs("CHECK").status == 0
    assert machine.theirs("DEL").status == 0
    assert ifbs(machine) == {}
    assert machine.take("DEL").status == 0
    assert machine.see() == before


@pytest.mark.parametrize("config", [INGRESS, EGRESS, BOTH], ids=["ingress", "egress", "both"])
@pytest.mark.parametrize("error", [errno.ENOBUFS, errno.EPERM])
def test_an_add_that_fails_at_any_message_leaves_nothing(
    machine: Machine, config: Mapping[str, Any], error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = machine.see()
    send = KernelWire.send
    left = 0

    def failing(wire: KernelWire, data: bytes) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(error, "told to fail")
        send(wire, data)

    none = dict.fromkeys(BOTH, 0)
    for count in range(1, 40):
        with monkeypatch.context() as patch:
            patch.setattr(KernelWire, "send", failing)
            left = count
            answer = machine.take(change={**none, **config})
        if left > 0:
            assert answer.status == 0
            assert count > 4
            return
        if answer.status:
            assert machine.see() == before, count
        else:  # it was the name of the link, which it can do without
            assert machine.take("DEL").status == 0
            assert machine.see() == before, count
    pytest.fail("it never came to an end")


def test_an_add_that_is_stopped_between_its_steps_leaves_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = machine.see()
    left = 0

    def check(_: Bounds) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Stopped

    for count in range(1, 10):
        left = count
        with monkeypatch.context() as patch:
            patch.setattr(Bounds, "check", check)
            try:
                machine.take()
            except Stopped:
                assert machine.see() == before
                continue
        assert count > 2
        return
    pytest.fail("it never came to an end")


@pytest.mark.rule("P4")
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (f"ip link del {IFB}", "interface-missing"),
        (f"ip link set {IFB} down", "interface-down"),
        ("tc qdisc del dev veth0 ingress", "no-filter"),
        ("tc qdisc del dev veth0 root", "no-shaper"),
        (f"tc qdisc del dev {IFB} root", "no-shaper"),
        (
            "tc qdisc change dev veth0 root handle 1: tbf rate 1mbit burst 10k latency 9ms",
            "shaper-differs",
        ),
    ],
)
def test_check_finds_what_is_not_as_it_was_left(
    machine: Machine, command: str, reason: str
) -> None:
    machine.take()
    answer = machine.take("CHECK", before=[("host", command)])
    assert (answer.printed["code"], answer.printed["reason"]) == (105, reason)


def test_a_burst_that_no_packet_fits_into_is_told(machine: Machine) -> None:
    small = {**dict.fromkeys(BOTH, 0), "egressRate": 1_000_000, "egressBurst": 8000}
    result = machine.results["c1", "eth0"]
    members = {"cniVersion": "1.1.0", "name": "net", **small, "prevResult": result}
    for burst, warned in (
        (8000, "egressBurst: packets of more than 1000 of 1500 bytes are dropped\n"),
        (16_000, ""),
    ):
        asked = request(
            "ADD", {**members, "egressBurst": burst}, NETNS=machine.host.container("c1").path
        )
        answer = machine.host.namespace.call(partial(answered, asked))
        assert (answer.status, answer.stderr.decode()) == (0, warned)
        assert machine.take("DEL").status == 0


def answered(asked: Request) -> Response:
    return respond(BUILT_IN["bandwidth"], asked, bounds=bounds(), delegates=Delegates())
