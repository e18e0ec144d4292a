"""What plugins that have elements in a table of ours do with them in each verb.

Rule 1: a DEL takes out what the result of the ADD says, without a look at what is others'; without
    that result, or where a result does not say it all and no runtime of ours is around, it looks
    for what is the owner's, and reads nothing else.
Rule 2: where the kernel has no nf_tables, nothing can be there.
Rule 3: whoever has to look for what is the owner's finds it as long as something else depends on
    it: the addresses stay the owner's until that is done, too.
Rule 4: what is put back takes nothing from anybody: what is another's by now is refused.

(specification, section 2; rules P3, P5, P6)
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_address
from types import TracebackType
from typing import Final

from attrs import evolve

from acni.netlink.errors import NetlinkError
from acni.netlink.netfilter import Netfilter
from acni.netlink.nftables import Element
from acni.plugins.connections import forget_led
from acni.plugins.elements import (
    Taken,
    entries_of,
    entries_of_owner,
    layout_of,
    missing,
    netfilter_of,
    put,
    require_writable,
    take_out,
)
from acni.plugins.framerules import OF_FRAMES
from acni.plugins.owners import Owner, network_mark
from acni.plugins.refusals import differs, doing, kernel_refusal
from acni.plugins.ruleset import OF_PACKETS
from acni.plugins.tablerefusals import table_asleep
from acni.plugins.tablerules import IN_FORCE, TableState, state_of
from acni.plugins.tables import TABLE, Entry, TableLayout, comment_of
from acni.plugins.thorough import do_all
from acni.skel.call import Call, PutBack
from acni.skel.errors import Code, PluginError

ADDRESS_TAKEN: Final = 115

# What a kernel without netfilter, or with one without nf_tables, gives: for a socket, and a batch.
_NO_NETFILTER: Final = (errno.EPROTONOSUPPORT, errno.EOPNOTSUPP)


class if_there_is_netfilter:  # noqa: N801 (read as a statement)
    """Ends what is done in its block where the kernel has no netfilter, and goes on behind it."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return isinstance(error, OSError) and error.errno in _NO_NETFILTER


def undo_with(undo: ExitStack, call: Call, entries: Sequence[Entry]) -> None:
    """Have entries taken out where what follows goes wrong; the first error is what is told."""

    def take_back() -> None:
        with contextlib.suppress(Exception), netfilter_of(call) as netfilter:
            take_out(netfilter, entries)

    undo.callback(take_back)


def remove(
    call: Call,
    owner: Owner,
    entries: Sequence[Entry],
    *,
    then: Callable[[Netfilter, Sequence[Entry]], object] | None = None,
    is_ours: Callable[[Element], bool] | None = None,
) -> None:
    """Take out what an ADD put in.

    Args:
        call: A DEL.
        owner: Whose it is.
        entries: What the ADD's result says; where there is none, it is looked for.
        then: What is to be done once nothing leads there any more. Where it raises, a DEL that
            comes again does it again. Of what was looked for it is done before, too: a DEL that
            comes again finds the addresses alone.
        is_ours: Tells which of what was looked for goes; None, all. What keeps a container's
            neighbours from it is needed for as long as its link is there.

    Raises:
        PluginError: the kernel refuses.
    """
    what = f"removing what is {owner.attachment}'s of the table acni"
    with doing(what), if_there_is_netfilter(), netfilter_of(call) as netfilter:
        if entries:
            take_out(netfilter, entries)
            if then is not None:
                then(netfilter, entries)
        else:
            _remove_found(netfilter, comment_of(owner), then, is_ours)


def _remove_found(
    netfilter: Netfilter,
    theirs: str,
    then: Callable[[Netfilter, Sequence[Entry]], object] | None,
    is_ours: Callable[[Element], bool] | None,
) -> None:
    found = entries_of_owner(netfilter, theirs)
    there = [evolve(one, elements=tuple(filter(is_ours, one.elements))) for one in found]
    if then is not None:
        then(netfilter, there)
        take_out(netfilter, there, keeps_claims=True)
        then(netfilter, there)
        there = [evolve(entry, elements=()) for entry in there]
    take_out(netfilter, there)


