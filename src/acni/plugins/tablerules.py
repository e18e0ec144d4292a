"""Whether a table of ours is in force: awake, and with its rules. Who flushes the table by its name
takes them, and leaves the sets with all that is in them, so that nothing else is missing; likewise
who deletes a single one.

Rule 1: each of our rules is there, by what it consists of and where it leads; what somebody put
    beside them does not matter. What the administrator has to say he says in chains of his own.
Rule 2: what a later layout has in which chain is not known here: its table is left alone.
Rule 3: a table that sleeps is an administrator's doing: it is named, and never woken.
Rule 4: what was read stands as long as nobody else changed any rule. Where somebody does all the
    time, nothing is said to be missing: who comes later sees it, and nobody waits for it.

(nft(8), "TABLES": flush, dormant)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from attrs import Factory, define, frozen

from acni.netlink.errors import DumpInterrupted, NetlinkError
from acni.netlink.generations import ReadByOne
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfrules import dump_rules, find_table, list_chains
from acni.plugins.tables import (
    LAYOUT,
    LAYOUTS,
    NOTHING_THERE,
    TABLE,
    RuleShape,
    TableLayout,
    shape_of,
)


@frozen(kw_only=True)
class TableState:
    """Whether a table of ours is in force.

    Attributes:
        lacking: The chain from which somebody took rules of ours; None, they are there, or the
            table is gone.
        is_asleep: Whether somebody put it to sleep (``flags dormant``).
    """

    lacking: str | None = None
    is_asleep: bool = False


IN_FORCE: Final = TableState()


@define(eq=False, repr=False)
class _Seen(ReadByOne):
    """The state of the table of each family."""

    states: dict[int, TableState] = Factory(dict[int, TableState])


def state_of(
    netfilter: Netfilter, layout: TableLayout, *, is_after_batch: bool = False
) -> TableState:
    """Return whether a table of ours is in force; one that is gone lacks nothing.

    Args:
        netfilter: The host's socket.
        layout: The table.
        is_after_batch: Whether it is enough that nobody changed it until the last batch of this
            socket.

    Raises:
        NetlinkError: the kernel does not say.
    """
    try:
        seen = netfilter.remembered(_Seen, is_after_batch=is_after_batch)
        with seen.reading():
            if layout.family not in seen.states:
                seen.states[layout.family] = _look(netfilter, layout)
            return seen.states[layout.family]
    except DumpInterrupted:
        return IN_FORCE
    except NetlinkError as error:
        if error.errno not in NOTHING_THERE:
            raise
        return IN_FORCE


def forget_state(netfilter: Netfilter, layout: TableLayout) -> None:
    """Forget what was read, as our last batch made the rules; who is reading is waited for.

    Raises:
        NetlinkError: the kernel does not say which generation it is.
    """
    seen = netfilter.remembered(_Seen, is_after_batch=True)
    with seen.reading():
        seen.states.pop(layout.family, None)


def _look(netfilter: Netfilter, layout: TableLayout) -> TableState:
    table = find_table(netfilter, TABLE, family=layout.family)
    if table is None:
        return IN_FORCE
    rules = dump_rules(netfilter, family=layout.family, table=TABLE)
    lacking = _chain_that_lacks(layout, map(shape_of, rules))
    if lacking is not None and not _is_laid_out_like(netfilter, layout):
        lacking = None
    return TableState(lacking=lacking, is_asleep=table.is_dormant)


def _chain_that_lacks(layout: TableLayout, there: Iterable[RuleShape]) -> str | None:
    gone = layout.rules - Counter(there)
    return next((one.chain for one in gone), None)


def _is_laid_out_like(netfilter: Netfilter, layout: TableLayout) -> bool:
    ours = (layout.family, TABLE)
    there = {one.name for one in list_chains(netfilter) if (one.family, one.table) == ours}
    return {one for one in there if one.startswith(LAYOUTS)} == {LAYOUT}
