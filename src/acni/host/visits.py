"""A look into another network namespace by the calling thread, which comes back.

A socket made there stays there, and a file of ``/proc/sys/net`` opened there is that namespace's:
most of what is to be done in a container needs a thread in it for some microseconds only.

Rule: who cannot come back must not go on as the host. What ends the visit then is no error that
    somebody handles, and whoever made the thread ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from acni.host import netns
from acni.host.libc import CLONE_NEWNET, setns
from acni.host.netns import Namespace

T = TypeVar("T")


class Stranded(BaseException):
    """The calling thread is left in another network namespace: it is to end at once."""


def visit(fd: int, function: Callable[[], T], *, path: str, home: Namespace | None = None) -> T:
    """Call a function with the calling thread in another network namespace, and come back.

    Args:
        fd: The open namespace.
        function: What is called there; it waits for nothing that may not come.
        path: The namespace's, for errors.
        home: Where the thread comes from; without it the kernel is asked.

    Returns:
        What the function returned; what it raises is raised here.

    Raises:
        NotPermitted: this process may not enter namespaces; the function was not called.
        Busy: this process, or the machine, has no descriptor left; the function was not called.
        Stranded: the thread cannot come back.
    """
    with visiting(fd, path=path, home=home):
        return function()


@contextmanager
def visiting(fd: int, *, path: str, home: Namespace | None = None) -> Generator[None]:
    """Be in another network namespace with the calling thread for the length of the block.

    Args:
        fd: The open namespace.
        path: Its path, for errors.
        home: Where the thread comes from; without it the kernel is asked.

    Raises:
        NotPermitted, Busy, Stranded: as from :func:`visit`.
    """
    if home is None:
        with netns.own() as own, visiting(fd, path=path, home=own):
            yield
        return
    try:
        netns.enter(fd, path)
        yield
    finally:
        # Also where it was not entered: a signal's handler may raise between the two.
        if not is_back(home):
            raise Stranded(path)


def is_back(home: Namespace) -> bool:
    """Bring the calling thread back to where it came from; tell whether it is there."""
    try:
        setns(home.fd, CLONE_NEWNET)
    except OSError:
        return False
    return True
