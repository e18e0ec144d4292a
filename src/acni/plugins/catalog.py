"""The plugins that acni brings along, by type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from acni.plugins import bridge, host_local, loopback, static
from acni.skel import Verbs

BUILT_IN: Final[Mapping[str, Verbs]] = {
    "bridge": bridge.VERBS,
    "host-local": host_local.VERBS,
    "loopback": loopback.VERBS,
    "static": static.VERBS,
}
