"""Whose a link is that queues what a container sends, and what hangs on the end of a pair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acni.plugins.bandwidth_links import own_name, references_name
from acni.plugins.owners import Owner
from acni.spec.attachment import AttachmentId
from tests.plugins.answering import ask_ours
from tests.plugins.bandwidth_cases import BOTH, IFB
from tests.plugins.chained import Case, Machine, look_at_shapers
from tests.plugins.hosts import host_of

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


def test_the_names_of_links_fit_and_follow_from_the_attachment() -> None:
    assert references_name(owner("eth0")) == references_name(owner("net1")) == IFB
    assert own_name(owner("eth0")) != own_name(owner("net1"))
    assert {len(own_name(owner(one))) for one in ("eth0", "net1")} == {15}


def test_what_the_reference_added_for_another_interface_stays(machine: Machine) -> None:
    """Its name says the container alone."""
    machine.theirs()
    theirs = machine.see()
    for has_previous in (True, False):
        machine.host.last["c1", "net1"] = machine.results["c1", "net1"]
        assert machine.take("DEL", ifname="net1", has_previous=has_previous).status == 0
        assert machine.see() == theirs
    assert machine.take(ifname="net1").status == 0
    assert machine.take("DEL", ifname="net1").status == 0
    assert machine.see() == theirs


def test_what_the_reference_left_half_made_is_deleted_and_what_it_left_of_a_container_gone(
    machine: Machine,
) -> None:
    machine.host.ip("link", "add", IFB, "type", "ifb")
    assert machine.take("DEL").status == 0
    assert ifbs(machine) == {}
    machine.theirs()
    machine.host.ip("link", "del", "veth0")
    assert machine.take("DEL", is_gone=True, has_previous=False).status == 0
    assert ifbs(machine) == {}


def test_what_the_reference_added_is_known_by_its_result_where_nothing_leads_to_it(
    machine: Machine,
) -> None:
    before = [("host", "tc qdisc del dev veth0 ingress")]
    machine.theirs()
    assert machine.take("DEL", before=before, has_previous=False).status == 0
    assert ifbs(machine) == {IFB: None}
    assert machine.take("DEL").status == 0
    assert ifbs(machine) == {}


def test_what_was_left_before_it_had_its_name_is_deleted(machine: Machine) -> None:
    name = own_name(owner("eth0"))
    for words in ("mtu 1400", "alias"):
        machine.host.ip("link", "add", name, "type", "ifb")
        mark = ["acni net c1 eth0"] if words == "alias" else []
        machine.host.ip("link", "set", name, *words.split(), *mark)
        assert machine.take("DEL").status == 0
        assert ifbs(machine) == {}


def test_a_link_that_somebody_renamed_is_known_by_its_mark(machine: Machine) -> None:
    machine.take()
    for words in (f"{IFB} down", f"{IFB} name other0", "other0 up"):
        machine.host.ip("link", "set", *words.split())
    machine.host.ip("link", "add", "br9", "type", "bridge")
    machine.host.ip("link", "set", "br9", "alias", "acni net c1 eth0")
    assert machine.take("DEL").status == 0
    assert set(machine.host.links()) == {"lo", "veth0", "veth1", "br9"}


def test_a_link_of_another_kind_or_mark_is_never_taken(machine: Machine) -> None:
    machine.host.ip("link", "add", IFB, "type", "bridge")
    machine.host.ip("link", "set", IFB, "alias", "acni net c1 eth0")
    assert machine.take().status == 0
    assert ifbs(machine) == dict.fromkeys((IFB, own_name(owner("eth0"))), "acni net c1 eth0")
    assert machine.take("DEL").status == 0
    assert machine.take("DEL").status == 0
    assert ifbs(machine) == {IFB: "acni net c1 eth0"}
    machine.host.ip("link", "del", IFB)
    machine.host.ip("link", "add", IFB, "type", "ifb")
    machine.host.ip("link", "set", IFB, "alias", "somebody's")
    assert machine.take().status == 0
    assert machine.take("DEL").status == 0
    assert ifbs(machine) == {IFB: "somebody's"}


def test_what_the_administrator_hangs_on_the_end_stays(machine: Machine) -> None:
    """A queue that is not as it is configured, and filters that lead elsewhere."""
    tc = "tc qdisc add dev veth0 root handle 1: tbf rate 1mbit burst 10k latency 9ms"
    everything = "protocol all prio 1 u32 match u32 0 0 flowid 1:9"
    before = [
        ("host", tc),
        ("host", "tc qdisc add dev veth0 ingress"),
        ("host", f"tc filter add dev veth0 parent ffff: {everything}"),
    ]
    assert machine.take("DEL", before=before).status == 0
    seen = machine.see()
    assert {"host/qdisc veth0 tbf", "host/qdisc veth0 ingress"} <= seen.keys()
    assert machine.take().status == 1
    assert machine.see() == seen


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_discipline_that_takes_the_place_of_ours_stays(machine: Machine, is_gone: bool) -> None:
    """A "clsact" answers where an "ingress" is asked for, and its filters hang elsewhere."""
    none = dict.fromkeys(("egressRate", "egressBurst"), 0)
    before = [
        ("host", "tc qdisc add dev veth0 clsact"),
        ("host", "tc filter add dev veth0 egress protocol all prio 1 u32 match u32 0 0 flowid 1:9"),
    ]
    assert machine.take(change=none, before=before).status == 0
    assert machine.take("DEL", change=none, is_gone=is_gone).status == 0
    assert "host/qdisc veth0 clsact" in machine.see()
