"""Who reaches whom on a host with a whole chain, and as whom it is seen: beside the reference's
plugins and beside ours.

c1 and c2 are on one bridge, c3 is on another, all are masqueraded, and a port of the host leads to
c1. The outside has routes to all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen

Seen = str | None

HOST4, HOST6 = "192.0.2.1", "2001:db8::1"
OUTSIDE4, OUTSIDE6 = "192.0.2.9", "2001:db8::9"
GATEWAY4, GATEWAY6 = "10.9.0.1", "fd00:9::1"
C1_4, C1_6 = "10.9.0.2", "fd00:9::2"
C2_4, C2_6 = "10.9.0.3", "fd00:9::3"
C3_4, C3_6 = "10.10.0.2", "fd00:10::2"
OTHER_GATEWAY4, OTHER_GATEWAY6 = "10.10.0.1", "fd00:10::1"


@frozen
class Way:
    """Somebody sends something.

    Attributes:
        client: Who: a container, "outside", or "host".
        server: Where somebody listens.
        address: Where to.
        seen: Whose address the server sees; None, nothing arrives.
        is_by_port: Whether it is sent to the port of the host, not to where somebody listens.
        acni: What it sees beside ours where that is something else.
        reason: Why, then.
    """

    client: str
    server: str
    address: str
    seen: Seen
    is_by_port: bool = False
    acni: Seen = None
    reason: str = ""

    @property
    def seen_beside_ours(self) -> Seen:
        """What the server sees beside ours."""
        return self.acni if self.reason else self.seen


def _by_port(client: str, address: str, seen: Seen, acni: Seen = None, reason: str = "") -> Way:
    return Way(client, "c1", address, seen, True, acni, reason)


_BETWEEN: Final = "what a host routes between its own containers needs no other address"

WAYS: Final[Mapping[str, Way]] = {
    "port, from outside": _by_port("outside", HOST4, OUTSIDE4),
    "port, from the host": _by_port("host", HOST4, HOST4),
    "port, from the host by a gateway": _by_port("host", GATEWAY4, GATEWAY4),
    "port, from localhost": _by_port("host", "127.0.0.1", GATEWAY4),
    "port, from itself": _by_port("c1", HOST4, GATEWAY4),
    "port, from itself by the gateway": _by_port("c1", GATEWAY4, GATEWAY4),
    "port, from the neighbour": _by_port("c2", HOST4, GATEWAY4),
    "port, from the neighbour by the gateway": _by_port("c2", GATEWAY4, GATEWAY4),
    "port, from another bridge": _by_port("c3", HOST4, GATEWAY4, C3_4, _BETWEEN),
    "port, from another bridge by its gateway": _by_port(
        "c3", OTHER_GATEWAY4, GATEWAY4, C3_4, _BETWEEN
    ),
    "from outside": Way("outside", "c1", C1_4, OUTSIDE4),
    "from the host": Way("host", "c1", C1_4, GATEWAY4),
    "from the neighbour": Way("c2", "c1", C1_4, C2_4),
    "from another bridge": Way("c3", "c1", C1_4, GATEWAY4, False, C3_4, _BETWEEN),
    "to another bridge": Way("c1", "c3", C3_4, OTHER_GATEWAY4, False, C1_4, _BETWEEN),
    "to the host": Way("c1", "host", HOST4, C1_4),
    "to the gateway": Way("c1", "host", GATEWAY4, C1_4),
    "to the outside": Way("c1", "outside", OUTSIDE4, HOST4),
    "port, from outside, IPv6": _by_port("outside", HOST6, OUTSIDE6),
    "port, from the host, IPv6": _by_port("host", HOST6, HOST6),
    "port, from the host by a gateway, IPv6": _by_port("host", GATEWAY6, GATEWAY6),
    "port, from localhost, IPv6": _by_port("host", "::1", None),
    "port, from itself, IPv6": _by_port("c1", HOST6, GATEWAY6),
    "port, from itself by the gateway, IPv6": _by_port("c1", GATEWAY6, GATEWAY6),
    "port, from the neighbour, IPv6": _by_port("c2", HOST6, GATEWAY6),
    "port, from the neighbour by the gateway, IPv6": _by_port("c2", GATEWAY6, GATEWAY6),
    "port, from another bridge, IPv6": _by_port("c3", HOST6, GATEWAY6, C3_6, _BETWEEN),
    "port, from another bridge by its gateway, IPv6": _by_port(
        "c3", OTHER_GATEWAY6, GATEWAY6, C3_6, _BETWEEN
    ),
    "from outside, IPv6": Way("outside", "c1", C1_6, OUTSIDE6),
    "from the host, IPv6": Way("host", "c1", C1_6, GATEWAY6),
    "from the neighbour, IPv6": Way("c2", "c1", C1_6, C2_6),
    "from another bridge, IPv6": Way("c3", "c1", C1_6, GATEWAY6, False, C3_6, _BETWEEN),
    "to another bridge, IPv6": Way("c1", "c3", C3_6, OTHER_GATEWAY6, False, C1_6, _BETWEEN),
    "to the host, IPv6": Way("c1", "host", HOST6, C1_6),
    "to the gateway, IPv6": Way("c1", "host", GATEWAY6, C1_6),
    "to the outside, IPv6": Way("c1", "outside", OUTSIDE6, HOST6),
}
