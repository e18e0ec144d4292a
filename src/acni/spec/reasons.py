"""Stable words for what plugins say in prose, so that nobody else matches text.

The one place where a plugin's message is looked at. Each row has its evidence; a message that no
row knows has no reason.
"""

from __future__ import annotations

import re
from typing import Final

ADDRESSES_EXHAUSTED: Final = "addresses-exhausted"
ALREADY_ALLOCATED: Final = "already-allocated"
INTERFACE_EXISTS: Final = "interface-exists"
RULES_LOST: Final = "rules-lost"

_REASONS: Final = (
    # host-local 1.1.1 and 1.9.1, backend/allocator: "no IP addresses available in range set: ..."
    (re.compile(r"no IP addresses available"), ADDRESSES_EXHAUSTED),
    # pkg/ip SetupVeth of the reference plugins: "container veth name ... already exists"; the
    # kernel's own words for a link that is there: "file exists"
    (re.compile(r"veth name .* already exists|link .* already exists"), INTERFACE_EXISTS),
)


def reason_of(message: str) -> str | None:
    """Return the stable word for a plugin's message, or None."""
    return next((reason for pattern, reason in _REASONS if pattern.search(message)), None)
