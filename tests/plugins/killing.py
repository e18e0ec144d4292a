"""A process that is killed before each of its system calls in turn, as the script of a process.

Called with a directory, a verb and a configuration: makes ``0``, ``1``, … in it, each of them as so
many calls leave it when the process dies after them; prints how many there are.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import FrameType

from tests.plugins.answering import Node

# What changes something, and the lock; not what only reads.
POINTS = frozenset({"open", "mkdir", "pwrite", "ftruncate", "utime", "link", "unlink", "flock"})
MOST = 200


def die_before(number: int) -> None:
    """Die before so many of these calls were made."""
    left = number

    def count(_: FrameType, event: str, function: object) -> None:
        nonlocal left
        if event == "c_call" and getattr(function, "__name__", "") in POINTS:
            if left == 0:
                os._exit(9)
            left -= 1

    sys.setprofile(count)


def run_killed(directory: Path, number: int, verb: str, ipam: dict[str, object]) -> bool:
    """Run a verb in a child that is killed; return whether it was."""
    node = Node(directory / str(number))
    if verb == "DEL":
        node.run("ADD", ipam)
    child = os.fork()
    if child == 0:
        die_before(number)
        node.run(verb, ipam, previous=True)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def main() -> None:
    directory, verb, ipam = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    for number in range(MOST):
        (directory / str(number)).mkdir()
        if not run_killed(directory, number, verb, ipam):
            print(number)
            return


if __name__ == "__main__":
    main()
