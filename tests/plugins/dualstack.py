"""Networks of both families for bridge, two of which stand beside each other on a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

BRIDGE: Final[Mapping[str, Any]] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "bridge",
    "isDefaultGateway": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]],
    },
}


def beside(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the same with another name, another bridge and other addresses."""
    ranges = [[{"subnet": "10.10.0.0/24"}], [{"subnet": "fd00:10::/64"}]]
    ipam = {"type": "host-local", "ranges": ranges}
    return {**config, "name": "other", "bridge": "cni1", "ipam": ipam}
