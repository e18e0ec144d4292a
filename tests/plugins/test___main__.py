"""All built-in plugins as one program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from acni.plugins.catalog import BUILT_IN
from acni.plugins.installing import SCRIPT, install


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "acni.plugins", *words],
        input='{"cniVersion": "1.0.0"}',
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_the_first_argument_chooses_where_the_name_does_not() -> None:
    done = run("loopback", CNI_COMMAND="VERSION")
    assert (done.returncode, json.loads(done.stdout)["cniVersion"]) == (0, "1.0.0")


def test_streams_that_the_caller_closed_are_no_trouble() -> None:
    program = f"exec {sys.executable} -m acni.plugins loopback >&- 2>&-"
    asked = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "lo"}
    done = subprocess.run(
        ["sh", "-c", program],
        input=b'{"cniVersion": "1.0.0", "name": "net"}',
        env={**os.environ, **asked},
        timeout=200,
        check=False,
    )
    assert done.returncode == 0


def test_a_runtime_that_asks_for_another_plugin_gets_an_error_object() -> None:
    done = run("sbr", CNI_COMMAND="VERSION")
    assert done.returncode == 1
    assert "no plugin 'sbr'" in json.loads(done.stdout)["msg"]


@pytest.mark.parametrize(
    "words", [[], ["nothing"], ["install"], ["install", "--list"], ["install", "a", "b"]]
)
def test_who_asks_for_nothing_it_knows_is_told_what_it_knows(words: list[str]) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: acni-plugin")


def test_help_names_the_plugins_and_version_its_own() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in BUILT_IN)
    assert run("--version").stdout.startswith("acni-plugin ")


def test_install_prints_what_it_made_and_says_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "bridge").touch()
    done = run("install", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "bridge of somebody else" in done.stderr
    done = run("install", "--force", str(tmp_path))
    assert done.returncode == 0
    assert str(tmp_path / "bridge") in done.stdout.splitlines()
    done = run("install", "/proc/nothing")
    assert done.returncode == 1
    assert done.stderr == "acni-plugin: /proc/nothing: No such file or directory\n"


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        (["--version"], {}),
        (["--help"], {}),
        (["install", "bin"], {}),
        (["install", "bin"], {"PYTHONUNBUFFERED": "1"}),
        (["nothing"], {"CNI_COMMAND": "VERSION"}),
    ],
)
@pytest.mark.parametrize("is_pipe", [True, False])
def test_what_cannot_be_printed_is_a_failure_and_told(
    tmp_path: Path, words: list[str], variables: dict[str, str], is_pipe: bool
) -> None:
    reader, pipe = os.pipe()
    os.close(reader)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "acni.plugins", *words],
            stdin=subprocess.DEVNULL,
            stdout=pipe if is_pipe else full,
            stderr=subprocess.PIPE,
            env={**os.environ, **variables},
            cwd=tmp_path,
            timeout=200,
            check=False,
        )
    finally:
        os.close(pipe)
        os.close(full)
    reason = b"Broken pipe" if is_pipe else b"No space left on device"
    assert (done.returncode, done.stderr) == (1, b"acni-plugin: standard output: " + reason + b"\n")


def test_neither_an_event_loop_nor_what_only_others_need_is_loaded() -> None:
    """A runtime starts it for each call: what is imported is waited for."""
    program = "import sys; from acni.plugins.catalog import BUILT_IN; import acni.skel.executable;"
    for name in BUILT_IN:
        shown = f"BUILT_IN[{name!r}]; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", program + shown], capture_output=True, text=True, check=True
        )
        loaded = set(done.stdout.split())
        unwanted = {"anyio", "asyncio", "cattrs", "subprocess", "logging", "traceback", "secrets"}
        unwanted |= {"pathlib", "glob"}
        assert loaded & unwanted == set(), name
        others = {f"acni.plugins.{other.replace('-', '_')}" for other in BUILT_IN if other != name}
        assert loaded & others == set(), name


def test_a_version_of_loopback_loads_little(tmp_path: Path) -> None:
    """As the installed script starts it; a module more of ours is a wait more at each call."""
    install(str(tmp_path))
    start = (tmp_path / SCRIPT).read_text().removesuffix("main()\n")
    shown = "from acni.plugins.__main__ import run; run(['loopback']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-IS", "-c", start + shown],
        input='{"cniVersion": "1.0.0"}',
        env={"CNI_COMMAND": "VERSION"},
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    answer, end, told = done.stdout.partition("}")
    assert json.loads(answer + end)["cniVersion"] == "1.0.0"
    loaded = set(told.split())
    unwanted = {"anyio", "asyncio", "cattrs", "subprocess", "ssl", "logging", "typing_extensions"}
    rooms = {f"acni.{room}" for room in ("blocking", "cli", "engine", "netlink", "store")}
    unwanted |= {"pathlib", "glob", "acni.spec.configuration", "acni.spec.document"}
    assert loaded & (unwanted | rooms) == set()
    assert "acni.plugins.loopback" in loaded
    assert len({name for name in loaded if name.startswith("acni")}) <= 45
    assert len(loaded) <= 220
