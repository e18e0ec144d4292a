"""The plugin of the tutorial: short, typed, and the same in each of its three places."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import acni
from acni import netns
from acni.skel import Verbs
from acni.testing import PluginBench, PluginContract
from tests.docs.conftest import DOCS, blocks_of
from tests.docs.test_examples import load

PAGE = (DOCS / "tutorial-plugin.md").read_text()
EXAMPLE = DOCS / "examples" / "hostsfile.py"
OF_ADD_AND_DEL = {"file_of", "result_before", "lines_of", "add", "delete"}
hostsfile: ModuleType = load("hostsfile")


def blocks(language: str = "python") -> list[str]:
    return [block.text for block in blocks_of(PAGE) if block.language == language]


def test_the_page_ends_with_the_example_as_it_is() -> None:
    first, part, whole, *_ = blocks()
    assert whole == EXAMPLE.read_text()
    assert part.strip() in whole
    assert part.strip() not in first
    names = [node.name for node in ast.parse(first).body if isinstance(node, ast.FunctionDef)]
    assert set(names) == OF_ADD_AND_DEL


def test_add_and_del_are_twenty_lines_at_most_without_their_docstrings() -> None:
    lines = 0
    for node in ast.parse(EXAMPLE.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name in OF_ADD_AND_DEL:
            assert ast.get_docstring(node)
            source = ast.unparse(ast.FunctionDef(**{**vars(node), "body": node.body[1:]}))
            lines += len(source.splitlines())
    assert 0 < lines <= 20


def bench_of(plugin: Verbs | Path, directory: Path) -> PluginBench:
    return PluginBench(
        plugin,
        {"directory": str(directory)},
        follows=True,
        directories=[directory],
        unacceptable={"directory": 5},
        not_ready={"directory": "/nothing"},
    )


def executable_of(directory: Path) -> Path:
    """Write the plugin for the interpreter of the tests, which need not be the first of PATH."""
    path = directory / "hostsfile"
    _, _, text = EXAMPLE.read_text().partition("\n")
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


@pytest.mark.netns
class TestTheFunctions(PluginContract):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[PluginBench]:
        with bench_of(hostsfile.VERBS, tmp_path) as bench:
            yield bench


def network_of(directory: object) -> acni.NetworkConfig:
    plugin = {"type": "hostsfile", "directory": directory}
    return acni.networks.from_plugins("net", {"type": "loopback"}, plugin, version="1.1.0")


@pytest.mark.netns
@pytest.mark.anyio
async def test_in_process_it_adds_checks_collects_and_deletes(
    state_dir: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "hosts"
    directory.mkdir()
    plugins = {**acni.BuiltIns().plugins, "hostsfile": hostsfile.VERBS}
    with acni.BuiltIns(plugins=plugins) as runner, netns.anonymous() as box:
        async with acni.open_runtime(state_dir=state_dir, runner=runner) as runtime:
            network = network_of(str(directory))
            attachment = acni.Attachment(container_id="web", netns=box)
            await runtime.add(network, attachment)
            file = directory / "web+eth0"
            assert file.read_text().splitlines()[0] == "127.0.0.1 web"
            await runtime.check(attachment)
            (directory / "lost+eth0").touch()
            await runtime.gc(network, keep=[attachment])
            assert list(directory.iterdir()) == [file]
            file.write_text("another")
            with pytest.raises(acni.CheckFailed, match="does not name the pod"):
                await runtime.check(attachment)
            await runtime.delete(attachment)
            assert list(directory.iterdir()) == []
            with pytest.raises(acni.PluginFailed) as caught:
                await runtime.add(network_of(5), attachment)
            assert (caught.value.code, caught.value.details) == (7, "expected text")


@pytest.mark.netns
def test_as_an_executable_its_errors_are_the_specification_s(tmp_path: Path) -> None:
    with bench_of(executable_of(tmp_path), tmp_path) as bench:
        answer = bench.run("ADD", bench.container(), configuration={"prevResult": None})
    assert answer.status == 1
    assert json.loads(answer.stdout) == {
        "cniVersion": "1.1.0",
        "code": 7,
        "msg": "hostsfile comes after a plugin with addresses",
    }
