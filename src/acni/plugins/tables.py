"""What the tables of nf_tables that are acni's have in common: their name, and whose an element is.

Rule: what a pod has in a table has one owner, which a claim says in four bytes, so that the kernel
    compares: who takes something out has to say whose it was, and a DEL that comes again takes
    nothing that is the next pod's. In words the owner stands beside each element, for GC and
    whoever lists them.
"""

from __future__ import annotations

import errno
import hashlib
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from ipaddress import ip_address
from typing import Final, NamedTuple

from attrs import frozen

from acni.netlink.families import IpAddress
from acni.netlink.messages import Answer, Message, attributes, encoded, text_of
from acni.netlink.nfmessages import family_and_attributes, kind_of
from acni.netlink.nfoutlines import outline_of
from acni.netlink.nfrules import verdict_of
from acni.netlink.nftables import (
    LINK_NAME,
    MOST_COMMENT_BYTES,
    NEWRULE,
    SUBSYSTEM,
    Element,
    add_element,
    delete_rules,
    deletion_of,
)
from acni.plugins.owners import Owner, network_mark

TABLE: Final = "acni"
# What listing a set of no table gives, and listing anything of a kernel without nf_tables.
NOTHING_THERE: Final = (errno.ENOENT, errno.EINVAL)
# Changed rules or types, once they were released, are another layout.
LAYOUTS: Final = "layout_"
LAYOUT: Final = f"{LAYOUTS}1"

_HASH_BYTES: Final = 4
_CHAIN: Final = 2  # NFTA_RULE_CHAIN
_SET: Final = 1  # NFTA_LOOKUP_SET
_QUOTE: Final = '"'


@frozen(kw_only=True)
class Entry:
    """What a table holds of one address of a pod, or of another thing that has one owner.

    Attributes:
        comment: Whose it is: :func:`comment_of` its owner.
        claim: What says in the table whose it is.
        elements: What leads to it, or is said of it.
    """

    comment: str
    claim: Element
    elements: tuple[Element, ...]

    @property
    def address(self) -> IpAddress:
        """The pod's address, of which it is."""
        return ip_address(self.claim.key)

    def adding(self, *, is_new: bool = False) -> tuple[list[Message], list[Element]]:
        """Return what puts it into the table, and which element each message is about.

        An element that is there is taken out and put in again, as the kernel would keep its
        comment: nobody's, if its owner is gone.

        Args:
            is_new: Whether nothing of it is there but the claim, as a rule: a third of the
                messages, refused as one (EEXIST, EBUSY) where something is.
        """
        messages, subjects = [add_element(TABLE, self.claim)], [self.claim]
        for element in self.elements:
            there = add_element(TABLE, element, is_new=is_new)
            messages += [there] if is_new else [there, deletion_of(there), there]
            subjects += [element] if is_new else [element] * 3
        return messages, subjects

    def removing(
        self, *, has_claim: bool = True, is_whole: bool = False
    ) -> tuple[list[Message], list[Element]]:
        """Return what takes it out of the table, and which element each message is about.

        The kernel compares keys alone when it deletes, and fails where there is none. Adding first
        mends both: it makes what is missing, and is refused where the key leads elsewhere.

        Args:
            has_claim: Whether the address goes, too.
            is_whole: Whether nothing of it is missing, as a rule. Then only what leads somewhere is
                compared, as what is said of an address is its claimant's; refused as one (ENOENT)
                where something is missing.
        """
        claim = add_element(TABLE, self.claim)
        messages, subjects = [claim], [self.claim]
        for element in self.elements:
            there = add_element(TABLE, element)
            is_compared = element.data is not None or not is_whole
            messages += [there, deletion_of(there)] if is_compared else [deletion_of(there)]
            subjects += [element, element] if is_compared else [element]
        if has_claim:
            messages.append(deletion_of(claim))
            subjects.append(self.claim)
        return messages, subjects


class RuleShape(NamedTuple):
    """A rule, as far as one is told from another.

    Attributes:
        chain: Its chain.
        steps: Of each expression its name, and the set, or the verdict and the chain, that it leads
            to. In which registers something stands the kernel says otherwise than it was told.
    """

    chain: str
    steps: tuple[tuple[bytes, object], ...]


@frozen(kw_only=True)
class TableLayout:
    """A table of ours, as far as its elements go.

    Attributes:
        family: Its family.
        sets: The names of the sets that hold what is a pod's.
        messages: Makes it, or brings one that is there to this state.
        claim_of: Returns, for an owner in words and an element, what says whose that is which the
            element is about.
    """

    family: int
    sets: tuple[str, ...]
    messages: Callable[[], list[Message]]
    claim_of: Callable[[str, Element], Element]

    @cached_property
    def rules(self) -> Counter[RuleShape]:
        """Its rules, and how many there are of one shape: to make them takes a millisecond."""
        new = kind_of(SUBSYSTEM, NEWRULE)
        return Counter(shape_of(one) for one in self.messages() if one.kind == new)


def shape_of(rule: Message | Answer) -> RuleShape:
    """Return the shape of a rule, as it is made or as it is there.

    Raises:
        Malformed: it is no rule.
    """
    chain = text_of(family_and_attributes(rule)[1].get(_CHAIN, b""))
    steps = ((name, _leads_to(name, said)) for name, said in outline_of(rule).steps)
    return RuleShape(chain, tuple(steps))


def _leads_to(name: bytes, said: bytes) -> object:
    if name == b"lookup\0":
        return attributes(said).get(_SET)
    return verdict_of(attributes(said)) if name == b"immediate\0" else None


def digest_of(comment: str) -> bytes:
    """Return an owner in four bytes."""
    return hashlib.blake2b(comment.encode(), digest_size=_HASH_BYTES).digest()


def comment_of(owner: Owner) -> str:
    """Return what stands beside the elements of an owner."""
    return comment_of_mark(owner.mark, owner.network)


def comment_of_mark(mark: str, network: str) -> str:
    """Return the same by what its link carries."""
    if len(encoded(mark)) <= MOST_COMMENT_BYTES and _QUOTE not in mark:
        return mark
    digest = hashlib.blake2b(mark.encode(), digest_size=_HASH_BYTES * 2).hexdigest()
    return f"{network_mark(network)}#{digest}"


def name_key(link: str) -> bytes:
    """Return the key of a link's name."""
    return encoded(link).ljust(LINK_NAME.size, b"\0")


def require_layout(family: int) -> Message:
    """Return what a batch is refused by (ENOENT) where the table of a family is gone, or of an
    older layout; it changes nothing.
    """
    return delete_rules(TABLE, LAYOUT, family=family)
