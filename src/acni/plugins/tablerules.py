"""Whether the rules of a table of ours are there. Who flushes the table by its name takes them, and
leaves the sets with all that is in them, so that nothing else is missing.

Rule 1: each chain that has rules has one at least. Which is not looked at: who deletes a single one
    means it.
Rule 2: what a later layout has in which chain is not known here: its table is left alone.
Rule 3: what was read stands as long as nobody else changed any rule. Where somebody does all the
    time, nothing is said to be missing: who comes later sees it, and nobody waits for it.

(nft(8), "TABLES": flush)
"""

from __future__ import annotations

from typing import Final

from attrs import Factory, define

from acni.netlink.errors import DumpInterrupted, NetlinkError
from acni.netlink.messages import text_of
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfmessages import family_and_attributes
from acni.netlink.nfrules import dump_rules, list_chains
from acni.plugins.tables import LAYOUT, LAYOUTS, NOTHING_THERE, TABLE, TableLayout

_CHAIN: Final = 2  # NFTA_RULE_CHAIN


@define
class _Seen:
    """Of each family the chain of our table that lacks its rules, or None."""

    flushed: dict[int, str | None] = Factory(dict[int, "str | None"])


def flushed(
    netfilter: Netfilter, layout: TableLayout, *, is_after_batch: bool = False
) -> str | None:
    """Return the name of a chain of a table of ours from which somebody took all rules; None where
    there is none, as where the table is gone.

    Args:
        netfilter: The host's socket.
        layout: The table.
        is_after_batch: Whether it is enough that nobody did until the last batch of this socket.

    Raises:
        NetlinkError: the kernel does not say.
    """
    try:
        seen = netfilter.remembered(_Seen, is_after_batch=is_after_batch).flushed
        if layout.family not in seen:
            seen[layout.family] = _look(netfilter, layout)
        return seen[layout.family]
    except DumpInterrupted:
        return None
    except NetlinkError as error:
        if error.errno not in NOTHING_THERE:
            raise
        return None


def forget_flushed(netfilter: Netfilter, layout: TableLayout) -> None:
    """Forget what was read, as we made the rules ourselves.

    Raises:
        NetlinkError: the kernel does not say which generation it is.
    """
    netfilter.remembered(_Seen).flushed.pop(layout.family, None)


def _look(netfilter: Netfilter, layout: TableLayout) -> str | None:
    rules = dump_rules(netfilter, family=layout.family, table=TABLE)
    with_rules = {text_of(family_and_attributes(rule)[1].get(_CHAIN, b"")) for rule in rules}
    found = next((chain for chain in layout.chains if chain not in with_rules), None)
    if found is None:
        return None
    ours = (layout.family, TABLE)
    there = {one.name for one in list_chains(netfilter) if (one.family, one.table) == ours}
    return found if {one for one in there if one.startswith(LAYOUTS)} == {LAYOUT} else None
