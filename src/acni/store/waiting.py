"""Waiting for what others hold: bounded, and Busy in the end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Unpack

import anyio

from acni.errors import Busy, Facts

# Says who is in the way: the kernel does not tell whose lock it is (F_OFD_GETLK gives -1 for a
# pid), but what is open in the slots of living runtimes does. Called when the wait is over.
Describe = Callable[[], str]


# Entered by who waits, for as long as that is; who finds it free does not enter it.
Watch = Callable[[], AbstractContextManager[None]]


def nobody_known() -> str:
    """Describe somebody of whom nothing is known."""
    return "another runtime, or another operation of this one"


@contextmanager
def bounded(
    until: float,
    what: str,
    describe: Describe,
    watch: Watch = nullcontext,
    **facts: Unpack[Facts],
) -> Generator[None]:
    """Bound a wait.

    Args:
        until: When it ends, on the loop's clock.
        what: What is waited for, as a sentence without its end.
        describe: Says who is in the way.
        watch: Entered meanwhile.
        facts: What the error knows besides.

    Raises:
        Busy: it ended before what was waited for came.
    """
    begun = anyio.current_time()
    try:
        with watch(), anyio.fail_after(until - begun):
            yield
    except TimeoutError:
        seconds = anyio.current_time() - begun
        message = f"{what} for {seconds:.1f} s: {describe()}"
        raise Busy(message, expected="that it ends").learn(**facts) from None
