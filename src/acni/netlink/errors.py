"""What goes wrong when one talks to the kernel.

::

    NetlinkError (OSError)  the kernel refused a message; ``errno`` says why
    ├── NotSupported        EOPNOTSUPP: it has no such feature
    ├── AnswerLost          ENOBUFS: what became of a message is not known
    ├── NetlinkTimeout      ETIMEDOUT: no answer came, or a link did not go, in time
    ├── DumpInterrupted     EAGAIN: the list changed whenever it was read
    └── Malformed           EBADMSG: what came is no netlink message
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from attrs import frozen


@frozen(kw_only=True)
class Verdict:
    """What the kernel says about one message.

    Attributes:
        code: An errno, or 0.
        words: Its own words, mostly none.
        offset: Where in the message the attribute stands that it does not like, from the beginning
            of the message's header.
        is_lost: Nothing came; whether the message was heeded is not known.
    """

    code: int
    words: str = ""
    offset: int | None = None
    is_lost: bool = False


DONE = Verdict(code=0)
LOST = Verdict(code=errno.ENOBUFS, words="its answer was lost", is_lost=True)


class NetlinkError(OSError):
    """The kernel refused a message.

    Attributes:
        errno: Why.
        words: The kernel's own words, mostly none.
        index: Which of the messages given, from 0; None where it is not about one.
        offset: Where in it the attribute stands that the kernel does not like.
        verdicts: What it said about each of the messages given: those behind the refused one were
            heeded all the same, if they are not refused as well.
    """

    def __init__(
        self,
        code: int,
        words: str = "",
        *,
        index: int | None = None,
        offset: int | None = None,
        verdicts: Sequence[Verdict] = (),
    ) -> None:
        which = "" if index is None else f" (message {index})"
        super().__init__(code, f"{os.strerror(code)}{': ' if words else ''}{words}{which}")
        self.words: str = words
        self.index: int | None = index
        self.offset: int | None = offset
        self.verdicts: tuple[Verdict, ...] = tuple(verdicts)

    def is_verdict(self, *numbers: int) -> bool:
        """Tell whether the kernel said one of these about a message: "there is no such link". What
        a socket says when nothing can be sent is about no link, whatever its number.
        """
        return bool(self.verdicts) and self.errno in numbers

    def __reduce__(self) -> tuple[object, ...]:
        where = self.index, self.offset, self.verdicts
        return _again, (type(self), self.errno or 0, self.words, where)


class NotSupported(NetlinkError):
    """This kernel lacks a feature, as it was built or as it is loaded."""


class AnswerLost(NetlinkError):
    """An answer did not fit into the socket's buffer: what became of a message is not known."""


class NetlinkTimeout(NetlinkError, TimeoutError):
    """No answer came in time, or a link did not go: what was asked for may still happen."""


class DumpInterrupted(NetlinkError):
    """A list changed whenever it was read, as often as that was tried."""


class Malformed(NetlinkError):
    """What came is no netlink message, or not the one that was asked for."""


def refusal(index: int, verdicts: Sequence[Verdict]) -> NetlinkError:
    """Make the error of a message that was refused."""
    verdict = verdicts[index]
    kind = NetlinkError
    if verdict.is_lost:
        kind = AnswerLost
    elif verdict.code == errno.EOPNOTSUPP:
        kind = NotSupported
    return kind(verdict.code, verdict.words, index=index, offset=verdict.offset, verdicts=verdicts)


def malformed(words: str) -> Malformed:
    """Make the error of something that is no netlink message."""
    return Malformed(errno.EBADMSG, words)


def _again(
    kind: type[NetlinkError],
    code: int,
    words: str,
    where: tuple[int | None, int | None, tuple[Verdict, ...]],
) -> NetlinkError:
    index, offset, verdicts = where
    return kind(code, words, index=index, offset=offset, verdicts=verdicts)
