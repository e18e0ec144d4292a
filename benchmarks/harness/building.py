"""What is compared, compiled: plugins and peers, and by which command each peer runs.

What Debian has and this machine lacks is installed where that is allowed; who cannot be had is
named with the reason, and the others are compared without.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from harness import orders
from harness.machine import debian_version

BENCHMARKS: Final = Path(__file__).parents[1]
DEBIAN_PLUGINS: Final = "/usr/lib/cni"
_PACKAGES: Final = (
    "gcc",
    "libc6-dev",
    "golang-go",
    "golang-github-appc-cni-dev",
    "golang-github-containerd-go-cni-dev",
    "containernetworking-plugins",
)
_GO: Final = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}
_BUILD_SECONDS: Final = 600


@frozen(kw_only=True)
class Programs:
    """What can be run.

    Attributes:
        commands: By peer, the command that gets an order.
        plugins: By plugin, the directory in which it lies.
        missing: By peer or plugin, why there is none.
        cold: The Go program that adds one attachment, or nothing.
    """

    commands: dict[str, tuple[str, ...]]
    plugins: dict[str, str]
    missing: dict[str, str]
    cold: str = ""


def install_missing() -> None:
    """Install what Debian has and this machine lacks, as root; elsewhere do nothing."""
    missing = [name for name in _PACKAGES if not debian_version(name)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing", *missing, file=sys.stderr, flush=True)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-qy", "--no-install-recommends", *missing]
        for command in (["apt-get", "update", "-q"], install):
            subprocess.run(
                command, env=environment, stdout=sys.stderr, check=True, timeout=_BUILD_SECONDS
            )


def build(home: Path) -> Programs:
    """Compile plugins and peers into a directory.

    Args:
        home: An empty directory that others may read.
    """
    commands = dict(_python_peers())
    plugins: dict[str, str] = {}
    missing: dict[str, str] = {}
    cold = home / "cold"
    for name, source, options in (
        (orders.NOOP, "plugins/noop.c", ()),
        (orders.SLEEPS, "plugins/noop.c", ("-DSECONDS=4",)),
        (orders.GO_NOOP, "plugins/noop.go", ()),
        (orders.SH_NOOP, "plugins/noop.sh", ()),
    ):
        directory = home / name.replace(" ", "-")
        directory.mkdir(mode=0o755)
        if reason := _compile(source, directory / "noop", options, home):
            missing[name] = reason
        else:
            plugins[name] = str(directory)
    for source, names in (
        ("peers/libcni.go", (orders.LIBCNI, orders.FSYNC, orders.GO_CNI)),
        ("peers/spawn_floor.c", (orders.FLOOR,)),
        ("peers/cold.go", ("cold libcni",)),
    ):
        program = home / Path(source).stem
        if reason := _compile(source, program, (), home):
            missing |= dict.fromkeys(names, reason)
        elif program != cold:
            commands |= dict.fromkeys(names, (str(program),))
    if "cold libcni" in missing:
        del commands["cold libcni"]
    if Path(DEBIAN_PLUGINS, "bridge").exists():
        plugins |= dict.fromkeys((orders.BRIDGE, orders.EITHER, orders.CHAIN), DEBIAN_PLUGINS)
    else:
        missing[orders.BRIDGE] = "containernetworking-plugins is not installed"
    if importlib.util.find_spec("uvloop") is None:
        missing |= dict.fromkeys(orders.UVLOOP, "uvloop is not installed")
    for name in missing:
        commands.pop(name, None)
    plugins[orders.DOUBLE] = str(home)
    return Programs(commands=commands, plugins=plugins, missing=missing, cold=str(cold))


def _python_peers() -> Iterator[tuple[str, tuple[str, ...]]]:
    for script, names in (
        ("runtime.py", (*orders.PROCESS, *orders.POWER, *orders.UVLOOP)),
        ("builtin.py", (*orders.BUILT_IN, orders.ALONE, orders.IDLE, orders.RULES)),
        ("commands.py", orders.COMMANDS),
        ("parts.py", orders.PARTS),
    ):
        for name in names:
            yield name, (sys.executable, str(BENCHMARKS / "peers" / script))


def _compile(source: str, program: Path, options: tuple[str, ...], home: Path) -> str:
    """Compile one source, or copy it where it is a script; say what was wrong, or nothing."""
    path = BENCHMARKS / source
    match path.suffix:
        case ".c":
            command = ["cc", "-O2", "-Wall", *options, "-o", str(program), str(path)]
        case ".go":
            command = ["go", "build", "-o", str(program), str(path)]
        case _:
            command = ["install", "-m", "755", str(path), str(program)]
    # The user's own cache where there is one: what was compiled once need not be again.
    cache = {} if {"HOME", "GOCACHE"} & os.environ.keys() else {"GOCACHE": str(home / "go-cache")}
    try:
        done = subprocess.run(
            command,
            env=os.environ | _GO | cache,
            capture_output=True,
            check=False,
            timeout=_BUILD_SECONDS,
        )
    except FileNotFoundError:
        return f"there is no {command[0]}"
    if done.returncode == 0:
        return ""
    complaints = done.stderr.decode(errors="replace").strip().splitlines()
    return f"{path.name} cannot be built: {complaints[-1] if complaints else done.returncode}"
