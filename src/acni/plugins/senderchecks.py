"""``macspoofchk``: a port of the bridge takes in what its container sends with its own hardware
address, and nothing else.

Rule 1: a port is checked before it is one, so before the container can send by it; and until it is
    gone.
Rule 2: the address is the one that ADD gave, or found. A container that is given another one
    afterwards sends nothing any more, as with the reference.

(the reference's pkg/link/spoofcheck.go)
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from acni.netlink.netfilter import Netfilter
from acni.plugins.elementkeeping import (
    if_there_is_netfilter,
    require_rules,
    require_table,
    undo_with,
)
from acni.plugins.elements import (
    entries_of_owner,
    find_element,
    missing,
    netfilter_of,
    put,
    take_out,
)
from acni.plugins.framerules import OF_FRAMES, checking, claim_of_port, entry_of_claim
from acni.plugins.owners import Owner
from acni.plugins.refusals import differs, doing
from acni.plugins.tables import Entry, comment_of
from acni.skel.call import Call
from acni.skel.reading import Fields

_KEY = "macspoofchk"


def parse_sender_check(fields: Fields) -> bool:
    """Parse whether senders are checked.

    Raises:
        PluginError: it is not said.
    """
    return fields.flag(_KEY)


def check_sender(call: Call, owner: Owner, port: str, mac: bytes, undo: ExitStack) -> None:
    """Have a port take in frames of one hardware address alone.

    Args:
        call: An ADD.
        owner: Whose the port is.
        port: Its name; there need not be such a link yet.
        mac: The container's hardware address.
        undo: Undoes it where something behind it goes wrong.

    Raises:
        PluginError: the kernel refuses, or bridges of this one ask no firewall.
    """
    entries = [checking(owner, port, mac)]
    undo_with(undo, call, entries)
    with doing(f"checking what {port} takes in"), netfilter_of(call) as netfilter:
        put(netfilter, entries)


def stop_checking(call: Call, owner: Owner, ports: Iterable[str]) -> None:
    """Undo what an ADD did, as far as it is there; with a configuration that never asked for it,
    nothing is looked for.

    Args:
        call: A DEL.
        owner: Whose it is.
        ports: The names of ports that may be its own.

    Raises:
        PluginError: the kernel refuses.
    """
    if call.fields.get(_KEY) in (None, False):
        return
    what = f"removing what is {owner.attachment}'s of the table acni of bridges"
    with doing(what), if_there_is_netfilter(), netfilter_of(call) as netfilter:
        named = [checked_at(netfilter, port, owner) for port in ports]
        found = [entry for entry in named if entry is not None]
        if not found and call.previous is None:
            found = entries_of_owner(netfilter, comment_of(owner), layout=OF_FRAMES)
        take_out(netfilter, found)


def require_checked(call: Call, owner: Owner, port: str, mac: bytes) -> None:
    """Find out whether it is as an ADD left it.

    Raises:
        PluginError: it is not.
    """
    with doing(f"looking at what {port} takes in"), netfilter_of(call) as netfilter:
        gone = missing(netfilter, [checking(owner, port, mac)])
        require_rules(netfilter, OF_FRAMES)
    if gone is not None:
        message = f"{gone.name} of the table acni of bridges has not what an ADD put in"
        raise differs(message, "rule-missing")


def require_checks(call: Call) -> None:
    """Find out whether senders can be checked.

    Raises:
        PluginError: they cannot: no ADD can succeed.
    """
    require_table(call, layout=OF_FRAMES)


def checked_at(netfilter: Netfilter, port: str, owner: Owner) -> Entry | None:
    """Return what lets a port take in frames of one hardware address alone; None where nothing
    does, or where the port is another owner's.

    Raises:
        NetlinkError: the kernel does not say.
    """
    there = find_element(netfilter, claim_of_port(port))
    is_theirs = there is not None and there.comment == comment_of(owner)
    return entry_of_claim(there) if there is not None and is_theirs else None
