"""What is refused because of what somebody did to a table of ours."""

from __future__ import annotations

from typing import Final

from acni.netlink.nfexpressions import family_name
from acni.plugins.tables import TABLE
from acni.skel.errors import PluginError

TABLE_ASLEEP: Final = 117


def table_asleep(family: int, *, code: int = TABLE_ASLEEP) -> PluginError:
    """Make the error of a table that somebody put to sleep."""
    name = f"{family_name(family)} {TABLE}"
    message = f"the table {name} sleeps (flags dormant), so that nothing of it holds"
    details = f"whoever put it to sleep wakes it: nft add table {name}"
    return PluginError(code, message, details=details, reason="table-asleep")
