"""Each error that the command can meet: its exit status, what a person is told, and the error
object of the specification for a machine.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acni import netns
from acni.testing import Behaviour, RecordingPlugins

pytestmark = pytest.mark.netns

Run = Callable[..., subprocess.CompletedProcess[str]]
Stage = Callable[["Scene"], None]


class Scene:
    """What a case needs to bring an error about."""

    def __init__(
        self, acni: Run, box: netns.Namespace, plugins: RecordingPlugins, tmp_path: Path
    ) -> None:
        self.acni, self.box, self.plugins, self.tmp_path = acni, box, plugins, tmp_path

    def add(self, container_id: str = "c1") -> None:
        added = self.acni("add", "net", self.box.path, "--container-id", container_id)
        assert added.returncode == 0, added.stderr

    def configure(self, name: str, document: dict[str, Any]) -> None:
        path = self.tmp_path / "net.d" / f"{name}.conflist"
        path.write_text(json.dumps({"name": name, "plugins": [{"type": "first"}]} | document))

    def change_record(self, **changes: Any) -> None:
        path = self.tmp_path / "state" / "results" / "net-c1-eth0"
        record = json.loads(path.read_text())
        record["acni"] |= changes
        path.write_text(json.dumps(record))

    def script(self, plugin_type: str, text: str) -> None:
        path = Path(self.plugins.directory) / plugin_type
        path.write_text(text)
        path.chmod(0o755)


def nothing(_: Scene) -> None:
    pass


def no_common_version(scene: Scene) -> None:
    scene.configure("future", {"cniVersion": "9.0.0"})


def attached(scene: Scene) -> None:
    scene.add()


def attached_elsewhere(scene: Scene) -> None:
    scene.add()
    scene.change_record(host_netns={"kind": "id", "id": "1"})


def attached_in_another_namespace(scene: Scene) -> None:
    scene.add()
    scene.change_record(netns={"kind": "id", "id": "1"})


def a_difference(scene: Scene) -> None:
    scene.add()
    scene.plugins.tell("first", "CHECK", Behaviour.failing(7, "gone"))


def no_interpreter(scene: Scene) -> None:
    scene.script("first", "#!/nowhere/interpreter\n")


def a_flood(scene: Scene) -> None:
    scene.plugins.tell("first", "ADD", Behaviour(stdout="x" * (2 << 20)))


def an_owed_delete(scene: Scene) -> None:
    scene.add()
    scene.plugins.tell("first", "DEL", Behaviour.failing(8, "busy"))


def a_shared_state_directory(scene: Scene) -> None:
    state = scene.tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)


def not_ready(scene: Scene) -> None:
    scene.configure("status", {"cniVersion": "1.1.0"})
    scene.plugins.tell("first", "STATUS", Behaviour.failing(50, "starting"))


def without_check(scene: Scene) -> None:
    scene.configure("old", {"cniVersion": "0.3.1"})
    assert scene.acni("add", "old", scene.box.path, "--container-id", "c1").returncode == 0


CASES = [
    pytest.param(nothing, "add net BOX --container-id ../x", "InvalidName", 2, id="bad name"),
    pytest.param(nothing, "add broken BOX", "ConfigError", 2, id="bad configuration"),
    pytest.param(no_common_version, "add future BOX", "VersionUnsupported", 2, id="no version"),
    pytest.param(without_check, "check --container-id c1", "VersionUnsupported", 2, id="no CHECK"),
    pytest.param(nothing, "add net BOX --plugin-dir /", "PluginNotFound", 2, id="no plugin"),
    pytest.param(attached, "add net BOX --container-id c1", "AttachmentExists", 2, id="twice"),
    pytest.param(attached, "add net BOX --container-id c2", "NetnsInUse", 2, id="taken"),
    pytest.param(attached_elsewhere, "del --container-id c1", "HostChanged", 2, id="other host"),
    pytest.param(nothing, "del --container-id c1", "AttachmentNotFound", 3, id="not attached"),
    pytest.param(nothing, "add absent BOX", "NetworkNotFound", 3, id="no network"),
    pytest.param(
        attached_in_another_namespace, "check --container-id c1", "NetnsChanged", 6, id="replaced"
    ),
    pytest.param(a_difference, "check --container-id c1", "CheckFailed", 6, id="a difference"),
    pytest.param(
        no_interpreter,
        "add net BOX --container-id c8 -i eth8",
        "PluginNotStarted",
        5,
        id="not started",
    ),
    pytest.param(a_flood, "add net BOX", "PluginOverflow", 1, id="a flood"),
    pytest.param(an_owed_delete, "del --container-id c1", "CleanupIncomplete", 5, id="owed"),
    pytest.param(a_shared_state_directory, "add net BOX", "StoreError", 1, id="shared state"),
    pytest.param(not_ready, "status status", "NotReady", 1, id="not ready"),
]


@pytest.mark.parametrize(("stage", "command", "error", "status"), CASES)
def test_an_error_has_its_exit_status_and_tells_a_person_and_a_machine(
    stage: Stage,
    command: str,
    error: str,
    status: int,
    acni: Run,
    box: netns.Namespace,
    plugins: RecordingPlugins,
    tmp_path: Path,
) -> None:
    stage(Scene(acni, box, plugins, tmp_path))
    words = command.replace("BOX", box.path).split()
    told = acni(*words)
    assert told.returncode == status
    assert told.stderr.startswith("acni: ") or error == "NotReady"
    assert "Traceback" not in told.stderr
    remedies = ("  expected  ", "  try       ", "expected ")
    assert any(remedy in told.stderr for remedy in remedies) or error == "NotReady"
    # What the first run left owed is another attachment's, in another interface.
    again = [{"c8": "c9", "eth8": "eth9"}.get(word, word) for word in words]
    document = json.loads(acni(*again, "-o", "json").stdout)
    if error == "NotReady":  # a verb over several networks: its answer is a table
        assert "starting" in json.dumps(document)
        return
    assert document["acni"]["error"] == error
    assert isinstance(document["code"], int)
    assert document["msg"]
    assert document["cniVersion"]
