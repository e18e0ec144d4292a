"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = """
import socket
import pytest

@pytest.fixture(autouse=True)
def a_fixture_that_touches_the_host(request):
    assert request.node.get_closest_marker("netns") is None or {allowed}

@pytest.mark.netns
def test_with_namespaces():
    assert {allowed}
    assert [name for _, name in socket.if_nameindex()] == ["lo"]

def test_without():
    pass
"""


def test_without_a_private_host_netns_tests_are_skipped_aloud(tmp_path: Path) -> None:
    printed = _pytest(tmp_path, _TESTS.format(allowed=False))
    assert "1 passed, 1 skipped" in printed
    assert "cannot run here: no --private-host" in printed


@pytest.mark.netns
def test_with_a_private_host_all_tests_run_in_it(tmp_path: Path) -> None:
    assert "2 passed" in _pytest(tmp_path, _TESTS.format(allowed=True), "--private-host")


def test_where_no_private_host_can_be_made_the_reason_is_said(tmp_path: Path) -> None:
    thread = (
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    (tmp_path / "sitecustomize.py").write_text(thread)
    printed = _pytest(tmp_path, _TESTS.format(allowed=False), "--private-host")
    assert "1 passed, 1 skipped" in printed
    assert "cannot run here: no private host: the process already has threads" in printed


def test_the_marker_is_known_with_and_without_the_option(tmp_path: Path) -> None:
    assert "1 passed" in _pytest(tmp_path, _TESTS.format(allowed=False), "--strict-markers")


FIXTURES = """
import anyio
import pytest
import acni

@pytest.mark.netns
def test_a_program_that_attaches(acni_netns, acni_scripted, acni_plugins, tmp_path):
    acni_plugins.install("probe")
    network = acni.parse_network(
        b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"probe"}]}'
    )
    attachment = acni.Attachment(container_id="c1", netns=acni_netns.path)

    async def main():
        for number, runner in enumerate((acni_scripted, acni.Executables())):
            async with acni.open_runtime(
                state_dir=tmp_path / str(number),
                plugin_dirs=[acni_plugins.directory],
                runner=runner,
            ) as runtime:
                await runtime.add(network, attachment)

    anyio.run(main)
    assert acni_scripted.held == acni_plugins.held == {"probe/c1/eth0"}

@pytest.mark.netns
def test_a_plugin(acni_plugin_bench):
    bench = acni_plugin_bench(acni.BuiltIns().plugins["loopback"], {}, ifname="lo")
    assert bench.run("ADD", bench.container()).status == 0
"""


@pytest.mark.netns
def test_the_fixtures_are_what_a_test_of_a_program_needs(tmp_path: Path) -> None:
    assert "2 passed" in _pytest(tmp_path, FIXTURES, "--private-host")


def _pytest(folder: Path, tests: str, *options: str) -> str:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_these.py").write_text(tests)
    plugins = ["-p", "acni.testing.pytest_plugin", "-p", "no:cacheprovider"]
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", *plugins, *options, str(folder)],
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/usr/sbin", "COLUMNS": "200"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout
