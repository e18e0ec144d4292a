"""ptp adds and deletes, and undoes what goes wrong, wherever it does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from acni.host import netns, visits
from acni.host.visits import Stranded
from acni.netlink.sockets import open_here
from acni.plugins import containerlinks, ptp
from acni.plugins.catalog import BUILT_IN
from acni.plugins.owners import Owner
from acni.spec.attachment import AttachmentId
from tests.plugins.answering import ask_ours, ask_reference, valid
from tests.plugins.hosts import Host, Seen
from tests.plugins.striking import Striking

pytestmark = pytest.mark.netns

ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
RANGES = [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]]
CONFIG: Mapping[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "ptp",
    "mtu": 1400,
    "ipam": {"type": "host-local", "ranges": RANGES, "routes": ROUTES},
}
VALID = "cni.dev/valid-attachments"


def beside_forwarding(seen: Seen) -> Seen:
    """Leave out what stays: that the host forwards."""
    return {path: value for path, value in seen.items() if "forward" not in path}


def pings(host: Host, container: str, address: str) -> bool:
    command = ["ping", "-c", "1", "-W", "2", address]
    run = host.container(container).call(
        lambda: subprocess.run(command, capture_output=True, timeout=20, check=False)
    )
    return run.returncode == 0


def test_a_container_reaches_its_gateway_and_its_neighbour_at_once(host: Host) -> None:
    """With both families: nothing that is sent first is lost while the kernel looks for others."""
    assert host.run("ADD", CONFIG).status == 0
    assert host.run("ADD", CONFIG, container="c2").status == 0
    for address in ("10.9.0.1", "10.9.0.3", "fd00:9::1", "fd00:9::3"):
        assert pings(host, "c1", address), address


def test_containers_share_no_wire(host: Host) -> None:
    """What one asks of all on its link no other hears: its neighbour is behind the gateway."""
    for container in ("c1", "c2"):
        host.run("ADD", CONFIG, container=container)
    assert pings(host, "c1", "10.9.0.3")
    neighbours = {one["dst"] for one in host.ip("-j", "-4", "neigh", inside="c1")}
    assert neighbours == {"10.9.0.1"}


@pytest.mark.rule("P2", "P11")
def test_an_mtu_that_is_too_small_for_an_address_is_refused_and_leaves_nothing(host: Host) -> None:
    host.container("c1")
    before = host.see()
    told = host.run("ADD", {**CONFIG, "mtu": 1279}).printed
    assert (told["code"], told["msg"]) == (7, "1279 is too small for IPv6 at $.mtu")
    assert host.see() == before
    assert host.run("ADD", {**CONFIG, "mtu": 1280}).status == 0
    only = {"type": "host-local", "ranges": RANGES[:1]}
    assert host.run("ADD", {**CONFIG, "mtu": 1279, "ipam": only}, container="c2").status == 0


@pytest.mark.rule("P9")
def test_a_result_tells_both_ends_and_what_the_container_got(host: Host) -> None:
    told = host.run("ADD", CONFIG).printed
    assert told["cniVersion"] == "1.1.0"
    names = [one["name"] for one in told["interfaces"]]
    assert names == [Owner("net", AttachmentId("c1")).link_name, "eth0"]
    assert told["interfaces"][1]["sandbox"] == host.container("c1").path
    assert [ip["interface"] for ip in told["ips"]] == [1, 1]


@pytest.mark.rule("P2")
def test_what_an_earlier_plugin_made_stands_behind_it(host: Host) -> None:
    ips = [{"address": "192.0.2.7/24", "interface": 0}]
    previous = {"interfaces": [{"name": "tap0"}], "ips": ips}
    told = host.run("ADD", {**CONFIG, "prevResult": previous}).printed
    assert [one["name"] for one in told["interfaces"]][1:] == ["eth0", "tap0"]
    assert [ip["interface"] for ip in told["ips"]] == [1, 1, 2]


def test_a_route_has_all_that_is_said_of_it(host: Host) -> None:
    route = {"dst": "10.20.0.0/16", "mtu": 1300, "advmss": 1260, "priority": 5, "table": 77}
    address = {"address": "10.9.0.7/24", "gateway": "10.9.0.1"}
    ipam = {"type": "static", "addresses": [address], "routes": [route]}
    assert route in host.run("ADD", {**CONFIG, "ipam": ipam}).printed["routes"]
    (seen,) = host.ip("-j", "route", "show", "table", "77", inside="c1")
    assert (seen["dst"], seen["gateway"], seen["metric"]) == ("10.20.0.0/16", "10.9.0.1", 5)
    assert seen["metrics"] == [{"mtu": 1300, "advmss": 1260}]


@pytest.mark.rule("P3")
@pytest.mark.parametrize("previous", [True, False])
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_delete_leaves_nothing(host: Host, previous: bool, is_gone: bool) -> None:
    host.container("c1")
    before = host.see()
    host.run("ADD", CONFIG)
    for _ in range(2):
        assert host.run("DEL", CONFIG, previous=previous, is_gone=is_gone).status == 0
        assert beside_forwarding(host.see()) == beside_forwarding(before)
        assert host.leases() == []
    assert host.run("ADD", CONFIG).status == 0


@pytest.mark.rule("P3")
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_delete_finds_the_hosts_end_under_another_name(host: Host, is_gone: bool) -> None:
    host.run("ADD", CONFIG)
    host.ip("link", "set", Owner("net", AttachmentId("c1")).link_name, "name", "other0")
    assert host.run("DEL", CONFIG, is_gone=is_gone).status == 0
    assert host.links() == ["lo"]


@pytest.mark.rule("P3")
def test_a_delete_does_what_it_can_with_a_configuration_that_was_refused(host: Host) -> None:
    for config in ({**CONFIG, "ipMasq": True, "mtu": "x"}, {**CONFIG, "ipam": 5}):
        host.run("ADD", {**CONFIG, "ipam": {**CONFIG["ipam"], "ranges": RANGES[:1], "routes": []}})
        assert host.run("DEL", config).status == 0
        assert host.links() == ["lo"]
        host.run("DEL", CONFIG)


@pytest.mark.parametrize("ipam_type", ["ptp", "bridge", "macvlan"])
def test_a_plugin_that_gives_no_addresses_is_refused(host: Host, ipam_type: str) -> None:
    host.container("c1")
    before = host.see()
    config = {**CONFIG, "ipam": {"type": ipam_type}, "linkInContainer": True, "master": "lo"}
    del config["mtu"]
    told = host.run("ADD", config).printed
    assert told["code"] == 7
    assert f"{ipam_type} of $.ipam.type" in told["msg"]
    assert host.run("DEL", config).status == 0
    assert host.run("STATUS", config).printed["code"] in (7, 50)
    assert host.see() == before


def test_a_delete_leaves_what_is_somebody_elses(host: Host) -> None:
    """A bridge's port, and the pair of another network."""
    host.ip("link", "add", "br0", "type", "bridge")
    host.ip("link", "add", "veth9", "master", "br0", "type", "veth", "peer", "name", "tmp0")
    host.ip("link", "set", "tmp0", "name", "eth0", "netns", host.container("c1").path)
    host.run("ADD", {**CONFIG, "name": "other"}, container="c2")
    for container in ("c1", "c2"):
        assert host.run("DEL", CONFIG, container=container).status == 0
        assert "eth0" in host.links(inside=container)


