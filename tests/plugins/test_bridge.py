"""bridge adds and deletes, and undoes what goes wrong, wherever it does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from acni.host import netns, visits
from acni.host.visits import Stranded
from acni.netlink.sockets import open_here
from acni.plugins import bridge, containerlinks
from acni.plugins.catalog import BUILT_IN
from acni.plugins.owners import Owner
from acni.skel import Bounds
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from acni.spec import Request
from acni.spec.attachment import AttachmentId
from tests.plugins.answering import Answer, ask_ours, ask_reference
from tests.plugins.hosts import Host, Seen
from tests.plugins.striking import Striking

pytestmark = pytest.mark.netns

IPAM: Mapping[str, Any] = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]],
}
CONFIG: Mapping[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "bridge",
    "isDefaultGateway": True,
    "hairpinMode": True,
    "mtu": 1400,
    "ipam": IPAM,
}


def beside_the_bridge(seen: Seen) -> Seen:
    """Leave out what stays: the bridge, and that the host forwards."""
    return {
        path: value for path, value in seen.items() if "cni0" not in path and "forward" not in path
    }


def test_a_container_reaches_its_gateway_and_its_neighbour_at_once(host: Host) -> None:
    """With both families: nothing that is sent first is lost while the kernel looks for others."""
    assert host.run("ADD", CONFIG).status == 0
    assert host.run("ADD", CONFIG, container="c2").status == 0
    for address in ("10.9.0.1", "10.9.0.3", "fd00:9::1", "fd00:9::3"):
        assert pings(host, "c1", address), address


def pings(host: Host, container: str, address: str) -> bool:
    command = ["ping", "-c", "1", "-W", "2", address]
    run = host.container(container).call(
        lambda: subprocess.run(command, capture_output=True, timeout=20, check=False)
    )
    return run.returncode == 0


@pytest.mark.rule("P9")
def test_a_result_tells_the_bridge_both_ends_and_what_the_container_got(host: Host) -> None:
    told = host.run("ADD", CONFIG).printed
    assert told["cniVersion"] == "1.1.0"
    assert [one["name"] for one in told["interfaces"]] == [
        "cni0",
        Owner("net", AttachmentId("c1")).link_name,
        "eth0",
    ]
    assert told["interfaces"][2]["sandbox"] == host.container("c1").path
    assert told["interfaces"][2]["mac"] == "0a:58:0a:09:00:02"
    assert [ip["interface"] for ip in told["ips"]] == [2, 2]


def test_the_bridge_of_one_family_keeps_its_address_and_refuses_another(host: Host) -> None:
    first, other = (
        {**CONFIG, "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}}
        for subnet in ("10.9.0.0/24", "10.9.0.0/16")
    )
    for container in ("c1", "c2"):
        assert host.run("ADD", first, container=container).status == 0
        assert pings(host, container, "10.9.0.1")
    answer = host.run("ADD", {**other, "name": "wide"}, container="c3")
    assert answer.printed["reason"] == "gateway-differs"
    assert "10.9.0.1/24, not 10.9.0.1/16" in answer.printed["msg"]


def test_newer_keys_are_done(host: Host) -> None:
    """1.1.1 knows neither of them."""
    config = {"cniVersion": "1.0.0", "name": "net", "type": "bridge"}
    host.run("ADD", {**config, "portIsolation": True})
    host.run("ADD", {**config, "disableContainerInterface": True}, container="c2")
    seen = host.see()
    assert seen["c1/link eth0/flags"] == ["BROADCAST", "MULTICAST", "UP"]
    assert seen["c2/link eth0/flags"] == ["BROADCAST", "MULTICAST"]
    ports = host.ip("-j", "-d", "link", "show", "master", "cni0")
    isolated = {one["ifalias"]: one["linkinfo"]["info_slave_data"]["isolated"] for one in ports}
    assert isolated == {"acni net c1 eth0": True, "acni net c2 eth0": False}


def test_a_route_has_all_that_is_said_of_it(host: Host) -> None:
    route = {"dst": "10.20.0.0/16", "mtu": 1300, "advmss": 1260, "priority": 5, "table": 77}
    ipam = {"type": "static", "addresses": [{"address": "10.9.0.7/24"}], "routes": [route]}
    told = host.run("ADD", {**CONFIG, "ipam": ipam}).printed
    assert route in told["routes"]
    (seen,) = host.ip("-j", "route", "show", "table", "77", inside="c1")
    assert (seen["dst"], seen["gateway"], seen["metric"]) == ("10.20.0.0/16", "10.9.0.1", 5)
    assert seen["metrics"] == [{"mtu": 1300, "advmss": 1260}]


@pytest.mark.rule("P3")
@pytest.mark.parametrize("previous", [True, False])
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_delete_leaves_the_bridge_alone(host: Host, previous: bool, is_gone: bool) -> None:
    host.container("c1")
    before = host.see()
    host.run("ADD", CONFIG)
    for _ in range(2):
        assert host.run("DEL", CONFIG, previous=previous, is_gone=is_gone).status == 0
        assert beside_the_bridge(host.see()) == beside_the_bridge(before)
        assert host.leases() == []
    assert host.run("ADD", CONFIG).status == 0


@pytest.mark.rule("P3")
def test_a_delete_does_what_it_can_with_a_configuration_that_was_refused(host: Host) -> None:
    host.run("ADD", CONFIG)
    for config in ({**CONFIG, "ipMasq": True, "mtu": "x"}, {**CONFIG, "ipam": 5, "bridge": []}):
        assert host.run("DEL", config).status == 0
        assert host.links() == ["lo", "cni0"]


def test_a_delete_leaves_what_is_somebody_elses(host: Host) -> None:
    """An interface of that name that is no port's other end, and one of another network."""
    host.container("c2")
    host.ip("link", "add", "veth9", "type", "veth", "peer", "name", "tmp0")
    pid_path = host.container("c1").path
    host.ip("link", "set", "tmp0", "name", "eth0", "netns", pid_path)
    host.run("ADD", {**CONFIG, "name": "other"}, container="c2")
    assert host.run("DEL", CONFIG).status == 0
    assert host.run("DEL", CONFIG, container="c2").status == 0
    assert "eth0" in host.links(inside="c1")
    assert "eth0" in host.links(inside="c2")


