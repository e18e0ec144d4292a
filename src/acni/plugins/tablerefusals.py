"""What is refused because of what somebody did to a table of ours, or has in one of its name."""

from __future__ import annotations

from typing import Final

from acni.netlink.nfexpressions import family_name
from acni.plugins.foreigntables import Expected
from acni.plugins.tables import TABLE
from acni.skel.errors import PluginError

TABLE_ASLEEP: Final = 117
TABLE_FOREIGN: Final = 118


def table_asleep(family: int, *, code: int = TABLE_ASLEEP) -> PluginError:
    """Make the error of a table that somebody put to sleep."""
    name = f"{family_name(family)} {TABLE}"
    message = f"the table {name} sleeps (flags dormant), so that nothing of it holds"
    details = f"whoever put it to sleep wakes it: nft add table {name}"
    return PluginError(code, message, details=details, reason="table-asleep")


def table_foreign(family: int, expected: Expected) -> PluginError:
    """Make the error of a table of our name that is somebody else's."""
    name = f"{family_name(family)} {TABLE}"
    message = f"the {expected.kind} {expected.name} of the table {name} is not as acni has it"
    details = (
        f"expected: {expected.words}; a table of this name is acni's alone: give yours another, or "
        f"delete it (nft delete table {name}), and the next ADD makes it"
    )
    return PluginError(TABLE_FOREIGN, message, details=details, reason="table-foreign")
