"""What pods have in the tables of :mod:`acni.plugins.ruleset` and :mod:`acni.plugins.framerules`:
put in, taken out and looked at.

Rule 1: where the table is gone, as after ``nft flush ruleset``, or its rules are, as after ``nft
    flush table``, or it was made by an older acni, it is made anew by whoever puts something in;
    whoever takes something out finds that nothing is there.
Rule 2: who puts an address in has it from IPAM: what a former owner left of it is removed.
Rule 3: the kernel refuses a key that is there, and does not know that a port at one address of the
    host and the same port at each are one. Who wants it at one address puts it in only as long as
    nothing has changed since a look; who wants it at each looks once it is in, and takes it out
    again. So of two at the same time one gets it, and not both.
Rule 4: who puts something back had it once: what is another's by now stays that one's.
Rule 5: what is put into a table that sleeps helps nobody: that is refused.
Rule 6: a table of our name that is somebody else's is left as it is, and there is nothing of ours.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final

from attrs import evolve

from acni.netlink.errors import NetlinkError, NotSupported
from acni.netlink.generations import Ledger
from acni.netlink.messages import Message
from acni.netlink.netfilter import MOST_ELEMENTS, Netfilter
from acni.netlink.nfrules import find_table
from acni.netlink.nftables import (
    Element,
    add_element,
    delete_element,
    delete_rules,
    deletion_of,
)
from acni.plugins.connections import forget_led
from acni.plugins.foreigntables import find_foreign
from acni.plugins.framerules import OF_FRAMES
from acni.plugins.hostsockets import key_of_host
from acni.plugins.ruleset import OF_PACKETS
from acni.plugins.tablerefusals import table_asleep, table_foreign
from acni.plugins.tablerules import TableState, forget_state, state_of
from acni.plugins.tables import NOTHING_THERE, TABLE, Entry, TableLayout, require_layout
from acni.skel.call import Call
from acni.skel.kept import Kept

_LAYOUTS: Final = {layout.family: layout for layout in (OF_PACKETS, OF_FRAMES)}

# What adding a key with other data gives: Linux 5.18 and later, and before.
_TAKEN: Final = (errno.EEXIST, errno.EBUSY)
# Others may take an address over at the same time; they have it from IPAM as well.
_ATTEMPTS: Final = 8
_MOST_AT_ONCE: Final = MOST_ELEMENTS // 2 - 1


class Taken(Exception):
    """A port of the host leads to another pod, or an address is another one's.

    Attributes:
        element: What was to be put in; the claim, where the address is another one's.
        owner: Whose it is, as the table says it; None where it says nothing.
    """

    def __init__(self, element: Element, owner: str | None) -> None:
        super().__init__(element, owner)
        self.element = element
        self.owner = owner

    @property
    def is_of_claim(self) -> bool:
        """Whether the address is another one's, and not a port."""
        return _is_claim(self.element)


def netfilter_of(call: Call) -> AbstractContextManager[Netfilter]:
    """Lend a netfilter socket of the host, which is kept from call to call.

    Raises:
        OSError: there is no descriptor left, or the kernel has no netfilter.
    """
    return lent_netfilter(call.kept)


def lent_netfilter(kept: Kept) -> AbstractContextManager[Netfilter]:
    """Lend the same to whoever is no call."""
    key = key_of_host("netfilter")
    ledger = kept.shared(key, Ledger)
    return kept.lent(key, lambda: Netfilter.open(ledger))


def table_states(kept: Kept) -> tuple[tuple[int | None, TableState], ...]:
    """Return the numbers of the tables, None of one that is not there, and whether each is in
    force: whoever removes a table takes all that was in it, and the next one has another number.

    Raises:
        OSError: the kernel does not say.
    """
    with lent_netfilter(kept) as netfilter:
        tables = (find_table(netfilter, TABLE, family=family) for family in _LAYOUTS)
        return tuple(
            (None if table is None else table.handle, state_of(netfilter, layout))
            for table, layout in zip(tables, _LAYOUTS.values(), strict=True)
        )


