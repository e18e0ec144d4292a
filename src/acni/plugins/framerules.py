"""The table of the firewall for what goes over bridges, and what a pod adds to it: pure layout.

A port that is checked takes in no frame that says to be from another hardware address than its
pod's. A pod adds elements, no rule, as to :mod:`acni.plugins.ruleset`.

::

    prerouting    by a port of ``checked``, and port . sender not in ``senders``: dropped

Rule 1: a frame is looked at whatever it holds, ARP as well as IPv6, and before the bridge learns
    from it where its sender is. What an ARP message says within is not compared. What is for the
    bridge itself (01:80:c2:00:00:00 to 0f) comes by another chain or by none: the bridge is told
    to learn nothing from it (:func:`acni.netlink.bridges.learn_from_what_is_forwarded`).
Rule 2: ports have names here, which those of ours keep, and which say whose they are: an element
    can be there before its port, so that no frame goes by unchecked. By an index a stranger's link
    might be meant, as the kernel gives it again.
Rule 3: what belongs to a port has one owner, as an address has in the other table. ``owners`` keeps
    the sender beside it: who takes a port's elements out knows them by its name alone.

(the reference's pkg/link/spoofcheck.go)
"""

from __future__ import annotations

from typing import Final

from acni.netlink import nfexpressions as nf
from acni.netlink.messages import Message
from acni.netlink.nftables import (
    ETHERNET_ADDRESS,
    LINK_NAME,
    MARK,
    PREROUTING,
    Element,
    delete_rules,
    new_base_chain,
    new_chain,
    new_rule,
    new_set,
    new_table,
)
from acni.plugins.owners import Owner
from acni.plugins.tables import LAYOUT, TABLE, Entry, TableLayout, comment_of, digest_of, name_key

_OWNERS: Final = "owners"
_CHECKED: Final = "checked"
_SENDERS: Final = "senders"
_TYPES: Final = {
    _OWNERS: (LINK_NAME, MARK.then(ETHERNET_ADDRESS)),
    _CHECKED: (LINK_NAME, None),
    _SENDERS: (LINK_NAME.then(ETHERNET_ADDRESS), None),
}
_CHAIN: Final = "prerouting"
# NF_BR_PRI_NAT_DST_BRIDGED, as the reference's: nothing that could change the frame was asked yet.
_PRIORITY: Final = -300
_SECOND_REGISTER: Final = nf.FIRST_REGISTER + LINK_NAME.size // 4
_MAC: Final = slice(MARK.size, MARK.size + ETHERNET_ADDRESS.size)
_NO_MAC: Final = bytes(ETHERNET_ADDRESS.size)


def checking(owner: Owner, port: str, mac: bytes) -> Entry:
    """Return what lets a port take in frames of one hardware address alone.

    Args:
        owner: Whose it is.
        port: The name of the port.
        mac: The hardware address, six bytes.
    """
    return _entry(comment_of(owner), name_key(port), mac)


def claim_of_port(port: str) -> Element:
    """Return what says whose a port is, as far as its place in the table goes."""
    return Element(_OWNERS, name_key(port), family=nf.BRIDGE)


def entry_of_claim(claim: Element) -> Entry:
    """Return what the table holds of a port, by what it says of its owner."""
    return _entry(claim.comment or "", claim.key, (claim.data or b"")[_MAC])


def table_messages() -> list[Message]:
    """Return what makes the table, or brings one that is there to this state: its elements stay."""
    family = nf.BRIDGE
    messages = [new_table(TABLE, family=family), new_chain(TABLE, LAYOUT, family=family)]
    for number, (name, (key, data)) in enumerate(_TYPES.items(), 1):
        messages.append(new_set(TABLE, name, number, key=key, data=data, family=family))
    by_port_and_sender = nf.load_link_name() + nf.load_sender(_SECOND_REGISTER)
    return [
        *messages,
        new_base_chain(
            TABLE, _CHAIN, kind="filter", hook=PREROUTING, priority=_PRIORITY, family=family
        ),
        delete_rules(TABLE, _CHAIN, family=family),
        new_rule(
            TABLE,
            _CHAIN,
            nf.load_link_name(),
            nf.is_in(_CHECKED),
            by_port_and_sender,
            nf.is_in(_SENDERS, is_negated=True),
            nf.verdict(nf.NF_DROP),
            family=family,
        ),
    ]


def _entry(comment: str, key: bytes, mac: bytes) -> Entry:
    said = _element(_CHECKED, key, comment), _element(_SENDERS, key + _padded(mac), comment)
    return Entry(comment=comment, claim=_claim(comment, key, mac), elements=said)


def _claim(comment: str, key: bytes, mac: bytes) -> Element:
    data = digest_of(comment) + _padded(mac)
    return Element(_OWNERS, key, data, comment, family=nf.BRIDGE)


def _claim_of(comment: str, element: Element) -> Element:
    return _claim(comment, element.key[: LINK_NAME.size], _NO_MAC)


def _element(name: str, key: bytes, comment: str) -> Element:
    return Element(name, key, comment=comment, family=nf.BRIDGE)


def _padded(mac: bytes) -> bytes:
    return mac + bytes(-len(mac) % 4)


OF_FRAMES: Final = TableLayout(
    family=nf.BRIDGE,
    sets=tuple(_TYPES),
    messages=table_messages,
    claim_of=_claim_of,
)
