"""``--trace FILE``, on every verb that may run a plugin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acni import netns
from acni.cli.parser import build_parser
from acni.cli.words import Verb, walk
from acni.testing import Behaviour, RecordingPlugins
from tests.observe.drawing import Drawing, read, small_disk

pytestmark = pytest.mark.netns

Run = Callable[..., subprocess.CompletedProcess[str]]

VERBS = [verb for verb in walk(build_parser(), "acni").all_verbs() if not verb.verbs]


def has_flag(verb: Verb, flag: str) -> bool:
    return any(flag in word.flags for word in verb.flags)


def test_what_may_run_a_plugin_or_settle_what_is_owed_can_be_traced() -> None:
    traced = {" ".join(verb.path[1:]) for verb in VERBS if has_flag(verb, "--trace")}
    running = {" ".join(verb.path[1:]) for verb in VERBS if has_flag(verb, "--plugin-dir")}
    # The ADDs of a race run in processes of their own.
    assert traced == (running - {"plan", "bench race"}) | {"debt forget", "demo"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "trace.json"


@pytest.fixture
def traced(acni: Run, file: Path) -> Callable[..., Drawing]:
    """Run a verb, traced, and read what that draws."""

    def run(*arguments: str, status: int = 0) -> Drawing:
        done = acni(*arguments, "--trace", str(file))
        assert done.returncode == status, done.stderr
        return read(file)

    return run


def test_every_verb_draws_what_it_ran(
    traced: Callable[..., Drawing], box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    def drawn(*arguments: str, lane: str = "c1", status: int = 0) -> dict[str, list[str]]:
        lanes = traced(*arguments, status=status).lanes
        return {one.name: one.names() for one in lanes[lane]}

    by_id = ("--container-id", "c1")
    assert drawn("add", "net", box.path, *by_id) == {"add": ["ADD first", "ADD second"]}
    assert drawn("check", *by_id) == {"check": ["CHECK first", "CHECK second"]}
    plugins.tell("first", "DEL", Behaviour.failing())
    assert drawn("del", *by_id, status=5) == {
        "delete": ["DEL second", "DEL first", "debt recorded"]
    }
    assert drawn("debt", "retry", status=5)["settle"][0] == "DEL first"
    plugins.tell("first", "DEL", Behaviour())
    assert drawn("recover") == {"recover": ["DEL first", "debt settled"]}
    plugins.tell("first", "DEL", Behaviour.failing())
    assert set(drawn("add", "net", box.path, *by_id)) == {"add"}
    assert set(drawn("del", *by_id, status=5)) == {"delete"}
    forgotten = drawn("debt", "forget", *by_id, "--reason", "it is new")
    assert forgotten == {"forget": ["debt forgotten"]}
    assert drawn("gc", "net", "--all", lane="network net") == {"gc": ["GC finished"]}
    assert "gc" in drawn("gc", "net", "--all", "--dry-run", lane="network net")
    assert drawn("status", "net", lane="network net") == {"status": []}
    validated = ["VERSION first", "VERSION second"]
    assert drawn("validate", "net", lane="network net") == {"validate": validated}
    assert drawn("version", "first", lane="the runtime") == {"version": ["VERSION first"]}


def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing" / "trace.json")
    refused = acni("add", "net", box.path, "--trace", missing)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"acni: trace: {missing} cannot be written: No such file")
    assert acni("add", "net", box.path, "--trace", "/dev/full", "-o", "json").returncode == 2
    assert plugins.calls == []
    assert not (tmp_path / "state").exists()


def test_one_that_takes_no_more_is_said_aside_and_the_status_is_the_verb_s(
    acni: Run, box: netns.Namespace, conf_dir: Path, plugins: RecordingPlugins, tmp_path: Path
) -> None:
    many = ",".join(['{"type":"first"}'] * 20)
    (conf_dir / "30-long.conflist").write_text(
        f'{{"cniVersion":"1.0.0","name":"long","plugins":[{many}]}}'
    )
    small = tmp_path / "small"
    file = small / "trace.json"
    with small_disk(small):
        added = acni("add", "long", box.path, "--container-id", "c1", "--trace", str(file))
        assert read(file, died=True).all("plugin")
    assert added.returncode == 0
    assert added.stderr == f"the trace {file} is not whole: No space left on device\n"
    assert '"ips"' in added.stdout
    assert len(plugins.calls) == 20


@contextmanager
def in_its_second_plugin(
    environment: dict[str, str], box: netns.Namespace, plugins: RecordingPlugins, file: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A traced ADD whose second plugin hangs."""
    plugins.tell("second", "ADD", Behaviour(seconds=60))
    argv = [sys.executable, "-m", "acni", "add", "net", box.path, "--trace", str(file)]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL) as command:
        deadline = time.monotonic() + 200
        while not file.exists() or "ADD second" not in file.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield command


def test_of_a_command_that_is_killed_what_was_under_way_is_drawn(
    environment: dict[str, str], box: netns.Namespace, plugins: RecordingPlugins, file: Path
) -> None:
    with in_its_second_plugin(environment, box, plugins, file) as command:
        command.send_signal(signal.SIGKILL)
    (added,) = next(iter(read(file, died=True).lanes.values()))
    assert (added.names(), added.ended) == (["ADD first", "ADD second"], None)


def test_of_one_that_is_interrupted_the_undo_is_drawn(
    environment: dict[str, str], box: netns.Namespace, plugins: RecordingPlugins, file: Path
) -> None:
    with in_its_second_plugin(environment, box, plugins, file) as command:
        command.send_signal(signal.SIGTERM)
        assert command.wait(200) == 143
    (added,) = next(iter(read(file).lanes.values()))
    assert added.names() == ["ADD first", "ADD second", "rollback"]
    assert added.inside[2].names() == ["DEL second", "DEL first"]


def test_the_demonstration_draws_its_pods(
    environment: dict[str, str], file: Path, tmp_path: Path
) -> None:
    argv = [sys.executable, "-m", "acni", "demo"]
    done = subprocess.run(
        [*argv, "--trace", "trace.json"],
        env={**environment, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
        cwd=tmp_path,
        capture_output=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(read(file).lanes) == ["pod-a", "pod-b", "pod-c", "the runtime"]
