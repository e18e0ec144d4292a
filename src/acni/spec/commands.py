"""What a plugin is asked to do, and how each verb runs a chain: the table ``RULES``.

(specification, section 2, "CNI operations"; section 3; rules R2, R3, R13, R17, R19, R32, R34 to
R36, R38, R46, R57)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final, Literal

from attrs import frozen


class Command(StrEnum):
    """CNI_COMMAND: what a plugin is asked to do (specification, section 2, "CNI operations").

    Example:
        >>> [str(command) for command in spec.Command]
        ['ADD', 'DEL', 'CHECK', 'STATUS', 'GC']
    """

    ADD = "ADD"
    DEL = "DEL"
    CHECK = "CHECK"
    STATUS = "STATUS"
    GC = "GC"


class Previous(Enum):
    """Where a plugin's ``prevResult`` comes from."""

    PREDECESSOR = "the result of the plugin before it; none for the first"
    FINAL = "the final result of the ADD"
    NONE = "none"


class Below(Enum):
    """What a verb does where the network's version does not have it yet."""

    REFUSED = "refused"
    SUCCEEDS = "succeeds, and runs nothing"


@frozen(kw_only=True)
class Rule:
    """How a verb runs a chain.

    Attributes:
        is_reversed: The last plugin runs first.
        halts: The first plugin that fails ends it; otherwise all of them run.
        previous: Where ``prevResult`` comes from.
        previous_since: The first version in which ``prevResult`` is sent.
        since: The first version that has the verb.
        below: What it does in an older version.
        disabled_by: The network's member that, being true, lets it succeed and run nothing; it is
            looked at before the version.
        is_on_attachment: It is about one attachment: ``runtimeConfig`` is made of what a plugin
            declares in ``capabilities``. Otherwise ``capabilities`` is sent like any other field.
        has_result: What a plugin prints is read although it succeeded.
    """

    is_reversed: bool = False
    halts: bool = True
    previous: Previous
    previous_since: str = "0.4.0"
    since: str
    below: Below = Below.REFUSED
    disabled_by: Literal["disableCheck", "disableGC"] | None = None
    is_on_attachment: bool
    has_result: bool = False


RULES: Final[Mapping[Command, Rule]] = {
    Command.ADD: Rule(
        previous=Previous.PREDECESSOR,
        previous_since="0.1.0",
        since="0.1.0",
        is_on_attachment=True,
        has_result=True,
    ),
    Command.DEL: Rule(
        is_reversed=True, previous=Previous.FINAL, since="0.1.0", is_on_attachment=True
    ),
    Command.CHECK: Rule(
        previous=Previous.FINAL, since="0.4.0", disabled_by="disableCheck", is_on_attachment=True
    ),
    Command.STATUS: Rule(
        previous=Previous.NONE, since="1.1.0", below=Below.SUCCEEDS, is_on_attachment=False
    ),
    Command.GC: Rule(
        halts=False,
        previous=Previous.NONE,
        since="1.1.0",
        below=Below.SUCCEEDS,
        disabled_by="disableGC",
        is_on_attachment=False,
    ),
}
