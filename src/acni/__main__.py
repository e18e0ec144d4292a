"""The command in a process of its own: ``acni``, and ``python -m acni``."""

import os
import sys
from contextlib import suppress

from acni.cli import main as command


def main() -> None:
    """Run the command, and end the process with its status."""
    status = command()
    _wait_for_threads()
    for stream in (sys.stdout, sys.stderr):  # an interrupt leaves there what was printed before
        if stream is not None:  # the caller closed it
            with suppress(OSError):
                stream.flush()
    # Nothing is left to write or to close: the kernel takes down in no time what Python takes a
    # fourteenth of an `acni add` for.
    os._exit(status)


def _wait_for_threads() -> None:
    """Wait for what still works for somebody, as the interpreter does at its end."""
    if (threading := sys.modules.get("threading")) is None:
        return
    own = threading.current_thread()
    while others := [one for one in threading.enumerate() if one is not own and not one.daemon]:
        for thread in others:
            thread.join()


if __name__ == "__main__":
    main()
