"""The plan of a chain: for a verb, which plugins run in which order and what each gets as
``prevResult``.

The whole policy is the table ``RULES``; everything here is pure.

(specification, section 3, "Adding an attachment", "Deleting an attachment", "Checking an
attachment", "Garbage-collecting a network"; rules R2, R3, R13, R17, R19, R32, R34 to R36, R38, R46,
R57)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final, Literal

from attrs import frozen

from acni.errors import VersionUnsupported
from acni.spec.configuration import NetworkConfig, PluginConfig
from acni.spec.versions import is_at_least


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


@frozen(kw_only=True)
class Step:
    """One plugin run of a plan.

    Attributes:
        command: The verb the plugin gets.
        index: The plugin's place in the network's ``plugins``, from 0.
        plugin: Its configuration.
        takes_previous: It gets a ``prevResult`` where there is one.

    Example:
        >>> first, second = spec.plan(spec.Command.ADD, network)
        >>> second.index, second.plugin.type, second.takes_previous
        (1, 'portmap', True)
    """

    command: Command
    index: int
    plugin: PluginConfig
    takes_previous: bool


def plan(command: Command, network: NetworkConfig) -> tuple[Step, ...]:
    """Plan a verb: the steps, in the order in which they run. The chain halts at the first error,
    that of GC goes on.

    (specification, section 3, "Adding an attachment", "Deleting an attachment", "Checking an
    attachment", "Garbage-collecting a network")

    Args:
        command: The verb.
        network: The network.

    Returns:
        The steps; none where the network disables the verb, and for STATUS and GC below 1.1.0.

    Raises:
        VersionUnsupported: the network's version lacks the verb.

    Example:
        >>> steps = spec.plan(spec.Command.DEL, network)
        >>> [f"{step.command} {step.plugin.type}" for step in steps]
        ['DEL portmap', 'DEL bridge']
    """
    rule = RULES[command]
    if _is_disabled(rule, network):
        return ()
    if not is_at_least(network.cni_version, rule.since):
        if rule.below is Below.SUCCEEDS:
            return ()
        raise VersionUnsupported(
            f"{command} needs {rule.since}, the configuration has {network.cni_version}",
            network=network.name,
            expected=f"cniVersion {rule.since} or newer",
        )
    sends_previous = is_at_least(network.cni_version, rule.previous_since)
    first = {Previous.PREDECESSOR: 1, Previous.FINAL: 0, Previous.NONE: len(network.plugins)}
    steps = [
        Step(
            command=command,
            index=index,
            plugin=plugin,
            takes_previous=sends_previous and index >= first[rule.previous],
        )
        for index, plugin in enumerate(network.plugins)
    ]
    return tuple(reversed(steps) if rule.is_reversed else steps)


def _is_disabled(rule: Rule, network: NetworkConfig) -> bool:
    flags = {"disableCheck": network.disable_check, "disableGC": network.disable_gc}
    return rule.disabled_by is not None and flags[rule.disabled_by]
