"""A conversation with the kernel of one network namespace.

Rule 1: a request is handled inside send(): when that returns, its answers lie in the socket, and a
    list is written while it is read. So reading waits for nothing, as a rule; each wait has a
    deadline all the same. What cannot be bounded is send() itself, which may stand in line for the
    kernel's lock of all links.
Rule 2: rtnetlink takes each message for itself. Those behind a refused one are heeded.
Rule 3: a question is answered, or refused: nothing acknowledges it beside. Whatever else is sent is
    acknowledged.
Rule 4: what answers nothing of ours is skipped: another port's, an earlier number's, one that the
    kernel did not send. So what was given up in between disturbs nobody.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from attrs import Factory, define, field, frozen

from acni.host.netns import Namespace
from acni.host.visits import visit
from acni.netlink.errors import (
    DONE,
    LOST,
    DumpInterrupted,
    NetlinkError,
    NetlinkTimeout,
    Verdict,
    malformed,
    refusal,
)
from acni.netlink.messages import DUMP, Answer, Message, pack, size_of, unpack
from acni.netlink.wire import Datagram, KernelWire, Wire

# An answer takes some 770 bytes of a socket's receive buffer, of 212,992 as Linux has it; the send
# buffer has as many. Half of either is room for what is not ours.
_MOST_MESSAGES: Final = 128
_MOST_BYTES: Final = 1 << 16

# A list of links changes while it is read whenever a link comes or goes.
_DUMPS: Final = 16

_SECONDS: Final = 10.0


@frozen(kw_only=True)
class Exchange:
    """What the kernel answered to some messages.

    Attributes:
        answers: What was asked for.
        verdicts: What it says about each message, in their order.
    """

    answers: tuple[Answer, ...]
    verdicts: tuple[Verdict, ...]


@define(eq=False, repr=False)
class Netlink:
    """A netlink socket, for one thread at a time; as a context manager it is closed.

    Attributes:
        seconds: How long the answers to what is sent at once may take.
    """

    _wire: Wire
    seconds: float = field(default=_SECONDS, kw_only=True)
    _sequence: int = field(default=0, init=False)
    # Whether something was sent whose answers were not read to their end. A list that nobody reads
    # on would make the kernel refuse the next one (EBUSY).
    _is_unread: bool = field(default=False, init=False)

    def request(self, *messages: Message) -> tuple[Answer, ...]:
        """Send messages and read what the kernel answers.

        Args:
            messages: Any number; what does not fit one datagram is sent in several.

        Returns:
            What was asked for, without the acknowledgements.

        Raises:
            NetlinkError: one was refused, the first that was; the others were heeded if they are
                not refused as well (``verdicts``).
            AnswerLost, NetlinkTimeout, Malformed: what became of them is not known.
        """
        exchange = self.exchange(messages)
        for index, verdict in enumerate(exchange.verdicts):
            if verdict.code:
                raise refusal(index, exchange.verdicts)
        return exchange.answers

    def exchange(self, messages: Sequence[Message]) -> Exchange:
        """Send messages and read what the kernel says about each.

        Raises:
            NetlinkError: they could not be sent.
            NetlinkTimeout, Malformed: what became of them is not known.
        """
        answers: list[Answer] = []
        verdicts: list[Verdict] = []
        for part in _parts(messages):
            reading = self._converse(part, before=verdicts)
            answers += reading.answers
            verdicts += reading.in_order()
        return Exchange(answers=tuple(answers), verdicts=tuple(verdicts))

    def batch(self, messages: Sequence[Message]) -> Exchange:
        """Send a batch in one datagram: what nfnetlink heeds as a whole or not at all.

        The last one within it is acknowledged, and whatever is refused is told: each one would be
        more than a socket holds. So one whose verdict is lost was not refused, if nothing was.

        Args:
            messages: The batch's begin, its messages, and its end.

        Raises:
            NetlinkError: it could not be sent (EMSGSIZE: it is longer than the send buffer).
            NetlinkTimeout, Malformed: what became of it is not known.
        """
        reading = self._converse(messages, before=(), last=len(messages) - 2)
        return Exchange(answers=tuple(reading.answers), verdicts=tuple(reading.in_order()))

    def dump(self, message: Message, *, tries: int = _DUMPS) -> tuple[Answer, ...]:
        """Ask for a list, again where it changed while it was read.

        Args:
            message: What is asked for.
            tries: How often, at most.

        Raises:
            NetlinkError: it was refused.
            DumpInterrupted: it changed each time.
            NetlinkTimeout, Malformed: what came is not whole.
        """
        asked = (Message(message.kind, message.flags | DUMP, message.body),)
        for _ in range(tries):
            reading = self._converse(asked, before=())
            if reading.has_gaps:
                continue
            verdicts = reading.in_order()
            if verdicts[0].code:
                raise refusal(0, verdicts)
            return tuple(reading.answers)
        raise DumpInterrupted(errno.EAGAIN, f"the list changed {tries} times")

    def fileno(self) -> int:
        """Return the descriptor, for the ioctls that ask a socket about its namespace's links."""
        return self._wire.fileno()

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        self._wire.close()

    def _converse(
        self, part: Sequence[Message], *, before: Sequence[Verdict], last: int | None = None
    ) -> _Reading:
        """Send what fits one datagram, and read until each message has its verdict.

        Args:
            part: The messages.
            before: What was said about those before.
            last: In a batch the one that is acknowledged.
        """
        until = time.monotonic() + self.seconds
        self._read_what_was_left(until)
        reading = _Reading(self._wire.port, self._sequence + 1, part, last)
        self._sequence += len(part)
        self._is_unread = True
        acknowledged = None if last is None else (reading.first + last,)
        try:
            self._wire.send(pack(part, first=reading.first, acknowledged=acknowledged))
        except OSError as error:
            raise NetlinkError(error.errno or errno.EIO, "it could not be sent") from error
        while not reading.is_whole:
            # What lies there is taken, however late; but others may talk without end.
            if not self._read_once(reading, until) and time.monotonic() > until:
                raise self._out_of_time(reading, before)
        self._is_unread = False
        return reading

    def _read_once(self, reading: _Reading, until: float) -> bool:
        """Take what lies there, or wait for something; tell whether it was of ours."""
        try:
            datagram = self._wire.receive()
        except OSError as error:
            reading.lose(error)
            return False
        if datagram is not None:
            return reading.take(datagram)
        if reading.has_gaps:
            reading.give_up()  # it was among those that were lost
        else:
            self._wire.wait(until - time.monotonic())
        return False

    def _read_what_was_left(self, until: float) -> None:
        """Read to its end what somebody who was interrupted left behind."""
        while self._is_unread:
            if time.monotonic() > until:
                raise NetlinkTimeout(errno.ETIMEDOUT, "what was left unread has no end")
            try:
                self._is_unread = self._wire.receive() is not None
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise NetlinkError(error.errno or errno.EIO, "nothing can be read") from error

    def _out_of_time(self, reading: _Reading, before: Sequence[Verdict]) -> NetlinkTimeout:
        verdicts = (*before, *reading.in_order())
        index = next(i for i, verdict in enumerate(verdicts) if verdict.is_lost)
        return NetlinkTimeout(
            errno.ETIMEDOUT, f"no answer in {self.seconds:g} s", index=index, verdicts=verdicts
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_here(*, seconds: float = _SECONDS, protocol: int = socket.NETLINK_ROUTE) -> Netlink:
    """Open a socket of the calling thread's network namespace; it stays that one's.

    Args:
        seconds: How long the answers to what is sent at once may take.
        protocol: Whom it speaks to: NETLINK_ROUTE, or one of the others.

    Raises:
        OSError: there is no descriptor left.
    """
    return Netlink(KernelWire.open(protocol), seconds=seconds)


def open_inside(
    fd: int, *, path: str, home: Namespace | None = None, seconds: float = _SECONDS
) -> Netlink:
    """Open a socket of another network namespace; the calling thread is there for a moment.

    Args:
        fd: The open namespace; it may be closed afterwards.
        path: Its path, for errors.
        home: The namespace the thread comes from; without it the kernel is asked.
        seconds: How long the answers to what is sent at once may take.

    Raises:
        NotPermitted: this process may not enter namespaces.
        Busy: there is no descriptor left.
        OSError: the same.
        Stranded: the thread cannot come back and is to end.
    """
    with ExitStack() as stack:  # nobody closes it where the thread does not come back
        netlink = visit(
            fd, lambda: stack.enter_context(open_here(seconds=seconds)), path=path, home=home
        )
        stack.pop_all()
        return netlink


@define(eq=False, repr=False)
class _Reading:
    """What has come of the answers to one datagram.

    Attributes:
        first: The number of its first message.
        has_gaps: Something is missing between what came: it was lost, or the list changed.
    """

    _port: int
    first: int
    _part: Sequence[Message]
    _last: int | None  # of a batch, whose verdict comes behind all others
    answers: list[Answer] = Factory(list[Answer])
    has_gaps: bool = False
    _verdicts: dict[int, Verdict] = Factory(dict[int, Verdict])

    @property
    def is_whole(self) -> bool:
        if self._last is None:
            return len(self._verdicts) == len(self._part)
        # A batch that is refused as a whole is answered at its begin.
        return self._last in self._verdicts or 0 in self._verdicts

    def in_order(self) -> list[Verdict]:
        return [self._verdicts.get(index, LOST) for index in range(len(self._part))]

    def take(self, datagram: Datagram) -> bool:
        """Take what is of ours; tell whether something was."""
        if datagram.sender != 0:
            return False
        if datagram.is_truncated:
            raise malformed(f"a datagram of more than {len(datagram.data)} bytes")
        is_ours = False
        for answer in unpack(datagram.data):
            index = (answer.sequence - self.first) & 0xFFFFFFFF
            if answer.port == self._port and index < len(self._part):
                is_ours = True
                self._take_answer(answer, index)
        return is_ours

    def lose(self, error: OSError) -> None:
        if error.errno != errno.ENOBUFS:
            raise NetlinkError(error.errno or errno.EIO, "nothing can be read") from error
        self.has_gaps = True

    def give_up(self) -> None:
        for index in range(len(self._part)):
            self._verdicts.setdefault(index, LOST)

    def _take_answer(self, answer: Answer, index: int) -> None:
        if answer.is_interrupted:
            self.has_gaps = True
        if answer.is_verdict:
            self._verdicts[index] = answer.verdict()
        elif answer.is_data:
            self.answers.append(answer)
            if self._part[index].is_question:
                self._verdicts[index] = DONE


def _parts(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Divide messages into what fits a datagram, and whose answers fit the socket."""
    if len(messages) == 1:
        yield messages
        return
    begin = taken = 0
    for index, message in enumerate(messages):
        size = size_of(message)
        if index > begin and (index - begin == _MOST_MESSAGES or taken + size > _MOST_BYTES):
            yield messages[begin:index]
            begin, taken = index, 0
        taken += size
    if begin < len(messages):
        yield messages[begin:]
