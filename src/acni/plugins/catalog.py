"""The plugins that acni brings along, by type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from acni.plugins import loopback
from acni.skel import Verbs

BUILT_IN: Final[Mapping[str, Verbs]] = {
    "loopback": loopback.VERBS,
}
