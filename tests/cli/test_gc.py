"""``acni gc``: what stays must be said, and what became of the rest is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import acni as library
from acni import netns
from acni.testing import Behaviour, RecordingPlugins

pytestmark = pytest.mark.netns

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def attached(acni: Run, conf_dir: Path) -> Iterator[None]:
    """Containers c1 and c2, attached to a network that knows GC."""
    path = conf_dir / "10-net.conflist"
    path.write_text(path.read_text().replace('"1.0.0"', '"1.1.0"'))
    with netns.anonymous() as first, netns.anonymous() as second:
        for container, box in (("c1", first), ("c2", second)):
            added = acni("add", "net", box.path, "--container-id", container)
            assert added.returncode == 0
        yield


def rows(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    return [line.split(maxsplit=2) for line in done.stdout.splitlines()[1:]]


def listed(acni: Run) -> list[str]:
    return [row["container_id"] for row in json.loads(acni("ls", "-o", "json").stdout)]


@pytest.mark.usefixtures("attached")
def test_what_is_not_kept_is_deleted_and_the_plugins_collect(
    acni: Run, plugins: RecordingPlugins
) -> None:
    dry = acni("gc", "net", "--keep", "c1", "--keep", "c9/eth7", "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "")
    assert rows(dry) == [["c2", "eth0", "would be deleted"], ["c1", "eth0", "kept"]]
    assert listed(acni) == ["c1", "c2"]
    done = acni("gc", "net", "--keep", "c1", "--keep", "c9/eth7")
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(done) == [["c2", "eth0", "deleted"], ["c1", "eth0", "kept"]]
    assert listed(acni) == ["c1"]
    assert [str(call) for call in plugins.calls[-4:]] == [
        *("DEL second", "DEL first", "GC first", "GC second")
    ]
    assert plugins.calls[-1].config["cni.dev/valid-attachments"] == [
        {"containerID": "c1", "ifname": "eth0"},
        {"containerID": "c9", "ifname": "eth7"},
    ]
    document = json.loads(acni("gc", "net", "--all", "-o", "json").stdout)
    assert document == [
        {
            "network": "net",
            "dry_run": False,
            "deleted": [{"container_id": "c1", "ifname": "eth0"}],
            "kept": [],
            "skipped": [],
            "unreadable": [],
            "failures": [],
        }
    ]
    nothing = acni("gc", "net", "--all")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "")
    assert plugins.held == set()


@pytest.mark.usefixtures("attached")
def test_what_stays_may_be_read_from_a_file(acni: Run, tmp_path: Path) -> None:
    names = tmp_path / "alive"
    names.write_text("# from the database\n\n  c1/eth0\n")
    dry = acni("gc", "net", "--keep-from", str(names), "--dry-run", "-o", "jsonl")
    document = json.loads(dry.stdout)
    assert document["dry_run"] is True
    assert [one["container_id"] for one in document["deleted"]] == ["c2"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param((), "one of the arguments --keep --keep-from --all is required", id="nothing"),
        pytest.param(("--all", "--keep", "c1"), "not allowed with", id="two of them"),
        pytest.param(("--keep", ""), "--keep", id="an empty name"),
        pytest.param(("--keep", "c1/"), "--keep", id="an empty interface"),
        pytest.param(("--keep", "../c1"), "--keep", id="no name"),
        pytest.param(("--keep-from", "EMPTY"), "--all if nothing stays", id="an empty file"),
        pytest.param(("--keep-from", "BAD"), "--keep-from", id="a file with rubbish"),
        pytest.param(("--keep-from", "LATIN"), "cannot be read", id="a file that is no text"),
        pytest.param(("--keep-from", "/nowhere"), "cannot be read", id="no file"),
    ],
)
@pytest.mark.usefixtures("attached")
def test_what_does_not_say_what_stays_is_refused_and_nothing_is_deleted(
    arguments: tuple[str, ...], text: str, acni: Run, tmp_path: Path
) -> None:
    """An empty list may be one that was never written."""
    (tmp_path / "EMPTY").write_text("# nothing\n")
    (tmp_path / "BAD").write_text("c1 eth0\n")
    (tmp_path / "LATIN").write_bytes(b"\xff")
    places = {name: str(tmp_path / name) for name in ("EMPTY", "BAD", "LATIN")}
    refused = acni("gc", "net", *(places.get(word, word) for word in arguments))
    assert refused.returncode == 2
    assert text in refused.stderr
    assert "Traceback" not in refused.stderr
    assert listed(acni) == ["c1", "c2"]


@pytest.mark.usefixtures("attached")
def test_what_fails_is_told_and_what_is_owed_gives_the_exit_status(
    acni: Run, plugins: RecordingPlugins
) -> None:
    plugins.tell("first", "GC", Behaviour.failing(msg="no leases"))
    failed = acni("gc", "net", "--keep", "c1", "--keep", "c2")
    assert failed.returncode == 1
    assert ["failed: plugin first: GC failed with code 999: no leases"] in [
        [line.strip()] for line in failed.stdout.splitlines()
    ]
    plugins.tell("second", "DEL", Behaviour.failing(msg="in use"))
    failed = acni("gc", "net", "--keep", "c1", "-o", "json")
    assert failed.returncode == 5
    (document,) = json.loads(failed.stdout)
    errors = [failure["acni"]["error"] for failure in document["failures"]]
    assert errors == ["CleanupIncomplete", "PluginFailed"]
    assert json.loads(acni("debt", "list", "-o", "json").stdout)[0]["container_id"] == "c2"


@pytest.mark.usefixtures("attached")
def test_another_writers_attachment_is_collected_where_it_is_meant(
    acni: Run, environment: dict[str, str]
) -> None:
    path = Path(environment["ACNI_STATE_DIR"]) / "results" / "net-c1-eth0"
    record = json.loads(path.read_text())
    del record["acni"]
    path.write_text(json.dumps(record))
    (path.parent / "net-torn").write_text("torn")
    done = acni("gc", "net", "--keep", "c2")
    assert rows(done) == [
        ["c2", "eth0", "kept"],
        ["c1", "eth0", "skipped: another writer's"],
        ["unreadable:", "results/net-torn"],
    ]
    assert rows(acni("gc", "net", "--keep", "c2", "--foreign"))[0] == ["c1", "eth0", "deleted"]


@pytest.mark.usefixtures("attached")
@pytest.mark.anyio
async def test_it_works_beside_a_service(acni: Run, environment: dict[str, str]) -> None:
    async with library.open_runtime(state_dir=environment["ACNI_STATE_DIR"]) as service:
        dry = acni("gc", "net", "--all", "--dry-run")
        assert (dry.returncode, len(rows(dry))) == (0, 2)
        assert len(await service.attachments()) == 2
        assert acni("gc", "net", "--all").returncode == 0
        assert await service.attachments() == ()


def test_a_network_that_is_not_there_is_not_found(acni: Run) -> None:
    assert acni("gc", "other", "--all").returncode == 3
