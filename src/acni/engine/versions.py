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

from acni.engine.engine import Engine, Operation
from acni.errors import AcniError, PluginProtocolError, PluginTimeout, VersionUnsupported
from acni.spec.configuration import NetworkConfig
from acni.spec.names import PluginType
from acni.spec.plugin import Plugin, Response
from acni.spec.versionreply import read_versions, version_request
from acni.spec.versions import SUPPORTED_VERSIONS, common_version


async def version(engine: Engine, plugin_type: PluginType) -> tuple[str, ...]:
    """Ask a plugin which versions it supports, as it lists them.

    Raises:
        PluginNotFound: its executable is missing.
        PluginProtocolError: its answer is none.
        PluginError: it was ended, or never began.
    """
    operation = Operation(engine=engine, verb="version", network="", id=None)
    with operation.reported():
        return await ask(operation, plugin_type)


async def ask(
    operation: Operation, plugin_type: PluginType, index: int | None = None
) -> tuple[str, ...]:
    """Ask a plugin, of a chain or by itself, whatever it answered before.

    Raises:
        PluginNotFound: its executable is missing.
        PluginProtocolError: its answer is none.
        PluginError: it was ended, or never began.
    """
    engine = operation.engine
    with operation.running("VERSION", plugin_type, index) as run:
        plugin = engine.find_one(plugin_type, engine.plugin_dirs)
        deadline = anyio.current_time() + engine.timeouts.version
        run.response = await _response(engine, plugin, deadline)
        return _learned(engine, plugin, run.response)


async def negotiated(
    operation: Operation, network: NetworkConfig, plugins: Sequence[Plugin]
) -> NetworkConfig:
    """Return the network in the highest version that it offers and every plugin supports.

    Args:
        operation: What it is for.
        network: The network.
        plugins: The plugins of its chain, as they were found.

    Raises:
        VersionUnsupported: there is none.
        PluginError: a plugin was ended before it answered, or never began.
    """
    if len(network.versions) == 1:
        return network
    asked = {
        plugin.type: await _supported(operation, plugin, index)
        for index, plugin in enumerate(plugins)
    }
    answers = {kind: listed for kind, listed in asked.items() if listed}
    common = common_version(network.versions, answers.values())
    if common is None:
        raise nothing_in_common(network, answers)
    return network.at_version(common)


async def negotiated_to_delete(operation: Operation, network: NetworkConfig) -> NetworkConfig:
    """Return the network in the version to delete with, where no record tells which it was.

    What hinders the answer hinders no delete: the plugins then get the oldest version that is
    offered, which most of them know.
    """
    try:
        return await negotiated(operation, network, operation.engine.find(network))
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


async def _supported(operation: Operation, plugin: Plugin, index: int) -> tuple[str, ...]:
    """Return which versions a plugin supports: what it answered before, if it is still the same
    executable. None at all where it gives no answer.

    Raises:
        PluginError: it was ended before it answered, or never began: that says nothing of what it
            supports, and is asked again.
    """
    engine = operation.engine
    known = engine.answers.of(plugin)
    if known is not None:
        return known
    deadline = anyio.current_time() + engine.timeouts.version
    with anyio.CancelScope(deadline=deadline) as waiting:
        async with engine.answers.turn(plugin):
            waiting.deadline = math.inf  # the runner keeps the deadline from here on
            known = engine.answers.of(plugin)
            if known is not None:
                return known
            try:
                with operation.running("VERSION", plugin.type, index) as run:
                    run.response = await _response(engine, plugin, deadline)
                    return _learned(engine, plugin, run.response)
            except PluginProtocolError:
                engine.answers.learn(plugin, ())
                return ()
    raise PluginTimeout("its answer to VERSION ran out of time", plugin=plugin.type)


async def _response(engine: Engine, plugin: Plugin, deadline: float) -> Response:
    request = version_request(engine.environment)
    caps = engine.admission.caps(ends_at_cap=True)
    return await engine.runner.run(plugin, request, deadline=deadline, caps=caps)


def _learned(engine: Engine, plugin: Plugin, response: Response) -> tuple[str, ...]:
    listed = read_versions(plugin.type, response)
    engine.answers.learn(plugin, listed)
    return listed