@pytest.mark.rule("P1")
def test_an_attachment_that_is_there_is_not_added_and_not_touched(host: Host) -> None:
    address = {"address": "10.9.0.7/24", "gateway": "10.9.0.1"}
    config = {**CONFIG, "ipam": {"type": "static", "addresses": [address]}}
    host.run("ADD", config)
    before = host.see()
    answer = host.run("ADD", config)
    assert (answer.printed["code"], answer.printed["reason"]) == (4, "interface-exists")
    assert host.see() == before


@pytest.mark.rule("P1")
def test_a_second_add_does_not_give_away_the_address_of_the_first(host: Host) -> None:
    """Whether the link is found before IPAM is asked, or has other names by now."""
    config = {**CONFIG, "ipam": {"type": "host-local", "subnet": "10.9.0.0/30"}}
    host.run("ADD", config)
    answer = host.run("ADD", config)
    assert (answer.printed["code"], answer.printed["reason"]) == (4, "interface-exists")
    host.ip("link", "set", Owner("net", AttachmentId("c1")).link_name, "name", "other0")
    host.ip("link", "set", "eth0", "down", inside="c1")
    host.ip("link", "set", "eth0", "name", "other0", inside="c1")
    assert host.run("ADD", config).printed["reason"] == "already-allocated"
    assert host.leases() == ["10.9.0.2"]
    answer = host.run("ADD", config, container="c2")
    assert answer.printed["reason"] == "addresses-exhausted"


@pytest.mark.parametrize("after", [False, True], ids=["unheeded", "heeded"])
def test_whatever_the_kernel_does_not_take_an_add_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    striking = Striking(CONFIG, tmp_path, monkeypatch, beside_forwarding)
    assert striking.at_each_message(after=after) > 3


def test_wherever_it_is_stopped_an_add_leaves_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Striking(CONFIG, tmp_path, monkeypatch, beside_forwarding).at_each_question() > 3


