"""The command, in many processes at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack

SECONDS = 200


def all_at_once(
    commands: list[list[str]], environment: Mapping[str, str] | None = None
) -> list[tuple[int, bytes]]:
    """Start so many commands before the first one is waited for; return the exit status of each and
    what it complained of.
    """
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "acni", *command],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                )
            )
            for command in commands
        ]
        return [(process.wait(SECONDS), process.communicate()[1]) for process in processes]
