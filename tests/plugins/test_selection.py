"""Which of two runs a plugin."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from acni.errors import PluginNotFound
from acni.plugins.builtins import BuiltIns
from acni.plugins.selection import ExecutablesFirst
from acni.spec.names import PluginType
from acni.spec.plugin import Caps
from acni.testing import Behaviour, RecordingPlugins
from tests.plugins.test_builtins import only
from tests.skel.asking import request

pytestmark = pytest.mark.usefixtures("no_plugin_thread_left")

PROBE = PluginType("probe")


@pytest.fixture
def plugins(tmp_path: Path) -> RecordingPlugins:
    plugins = RecordingPlugins(tmp_path)
    plugins.install()
    return plugins


@pytest.fixture
def runner() -> Iterator[ExecutablesFirst]:
    with ExecutablesFirst(built_ins=only(lambda _: None)) as runner:
        yield runner


def test_an_executable_is_taken_first(runner: ExecutablesFirst, plugins: RecordingPlugins) -> None:
    plugins.install("probe")
    found = runner.find(PROBE, [plugins.directory])
    assert (found.runner, found.replaces) == ("executable", "")


def test_a_built_in_is_taken_where_there_is_none_and_says_why(
    runner: ExecutablesFirst, plugins: RecordingPlugins
) -> None:
    found = runner.find(PROBE, [plugins.directory])
    assert (found.runner, found.replaces) == ("builtin", f"no executable in {plugins.directory}")


def test_what_is_neither_is_not_found_where_executables_are_looked_for(
    runner: ExecutablesFirst, plugins: RecordingPlugins
) -> None:
    with pytest.raises(PluginNotFound, match="no executable in"):
        runner.find(PluginType("absent"), [plugins.directory])


@pytest.mark.parametrize("is_installed", [False, True])
def test_what_was_added_by_a_kind_is_found_of_that_kind_only(
    runner: ExecutablesFirst, plugins: RecordingPlugins, *, is_installed: bool
) -> None:
    if is_installed:
        plugins.install("probe")
    found = runner.find(PROBE, [plugins.directory], added_by="builtin")
    assert (found.runner, found.replaces) == ("builtin", "")
    if is_installed:
        found = runner.find(PROBE, [plugins.directory], added_by="executable")
        assert found.runner == "executable"
    else:
        with pytest.raises(PluginNotFound):
            runner.find(PROBE, [plugins.directory], added_by="executable")
    with pytest.raises(PluginNotFound, match="of the kind 'socket'"):
        runner.find(PROBE, [plugins.directory], added_by="socket")


@pytest.mark.parametrize("place", ["it is a directory", "it leads nowhere", "everybody may write"])
def test_an_executable_that_may_not_be_used_is_not_replaced_in_silence(
    runner: ExecutablesFirst, plugins: RecordingPlugins, place: str
) -> None:
    path = Path(plugins.directory) / "probe"
    match place:
        case "it is a directory":
            path.mkdir()
        case "it leads nowhere":
            path.symlink_to("/nowhere")
        case _:
            plugins.install("probe")
            path.chmod(0o777)
    with pytest.raises(PluginNotFound):
        runner.find(PROBE, [plugins.directory])


@pytest.mark.anyio
async def test_what_was_found_is_run_by_who_found_it(
    runner: ExecutablesFirst, plugins: RecordingPlugins
) -> None:
    built_in = runner.find(PROBE, [plugins.directory])
    plugins.install("probe")
    plugins.tell("probe", "DEL", Behaviour(status=3))
    executable = runner.find(PROBE, [plugins.directory])
    for plugin, status in ((built_in, 0), (executable, 3)):
        response = await runner.run(
            plugin, request("DEL"), deadline=anyio.current_time() + 20, caps=Caps()
        )
        assert response.status == status
    assert len(plugins.calls) == 1


def test_its_built_ins_are_those_of_acni_by_default() -> None:
    assert ExecutablesFirst().built_ins.plugins == BuiltIns().plugins


def test_whoever_has_executables_pays_for_no_built_in(plugins: RecordingPlugins) -> None:
    plugins.install("probe")
    program = """
import sys
from acni.plugins.selection import ExecutablesFirst

with ExecutablesFirst() as runner:
    found = runner.find("probe", [sys.argv[1]])
    print(runner.restores(found), "acni.plugins.builtins" in sys.modules)
    print("loopback" in runner.built_ins.plugins)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, plugins.directory],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["False", "False", "True"]


def test_built_ins_that_cannot_be_loaded_are_not_found(plugins: RecordingPlugins) -> None:
    program = """
import sys
from acni.errors import PluginNotFound
from acni.plugins.selection import ExecutablesFirst

sys.modules["acni.plugins.builtins"] = None
with ExecutablesFirst() as runner:
    try:
        runner.find("loopback", [sys.argv[1]])
    except PluginNotFound as error:
        print(error.message)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, plugins.directory],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith("the built-in plugins cannot be loaded: ")
