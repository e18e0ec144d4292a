"""Where the built-in address plugins do something else than the reference's, on purpose.

Each row is proved by the case of its name in ``cases.py``: while both sides agree there, that test
fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen


@frozen
class Intended:
    """An intended difference.

    Attributes:
        reference: What the reference does.
        acni: What acni does.
        reason: The rule or the decision that acni follows.
    """

    reference: str
    acni: str
    reason: str


EVERYWHERE: Final = (
    Intended(
        "refuses with code 999",
        "refuses with the specification's codes 4, 5 and 7, or with 100 and up, and a reason",
        'P10 and section 5, "Error": a caller can tell what to do without reading prose',
    ),
    Intended(
        "has no GC and no STATUS",
        "frees the leases of no valid attachment; says before an ADD that it would fail",
        "P5, P6",
    ),
    Intended(
        "makes files 0644 and the lock 0750",
        "makes all of them 0600, as newer references make leases",
        "whose an address is need not be read by everybody; newer references agree",
    ),
)

_REFUSED_BEFORE: Final = Intended(
    "goes on with the next address at the next ADD, though this one failed",
    "has decided before it writes anything",
    "an ADD that is refused leaves nothing",
)

HOST_LOCAL: Final[Mapping[str, Intended]] = {
    "asked outside": _REFUSED_BEFORE,
    "asked twice of one set": _REFUSED_BEFORE,
    "route without a destination": Intended(
        "gives a route to <nil>", "refuses it", "P11: a field that cannot be acted on is an error"
    ),
    "gateway of the other family": Intended(
        "gives an IPv4 address an IPv6 gateway",
        "refuses it",
        "P11: a field that cannot be acted on is an error",
    ),
    "start behind the end that is not said": Intended(
        "gives addresses behind the subnet",
        "refuses it",
        "P11: a field that cannot be acted on is an error",
    ),
    "the whole of IPv4": Intended(
        "counts from 0.0.0.0 to no address, and says that the range is full",
        "gives 0.0.0.2",
        "a slip of the reference: nothing forbids such a range",
    ),
    "deleted with CNI_ARGS that are unknown": Intended(
        "fails, and the lease stays",
        "releases the lease",
        "P3: DEL does what it can, and needs no arguments",
    ),
    "deleted with ranges that are none": Intended(
        "fails, and the lease stays",
        "releases the lease",
        "P3: DEL does what it can, and the place of the leases is all that it needs",
    ),
    "added to half": Intended(
        "an ADD that fails releases what the container had before",
        "releases what it took itself",
        "R15: an ADD that is refused changes nothing of the attachment that is there",
    ),
    "checked with a further range set": Intended(
        "is content with any lease of the container",
        "wants one of each range set",
        "P4: a reservation that is missing is an error",
    ),
}

STATIC: Final[Mapping[str, Intended]] = {
    "route without a destination": Intended(
        "gives a route to <nil>", "refuses it", "P11: a field that cannot be acted on is an error"
    ),
}