def put(
    netfilter: Netfilter,
    entries: Sequence[Entry],
    *,
    shared: Sequence[Element] = (),
    gone: Sequence[Element] = (),
    look: Callable[[], object] | None = None,
    takes_over: bool = True,
) -> None:
    """Put entries into their table.

    Args:
        netfilter: The host's socket.
        entries: Of an attachment, and of one table.
        shared: What is nobody's, and is there as well.
        gone: What is of the same attachment, and goes where it is there.
        look: Raises where they may not be put in; they are only as long as it would say the same.
        takes_over: Whether what is there of an address, and another one's, is removed.

    Raises:
        Taken: a port is another one's, or an address. Of few nothing was put in; of many some may
            be.
        NotSupported: there is no table, and the kernel lacks what it takes.
        PluginError: the table sleeps, and what was put in stays; or it is somebody else's.
        NetlinkError: the kernel refuses.
    """
    everything = [*(one.claim for one in entries), *shared, *gone]
    if not everything:
        return
    for is_new in (True, False):  # mostly it is, and a third of the messages does
        pairs = _adding(entries, shared, gone, is_new=is_new)
        if _put_all(netfilter, pairs, look, takes_over=takes_over, is_new=is_new):
            break
    _require_in_force(netfilter, _LAYOUTS[everything[0].family])


def take_out(netfilter: Netfilter, entries: Iterable[Entry], *, keeps_claims: bool = False) -> None:
    """Take out what is there of entries, and is theirs.

    Args:
        netfilter: The host's socket.
        entries: Of an attachment.
        keeps_claims: Whether the addresses stay theirs.

    Raises:
        NetlinkError: the kernel refuses.
    """
    for entry in entries:
        _take_out(netfilter, entry, keeps_claim=keeps_claims)


def take_out_shared(netfilter: Netfilter, element: Element) -> None:
    """Take out what is nobody's, if it is there.

    Raises:
        NetlinkError: the kernel refuses.
    """
    try:
        netfilter.transact([delete_element(TABLE, element)])
    except NetlinkError as error:
        if error.errno != errno.ENOENT:
            raise


def layout_of(entries: Sequence[Entry]) -> TableLayout:
    """Return the layout of the table that some entries are of."""
    return _LAYOUTS[entries[0].claim.family]


def missing(netfilter: Netfilter, entries: Iterable[Entry]) -> Element | None:
    """Return the first element that is not in the table, or not as it was put in; None where all
    are.

    Raises:
        NetlinkError: the kernel does not say.
    """
    wanted = [one for entry in entries for one in (entry.claim, *entry.elements)]
    try:
        found = netfilter.elements_like(TABLE, wanted)
    except NetlinkError as error:
        if error.errno != errno.EINVAL or error.index is None:
            raise
        return wanted[error.index]  # somebody's set of this name has no such keys
    return next((one for one, there in zip(wanted, found, strict=True) if one != there), None)


def entries_of(
    netfilter: Netfilter, is_wanted: Callable[[str], bool], *, layout: TableLayout = OF_PACKETS
) -> list[Entry]:
    """Return what is in a table by whose it is.

    Args:
        netfilter: The host's socket.
        is_wanted: Tells by an owner in words.
        layout: The table.

    Raises:
        NetlinkError: the kernel does not say.
    """
    wanted = (one for one in _all(netfilter, layout) if one.comment and is_wanted(one.comment))
    return _entries(layout, wanted)


def entries_of_owner(
    netfilter: Netfilter, comment: str, *, layout: TableLayout = OF_PACKETS
) -> list[Entry]:
    """Return what is in a table of one owner, without a look at what is others'.

    Args:
        netfilter: The host's socket.
        comment: The owner in words.
        layout: The table.

    Raises:
        NetlinkError: the kernel does not say.
    """
    return _entries(layout, _all(netfilter, layout, comment))


def _entries(layout: TableLayout, elements: Iterable[Element]) -> list[Entry]:
    found: dict[tuple[str, str, bytes], list[Element]] = {}
    for element in elements:
        if element.comment is not None:
            claim = layout.claim_of(element.comment, element)
            found.setdefault((element.comment, claim.name, claim.key), []).append(element)
    return [_entry(layout, comment, elements) for (comment, *_), elements in found.items()]


def claimants(netfilter: Netfilter) -> set[str]:
    """Return whose addresses there are, in words.

    Raises:
        NetlinkError: the kernel does not say.
    """
    claims = (one for family in "46" for one in listed(netfilter, f"owners{family}"))
    return {one.comment for one in claims if one.comment is not None}


