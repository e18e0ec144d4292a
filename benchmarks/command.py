"""The command's cold start: `acni --help` beside `python -c pass`, `acni add` beside libcni.

Run it with the interpreter that has acni: ``python benchmarks/command.py [ROUNDS]``. It moves into
a private host first, so that nothing touches the machine's network.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from acni import netns
from acni.testing import enter_private_host

HERE = Path(__file__).parent
GO = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
CONFLIST = '{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"noop"}]}'


def main(rounds: int) -> None:
    """Build what is compared, take turns, print medians and ratios."""
    enter_private_host()
    with tempfile.TemporaryDirectory(prefix="acni-bench-") as directory:
        home = Path(directory)
        build(home)
        with netns.anonymous() as box:
            python = [sys.executable, "-c", "pass"]
            help_ = [sys.executable, "-m", "acni", "--help"]
            compare("acni --help / python -c pass", rounds, lambda _: help_, lambda _: python)
            compare("acni add / libcni add", rounds, acni_add(home, box), libcni_add(home, box))


def build(home: Path) -> None:
    """Compile the plugin and the opponent, and write the configuration."""
    (home / "bin").mkdir()
    (home / "net.d").mkdir()
    (home / "net.d" / "net.conflist").write_text(CONFLIST)
    subprocess.run(["cc", "-O2", "-o", home / "bin" / "noop", HERE / "plugins/noop.c"], check=True)
    opponent = HERE / "peers/cold.go"
    build_it = ["go", "build", "-o", home / "libcni_add", opponent]
    cache = {"GOCACHE": str(home / "go-cache")}
    subprocess.run(build_it, check=True, env=os.environ | GO | cache)


def acni_add(home: Path, box: netns.Namespace) -> Callable[[int], list[str]]:
    """Add container N with acni's command."""
    where = ["--conf-dir", home / "net.d", "--plugin-dir", home / "bin", "--state-dir", home / "a"]
    return lambda n: [
        *(sys.executable, "-m", "acni", "add", "net", box.path, "-i", f"eth{n}"),
        *map(str, where),
    ]


def libcni_add(home: Path, box: netns.Namespace) -> Callable[[int], list[str]]:
    """Add container N with the Go program."""
    places = (home / "net.d" / "net.conflist", home / "bin", home / "l")
    return lambda n: [str(home / "libcni_add"), "add", *map(str, places), f"c{n}", box.path]


def compare(
    name: str,
    rounds: int,
    ours: Callable[[int], list[str]],
    theirs: Callable[[int], list[str]],
) -> None:
    """Let the two take turns, and print medians of wall and CPU milliseconds and their ratios."""
    taken: Mapping[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    for number in range(rounds + 1):
        for who, command in (("ours", ours(number)), ("theirs", theirs(number))):
            if number:  # the first of each warms the file cache
                taken[who].append(run(command))
            else:
                run(command)
    wall = {who: statistics.median(wall for wall, _ in figures) for who, figures in taken.items()}
    cpu = {who: statistics.median(cpu for _, cpu in figures) for who, figures in taken.items()}
    print(
        f"{name}: wall {wall['ours']:.1f} / {wall['theirs']:.1f} ms"
        f" = {wall['ours'] / wall['theirs']:.2f},"
        f" CPU {cpu['ours']:.1f} / {cpu['theirs']:.1f} ms = {cpu['ours'] / cpu['theirs']:.2f}"
    )


def run(command: list[str]) -> tuple[float, float]:
    """Run a command; wall and CPU milliseconds, its children's included."""
    before, started = cpu_seconds(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    return wall * 1000, (cpu_seconds() - before) * 1000


def cpu_seconds() -> float:
    """CPU seconds of all children that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
