"""Whose a link of the host is: the name it is made with, and the mark it carries.

The name follows from network, container and interface, so that DEL finds a link of which nothing
was written down. The mark, the link's alias, says the same in words, for whoever lists links, and
so that GC finds what belongs to a network.

Rule 1: a mark is shorter than the 256 bytes that the kernel keeps; names that are too long for it
    are hashed, and compared as such.
Rule 2: what carries another's mark is another's, whatever it is called.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from typing import Final

from attrs import frozen

from acni.spec.attachment import AttachmentId

_PREFIX: Final = "acni"
# Of a bridge that was made here, with a hardware address of its own.
BRIDGE_MARK: Final = _PREFIX
_LONGEST: Final = 100
# With "veth", which network managers leave alone, the 15 bytes of an interface's name: 55 bits.
_NAME_CHARACTERS: Final = 11


@frozen
class Owner:
    """An attachment of a network."""

    network: str
    attachment: AttachmentId

    @cached_property
    def link_name(self) -> str:
        """The name of its link on the host."""
        text = f"{self.network}\n{self.attachment.container_id}\n{self.attachment.ifname}"
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return "veth" + base64.b32encode(digest).decode().lower()[:_NAME_CHARACTERS]

    @cached_property
    def mark(self) -> str:
        """What its link carries."""
        container_id, ifname = self.attachment.container_id, self.attachment.ifname
        return f"{network_mark(self.network)}{_short(container_id)} {ifname}"

    def may_own(self, mark: str | None) -> bool:
        """Tell whether a link of its name is its own: one that was killed while it made the link
        may not have marked it.
        """
        return mark is None or mark == self.mark


def network_mark(network: str) -> str:
    """Return what the marks of a network begin with; no other network's do."""
    return f"{_PREFIX} {_short(network)} "


def is_mark(alias: str | None) -> bool:
    """Tell whether an alias is a mark."""
    return alias is not None and alias.startswith(f"{_PREFIX} ")


def _short(name: str) -> str:
    """Return a name as a mark has it; neither names nor this hold a space."""
    if len(name) <= _LONGEST:
        return name
    return "#" + hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
