"""Asking plugins which versions they support, and whether a network can run at all.

(specification, section 2, "VERSION"; section 1, "Version considerations")
"""

from __future__ import annotations

import anyio
from attrs import frozen

from acni.engine.engine import Engine
from acni.errors import AcniError, VersionUnsupported
from acni.spec.configuration import NetworkConfig, PluginConfig
from acni.spec.names import PluginType
from acni.spec.plugin import Caps
from acni.spec.versionreply import read_versions, version_request


@frozen(kw_only=True)
class Validation:
    """What was found of a network.

    Attributes:
        network: The network's name.
        failures: One error for each plugin that is missing, does not answer or does not support
            the selected version, in the order of the chain.
        dropped: Reserved keys in the configuration that never reach a plugin: the plugin's type
            and the key.

    Example:
        >>> network = acni.networks.from_plugins("n", {"type": "bridge", "runtimeConfig": {}})
        >>> validation = call("validate", network)
        >>> validation.failures, validation.dropped
        ((), (('bridge', 'runtimeConfig'),))
    """

    network: str
    failures: tuple[AcniError, ...]
    dropped: tuple[tuple[str, str], ...]

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


async def version(engine: Engine, plugin_type: PluginType) -> tuple[str, ...]:
    """Ask a plugin which versions it supports, as it lists them.

    Raises:
        PluginNotFound: its executable is missing.
        PluginProtocolError: it was ended, or its answer is none.
    """
    plugin = engine.runner.find(plugin_type, engine.plugin_dirs)
    response = await engine.runner.run(
        plugin,
        version_request(engine.environment),
        deadline=anyio.current_time() + engine.timeouts.version,
        caps=Caps(),
    )
    return read_versions(plugin_type, response)


async def validate(engine: Engine, network: NetworkConfig) -> Validation:
    """Look whether every plugin of a network is there and supports the selected version."""
    failures: list[AcniError] = []
    for plugin in network.plugins:
        try:
            await _require_version(engine, network, plugin)
        except AcniError as error:
            failures.append(error.learn(verb="validate", network=network.name))
    dropped = ((plugin.type, key) for plugin in network.plugins for key in plugin.dropped)
    return Validation(network=network.name, failures=tuple(failures), dropped=tuple(dropped))


async def _require_version(engine: Engine, network: NetworkConfig, plugin: PluginConfig) -> None:
    supported = await version(engine, plugin.type)
    if network.cni_version not in supported:
        raise VersionUnsupported(
            f"it supports {', '.join(supported) or 'none'}, the network has {network.cni_version}",
            plugin=plugin.type,
            expected=f"a plugin that supports {network.cni_version}, or another cniVersion",
        )
