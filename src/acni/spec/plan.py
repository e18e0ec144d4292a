"""The plan of a chain: for a verb, which plugins run in which order and what each gets as
``prevResult``.

The whole policy is the table ``RULES``; everything here is pure.

(specification, section 3, "Adding an attachment", "Deleting an attachment", "Checking an
attachment"; rules R2, R17, R19, R32, R34, R35, R46, R57)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final

from attrs import frozen

from acni.errors import VersionUnsupported
from acni.spec.configuration import NetworkConfig, PluginConfig
from acni.spec.versions import is_at_least


class Command(StrEnum):
    """CNI_COMMAND: what a plugin is asked to do (specification, section 2, "CNI operations").

    Example:
        >>> [str(command) for command in spec.Command]
        ['ADD', 'DEL', 'CHECK', 'STATUS']
    """

    ADD = "ADD"
    DEL = "DEL"
    CHECK = "CHECK"
    STATUS = "STATUS"


class Previous(Enum):
    """Where a plugin's ``prevResult`` comes from."""

    PREDECESSOR = "the result of the plugin before it; none for the first"
    FINAL = "the final result of the ADD"
    NONE = "none"


@frozen(kw_only=True)
class Rule:
    """How a verb runs a chain.

    Attributes:
        is_reversed: The last plugin runs first.
        previous: Where ``prevResult`` comes from.
        previous_since: The first version in which ``prevResult`` is sent.
        since: The first version that has the verb.
        is_optional: In an older version the verb succeeds and runs nothing; otherwise it is
            refused.
    """

    is_reversed: bool
    previous: Previous
    previous_since: str
    since: str
    is_optional: bool = False


RULES: Final[Mapping[Command, Rule]] = {
    Command.ADD: Rule(
        is_reversed=False, previous=Previous.PREDECESSOR, previous_since="0.1.0", since="0.1.0"
    ),
    Command.DEL: Rule(
        is_reversed=True, previous=Previous.FINAL, previous_since="0.4.0", since="0.1.0"
    ),
    Command.CHECK: Rule(
        is_reversed=False, previous=Previous.FINAL, previous_since="0.4.0", since="0.4.0"
    ),
    Command.STATUS: Rule(
        is_reversed=False,
        previous=Previous.NONE,
        previous_since="1.1.0",
        since="1.1.0",
        is_optional=True,
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
    """Plan a verb: the steps, in the order in which they run. The chain halts at the first error.

    (specification, section 3, "Adding an attachment", "Deleting an attachment", "Checking an
    attachment")

    Args:
        command: The verb.
        network: The network.

    Returns:
        The steps; none for CHECK where the network disables it, and for STATUS below 1.1.0.

    Raises:
        VersionUnsupported: the network's version lacks the verb.

    Example:
        >>> steps = spec.plan(spec.Command.DEL, network)
        >>> [f"{step.command} {step.plugin.type}" for step in steps]
        ['DEL portmap', 'DEL bridge']
    """
    rule = RULES[command]
    if command is Command.CHECK and network.disable_check:
        return ()
    if not is_at_least(network.cni_version, rule.since) and rule.is_optional:
        return ()
    if not is_at_least(network.cni_version, rule.since):
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
