"""The plan of a chain: for a verb, which plugins run in which order and what each gets as
``prevResult``.

The whole policy is the table ``RULES`` of the commands; everything here is pure.

(specification, section 3, "Adding an attachment", "Deleting an attachment", "Checking an
attachment", "Garbage-collecting a network"; rules R2, R3, R13, R17, R19, R32, R34 to R36, R38, R46,
R57)
"""

from __future__ import annotations

from attrs import frozen

from acni.errors import VersionUnsupported
from acni.spec.commands import RULES, Below, Command, Previous, Rule
from acni.spec.configuration import NetworkConfig, PluginConfig
from acni.spec.versions import is_at_least


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