def collect(call: Call) -> None:
    """Take out what is of a network and of none of its valid attachments.

    Raises:
        PluginError: the kernel refuses.
    """
    if call.valid is None:
        return
    valid = {comment_of(Owner(call.network, one)) for one in call.valid}
    prefix = network_mark(call.network)
    what = "collecting elements of the tables acni"
    with doing(what), if_there_is_netfilter(), netfilter_of(call) as netfilter:
        for layout in (OF_PACKETS, OF_FRAMES):
            found = entries_of(
                netfilter,
                lambda comment: comment.startswith(prefix) and comment not in valid,
                layout=layout,
            )
            forget_led(netfilter, found)  # what ports these are is known until then
            take_out(netfilter, found)
            forget_led(netfilter, found)


def restoring(
    call: Call, entries: Sequence[Entry], *, shared: Sequence[Element] = ()
) -> PutBack | None:
    """Look whether anything of what an ADD put in is not there any more; return what puts it back,
    all or nothing.

    Args:
        call: What is called.
        entries: What the ADD put in.
        shared: What is nobody's, and is there as well.

    Raises:
        PluginError: the kernel does not say. What it returns raises one where somebody put the
            table to sleep.
    """

    def put_back() -> None:
        with doing("putting back what the table acni had"), netfilter_of(call) as netfilter:
            require_awake(netfilter, layout_of(entries))
            put_again(netfilter, entries, shared=shared)

    with doing("looking at the table acni"), netfilter_of(call) as netfilter:
        is_whole = not entries or state_of(netfilter, layout_of(entries)) == IN_FORCE
        is_whole = is_whole and missing(netfilter, entries) is None
        is_whole = is_whole and all(netfilter.elements_like(TABLE, shared))
    return None if is_whole else put_back


def put_again(
    netfilter: Netfilter, entries: Sequence[Entry], *, shared: Sequence[Element] = ()
) -> None:
    """Put in what an ADD put in before, no ports among it.

    Raises:
        PluginError: an address is another attachment's by now.
        NetlinkError: the kernel refuses.
    """
    try:
        put(netfilter, entries, shared=shared, takes_over=False)
    except Taken as taken:
        raise address_taken(taken) from taken


def require_rules(netfilter: Netfilter, layout: TableLayout = OF_PACKETS) -> None:
    """Raise where the elements of a table are there, and it is not in force.

    Raises:
        PluginError: so it is.
        NetlinkError: the kernel does not say.
    """
    state = require_awake(netfilter, layout)
    if state.lacking is not None:
        message = f"the chain {state.lacking} of the table {TABLE} lacks a rule"
        raise differs(message, "rule-missing")


def require_awake(netfilter: Netfilter, layout: TableLayout = OF_PACKETS) -> TableState:
    """Return the state of a table that nobody put to sleep.

    Raises:
        PluginError: somebody did, so that nothing of it holds, and nothing is put into it.
        NetlinkError: the kernel does not say.
    """
    state = state_of(netfilter, layout)
    if state.is_asleep:
        raise table_asleep(layout.family)
    return state


def put_back_all(found: Iterable[PutBack | None]) -> PutBack | None:
    """Return what puts back all of something, whatever of it cannot be; None where it is nothing.

    What it returns raises the first error.
    """
    steps = [one for one in found if one is not None]
    return partial(do_all, steps) if steps else None


def address_taken(taken: Taken) -> PluginError:
    """Make the error of an address, or a port of a bridge, that is another attachment's by now."""
    key, is_port = taken.element.key, taken.element.family == OF_FRAMES.family
    what = key.rstrip(b"\0").decode() if is_port else str(ip_address(key))
    whose = "another attachment" if taken.owner is None else f"another attachment ({taken.owner})"
    message = f"{what} belongs to {whose} in the table {TABLE}"
    details = "IPAM gave it twice, or a gc is due: it removes what is of nobody"
    return PluginError(ADDRESS_TAKEN, message, details=details, reason="address-taken")


def require_table(call: Call, *, layout: TableLayout = OF_PACKETS) -> None:
    """Find out whether a table can be written, and would be heeded.

    Raises:
        PluginError: it cannot: no ADD can succeed.
    """
    try:
        with netfilter_of(call) as netfilter:
            require_writable(netfilter, layout=layout)
            is_asleep = state_of(netfilter, layout).is_asleep
    except PluginError as error:
        details, reason = error.details, error.reason
        raise PluginError(Code.NOT_AVAILABLE, error.msg, details=details, reason=reason) from error
    except NetlinkError as error:
        refusal = kernel_refusal(error, "writing a table of nf_tables")
        raise PluginError(Code.NOT_AVAILABLE, refusal.msg, reason=refusal.reason) from error
    if is_asleep:
        raise table_asleep(layout.family, code=Code.LIMITED)
