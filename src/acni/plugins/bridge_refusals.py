"""What ``bridge`` refuses with, by error codes of its own.

(specification, section 5, "Error"; rule P1)
"""

from __future__ import annotations

from typing import Final

from acni.skel.errors import Code, PluginError

GATEWAY_DIFFERS: Final = 101
BRIDGE_FULL: Final = 102
NETWORKS_OVERLAP: Final = 106


def not_a_bridge(name: str) -> PluginError:
    """Make the error of a name that another kind of link has."""
    message = f"{name} exists and is no bridge at $.bridge"
    return PluginError(Code.INVALID_CONFIG, message, reason="not-a-bridge")


def networks_overlap(gateway: object, other: object) -> PluginError:
    """Make the error of a network of which another link of the host has a part."""
    message = f"the network of {gateway} overlaps that of {other}, which another link has"
    details = "containers on one of both would not be reached: another subnet"
    return PluginError(NETWORKS_OVERLAP, message, details=details, reason="networks-overlap")


def bridge_full(name: str) -> PluginError:
    """Make the error of a bridge that takes no port any more."""
    message = f"the bridge {name} has 1023 ports, the most that the kernel has numbers for"
    details = "$.bridge: another bridge, or fewer containers on this one"
    return PluginError(BRIDGE_FULL, message, details=details, reason="bridge-full")


def port_of_another(name: str) -> PluginError:
    """Make the error of an interface that another bridge has."""
    message = f"{name} of $.prevResult is a port of another bridge"
    return PluginError(Code.INVALID_CONFIG, message, reason="port-of-another")
