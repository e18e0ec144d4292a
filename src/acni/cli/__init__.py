"""The ``acni`` command: cnitool's language, and on from there.

Data goes to standard output, everything else to standard error. What a verb needs is imported when
it is called: ``acni --help`` loads neither anyio nor attrs.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from acni.cli.parser import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        argv: The arguments; by default the process's own.

    Returns:
        0 done; 1 failed, nothing owed; 2 refused before anything ran; 3 not found; 4 out of time; 5
        cleanup is owed; 6 check found a difference; 75 try again later; 130 and 143 ended by SIGINT
        and SIGTERM, after the undo.
    """
    arguments = build_parser().parse_args(argv)
    _write_utf8()
    try:
        status: int = arguments.verb(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:  # in a verb that runs nothing, so that there is nothing to undo
        return 130
    except OSError as error:
        # The output cannot be written; Python would try, and complain, again at exit.
        sys.stdout = None
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"acni: {error}", file=sys.stderr)
        return 1
    return status


def _write_utf8() -> None:
    """Make data UTF-8 whatever the locale; bytes that the environment held go out as they came."""
    stdout: object = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