def test_a_link_of_our_name_with_another_ones_mark_stays(host: Host) -> None:
    name = Owner("net", AttachmentId("c1")).link_name
    host.ip("link", "add", name, "type", "veth", "peer", "name", "far0")
    host.ip("link", "set", name, "alias", "acni net c2 eth0")
    answer = host.run("ADD", CONFIG)
    assert (answer.printed["code"], answer.printed["reason"]) == (4, "interface-exists")
    assert host.run("DEL", CONFIG).status == 0
    assert name in host.links()


@pytest.mark.rule("P1")
def test_an_attachment_that_is_there_is_not_added_and_not_touched(host: Host) -> None:
    config = {"cniVersion": "1.1.0", "name": "net", "type": "bridge"}
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
    striking = Striking(CONFIG, tmp_path, monkeypatch, beside_the_bridge)
    assert striking.at_each_message(after=after) > 8


def test_a_thread_that_cannot_come_back_from_a_container_undoes_nothing_there(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the index of the host's end is another link's. The runtime undoes the ADD, by another
    thread.
    """
    for index in range(3, 9):
        host.ip("link", "add", f"b{index}", "index", str(index), "type", "bridge", inside="c1")

    real = visits.visit

    def visit(fd: int, function: Callable[[], object], *, path: str) -> object:
        if function is open_here:  # it is asked what is there
            return real(fd, function, path=path)
        netns.enter(fd, path)
        raise Stranded(path)

    before = host.links(inside="c1")
    with monkeypatch.context() as patch:
        patch.setattr(containerlinks, "visit", visit)
        answer = host.run("ADD", CONFIG)
    assert (answer.status, answer.printed["code"]) == (1, 11)
    assert sorted(host.links(inside="c1")) == sorted([*before, "eth0"])
    assert host.run("DEL", CONFIG).status == 0
    assert host.links() == ["lo", "cni0"]
    assert host.leases() == []


def test_wherever_it_is_stopped_an_add_leaves_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Striking(CONFIG, tmp_path, monkeypatch, beside_the_bridge).at_each_question() > 4


@pytest.mark.parametrize(
    ("who", "takes"), [("reference", "ours"), ("ours", "reference")], ids=["theirs", "ours"]
)
@pytest.mark.parametrize("previous", [True, False])
def test_what_one_added_the_other_deletes(host: Host, who: str, takes: str, previous: bool) -> None:
    """bridge and host-local, with one directory of leases."""
    asks = {"reference": ask_reference, "ours": ask_ours}
    config = {**CONFIG, "cniVersion": "1.0.0"}
    host.container("c1")
    host.container("c2")
    before = host.see()
    host.run("ADD", config, ask=asks[who])
    host.run("ADD", config, container="c2", ask=asks[takes])
    for container in ("c1", "c2"):
        checked = host.run("CHECK", config, container=container, previous=True, ask=asks["ours"])
        assert checked.status == 0, checked
    assert host.run("DEL", config, previous=previous, ask=asks[takes]).status == 0
    assert host.run("DEL", config, container="c2", previous=previous, ask=asks[who]).status == 0
    assert beside_the_bridge(host.see()) == beside_the_bridge(before)
    assert host.leases() == []


def test_many_come_at_once_to_a_host_without_a_bridge(host: Host) -> None:
    names = [f"c{number}" for number in range(12)]
    for name in names:
        host.container(name)
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda name: host.run("ADD", CONFIG, container=name), names))
    assert [answer.status for answer in answers] == [0] * 12, answers
    assert len({address for answer in answers for address in answer.addresses}) == 24
    told = {answer.printed["interfaces"][0]["mac"] for answer in answers}
    assert len(told) == 1
    with ThreadPoolExecutor(6) as threads:
        gone = list(threads.map(lambda name: host.run("DEL", CONFIG, container=name), names))
    assert [answer.status for answer in gone] == [0] * 12
    assert host.links() == ["lo", "cni0"]


def test_a_bridge_that_is_full_says_so_and_one_that_is_nearly_full_warns(host: Host) -> None:
    config = {"cniVersion": "1.1.0", "name": "net", "type": "bridge"}
    host.ip("link", "add", "cni0", "type", "bridge")
    fill(host, 817)
    assert stderr_of(host, config, "c1") == ""
    assert "has 819 ports or more" in stderr_of(host, config, "c2")
    fill(host, 1023 - 819, first=817)
    answer = host.run("ADD", {**config, "ipam": IPAM}, container="c3")
    assert (answer.printed["code"], answer.printed["reason"]) == (102, "bridge-full")
    assert host.links(inside="c3") == ["lo"]
    assert host.leases() == []


def fill(host: Host, count: int, *, first: int = 0) -> None:
    """Give the bridge so many ports: tap devices, which are made quickly."""

    def make() -> None:
        numbers: Sequence[int] = range(first, first + count)
        adds = (f"tuntap add t{n} mode tap\nlink set t{n} master cni0\n" for n in numbers)
        batch = "".join(adds).encode()
        subprocess.run(["ip", "-batch", "-"], input=batch, check=True, timeout=50)

    host.namespace.call(make)


def stderr_of(host: Host, config: Mapping[str, Any], container: str) -> str:
    said: list[str] = []

    def ask(plugin: str, request: Request) -> Answer:
        response = respond(
            BUILT_IN[plugin],
            request,
            bounds=Bounds(time.monotonic() + 60),
            delegates=Delegates(built_in=BUILT_IN),
        )
        said.append(response.stderr.decode())
        return Answer(response.status, {})

    assert host.run("ADD", config, container=container, ask=ask).status == 0
    return said[0]


def test_it_is_among_the_built_in_plugins() -> None:
    assert BUILT_IN["bridge"] is bridge.VERBS


def test_two_bridges_do_not_share_a_network(host: Host) -> None:
    assert host.run("ADD", CONFIG).status == 0
    answer = host.run("ADD", {**CONFIG, "name": "other", "bridge": "cni1"}, container="c2")
    assert (answer.printed["code"], answer.printed["reason"]) == (106, "networks-overlap")
    assert host.links(inside="c2") == ["lo"]
    again = host.run("ADD", CONFIG, container="c3")
    assert again.status == 0
