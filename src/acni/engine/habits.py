"""What experience says of plugins: the one table of it, and the one place in the engine where a
plugin has a name.

Each row has its evidence. A plugin without a row has no habits: its DEL is run once, and without a
namespace where the container's is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen


@frozen(kw_only=True)
class Habit:
    """What is known of one type of plugin.

    Attributes:
        plugin: The type.
        evidence: What was seen, and of which version.
        retries: A DEL that it refuses is run again at once, for another one is known to succeed
            and to clean up.
        needs_stand_in: Where no namespace can be passed, its DEL needs another one in its stead:
            with an empty CNI_NETNS it leaves something, or fails for good.
        fails_without_namespace: With an empty CNI_NETNS its DEL fails for good, whatever is left:
            so it gets a stand-in even in a later boot.
        needs_arguments: Without the capability arguments of the ADD its DEL does nothing.
        limit: How many of it at once are safe, where more were seen to fail. Nobody is held to it.
    """

    plugin: str
    evidence: str
    retries: bool = False
    needs_stand_in: bool = False
    fails_without_namespace: bool = False
    needs_arguments: bool = False
    limit: int | None = None


HABITS: Final[tuple[Habit, ...]] = (
    Habit(
        plugin="bridge",
        retries=True,
        needs_stand_in=True,
        evidence="1.1.1: after an ADD that was killed, 5 of 30 DELs exit with 1 (`iptables -D … "
        "does not exist`) though all is gone, and the second succeeds. 1.1.1 and 1.9.1: with an "
        "empty `CNI_NETNS` and `ipMasq` its masquerade rules stay, and its exit status is 0.",
    ),
    Habit(
        plugin="ptp",
        needs_stand_in=True,
        evidence="1.1.1 and 1.9.1: with an empty `CNI_NETNS` and `ipMasq` its masquerade rules "
        "stay, and its exit status is 0.",
    ),
    Habit(
        plugin="sbr",
        needs_stand_in=True,
        fails_without_namespace=True,
        evidence="1.1.1: an empty `CNI_NETNS` fails for ever (`no such file or directory`); at a "
        "path that is gone it makes a regular file, on which other plugins then fail.",
    ),
    Habit(
        plugin="cilium-cni",
        needs_stand_in=True,
        evidence="An empty `CNI_NETNS` fails for ever (cilium/cilium, issues 8313 and 40459).",
    ),
    Habit(
        plugin="bandwidth",
        retries=True,
        evidence="1.1.1: of 32 DELs, 16 at once, 2 failed with `interrupted system call` and left "
        "their links; newer ones read the kernel's answer again.",
    ),
    Habit(
        plugin="firewall",
        limit=1,
        evidence="Two that make their chain at the same time fail each other: 1 of 48 ADDs, 8 at "
        "once.",
    ),
    Habit(
        plugin="portmap",
        needs_arguments=True,
        evidence="1.9.1: without `runtimeConfig.portMappings` its DEL returns at once (`cmdDel`).",
    ),
    Habit(
        plugin="host-device",
        evidence="1.1.1 and 1.9.1: with an empty `CNI_NETNS` it succeeds and keeps its address. In "
        "a stand-in it gives that back and exits with 1, for ever: its device is not there.",
    ),
    Habit(
        plugin="multus",
        evidence="A DEL that finds what was kept of its delegates damaged runs none of them and "
        "succeeds (multus-cni, issue 1087).",
    ),
    Habit(
        plugin="sriov",
        evidence="In a stand-in it would take the link there for its device, and move it to the "
        "host (`ReleaseVF`). With an empty `CNI_NETNS` it succeeds and does nothing.",
    ),
)

_NONE: Final = Habit(plugin="", evidence="")
_BY_TYPE: Final[Mapping[str, Habit]] = {habit.plugin: habit for habit in HABITS}


def habit_of(plugin_type: str) -> Habit:
    """Return what is known of a type of plugin."""
    return _BY_TYPE.get(plugin_type, _NONE)