def require_writable(netfilter: Netfilter, *, layout: TableLayout = OF_PACKETS) -> None:
    """Find out whether a table could be made, and make nothing.

    Raises:
        NotSupported: the kernel lacks what it takes.
        PluginError: somebody else has a table of this name.
        NetlinkError: it could not.
    """
    # The last message is refused, and so is the batch; what stands before it was looked at.
    messages = layout.messages()
    refused = delete_rules(TABLE, "no_chain", family=layout.family)
    try:
        _make(netfilter, layout, [*messages, refused])
    except NetlinkError as error:
        if (error.index, error.errno) != (len(messages), errno.ENOENT):
            raise


def _require_in_force(netfilter: Netfilter, layout: TableLayout) -> None:
    """Make rules anew that somebody took away; refuse a table that somebody put to sleep."""
    # Of which generation the batch was is told, so that nobody has to be asked.
    state = state_of(netfilter, layout, is_after_batch=True)
    if state.lacking is not None:
        _lay(netfilter, layout)
    if state.is_asleep:
        raise table_asleep(layout.family)


def _lay(netfilter: Netfilter, layout: TableLayout) -> None:
    _make(netfilter, layout, layout.messages())
    forget_state(netfilter, layout)


def _make(netfilter: Netfilter, layout: TableLayout, messages: Sequence[Message]) -> None:
    """Make a table. Nothing that its messages name can be missing but what the kernel has not: the
    family, a kind of chain, a step of a rule.
    """
    try:
        netfilter.transact(messages)
    except NetlinkError as error:
        foreign = None
        if error.index is not None:
            foreign = find_foreign(netfilter, messages[error.index], error)
        if foreign is not None:
            raise table_foreign(layout.family, foreign) from error
        if error.errno != errno.ENOENT or error.index == len(messages) - 1:
            raise
        words = f"the table {TABLE} takes more of nf_tables than this kernel has"
        raise NotSupported(errno.EOPNOTSUPP, words, index=error.index) from error


def _adding(
    entries: Sequence[Entry], shared: Sequence[Element], gone: Sequence[Element], *, is_new: bool
) -> list[tuple[Message, Element]]:
    """Return what is sent to put something in, and which element each message is about."""
    pairs: list[tuple[Message, Element]] = []
    for one in gone:  # first: who is ended between two batches leaves something missing
        there = add_element(TABLE, one)
        pairs += [(there, one), (deletion_of(there), one)]
    pairs += [pair for one in entries for pair in zip(*one.adding(is_new=is_new), strict=True)]
    pairs += [(add_element(TABLE, one), one) for one in shared]
    return pairs


def _put_all(
    netfilter: Netfilter,
    pairs: Sequence[tuple[Message, Element]],
    look: Callable[[], object] | None,
    *,
    takes_over: bool,
    is_new: bool,
) -> bool:
    """Put something in; tell whether that was done: not where something is there that was to be
    new.
    """
    parts = (pairs[at : at + MOST_ELEMENTS] for at in range(0, len(pairs), MOST_ELEMENTS))
    return all(_put(netfilter, part, look, takes_over=takes_over, is_new=is_new) for part in parts)


def _put(
    netfilter: Netfilter,
    pairs: Sequence[tuple[Message, Element]],
    look: Callable[[], object] | None,
    *,
    takes_over: bool,
    is_new: bool,
) -> bool:
    family = pairs[0][1].family
    messages = [require_layout(family), *(message for message, _ in pairs)]
    for _ in range(_ATTEMPTS):
        try:
            if look is None:
                netfilter.transact(messages)
            else:
                netfilter.decide(lambda: (messages, look()))
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                _lay(netfilter, _LAYOUTS[family])
                continue
            if error.errno not in _TAKEN or error.index is None:
                raise
            _, taken = pairs[error.index - 1]
            if is_new and not _is_claim(taken):
                return False
            if not (takes_over and _is_claim(taken)):
                there = netfilter.element(TABLE, taken)
                raise Taken(taken, None if there is None else there.comment) from error
            _remove_all_of(netfilter, taken)
            continue
        return True
    raise NetlinkError(errno.EAGAIN, f"the table {TABLE} changed {_ATTEMPTS} times")


