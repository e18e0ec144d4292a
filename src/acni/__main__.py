"""The command in a process of its own: ``acni``, and ``python -m acni``."""

import os
import sys

from acni.cli import main as command


def main() -> None:
    """Run the command, and end the process with its status."""
    status = command()
    _wait_for_threads()
    if sys.stderr is not None:  # the caller closed it
        sys.stderr.flush()
    # Nothing is left to write or to close: the kernel takes down in no time what Python takes a
    # fourteenth of an `acni add` for.
    os._exit(status)


def _wait_for_threads() -> None:
    """Wait for what still works for somebody, as the interpreter does at its end."""
    if (threading := sys.modules.get("threading")) is None:
        return
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


if __name__ == "__main__":
    main()
