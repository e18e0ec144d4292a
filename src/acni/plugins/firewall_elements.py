"""Who is guarded at which bridge, as the table of :mod:`acni.plugins.ruleset` has it."""

from __future__ import annotations

from acni.netlink.messages import Message
from acni.netlink.netfilter import Netfilter
from acni.netlink.nftables import delete_element
from acni.plugins.elements import find_element, listed
from acni.plugins.podelements import (
    APART,
    apart,
    bridge_of,
    guarded,
    home_names,
)
from acni.plugins.tables import TABLE, Entry


def is_guarded(netfilter: Netfilter, entry: Entry) -> bool:
    """Tell whether something is kept from the address of an entry, for its owner.

    Raises:
        NetlinkError: the kernel does not say.
    """
    there = find_element(netfilter, guarded(entry.address))
    return there is not None and there.comment == entry.comment


def collect_apart(netfilter: Netfilter) -> None:
    """Take out the bridges at which nobody is guarded any more.

    Raises:
        NetlinkError: the kernel refuses, or the rules changed all the time.
    """

    def decide() -> tuple[list[Message], None]:
        homes = (one for name in home_names() for one in listed(netfilter, name))
        used = {apart(bridge_of(home)).key for home in homes}
        there = listed(netfilter, APART)
        return [delete_element(TABLE, one) for one in there if one.key not in used], None

    if listed(netfilter, APART):
        netfilter.decide(decide)