def _remove_all_of(netfilter: Netfilter, claim: Element) -> None:
    """Remove what is there of an address or a port, whoever put it in."""
    layout = _LAYOUTS[claim.family]
    theirs = (one for one in _all(netfilter, layout) if _is_of(layout, one, claim))
    former = _entries(layout, theirs)
    # Or they would go on to who has the address now; what ports these are is known until then.
    forget_led(netfilter, former)
    take_out(netfilter, former)
    forget_led(netfilter, former)
    if netfilter.element(TABLE, claim) is not None:
        _remove_regardless(netfilter, claim)


def _remove_regardless(netfilter: Netfilter, claim: Element) -> None:
    """Remove what none of ours put in like that; whoever changes a rule meanwhile has us look
    again, so that in a crowd it is not for what is common.
    """
    layout = _LAYOUTS[claim.family]

    def decide() -> tuple[list[Message], None]:
        theirs = (one for one in _all(netfilter, layout) if _is_of(layout, one, claim))
        return [delete_element(TABLE, one) for one in theirs], None

    netfilter.decide(decide)


def _is_of(layout: TableLayout, element: Element, claim: Element) -> bool:
    said = layout.claim_of("", element)
    return (said.name, said.key) == (claim.name, claim.key)


def _take_out(netfilter: Netfilter, entry: Entry, *, keeps_claim: bool) -> None:
    for begin in range(0, max(1, len(entry.elements)), _MOST_AT_ONCE):
        end = begin + _MOST_AT_ONCE
        part = evolve(entry, elements=entry.elements[begin:end])
        is_last = end >= len(entry.elements)
        _take_out_part(netfilter, part, has_claim=is_last and not keeps_claim)


def _take_out_part(netfilter: Netfilter, part: Entry, *, has_claim: bool) -> None:
    is_whole = True
    while True:
        messages, subjects = part.removing(has_claim=has_claim, is_whole=is_whole)
        try:
            netfilter.transact(messages)
        except NetlinkError as error:
            if error.errno == errno.ENOENT:
                # The first one makes what is missing, but the table.
                if not error.index or not is_whole:
                    return
                is_whole = False
                continue
            if error.errno == errno.EINVAL and not _is_laid_out(netfilter, part.claim.family):
                return  # somebody's sets, of other types
            if error.errno not in _TAKEN or error.index is None:
                raise
            others = {subjects[i] for i, one in enumerate(error.verdicts) if one.code in _TAKEN}
            if part.claim in others:
                return
            part = evolve(part, elements=tuple(one for one in part.elements if one not in others))
        else:
            return


def _is_laid_out(netfilter: Netfilter, family: int) -> bool:
    """Tell whether a table is one of ours, and not another one of this name."""
    try:
        netfilter.transact([require_layout(family)])
    except NetlinkError as error:
        if error.errno != errno.ENOENT:
            raise
        return False
    return True


def _entry(layout: TableLayout, comment: str, elements: Sequence[Element]) -> Entry:
    claims = [one for one in elements if _is_claim(one)]
    said = tuple(one for one in elements if not _is_claim(one))
    claim = claims[0] if claims else layout.claim_of(comment, elements[0])
    return Entry(comment=comment, claim=claim, elements=said)


def _is_claim(element: Element) -> bool:
    return element.name.startswith("owners")


def _all(
    netfilter: Netfilter, layout: TableLayout, comment: str | None = None
) -> Iterator[Element]:
    for name in layout.sets:
        yield from listed(netfilter, name, family=layout.family, comment=comment)


def find_element(netfilter: Netfilter, wanted: Element) -> Element | None:
    """Return an element as it is there; None where it is not, or nothing can be."""
    try:
        return netfilter.element(TABLE, wanted)
    except NetlinkError as error:
        if error.errno not in NOTHING_THERE:
            raise
        return None


def listed(
    netfilter: Netfilter,
    name: str,
    *,
    family: int = OF_PACKETS.family,
    comment: str | None = None,
) -> list[Element]:
    """Return the elements of a set, or those of one owner; none where there is no table.

    Raises:
        NetlinkError: the kernel does not say.
    """
    try:
        return netfilter.elements(TABLE, name, family=family, comment=comment)
    except NetlinkError as error:
        if error.errno not in NOTHING_THERE:
            raise
        return []
