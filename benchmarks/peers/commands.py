"""Cold commands, one after another: acni's, a Go program over libcni, and Python that does nothing.

``python commands.py ORDER``: a JSON line for each phase, like every peer's; the processor time of
its children is that of the command and of the plugins that it runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from phases import Meter, print_phase

Command = Callable[[int], list[str]]


def main(order: dict[str, Any]) -> None:
    """Run each of a peer's commands as often as was ordered, after once unmeasured."""
    for command in commands(order).values():
        run(command(order["count"]))
    for phase, command in commands(order).items():
        before, took = Meter(), list[float]()
        for number in range(order["count"]):
            started = time.perf_counter()
            run(command(number))
            took.append((time.perf_counter() - started) * 1e6)
        print_phase(phase, took, Meter().since(before))


def commands(order: dict[str, Any]) -> dict[str, Command]:
    """Return the commands of a peer, by phase."""
    box, (plugins,), state = order["netns"][0], order["plugin_dirs"], order["state"]
    acni = [sys.executable, "-m", "acni"]
    match order["peer"]:
        case "python -c pass":
            return {"help": lambda _: [sys.executable, "-c", "pass"]}
        case "cold libcni":
            places = [order["chain"], plugins, state]
            return {
                "add": lambda n: [order["program"], "add", *places, f"c{n}", box],
                "delete": lambda n: [order["program"], "del", *places, f"c{n}", box],
            }
        case _:
            conf_dir = order["chain"].rpartition("/")[0]
            places = ["--conf-dir", conf_dir, "--plugin-dir", plugins, "--state-dir", state]

            def verb(name: str) -> Command:
                return lambda n: [
                    *(*acni, name, "net", box),
                    *("--container-id", f"c{n}", "-i", f"eth{n}"),
                    *places,
                ]

            return {"help": lambda _: [*acni, "--help"], "add": verb("add"), "delete": verb("del")}


def run(command: list[str]) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
