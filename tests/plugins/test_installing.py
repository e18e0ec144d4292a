"""The built-in plugins put into a plugin directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import acni
from acni.plugins.catalog import BUILT_IN
from acni.plugins.installing import SCRIPT, InstallError, install, script
from acni.spec.names import parse_plugin_type


def ask_version(path: Path, *words: str, **variables: str) -> Any:
    done = subprocess.run(
        [path, *words],
        input=b'{"cniVersion": "1.0.0"}',
        env={"CNI_COMMAND": "VERSION", **variables},
        capture_output=True,
        timeout=200,
        check=True,
    )
    return json.loads(done.stdout)


def test_each_plugin_is_an_executable_that_a_runtime_finds(tmp_path: Path) -> None:
    made = install(str(tmp_path / "bin"))
    assert made == tuple(str(tmp_path / "bin" / name) for name in (SCRIPT, *BUILT_IN))
    for name, verbs in BUILT_IN.items():
        plugin = acni.Executables().find(parse_plugin_type(name), [str(tmp_path / "bin")])
        assert ask_version(Path(plugin.path))["supportedVersions"] == list(verbs.versions)


def test_variables_of_the_runtime_do_not_change_what_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "acni.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong one')")
    install(str(tmp_path / "bin"))
    wrong = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PYTHONSTARTUP": "/nothing"}
    assert ask_version(tmp_path / "bin" / "loopback", **wrong)["cniVersion"] == "1.0.0"


def test_a_copy_and_a_link_elsewhere_are_the_plugin_of_their_name(tmp_path: Path) -> None:
    install(str(tmp_path / "bin"))
    copy = tmp_path / "static"
    copy.write_bytes((tmp_path / "bin" / SCRIPT).read_bytes())
    copy.chmod(0o755)
    (tmp_path / "loopback").symlink_to(tmp_path / "bin" / SCRIPT)
    for name in ("static", "loopback"):
        assert ask_version(tmp_path / name)["cniVersion"] == "1.0.0"
    assert ask_version(tmp_path / "bin" / SCRIPT, "loopback")["cniVersion"] == "1.0.0"


def test_it_may_be_done_again(tmp_path: Path) -> None:
    install(str(tmp_path))
    assert install(str(tmp_path)) == install(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([SCRIPT, *BUILT_IN])


@pytest.mark.parametrize("kind", ["file", "link", "pipe", "directory"])
def test_what_another_put_there_is_replaced_only_on_request(tmp_path: Path, kind: str) -> None:
    other = tmp_path / "bridge"
    match kind:
        case "file":
            other.write_text("#!/bin/sh\n")
        case "link":
            other.symlink_to("/usr/lib/cni/bridge")
        case "pipe":
            os.mkfifo(other)
        case _:
            other.mkdir()
    with pytest.raises(InstallError, match="bridge of somebody else"):
        install(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["bridge"]
    if kind == "directory":
        with pytest.raises(InstallError, match="bridge of somebody else: no file"):
            install(str(tmp_path), is_forced=True)
        assert [path.name for path in tmp_path.iterdir()] == ["bridge"]
    else:
        install(str(tmp_path), is_forced=True)
        assert other.readlink() == Path(SCRIPT)


def test_whatever_the_umask_everybody_may_run_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        install(str(tmp_path))
    finally:
        os.umask(before)
    assert (tmp_path / SCRIPT).stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "python",
    ["", "python", "/opt/my python", f"/{'x' * 130}"],
    ids=["none", "relative", "spaced", "long"],
)
def test_an_interpreter_that_a_script_cannot_name_is_refused(python: str) -> None:
    with pytest.raises(InstallError, match="cannot name"):
        script(python, [])


def test_directories_are_named_as_they_are() -> None:
    text = script("/usr/bin/python3", ["/opt/it's", '/opt/a "b"/\u00e9'])
    line = next(line for line in text.splitlines() if line.startswith("sys.path"))
    path: list[str] = []
    exec(line, {"sys": type("sys", (), {"path": path})})  # noqa: S102 (what the script does)
    assert path == ["/opt/it's", '/opt/a "b"/\u00e9']
    assert sys.path is not path
