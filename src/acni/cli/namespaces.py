"""``acni netns create``, ``delete`` and ``run``."""

from __future__ import annotations

import argparse
import os
import sys

from acni.errors import AcniError
from acni.host import netns
from acni.host.libc import CLONE_NEWNET, setns


def create(arguments: argparse.Namespace) -> int:
    """Make a named namespace and print its path."""
    try:
        namespace = netns.create(arguments.name)
    except (AcniError, OSError) as error:
        return _fail(error)
    print(namespace.path)
    namespace.close()
    return 0


def delete(arguments: argparse.Namespace) -> int:
    """Remove a named namespace."""
    try:
        netns.delete(arguments.name)
    except (AcniError, OSError) as error:
        return _fail(error)
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Become a program inside a namespace; returns only when that fails."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        print("acni: netns run: no program was given", file=sys.stderr)
        return 2
    path = arguments.name if "/" in arguments.name else f"{netns.NAMED}/{arguments.name}"
    try:
        with netns.open(os.path.abspath(path)) as namespace:
            setns(namespace.fd, CLONE_NEWNET)
        os.execvp(command[0], command)  # noqa: S606 (running a program is the verb)
    except (AcniError, OSError) as error:
        return _fail(error)


def _fail(error: AcniError | OSError) -> int:
    print(f"acni: {error}", file=sys.stderr)
    return error.exit_status if isinstance(error, AcniError) else 1
