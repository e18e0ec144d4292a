"""Which version of the specification a network runs in: what its plugins say they support decides.

A configuration that offers one version asks nobody. Where it offers more, every plugin of the chain
is asked with VERSION, once for as long as its executable stays the same. A plugin that gives no
answer, as shell scripts without VERSION do, decides nothing: libcni would run it, too.

(specification, section 1, "Version considerations"; section 2, "VERSION"; rules R9, R60)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import anyio

from acni.engine.engine import Engine
from acni.errors import AcniError, PluginProtocolError, PluginTimeout, VersionUnsupported
from acni.spec.configuration import NetworkConfig
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Plugin
from acni.spec.versionreply import read_versions, version_request
from acni.spec.versions import SUPPORTED_VERSIONS, common_version


async def version(engine: Engine, plugin_type: PluginType) -> tuple[str, ...]:
    """Ask a plugin which versions it supports, as it lists them.

    Raises:
        PluginNotFound: its executable is missing.
        PluginTimeout: it ran out of time.
        PluginProtocolError: it was ended, or its answer is none.
    """
    plugin = engine.runner.find(plugin_type, engine.plugin_dirs)
    return await _ask(engine, plugin, anyio.current_time() + engine.timeouts.version)


async def negotiated(
    engine: Engine, network: NetworkConfig, plugins: Sequence[Plugin]
) -> NetworkConfig:
    """Return the network in the highest version that it offers and every plugin supports.

    Args:
        engine: The runtime's engine.
        network: The network.
        plugins: The plugins of its chain, as they were found.

    Raises:
        VersionUnsupported: there is none.
        PluginTimeout: a plugin does not answer in time.
    """
    if len(network.versions) == 1:
        return network
    asked = {plugin.type: await _supported(engine, plugin) for plugin in plugins}
    answers = {kind: listed for kind, listed in asked.items() if listed}
    common = common_version(network.versions, answers.values())
    if common is None:
        raise nothing_in_common(network, answers)
    return network.at_version(common)


async def negotiated_to_delete(engine: Engine, network: NetworkConfig) -> NetworkConfig:
    """Return the network in the version to delete with, where no record tells which it was.

    What hinders the answer hinders no delete: the plugins then get the oldest version that is
    offered, which most of them know.
    """
    try:
        return await negotiated(engine, network, engine.find(network))
    except AcniError:
        return network.at_version(network.versions[0])


def nothing_in_common(
    network: NetworkConfig,
    answers: Mapping[PluginType, Sequence[str]],
    *,
    plugin: PluginType | None = None,
) -> VersionUnsupported:
    """Make the error of plugins, or of one alone, that have no version in common with their
    network.
    """
    said = "; ".join(f"{kind}: {_known_of(listed)}" for kind, listed in answers.items())
    return VersionUnsupported(
        f"the network offers {', '.join(network.versions)}; supported are, of {said}",
        network=network.name,
        plugin=plugin,
        expected="a cniVersion that all plugins of the chain support",
    )


def _known_of(listed: Sequence[str]) -> str:
    known = (version for version in SUPPORTED_VERSIONS if version in listed)
    return ", ".join(known) or "none that acni knows"


async def _supported(engine: Engine, plugin: Plugin) -> tuple[str, ...]:
    """Return which versions a plugin supports: what it answered before, if it is still the same
    executable. None at all where it gives no answer.

    Raises:
        PluginTimeout: it ran out of time.
    """
    deadline = anyio.current_time() + engine.timeouts.version
    with anyio.CancelScope(deadline=deadline) as waiting:
        async with engine.answers.turn(plugin):
            waiting.deadline = math.inf  # the runner keeps the deadline from here on
            known = engine.answers.of(plugin)
            if known is not None:
                return known
            try:
                return await _ask(engine, plugin, deadline)
            except PluginProtocolError:
                engine.answers.learn(plugin, ())
                return ()
    raise PluginTimeout("its answer to VERSION ran out of time", plugin=plugin.type)


async def _ask(engine: Engine, plugin: Plugin, deadline: float) -> tuple[str, ...]:
    request = version_request(engine.environment)
    response = await engine.runner.run(plugin, request, deadline=deadline, caps=Caps())
    listed = read_versions(plugin.type, response)
    engine.answers.learn(plugin, listed)
    return listed
