"""What the command says of built-in plugins, and how they are chosen."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acni import netns
from acni.testing import RecordingPlugins

pytestmark = pytest.mark.netns

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def box() -> Iterator[netns.Namespace]:
    with netns.anonymous() as box:
        yield box


@pytest.fixture(autouse=True)
def network(conf_dir: Path) -> None:
    config = {"cniVersion": "1.1.0", "name": "local", "plugins": [{"type": "loopback"}]}
    (conf_dir / "50-local.conflist").write_text(json.dumps(config))


def test_an_attachment_by_a_built_in_from_add_to_del(acni: Run, box: netns.Namespace) -> None:
    added = acni("add", "local", box.path, "--container-id", "c1", "--verbose")
    assert added.returncode == 0, added.stderr
    assert "loopback     is built in: no executable in" in added.stderr
    assert json.loads(added.stdout)["ips"][0]["address"] == "127.0.0.1/8"
    (row,) = json.loads(acni("ls", "-o", "json").stdout)
    assert row["runners"] == ["builtin"]
    assert "builtin" in acni("ls").stdout
    assert '"runner":"builtin"' in acni("inspect", "c1").stdout
    for verb in ("check", "del"):
        done = acni(
            verb, "local", "--container-id", "c1", *(["--builtin"] if verb == "del" else [])
        )
        assert done.returncode == 0, done.stderr


def test_what_was_added_by_a_built_in_is_not_deleted_without(
    acni: Run, box: netns.Namespace
) -> None:
    assert acni("add", "local", box.path, "--container-id", "c1", "--builtin").returncode == 0
    assert acni("del", "local", "--container-id", "c1", "--no-builtin").returncode != 0
    assert acni("recover").returncode == 0
    assert json.loads(acni("ls", "-o", "json").stdout) == []


def test_rules_that_somebody_flushed_are_missed_and_put_back(
    acni: Run, box: netns.Namespace, conf_dir: Path, tmp_path: Path
) -> None:
    ipam = {"type": "host-local", "subnet": "10.9.0.0/24", "dataDir": str(tmp_path / "leases")}
    ptp = {"type": "ptp", "ipMasq": True, "ipam": ipam}
    config = {"cniVersion": "1.1.0", "name": "routed", "plugins": [ptp]}
    (conf_dir / "60-routed.conflist").write_text(json.dumps(config))
    added = acni("add", "routed", box.path, "--container-id", "c1", "--builtin")
    assert added.returncode == 0, added.stderr
    assert acni("status", "routed", "--builtin").returncode == 0
    nft = ["nft", "delete", "table", "inet", "acni"]
    subprocess.run(nft, check=True, timeout=30)
    status = acni("status", "routed", "--builtin")
    assert status.returncode == 1
    assert (
        "somebody took away what c1/eth0 had on this host, at least; acni recover" in status.stdout
    )
    recovered = acni("recover")
    assert recovered.stdout.split()[-4:] == ["c1", "eth0", "put", "back"]
    assert acni("status", "routed", "--builtin").returncode == 0
    subprocess.run(nft, check=True, timeout=30)
    without = acni("recover", "--no-builtin")
    assert (without.returncode, without.stdout) == (0, "")
    owners = "add map inet acni owners4 { type ipv4_addr : mark ; }"
    owner = "add element inet acni owners4 { 10.9.0.2 : 1 }"
    for command in ("add table inet acni", owners, owner):
        subprocess.run(["nft", command], check=True, timeout=30)
    refused = acni("recover")
    assert refused.returncode == 1
    assert "not put back: RESTORE failed with code 115: 10.9.0.2 belongs to" in refused.stdout
    assert acni("del", "routed", "--container-id", "c1").returncode == 0


def test_without_built_ins_there_is_nothing_to_run(acni: Run, box: netns.Namespace) -> None:
    refused = acni("add", "local", box.path, "--container-id", "c1", "--no-builtin")
    assert refused.returncode != 0
    assert "no executable in" in refused.stderr


def test_one_of_the_two_is_chosen_not_both(acni: Run, box: netns.Namespace) -> None:
    assert acni("add", "local", box.path, "--builtin", "--no-builtin").returncode == 2


def test_a_plan_names_what_keeps_a_built_in_from_adding(
    acni: Run, box: netns.Namespace, conf_dir: Path
) -> None:
    plugins = [{"type": "bridge"}, {"type": "firewall"}]
    config = {"cniVersion": "1.0.0", "name": "kept", "plugins": plugins}
    (conf_dir / "70-kept.conflist").write_text(json.dumps(config))
    planned = ["plan", "add", "kept", box.path, "--builtin"]
    assert acni(*planned).returncode == 0
    chain = "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }"
    for command in ("add table ip filter", chain):
        subprocess.run(["nft", command], check=True, timeout=30)
    done = acni(*planned, "-o", "json")
    subprocess.run(["nft", "delete", "table", "ip", "filter"], check=True, timeout=30)
    assert done.returncode == 1
    (obstacle,) = json.loads(done.stdout)["obstacles"]
    assert "the chain FORWARD of the table ip filter drops" in obstacle["msg"]
    assert obstacle["acni"]["plugin"] == "firewall"


def test_a_plan_says_what_is_built_in(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    planned = ["plan", "add", "local", box.path, "--container-id", "c1"]
    assert "binary       none, it is built in: no executable in" in acni(*planned).stdout
    (run,) = json.loads(acni(*planned, "-o", "json").stdout)["runs"]
    assert (run["binary"], run["runner"]) == (None, "builtin")
    shell = acni(*planned, "--shell", "--show-secrets")
    assert shell.returncode != 0
    assert "no shell can run it" in shell.stderr
    missing = acni(*planned, "--no-builtin", "-o", "json")
    assert json.loads(missing.stdout)["runs"][0]["runner"] is None
    plugins.install("loopback")
    (run,) = json.loads(acni(*planned, "-o", "json").stdout)["runs"]
    assert (run["binary"], run["runner"]) == (f"{plugins.directory}/loopback", "executable")


def test_a_plan_of_a_delete_goes_by_the_record(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    assert acni("add", "local", box.path, "--container-id", "c1").returncode == 0
    plugins.install("loopback")
    for verb in ("check", "del"):
        planned = acni("plan", verb, "local", "--container-id", "c1", "-o", "json")
        assert [run["runner"] for run in json.loads(planned.stdout)["runs"]] == ["builtin"]


def test_validate_says_what_is_built_in(acni: Run) -> None:
    assert "built in, supports 1.1.0" in acni("validate", "local").stdout
    (found,) = json.loads(acni("validate", "local", "-o", "json").stdout)
    assert (found["valid"], found["runners"]) == (True, {"loopback": "builtin"})
    assert acni("validate", "local", "--no-builtin").returncode != 0


def test_status_and_version_are_answered_by_built_ins(acni: Run) -> None:
    assert acni("status", "local").stdout.split()[-1] == "ready"
    assert "1.1.0" in acni("version", "loopback").stdout
    assert acni("version", "dhcp", "--builtin").returncode != 0