def test_a_thread_that_cannot_come_back_from_a_container_undoes_nothing_there(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the index of the host's end is another link's."""
    host.ip("link", "add", "b2", "index", "2", "type", "bridge", inside="c1")

    real = visits.visit

    def visit(fd: int, function: Callable[[], object], *, path: str) -> object:
        if function is open_here:  # it is asked what is there
            return real(fd, function, path=path)
        netns.enter(fd, path)
        raise Stranded(path)

    with monkeypatch.context() as patch:
        patch.setattr(containerlinks, "visit", visit)
        answer = host.run("ADD", CONFIG)
    assert (answer.status, answer.printed["code"]) == (1, 11)
    assert sorted(host.links(inside="c1")) == ["b2", "eth0", "lo"]
    assert host.run("DEL", CONFIG).status == 0
    assert (host.links(), host.leases()) == (["lo"], [])


@pytest.mark.parametrize(
    ("who", "takes"), [("reference", "ours"), ("ours", "reference")], ids=["theirs", "ours"]
)
@pytest.mark.parametrize("previous", [True, False])
def test_what_one_added_the_other_deletes(host: Host, who: str, takes: str, previous: bool) -> None:
    """ptp and host-local, with one directory of leases."""
    asks = {"reference": ask_reference, "ours": ask_ours}
    config = {**CONFIG, "cniVersion": "1.0.0"}
    host.container("c1")
    before = host.see()
    host.run("ADD", config, ask=asks[who])
    checked = host.run("CHECK", config, previous=True, ask=asks["ours"])
    assert checked.status == 0, checked
    assert host.run("DEL", config, previous=previous, ask=asks[takes]).status == 0
    assert beside_forwarding(host.see()) == beside_forwarding(before)
    assert host.leases() == []


def test_what_the_reference_made_is_found_by_its_result_alone(host: Host) -> None:
    """The interface has another name by now, so the container does not lead there."""
    host.run("ADD", {**CONFIG, "cniVersion": "1.0.0"}, ask=ask_reference)
    host.ip("link", "set", "eth0", "down", inside="c1")
    host.ip("link", "set", "eth0", "name", "old0", inside="c1")
    assert host.run("DEL", CONFIG).status == 0
    assert len(host.links()) == 2
    assert host.run("DEL", CONFIG, previous=True).status == 0
    assert len(host.links()) == 1


@pytest.mark.rule("P3")
@pytest.mark.parametrize("is_gone", [True, False])
@pytest.mark.parametrize(
    ("before", "inside"),
    [(["veth9"], []), (["veth9"], ["net0"]), (["veth9", "tap0"], ["eth0"])],
    ids=["nothing inside", "another interface", "not directly before"],
)
def test_a_delete_leaves_what_another_plugin_tells_of(
    host: Host, before: Sequence[str], inside: Sequence[str], is_gone: bool
) -> None:
    host.container("c1")
    told = told_pair(host, "c2", before, inside)
    for _ in range(2):
        assert host.run("DEL", {**CONFIG, "prevResult": told}, is_gone=is_gone).status == 0
        assert "veth9" in host.links()


@pytest.mark.rule("P3")
def test_a_delete_leaves_what_leads_into_another_container(host: Host) -> None:
    """Though the result has it where the host's end stands."""
    host.container("c1")
    told = told_pair(host, "c2", ["veth9"], ["eth0"])
    assert host.run("DEL", {**CONFIG, "prevResult": told}).status == 0
    assert "veth9" in host.links()


@pytest.mark.rule("P3")
def test_a_second_delete_takes_nothing_of_an_earlier_plugin(host: Host) -> None:
    told = told_pair(host, "c1", ["veth9"], ["net0"])
    host.run("ADD", {**CONFIG, "prevResult": told})
    for _ in range(2):
        assert host.run("DEL", CONFIG, previous=True, is_gone=True).status == 0
        assert host.links() == ["lo", "veth9"]


def told_pair(
    host: Host, container: str, before: Sequence[str], inside: Sequence[str]
) -> Mapping[str, Any]:
    """Make the pair of another plugin into a container, and the result that tells of it."""
    peer = ("peer", "name", "net0", "netns", host.container(container).path)
    host.ip("link", "add", "veth9", "type", "veth", *peer)
    (link,) = host.ip("-j", "link", "show", "veth9")
    return {
        "interfaces": [
            *({"name": name, "mac": link["address"]} for name in before),
            *({"name": name, "sandbox": host.container("c1").path} for name in inside),
        ]
    }


@pytest.mark.rule("P6")
def test_gc_removes_what_is_not_valid_and_leaves_the_rest(host: Host) -> None:
    for container in ("c1", "c2"):
        host.run("ADD", CONFIG, container=container)
    host.run("ADD", {**CONFIG, "cniVersion": "1.0.0"}, container="c3", ask=ask_reference)
    for _ in range(2):
        answer = host.run("GC", {**CONFIG, **valid("c1", "c3")})
        assert (answer.status, answer.printed) == (0, {}), answer
        assert host.links(inside="c1") == ["lo", "eth0"]
        assert host.links(inside="c2") == ["lo"]
        assert host.links(inside="c3") == ["lo", "eth0"]
        assert host.leases() == ["10.9.0.2", "10.9.0.4", "fd00:9::2", "fd00:9::4"]


@pytest.mark.rule("P5")
def test_status_is_content_where_an_add_would_succeed_and_makes_nothing(host: Host) -> None:
    before = host.see()
    assert host.run("STATUS", CONFIG).status == 0
    assert host.see() == before


@pytest.mark.rule("P5")
def test_status_says_what_the_address_plugin_says(host: Host) -> None:
    config = {**CONFIG, "ipam": {"type": "host-local", "subnet": "10.9.0.0/30"}}
    host.run("ADD", config)
    answer = host.run("STATUS", config)
    assert (answer.printed["code"], answer.printed["reason"]) == (50, "addresses-exhausted")


def test_it_is_among_the_built_in_plugins() -> None:
    assert BUILT_IN["ptp"] is ptp.VERBS
