"""macvlan adds and deletes, and undoes what goes wrong, wherever it does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from acni.netlink.stacked import MacvlanMode, Upper
from acni.plugins import macvlan
from acni.plugins.catalog import BUILT_IN
from acni.plugins.macvlan import parse_settings
from acni.plugins.owners import Owner
from acni.skel import PluginError
from acni.spec.attachment import AttachmentId
from tests.plugins.answering import ask_ours, ask_reference, valid
from tests.plugins.calling import make_call
from tests.plugins.hosts import Host, Seen, host_of
from tests.plugins.striking import Striking

pytestmark = pytest.mark.netns

MAC = "c2:11:22:33:44:55"
CONFIG: Mapping[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "macvlan",
    "master": "low0",
    "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"},
}
PLAIN = {key: value for key, value in CONFIG.items() if key != "ipam"}


def make_low(host: Host) -> None:
    """Make the link below, and a container that has the other end."""
    host.ip("link", "add", "low0", "type", "veth", "peer", "name", "eth0", "netns", far(host))
    host.ip("link", "set", "low0", "up")
    host.ip("link", "set", "eth0", "up", inside="far")
    host.ip("address", "add", "10.9.0.1/24", "dev", "eth0", inside="far")


def far(host: Host) -> str:
    return host.container("far").path


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with host_of(ask_ours, tmp_path / "leases") as made:
        make_low(made)
        yield made


def without_promiscuity(seen: Seen) -> Seen:
    """Leave out what the kernel counts on the link below."""
    return {path: value for path, value in seen.items() if "promiscuity" not in path}


def pings(host: Host, container: str, address: str) -> bool:
    command = ["ping", "-c", "1", "-W", "2", address]
    run = host.container(container).call(
        lambda: subprocess.run(command, capture_output=True, timeout=20, check=False)
    )
    return run.returncode == 0


@pytest.mark.parametrize(("mode", "reaches"), [("bridge", True), ("private", False)])
def test_a_container_reaches_the_wire_and_in_a_bridge_its_neighbour(
    host: Host, mode: str, reaches: bool
) -> None:
    for container in ("c1", "c2"):
        assert host.run("ADD", {**CONFIG, "mode": mode}, container=container).status == 0
    assert pings(host, "c1", "10.9.0.1")
    assert pings(host, "c1", "10.9.0.3") is reaches


@pytest.mark.rule("P9")
def test_a_result_tells_the_interface_and_what_the_container_got(host: Host) -> None:
    told = host.run("ADD", {**CONFIG, "runtimeConfig": {"mac": MAC}}).printed
    path = host.container("c1").path
    assert told["interfaces"] == [{"name": "eth0", "mac": MAC, "sandbox": path}]
    assert [ip["interface"] for ip in told["ips"]] == [0]
    (seen,) = host.ip("-j", "link", "show", "eth0", inside="c1")
    assert (seen["address"], seen["ifalias"]) == (MAC, "acni net c1 eth0")


def test_newer_keys_are_done(host: Host) -> None:
    """1.1.1 knows neither of them."""
    inside = host.container("c1").path
    host.ip("link", "add", "low1", "type", "veth", "peer", "name", "far1", "netns", inside)
    host.ip("link", "set", "low1", "netns", inside)
    host.ip("link", "set", "low1", "up", inside="c1")
    config = {**CONFIG, "master": "low1", "linkInContainer": True, "bcqueuelen": 77}
    assert host.run("ADD", config).status == 0
    (seen,) = host.ip("-j", "-d", "link", "show", "eth0", inside="c1")
    assert (seen["link"], seen["linkinfo"]["info_data"]["bcqueuelen"]) == ("low1", 77)
    assert host.run("CHECK", config, previous=True).status == 0
    assert host.run("STATUS", config).status == 0
    assert host.run("DEL", config).status == 0
    assert "eth0" not in host.links(inside="c1")


def test_without_a_master_it_lies_on_the_link_of_the_preferred_default_route(host: Host) -> None:
    host.ip("link", "add", "low1", "type", "veth", "peer", "name", "far1")
    for name, address, metric in (
        ("low1", "192.0.2.7/24", "100"),
        ("low0", "198.51.100.7/24", "9"),
    ):
        host.ip("link", "set", name, "up")
        host.ip("address", "add", address, "dev", name)
        gateway = address.replace(".7/24", ".1")
        host.ip("route", "add", "default", "via", gateway, "metric", metric)
    config = {key: value for key, value in CONFIG.items() if key != "master"}
    for container in ("c1", "c2"):
        assert host.run("ADD", config, container=container).status == 0
    assert pings(host, "c1", "10.9.0.1")
    assert host.run("DEL", config).status == 0
    assert host.links(inside="c1") == ["lo"]


@pytest.mark.rule("P3")
@pytest.mark.parametrize("previous", [True, False])
def test_a_delete_leaves_nothing(host: Host, previous: bool) -> None:
    host.container("c1")
    before = host.see()
    host.run("ADD", CONFIG)
    for _ in range(2):
        assert host.run("DEL", CONFIG, previous=previous).status == 0
        assert without_promiscuity(host.see()) == without_promiscuity(before)
        assert host.leases() == []
    assert host.run("ADD", CONFIG).status == 0


@pytest.mark.rule("P3")
def test_a_delete_finds_its_link_under_another_name(host: Host) -> None:
    host.run("ADD", CONFIG)
    host.ip("link", "set", "eth0", "down", inside="c1")
    host.ip("link", "set", "eth0", "name", "other0", inside="c1")
    assert host.run("DEL", {**CONFIG, "master": "low9", "mode": 5}).status == 0
    assert host.links(inside="c1") == ["lo"]


@pytest.mark.rule("P3")
def test_a_delete_finds_what_an_add_that_was_killed_has_made(host: Host) -> None:
    name = Owner("net", AttachmentId("c1")).link_name
    inside = host.container("c1").path
    host.ip("link", "add", "link", "low0", "name", name, "netns", inside, "type", "macvlan")
    assert host.run("DEL", CONFIG).status == 0
    assert host.links(inside="c1") == ["lo"]


def test_a_delete_leaves_what_is_somebody_elses(host: Host) -> None:
    """An interface of that name on another link, and that of another network."""
    host.ip("link", "add", "low1", "type", "veth", "peer", "name", "far1")
    inside = host.container("c1").path
    host.ip("link", "add", "link", "low1", "name", "eth0", "netns", inside, "type", "macvlan")
    host.run("ADD", {**CONFIG, "name": "other"}, container="c2")
    for container in ("c1", "c2"):
        assert host.run("DEL", CONFIG, container=container).status == 0
        assert "eth0" in host.links(inside=container)


@pytest.mark.rule("P1")
def test_an_attachment_that_is_there_is_not_added_and_not_touched(host: Host) -> None:
    host.run("ADD", PLAIN)
    before = host.see()
    answer = host.run("ADD", PLAIN)
    assert (answer.printed["code"], answer.printed["reason"]) == (4, "interface-exists")
    assert host.see() == before


@pytest.mark.parametrize("after", [False, True], ids=["unheeded", "heeded"])
def test_whatever_the_kernel_does_not_take_an_add_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    striking = Striking(CONFIG, tmp_path, monkeypatch, without_promiscuity, make_low)
    assert striking.at_each_message(after=after) > 3


def test_wherever_it_is_stopped_an_add_leaves_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    striking = Striking(CONFIG, tmp_path, monkeypatch, without_promiscuity, make_low)
    assert striking.at_each_question() > 2


@pytest.mark.parametrize(
    ("who", "takes"), [("reference", "ours"), ("ours", "reference")], ids=["theirs", "ours"]
)
@pytest.mark.parametrize("previous", [True, False])
def test_what_one_added_the_other_deletes(host: Host, who: str, takes: str, previous: bool) -> None:
    """macvlan and host-local, with one directory of leases."""
    asks = {"reference": ask_reference, "ours": ask_ours}
    config = {**CONFIG, "cniVersion": "1.0.0"}
    host.run("ADD", config, ask=asks[who])
    checked = host.run("CHECK", config, previous=True, ask=asks["ours"])
    assert checked.status == 0, checked
    assert host.run("DEL", config, previous=previous, ask=asks[takes]).status == 0
    assert host.links(inside="c1") == ["lo"]
    assert host.leases() == []


def test_what_the_reference_made_is_found_by_its_result_where_the_link_below_has_another_name(
    host: Host,
) -> None:
    host.run("ADD", {**CONFIG, "cniVersion": "1.0.0"}, ask=ask_reference)
    host.ip("link", "set", "low0", "down")
    host.ip("link", "set", "low0", "name", "old0")
    assert host.run("DEL", CONFIG).status == 0
    assert "eth0" in host.links(inside="c1")
    assert host.run("DEL", CONFIG, previous=True).status == 0
    assert host.links(inside="c1") == ["lo"]


@pytest.mark.rule("P4")
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("link set eth0 down", "interface-down"),
        ("link set eth0 address c2:00:00:00:00:01", "mac-differs"),
        ("link set eth0 type macvlan mode private", "mode-differs"),
        ("address del 10.9.0.2/24 dev eth0", "address-missing"),
        ("link del eth0", "interface-missing"),
    ],
)
def test_check_finds_what_somebody_changed(host: Host, command: str, reason: str) -> None:
    host.run("ADD", CONFIG)
    assert host.run("CHECK", CONFIG, previous=True).status == 0
    host.ip(*command.split(), inside="c1")
    answer = host.run("CHECK", CONFIG, previous=True)
    assert (answer.printed["code"], answer.printed["reason"]) == (105, reason)


@pytest.mark.rule("P6")
def test_gc_frees_the_leases_of_no_valid_attachment(host: Host) -> None:
    for container in ("c1", "c2"):
        host.run("ADD", CONFIG, container=container)
    assert host.run("GC", {**CONFIG, **valid("c1")}).status == 0
    assert host.leases() == ["10.9.0.2"]
    assert host.run("GC", {**PLAIN, **valid("c1")}).status == 0


@pytest.mark.rule("P5")
def test_status_says_whether_an_add_would_find_the_link_below(host: Host) -> None:
    before = host.see()
    assert host.run("STATUS", CONFIG).status == 0
    assert host.run("STATUS", PLAIN).status == 0
    assert host.see() == before
    answer = host.run("STATUS", {**CONFIG, "master": "low9"})
    assert (answer.printed["code"], answer.printed["reason"]) == (50, "no-master")
    answer = host.run("STATUS", {**CONFIG, "ipam": {"type": "host-local", "subnet": "10.9.0.0/31"}})
    assert answer.status == 1


def test_a_hardware_address_of_the_runtime_comes_first() -> None:
    config = {"mac": "c2:00:00:00:00:01", "runtimeConfig": {"mac": MAC}}
    args = {"MAC": "c2:00:00:00:00:02"}
    asked = (make_call(config, args=args), make_call({"mac": config["mac"]}, args=args))
    macs = [settings.mac for settings in map(parse_settings, asked)]
    assert macs == [bytes.fromhex("c21122334455"), bytes.fromhex("c20000000002")]


@pytest.mark.rule("P11")
@pytest.mark.parametrize(
    ("config", "code", "place"),
    [
        ({"mode": "fast"}, 7, "$.mode"),
        ({"mode": 4}, 7, "$.mode"),
        ({"master": "a/b"}, 7, "$.master"),
        ({"mtu": -1}, 7, "$.mtu"),
        ({"bcqueuelen": -1}, 7, "$.bcqueuelen"),
        ({"linkInContainer": "yes"}, 7, "$.linkInContainer"),
        ({"mode": "passthru", "mac": MAC}, 2, "$.mode"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(config: Mapping[str, Any], code: int, place: str) -> None:
    with pytest.raises(PluginError) as raised:
        parse_settings(make_call(config))
    assert raised.value.code == code
    assert raised.value.msg.endswith(place)


def test_each_mode_has_its_number() -> None:
    modes = {"": 4, "bridge": 4, "private": 1, "vepa": 2, "passthru": 8}
    for name, number in modes.items():
        settings = parse_settings(make_call({"mode": name}))
        assert settings.mode == MacvlanMode(number)
        upper = Upper(name="a", lower=1)
        assert settings.make(upper) == parse_settings(make_call({"mode": name})).make(upper)


def test_it_is_among_the_built_in_plugins() -> None:
    assert BUILT_IN["macvlan"] is macvlan.VERBS
