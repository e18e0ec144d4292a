"""What the start of a built-in plugin's executable costs, and where it goes.

Beside the interpreter's own (``python -c pass``) and Debian's plugin of the same name, by turns:
the plugins are put into a directory by ``acni-plugin install`` and asked for VERSION, which does
nothing else. Processor times and ratios are what counts on a machine that is shared.

usage: python benchmarks/startup.py [ROUNDS]
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from acni.plugins.catalog import BUILT_IN
from acni.plugins.installing import install

DEBIAN = Path("/usr/lib/cni")
MOST_SHOWN = 15


def main(rounds: int) -> None:
    """Measure each, by turns."""
    with tempfile.TemporaryDirectory() as directory:
        install(directory)
        commands: dict[str, Sequence[str]] = {"python -c pass": [sys.executable, "-c", "pass"]}
        commands["python -I -S -c pass"] = [sys.executable, "-IS", "-c", "pass"]
        for name in BUILT_IN:
            commands[f"acni's {name}"] = [f"{directory}/{name}"]
            if (DEBIAN / name).exists():
                commands[f"Debian's {name}"] = [str(DEBIAN / name)]
        took = measure(commands, rounds)
        print(f"{'':24} {'processor':>10} {'to pass':>9} {'to Debian':>10}")
        for name, milliseconds in took.items():
            plain = milliseconds / took["python -c pass"]
            go = took.get(name.replace("acni's", "Debian's"))
            to_go = f"{milliseconds / go:8.1f} x" if go and go != milliseconds else ""
            print(f"{name:24} {milliseconds:7.1f} ms {plain:7.2f} x {to_go:>10}")
        for name in BUILT_IN:
            print(f"\nwhere it goes, {name}:")
            show_imports(f"{directory}/{name}")


def measure(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, float]:
    """Return the median processor time of each, in milliseconds."""
    took: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, argv in commands.items():
            milliseconds = processor_time(partial(ask, argv))
            if number:  # the first one fills caches
                took[name].append(milliseconds)
    return {name: statistics.median(each) for name, each in took.items()}


def processor_time(function: Callable[[], object]) -> float:
    """Return what the children of a function used, in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    function()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return used * 1000


def ask(argv: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Ask a plugin for its version."""
    return subprocess.run(
        argv,
        input=b'{"cniVersion":"1.0.0"}',
        env={**os.environ, "CNI_COMMAND": "VERSION"},
        capture_output=True,
        check=True,
    )


def show_imports(path: str) -> None:
    """Print which packages a start spends its time on, with how many modules."""
    done = ask([sys.executable, "-X", "importtime", "-IS", path])
    took: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for line in done.stderr.decode().splitlines()[1:]:
        microseconds, _, name = line.removeprefix("import time:").split("|")
        parts = name.strip().split(".")
        package = ".".join(parts[:2]) if parts[0] == "acni" else parts[0]
        took[package] += int(microseconds)
        modules[package] += 1
    print(f"  {sum(took.values()) / 1000:6.1f} ms  {sum(modules.values())} modules")
    for package, total in took.most_common(MOST_SHOWN):
        print(f"  {total / 1000:6.1f} ms  {package} ({modules[package]})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
