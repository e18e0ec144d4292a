"""A conversation with nf_tables and the table of connections, of one network namespace.

Rule 1: a batch is heeded as a whole or not at all, and each message that is refused is named.
Rule 2: a generation is the number of a state of all rules of the namespace. A batch that names one
    is refused (ERESTART) where somebody has changed any rule since: who decided by what was there
    looks again.
Rule 3: closing a socket waits for what was deleted before, and lets all others wait meanwhile
    (nft_rcv_nl_event, net/netfilter/nf_tables_api.c): 15 ms, where a change takes 0.03. So one is
    kept open.
Rule 4: what was read of others' rules stands as long as nobody else changed any. A batch is told
    which generation it made, so it does not count (:mod:`acni.netlink.generations`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Self, TypeVar

from attrs import Factory, define, field

from acni.netlink.errors import AnswerLost, NetlinkError, Verdict, malformed, refusal
from acni.netlink.generations import Ledger, Memory
from acni.netlink.messages import ECHO, Answer, Message, be32_of, encoded, question
from acni.netlink.nfexpressions import INET
from acni.netlink.nfmessages import (
    NETLINK_NETFILTER,
    batch_of,
    family_and_attributes,
    kind_of,
)
from acni.netlink.nftables import (
    GETGEN,
    NEWGEN,
    SUBSYSTEM,
    Element,
    get_element,
    list_of,
    read_elements,
    table_message,
)
from acni.netlink.sockets import Netlink, open_here

MOST_ELEMENTS: Final = 500
"""How many messages about elements fit into a batch: the send buffer has 212,992 bytes, and only
the administrator may have it longer."""

_ATTEMPTS: Final = 64

_NEW_GENERATION: Final = kind_of(SUBSYSTEM, NEWGEN)

Decided = TypeVar("Decided")


@define(eq=False, repr=False)
class Netfilter:
    """A netfilter socket, for one thread at a time."""

    netlink: Netlink
    _ledger: Ledger = Factory(Ledger)
    _last_asked: int | None = field(default=None, init=False)
    _last_made: int | None = field(default=None, init=False)
    _was_next: bool = field(default=False, init=False)

    def transact(self, messages: Sequence[Message], *, generation: int | None = None) -> None:
        """Have messages heeded, all or none.

        Args:
            messages: Any number that fits one datagram.
            generation: Only while it is the rules' one.

        Raises:
            NetlinkError: one was refused, the first that was: nothing was changed. ``index`` says
                which, and ``verdicts`` what is said about each; without an index all were refused
                as a whole (ERESTART: it is another generation; EPERM).
            AnswerLost, NetlinkTimeout, Malformed: what became of them is not known.
        """
        if not messages:
            return
        # The generation that a batch makes is told to who asks for an echo of its first message.
        self._was_next = False
        first, *others = messages
        asked = [Message(first.kind, first.flags | ECHO, first.body), *others]
        with self._ledger.making() as made:
            exchange = self.netlink.batch(batch_of(asked, generation=generation))
            news = (answer for answer in exchange.answers if answer.kind == _NEW_GENERATION)
            made.extend(map(_generation_of, news))
            self._last_made = made[-1] if made else None
            self._was_next = bool(made) and made[0] - 1 == self._last_asked
        whole, *each, _ = exchange.verdicts
        # The first of a flood of refusals are told, and what was not told of was not refused.
        refused = [index for index, one in enumerate(each) if one.code and not one.is_lost]
        if refused:
            raise refusal(refused[0], [_NOT_REFUSED if one.is_lost else one for one in each])
        if whole.code and not whole.is_lost:
            raise NetlinkError(whole.code, whole.words)
        if each[-1].is_lost:
            raise AnswerLost(errno.ENOBUFS, "the answer to a batch was lost")

    def decide(self, decide: Callable[[], tuple[Sequence[Message], Decided]]) -> Decided:
        """Have messages heeded that depend on what is there.

        Args:
            decide: Looks, and says what is to be done; asked again where something changed.

        Returns:
            What it said beside.

        Raises:
            NetlinkError: one was refused; ERESTART, something changed each time.
        """
        for _ in range(_ATTEMPTS):
            generation = self.generation()
            messages, decided = decide()
            try:
                self.transact(messages, generation=generation)
            except NetlinkError as error:
                if error.errno != errno.ERESTART:
                    raise
                continue
            return decided
        raise NetlinkError(errno.ERESTART, f"the rules changed {_ATTEMPTS} times")

    def generation(self) -> int:
        """Return the number of the rules' state.

        Raises:
            NetlinkError: the kernel does not say: it has no nf_tables, or permits nothing.
        """
        answers = self.netlink.request(question(table_message(GETGEN, 0, family=0)))
        if len(answers) != 1:
            raise malformed(f"{len(answers)} generations")
        return _generation_of(answers[0])

    @property
    def was_next(self) -> bool:
        """Whether nobody, we included, changed any rule from when :meth:`remembered` last asked the
        kernel, but after a batch, to the last batch of this socket: what was looked at between the
        two was so when it was heeded.
        """
        return self._was_next

    def remembered(self, kind: type[Memory], *, is_after_batch: bool = False) -> Memory:
        """Return what was read of others' rules, to be read on: an empty one where anybody else
        changed any rule since.

        Args:
            kind: What it is; one is made of it without arguments.
            is_after_batch: Whether it is enough that nobody did until the last batch of this
                socket, of which the generation is known, so that the kernel is not asked.

        Raises:
            NetlinkError: the kernel does not say which generation it is.
        """
        now = self._last_made if is_after_batch else None
        if now is None:
            now = self.generation()
            if not is_after_batch:  # who looks for a batch that is to come
                self._last_asked = now
        if not self._ledger.stands(now):
            # The kernel tells a generation some moments before it lists what that has: whoever is
            # making it is waited for (nf_tables_commit: base_seq, then gencursor, in one mutex).
            self.netlink.batch(batch_of(()))
        return self._ledger.remembered(kind, now=now)

    def elements(
        self, table: str, name: str, *, family: int = INET, comment: str | None = None
    ) -> list[Element]:
        """Return the elements of a set.

        Args:
            table: The table.
            name: The set's name.
            family: The table's.
            comment: Only those beside which this stands, which are found without reading the
                others: of thousands that takes a thirtieth of the time. None, all.

        Raises:
            NetlinkError: ENOENT, there is no such set; or the kernel does not say.
        """
        answers: Iterable[Answer] = self.netlink.dump(list_of(table, name, family=family))
        if comment is not None:
            answers = (answer for answer in answers if encoded(comment) in answer.body)
        return list(self._elements(name, answers, comment))

    def element(self, table: str, element: Element) -> Element | None:
        """Return the element of a key as it is there; None where there is none.

        Args:
            table: The table.
            element: What says the set and the key; the rest does not matter.

        Raises:
            NetlinkError: the kernel does not say.
        """
        (found,) = self.elements_like(table, [element])
        return found

    def elements_like(self, table: str, wanted: Sequence[Element]) -> list[Element | None]:
        """Return the elements of some keys as they are there; None where there is none.

        Raises:
            NetlinkError: the kernel does not say.
        """
        exchange = self.netlink.exchange([get_element(table, one) for one in wanted])
        for index, verdict in enumerate(exchange.verdicts):
            if verdict.code not in (0, errno.ENOENT):
                raise refusal(index, exchange.verdicts)
        answers = iter(exchange.answers)
        found: list[Element | None] = []
        for one, verdict in zip(wanted, exchange.verdicts, strict=True):
            if verdict.code:
                found.append(None)
                continue
            there = list(self._elements(one.name, islice(answers, 1)))
            if len(there) != 1:
                raise malformed(f"{len(there)} elements of one key")
            found += there
        return found

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        self.netlink.close()

    def _elements(
        self, name: str, answers: Iterable[Answer], comment: str | None = None
    ) -> Iterator[Element]:
        for answer in answers:
            family, said = family_and_attributes(answer)
            yield from read_elements(name, said.get(3, b""), family=family, comment=comment)

    @classmethod
    def open(cls, ledger: Ledger | None = None) -> Self:
        """Open one of the calling thread's network namespace; it stays that one's.

        Args:
            ledger: What it has in common with other sockets of that namespace.

        Raises:
            OSError: there is no descriptor left, or the kernel has no netfilter.
        """
        return cls(open_here(protocol=NETLINK_NETFILTER), ledger or Ledger())


_NOT_REFUSED: Final = Verdict(code=0)


def _generation_of(answer: Answer) -> int:
    _, said = family_and_attributes(answer)
    return be32_of(said.get(1, b""))
