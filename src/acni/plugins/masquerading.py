"""``ipMasq``: what a pod sends beyond its network leaves with the host's address.

(the reference's pkg/ip, SetupIPMasq)
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from acni.netlink.families import Interface
from acni.plugins.addressing import parse_its_address
from acni.plugins.attaching import owner_of
from acni.plugins.elementkeeping import remove, require_rules, restoring, undo_with
from acni.plugins.elements import missing, netfilter_of, put
from acni.plugins.owners import Owner
from acni.plugins.podelements import masquerading
from acni.plugins.refusals import differs, doing
from acni.plugins.tables import Entry
from acni.skel.call import Call, PutBack
from acni.skel.reading import Fields

_BACKENDS: Final = ("", "iptables", "nftables")


def parse_masquerade(fields: Fields) -> bool:
    """Parse whether to masquerade. Of both backends that the reference has, ours is as good.

    Raises:
        PluginError: it is not said, or by something else; names the place.
    """
    if fields.text("ipMasqBackend", "") not in _BACKENDS:
        expected = "iptables or nftables: either is done by a table of acni's"
        raise fields.error("ipMasqBackend", "an unknown backend", expected)
    return fields.flag("ipMasq")


def masquerade(call: Call, owner: Owner, addresses: Sequence[Interface], undo: ExitStack) -> None:
    """Have what addresses send elsewhere leave with the host's address.

    Args:
        call: An ADD.
        owner: Whose they are.
        addresses: The addresses.
        undo: Undoes it where something behind it goes wrong.

    Raises:
        PluginError: the kernel refuses.
    """
    entries = [masquerading(owner, one.ip) for one in addresses]
    if entries:
        undo_with(undo, call, entries)
        with doing("masquerading"), netfilter_of(call) as netfilter:
            put(netfilter, entries)


def stop_masquerading(call: Call, owner: Owner) -> None:
    """Undo what an ADD did, as far as it is there. Where a runtime's record says that none was
    asked for, nothing is looked for; other callers' configurations may have changed since, and
    then the result says whose addresses they were.

    Raises:
        PluginError: the kernel refuses.
    """
    entries = _entries(call, owner)
    is_asked = call.fields.get("ipMasq") not in (None, False)
    if is_asked or (call.is_alone and entries):
        remove(call, owner, entries)


def require_masqueraded(call: Call, owner: Owner) -> None:
    """Find out whether it is as an ADD left it.

    Raises:
        PluginError: it is not.
    """
    with doing("looking at the masquerading"), netfilter_of(call) as netfilter:
        gone = missing(netfilter, _entries(call, owner))
        require_rules(netfilter)
    if gone is not None:
        raise differs(f"{gone.name} of the table acni has not what an ADD put in", "rule-missing")


def restore_masquerading(call: Call) -> PutBack | None:
    """Look whether somebody took away what an ADD with ``ipMasq`` put in; return what puts it back.

    Raises:
        PluginError: the kernel does not say, or what is configured is not what was expected.
    """
    if not parse_masquerade(call.fields):
        return None
    return restoring(call, _entries(call, owner_of(call)))


def _entries(call: Call, owner: Owner) -> list[Entry]:
    ips = () if call.previous is None else call.previous.ips
    return [masquerading(owner, parse_its_address(ip.address)) for ip in ips]
