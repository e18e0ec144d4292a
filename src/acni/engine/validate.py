"""Looking whether a network can run at all, without running it.

(specification, section 2, "VERSION"; section 1, "Version considerations")
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from attrs import frozen

from acni.engine.engine import Engine, Operation
from acni.engine.versions import ask, nothing_in_common
from acni.errors import AcniError, PluginNotFound, PluginProtocolError
from acni.spec.configuration import NetworkConfig
from acni.spec.names import PluginType
from acni.spec.versions import common_version


@frozen(kw_only=True)
class Validation:
    """What was found of a network.

    Attributes:
        network: The network's name.
        cni_version: The version that an ADD would run in, or None where it would be refused.
        failures: One error for each plugin that is missing, does not answer or supports none of the
            versions that the network offers, in the order of the chain; one for all of them where
            they have no version in common.
        dropped: Reserved keys in the configuration that never reach a plugin: the plugin's type
            and the key.
        runners: For each plugin that was found, its type and what would run it.

    Example:
        >>> network = acni.networks.from_plugins("n", {"type": "bridge", "runtimeConfig": {}})
        >>> validation = call("validate", network)
        >>> validation.cni_version, validation.failures, validation.dropped
        ('1.1.0', (), (('bridge', 'runtimeConfig'),))
    """

    network: str
    cni_version: str | None
    failures: tuple[AcniError, ...]
    dropped: tuple[tuple[str, str], ...]
    runners: tuple[tuple[str, str], ...] = ()

    def raise_for_failures(self) -> None:
        """Raise the first failure, if there is one.

        Raises:
            AcniError: the first of ``failures``.

        Example:
            >>> scripted.remove("portmap")
            >>> try:
            ...     call("validate", network).raise_for_failures()
            ... except acni.PluginNotFound as error:
            ...     print(error.plugin)
            portmap
        """
        if self.failures:
            raise self.failures[0]


async def validate(engine: Engine, network: NetworkConfig) -> Validation:
    """Look whether every plugin of a network is there, and which version they all support."""
    operation = Operation(engine=engine, verb="validate", network=network.name, id=None)
    with operation.reported():
        return await _validate(operation, network)


async def _validate(operation: Operation, network: NetworkConfig) -> Validation:
    failures: list[AcniError] = []
    answers: dict[PluginType, tuple[str, ...]] = {}
    for index, plugin in enumerate(network.plugins):
        try:
            listed = await ask(operation, plugin.type, index)
            if common_version(network.versions, [listed]) is None:
                raise nothing_in_common(network, {plugin.type: listed}, plugin=plugin.type)
            answers[plugin.type] = listed
        except AcniError as error:
            failures.append(error.learn(verb="validate", network=network.name))
    common = common_version(network.versions, answers.values())
    if common is None:
        failures.append(nothing_in_common(network, answers).learn(verb="validate"))
    dropped = ((plugin.type, key) for plugin in network.plugins for key in plugin.dropped)
    return Validation(
        network=network.name,
        # A plugin that gives no answer decides nothing, and an ADD runs.
        cni_version=common if all(map(_decides_nothing, failures)) else None,
        failures=tuple(failures),
        dropped=tuple(dropped),
        runners=tuple(_runners(operation.engine, network)),
    )


def _runners(engine: Engine, network: NetworkConfig) -> Iterator[tuple[str, str]]:
    for plugin in network.plugins:
        with contextlib.suppress(PluginNotFound):
            yield plugin.type, engine.find_one(plugin.type, engine.plugin_dirs).runner


def _decides_nothing(failure: AcniError) -> bool:
    return isinstance(failure, PluginProtocolError)
