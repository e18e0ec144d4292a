"""What is said of a pod tells whom it is about."""

from __future__ import annotations

from ipaddress import ip_address

from acni.plugins.owners import Owner
from acni.plugins.podelements import address_of, bridge_of, guarding
from acni.spec.attachment import AttachmentId

OWNER = Owner("net", AttachmentId("c1"))
V4, V6 = ip_address("10.9.0.2"), ip_address("fd00:9::2")
LONGEST = "bridge-15-bytes"


def test_a_home_tells_its_bridge_and_its_address() -> None:
    for address in (V4, V6):
        _, home = guarding(OWNER, address, [LONGEST]).elements
        assert (bridge_of(home), address_of(home)) == (LONGEST, address.packed)
