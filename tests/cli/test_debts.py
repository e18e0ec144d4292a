"""``acni debt list``, ``retry`` and ``forget``."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from acni import netns
from acni.testing import Behaviour, RecordingPlugins

pytestmark = pytest.mark.netns

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def owed(acni: Run, box: netns.Namespace, plugins: RecordingPlugins) -> None:
    """Containers c1 and c2 whose first plugin still holds something."""
    plugins.tell("first", "DEL", Behaviour.failing(msg="still in use"))
    for container, ifname in (("c1", "eth0"), ("c2", "eth1")):
        words = ("--container-id", container, "-i", ifname)
        assert acni("add", "net", box.path, *words).returncode == 0
        assert acni("del", *words).returncode == 5


def owing(acni: Run) -> list[str]:
    return [row["container_id"] for row in json.loads(acni("debt", "list", "-o", "json").stdout)]


@pytest.mark.usefixtures("owed")
def test_what_is_owed_is_listed(acni: Run) -> None:
    table = acni("debt", "list").stdout.splitlines()
    assert table[0].split() == ["NETWORK", "CONTAINER", "IFNAME", "PLUGIN", "CAUSE"]
    assert table[1].split()[:4] == ["net", "c1", "eth0", "first"]
    assert "still in use" in table[1]
    rows = list(map(json.loads, acni("debt", "list", "-o", "jsonl").stdout.splitlines()))
    assert [(row["container_id"], row["plugin"]) for row in rows] == [
        ("c1", "first"),
        ("c2", "first"),
    ]


@pytest.mark.usefixtures("owed")
def test_all_or_one_is_tried_again(acni: Run, plugins: RecordingPlugins) -> None:
    again = acni("debt", "retry", "-o", "jsonl")
    assert again.returncode == 5
    rows = list(map(json.loads, again.stdout.splitlines()))
    assert [(row["container_id"], row["settled"]) for row in rows] == [("c1", False), ("c2", False)]
    assert rows[0]["error"]["acni"]["error"] == "CleanupIncomplete"
    plugins.tell("first", "DEL", Behaviour())
    one = acni("debt", "retry", "--container-id", "c2")
    assert one.returncode == 0
    assert one.stdout.splitlines()[1].split() == ["net", "c2", "eth1", "first", "settled"]
    assert owing(acni) == ["c1"]
    assert acni("debt", "retry", "-i", "eth7").returncode == 3
    assert acni("debt", "retry").returncode == 0
    assert owing(acni) == []
    assert plugins.held == set()
    assert acni("debt", "retry").returncode == 0


@pytest.mark.usefixtures("owed")
def test_one_is_forgotten_by_a_person_s_word(acni: Run, plugins: RecordingPlugins) -> None:
    before = len(plugins.calls)
    assert acni("debt", "forget", "--container-id", "c1").returncode == 2
    assert acni("debt", "forget", "--reason", "gone").returncode == 2
    forgotten = acni("debt", "forget", "--container-id", "c1", "--reason", "node replaced")
    assert forgotten.returncode == 0
    assert "c1/eth0" in forgotten.stderr
    assert owing(acni) == ["c2"]
    assert len(plugins.calls) == before
    again = acni("debt", "forget", "--container-id", "c1", "--reason", "node replaced")
    assert again.returncode == 3


def test_nothing_is_owed_where_there_is_no_state_directory(acni: Run, tmp_path: Path) -> None:
    listed = acni("debt", "list", "-o", "json")
    assert (listed.returncode, listed.stdout) == (0, "[]\n")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("words", [("--container-id", "../x"), ("-i", "a/b")])
def test_a_bad_name_is_refused(words: tuple[str, ...], acni: Run) -> None:
    refused = acni("debt", "retry", *words)
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
