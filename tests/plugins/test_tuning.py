"""tuning changes, puts back, and undoes what goes wrong, wherever it does."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from acni.netlink.settings import read_sysctl
from acni.netlink.wire import KernelWire
from acni.plugins.tuning import VERBS, make_verbs
from acni.skel import Bounds, Stopped, Verbs
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from acni.spec.plugin import Response
from tests.plugins.answering import Answer, ask_ours, ask_reference, valid
from tests.plugins.chained import Case, Machine, look_at_tuning
from tests.plugins.hosts import ASKED_MAC, host_of
from tests.skel.asking import bounds, request

pytestmark = pytest.mark.netns

ALL: Mapping[str, Any] = {
    "mac": ASKED_MAC,
    "promisc": True,
    "mtu": 1400,
    "allmulti": True,
    "txQLen": 77,
    "sysctl": {"net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.log_martians": "1"},
}
CASE = Case(config=ALL, pairs=(("c1", "eth0"), ("c1", "net1")))
VALID = "cni.dev/valid-attachments"
SOMAXCONN = "c1/setting core/somaxconn"


def upkeep(machine: Machine, verb: str, **members: Any) -> Answer:
    config = {"cniVersion": "1.1.0", "name": "net", "type": "tuning", **ALL}
    return machine.host.run(verb, {**config, "dataDir": str(data_of(machine)), **members})


def data_of(machine: Machine) -> Path:
    return machine.host.data_dir / "data"


def files(machine: Machine) -> list[str]:
    return sorted(path.name for path in data_of(machine).glob("*"))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with host_of(ask_ours, tmp_path) as host:
        yield Machine(host, "tuning", CASE, look_at_tuning)


@pytest.mark.rule("P2", "P3", "P12")
def test_what_an_add_changes_a_delete_puts_back_and_again(machine: Machine) -> None:
    before = machine.see()
    told = machine.take().printed
    assert told["interfaces"][1]["mac"] == ASKED_MAC
    assert told["ips"] == machine.results["c1", "eth0"]["ips"]
    seen = machine.see()
    assert seen[SOMAXCONN] == ["500"]
    assert seen["c1/setting ipv4/conf/eth0/log_martians"] == ["1"]
    assert {"PROMISC", "ALLMULTI"} <= set(seen["c1/link eth0/flags"])
    assert (seen["c1/link eth0/mtu"], seen["c1/link eth0/qlen"]) == (1400, 77)
    assert machine.take("CHECK").status == 0
    for _ in range(2):
        assert machine.take("DEL").status == 0
        assert machine.see() == before
        assert files(machine) == []


def test_settings_are_those_of_the_container_and_never_the_machines(machine: Machine) -> None:
    def look() -> str:
        return read_sysctl("core/somaxconn")

    here, on_host = look(), machine.host.namespace.call(look)
    machine.take()
    assert (look(), machine.host.namespace.call(look)) == (here, on_host)
    assert machine.host.container("c1").call(look) == "500"


@pytest.mark.rule("P3")
@pytest.mark.parametrize("is_gone", [True, False])
@pytest.mark.parametrize("has_previous", [True, False])
def test_where_the_namespace_or_its_interface_is_gone_only_the_file_goes(
    machine: Machine, has_previous: bool, is_gone: bool
) -> None:
    """Another one may have its path by then."""
    machine.take()
    be_gone(machine, "c1_eth0.json")
    assert machine.take("DEL", is_gone=is_gone, has_previous=has_previous).status == 0
    assert files(machine) == []
    seen = machine.see()
    assert (seen[SOMAXCONN], seen["c1/link eth0/mtu"]) == (["500"], 1400)
    machine.take("ADD", ifname="net1")
    before = [("c1", "ip link del net1")]
    assert machine.take("DEL", ifname="net1", before=before).status == 0
    assert files(machine) == []


@pytest.mark.rule("P3")
def test_without_its_path_a_namespace_that_lives_is_found_and_put_back(machine: Machine) -> None:
    """So an ADD is undone whose interface was there before."""
    before = machine.see()
    for ifname in ("eth0", "net1"):
        machine.take(ifname=ifname)
    for ifname in ("eth0", "net1"):
        assert machine.take("DEL", ifname=ifname, is_gone=True).status == 0
    assert (machine.see(), files(machine)) == (before, [])


def test_what_another_namespace_held_holds_nothing(machine: Machine) -> None:
    before = machine.see()
    machine.take(change={"sysctl": {"net.core.somaxconn": "300"}})
    be_gone(machine, "c1_eth0.json")
    machine.take(ifname="net1")
    written = json.loads((data_of(machine) / "c1_net1.json").read_text())
    assert written["acni"]["sysctl"]["core/somaxconn"] == "300"
    assert machine.take("DEL", ifname="net1").status == 0
    assert machine.see()[SOMAXCONN] == ["300"] != before[SOMAXCONN]


@pytest.mark.parametrize("ifname", ["eth0", "net1"])
def test_an_add_that_fails_leaves_what_an_earlier_one_changed(
    machine: Machine, ifname: str
) -> None:
    before = machine.see()
    machine.take()
    seen, written = machine.see(), (data_of(machine) / "c1_eth0.json").read_bytes()
    change = {"mtu": 60, "sysctl": {"net.core.somaxconn": "300"}}
    assert machine.take(ifname=ifname, change=change).status == 1
    assert (machine.see(), files(machine)) == (seen, ["c1_eth0.json"])
    assert (data_of(machine) / "c1_eth0.json").read_bytes() == written
    assert machine.take("DEL").status == 0
    assert machine.see() == before


@pytest.mark.rule("P3")
def test_no_file_leads_to_the_namespace_of_the_plugin_itself(machine: Machine) -> None:
    machine.take()
    path = data_of(machine) / "c1_eth0.json"
    said = json.loads(path.read_text())
    said["acni"] |= {"netns": machine.host.namespace.path, "sysctl": {"core/somaxconn": "300"}}
    here, there = (one.identity() for one in (machine.host.namespace, machine.host.container("c1")))
    said["acni"]["namespace"] = said["acni"]["namespace"].replace(there.id, here.id)
    path.write_text(json.dumps(said))
    before = machine.host.namespace.call(lambda: read_sysctl("core/somaxconn"))
    assert machine.take("DEL", is_gone=True).status == 0
    assert machine.host.namespace.call(lambda: read_sysctl("core/somaxconn")) == before


def be_gone(machine: Machine, name: str) -> None:
    """Let the namespace of a file be one that is no more."""
    path = data_of(machine) / name
    said = json.loads(path.read_text())
    said["acni"]["namespace"] += "0"
    path.write_text(json.dumps(said))


def test_what_the_reference_changed_is_put_back_and_the_other_way_round(machine: Machine) -> None:
    before = machine.see()
    of_interface = {path for path in before if path.startswith("c1/link eth0")}
    assert machine.theirs("ADD").status == 0
    assert machine.take("DEL").status == 0
    assert {path: machine.see()[path] for path in of_interface - {"c1/link eth0/qlen"}} == {
        path: before[path] for path in of_interface - {"c1/link eth0/qlen"}
    }
    assert files(machine) == []
    assert machine.take().status == 0
    assert machine.theirs("DEL").status == 0
    seen = machine.see()
    # 1.1.1 knows no txQLen, and none puts settings back.
    assert {path for path in of_interface if seen[path] != before[path]} == {"c1/link eth0/qlen"}
    assert files(machine) == []


def test_a_setting_of_two_interfaces_goes_with_the_last_of_them(machine: Machine) -> None:
    before = machine.see()
    for first, last in (("eth0", "net1"), ("net1", "eth0")):
        for ifname in ("eth0", "net1"):
            assert machine.take(ifname=ifname).status == 0
        assert machine.take("DEL", ifname=first).status == 0
        assert machine.see()[SOMAXCONN] == ["500"]
        assert machine.take("CHECK", ifname=last).status == 0
        assert machine.take("DEL", ifname=last).status == 0
        assert machine.see() == before


def test_two_of_them_in_one_chain_are_put_back_together(machine: Machine) -> None:
    before = machine.see()
    none = dict.fromkeys(ALL)
    for change in ({"mtu": 1400}, {"mtu": 1300, "promisc": True}):
        assert machine.take(change={**none, **change}).status == 0
    for change in ({"mtu": 1300, "promisc": True}, {"mtu": 1400}):
        assert machine.take("DEL", change={**none, **change}).status == 0
    assert machine.see() == before


def test_a_file_of_another_attachment_is_left(machine: Machine) -> None:
    data_of(machine).mkdir(parents=True)
    ours = {"network": "net", "containerID": "c1_eth0", "ifname": "x", "sysctl": {}}
    ours |= {"containerID": "c", "ifname": "1_eth0"}
    path = data_of(machine) / "c1_eth0.json"
    path.write_text(json.dumps({"mtu": 1300, "acni": ours}))
    before = machine.see()
    assert machine.take().printed["reason"] == "backup-of-another"
    assert machine.take("DEL").status == 0
    assert machine.see() == before
    assert files(machine) == ["c1_eth0.json"]


@pytest.mark.parametrize("error", [errno.ENOBUFS, errno.EPERM])
def test_an_add_that_fails_at_any_message_leaves_nothing(
    machine: Machine, error: int, monkeypatch: pytest.MonkeyPatch
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

    for count in range(1, 20):
        left = count
        with monkeypatch.context() as patch:
            patch.setattr(KernelWire, "send", failing)
            answer = machine.take()
        if left > 0:
            assert answer.status == 0
            assert count > 5
            return
        assert answer.status == 1
        assert (machine.see(), files(machine)) == (before, [])
    pytest.fail("it never came to an end")


@pytest.mark.parametrize("last", ["net.ipv4.nothing", "net.ipv4.conf.IFNAME.arp_ignore"])
def test_an_add_whose_last_setting_is_refused_leaves_nothing(machine: Machine, last: str) -> None:
    before = machine.see()
    change = {"sysctl": {"net.core.somaxconn": "500", last: "x"}}
    assert machine.take(change=change).printed["code"] == 5
    assert (machine.see(), files(machine)) == (before, [])


def test_an_add_that_is_stopped_between_its_steps_leaves_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = machine.see()

    def check(_: Bounds) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Bounds, "check", check)
        with pytest.raises(Stopped):
            machine.take()
    assert (machine.see(), files(machine)) == (before, [])


def test_what_the_kernel_refuses_to_put_back_is_told_and_the_rest_goes_on(
    machine: Machine,
) -> None:
    machine.take()
    path = data_of(machine) / "c1_eth0.json"
    said = json.loads(path.read_text())
    said["mtu"] = 2_000_000
    said["acni"]["sysctl"]["core/somaxconn"] = "many"
    path.write_text(json.dumps(said))
    response = answered(VERBS, "DEL", machine, ALL)
    assert response.status == 0
    lines = response.stderr.decode().splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["not put back", "net/core/somaxconn"],
        ["not put back", "the mtu of eth0"],
    ]
    assert machine.see()["c1/link eth0/qlen"] == 1000
    assert files(machine) == []


def test_an_interface_that_is_gone_is_nothing_to_tell_of(machine: Machine) -> None:
    machine.take()
    machine.host.ip("link", "del", "eth0", inside="c1")
    response = answered(VERBS, "DEL", machine, ALL)
    assert (response.status, response.stderr, files(machine)) == (0, b"", [])


def answered(verbs: Verbs, verb: str, machine: Machine, config: Mapping[str, Any]) -> Response:
    members = {
        **config,
        "dataDir": str(data_of(machine)),
        "prevResult": machine.results["c1", "eth0"],
    }
    members["cniVersion"] = "1.1.0"
    asked = request(verb, members, NETNS=machine.host.container("c1").path)
    run = partial(respond, verbs, asked, bounds=bounds(), delegates=Delegates())
    return machine.host.namespace.call(run)


def test_only_what_the_administrator_allows_is_set(machine: Machine, tmp_path: Path) -> None:
    allow_list = tmp_path / "allowlist.conf"
    allow_list.write_text("^net\\.core\\.somaxconn$\n")
    verbs = make_verbs(str(allow_list))
    before = machine.see()
    for verb, code in (("ADD", 108), ("STATUS", 50)):
        said = json.loads(answered(verbs, verb, machine, ALL).stdout)
        assert (said["code"], said["reason"]) == (code, "sysctl-not-allowed")
    assert machine.see() == before
    allowed = {"sysctl": {"net.core.somaxconn": "500"}}
    for verb in ("STATUS", "ADD", "DEL"):
        assert answered(verbs, verb, machine, allowed).status == 0


@pytest.mark.rule("P4")
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("ip link set eth0 mtu 1300", "interface-differs"),
        ("ip link set eth0 address 02:00:00:00:00:09", "interface-differs"),
        ("ip link set eth0 promisc off", "interface-differs"),
        ("ip link set eth0 allmulticast off", "interface-differs"),
        ("ip link set eth0 txqueuelen 7", "interface-differs"),
        ("sysctl -qw net.core.somaxconn=300", "sysctl-differs"),
        ("sysctl -qw net.ipv4.conf.eth0.log_martians=0", "sysctl-differs"),
    ],
)
def test_check_finds_what_is_not_as_it_was_left(
    machine: Machine, command: str, reason: str
) -> None:
    machine.take()
    answer = machine.take("CHECK", before=[("c1", command)])
    assert (answer.printed["code"], answer.printed["reason"]) == (105, reason)


@pytest.mark.rule("P4")
def test_check_finds_that_the_interface_is_gone(machine: Machine) -> None:
    none = {**dict.fromkeys(ALL), "mtu": 1400}
    machine.take(change=none)
    answer = machine.take("CHECK", change=none, before=[("c1", "ip link del eth0")])
    assert (answer.printed["code"], answer.printed["reason"]) == (105, "interface-missing")


@pytest.mark.rule("P4")
def test_check_finds_that_what_was_before_is_not_written_down(machine: Machine) -> None:
    machine.take()
    path = data_of(machine) / "c1_eth0.json"
    be_gone(machine, path.name)
    for break_it in (lambda: path.write_text("torn"), path.unlink):
        answer = machine.take("CHECK")
        assert (answer.printed["code"], answer.printed["reason"]) == (105, "backup-missing")
        break_it()
    assert machine.take("CHECK").printed["reason"] == "backup-missing"
    assert machine.take("CHECK", change=dict.fromkeys(ALL)).status == 0


@pytest.mark.rule("P4")
def test_check_finds_what_the_reference_wrote_down(machine: Machine) -> None:
    change = {"sysctl": None, "txQLen": None}
    machine.take("ADD", ask=ask_reference, change=change)
    assert machine.take("CHECK", change=change).status == 0


@pytest.mark.rule("P6")
def test_gc_removes_files_of_what_is_not_valid(machine: Machine) -> None:
    machine.take()
    machine.take(ifname="net1")
    seen = machine.host.see()
    assert upkeep(machine, "GC").status == 1
    assert files(machine) == ["c1_eth0.json", "c1_net1.json"]
    assert upkeep(machine, "GC", **valid("c1")).status == 0
    # It is all that is known of what was before, in a namespace that lives.
    assert files(machine) == ["c1_eth0.json", "c1_net1.json"]
    be_gone(machine, "c1_net1.json")
    assert upkeep(machine, "GC", **valid("c1")).status == 0
    assert files(machine) == ["c1_eth0.json"]
    be_gone(machine, "c1_eth0.json")
    for _ in range(2):
        assert upkeep(machine, "GC", **{VALID: []}).status == 0
        assert files(machine) == []
    assert machine.host.see() == seen


@pytest.mark.rule("P5")
def test_status_says_where_nothing_can_be_written_down(machine: Machine, tmp_path: Path) -> None:
    assert upkeep(machine, "STATUS").status == 0
    assert files(machine) == []
    (tmp_path / "file").touch()
    answer = upkeep(machine, "STATUS", dataDir=str(tmp_path / "file"))
    assert (answer.printed["code"], answer.printed["reason"]) == (50, "data-dir-not-writable")
    none = {**dict.fromkeys(ALL), "dataDir": str(tmp_path / "file")}
    assert upkeep(machine, "STATUS", **none).status == 0
