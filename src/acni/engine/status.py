"""Asking whether a network is ready (specification, section 2, "STATUS").

Informational: no attachment, no lock, never a gate for other verbs (R22). Below 1.1.0 there is no
STATUS, and the answer is "ready, not asked".
"""

from __future__ import annotations

import anyio

from acni.engine.chain import Chain
from acni.engine.engine import Engine, Operation
from acni.engine.versions import negotiated
from acni.spec.configuration import NetworkConfig
from acni.spec.plan import Command, plan
from acni.spec.request import network_parameters


async def status(engine: Engine, network: NetworkConfig) -> None:
    """Ask every plugin of a network, halting at the first that is not ready.

    Raises:
        PluginNotFound: an executable is missing.
        VersionUnsupported: the plugins have no version in common.
        NotReady: a plugin answered code 50 or 51.
        PluginError: a plugin failed otherwise.
    """
    operation = Operation(engine=engine, verb="status", network=network.name, id=None)
    with operation.reported():
        if not plan(Command.STATUS, network):  # no version that is offered has it
            return
        if len(network.versions) > 1:
            network = await negotiated(operation, network, engine.find(network))
        chain = Chain(
            operation=operation,
            network=network,
            parameters=network_parameters(engine.plugin_dirs, engine.environment),
            deadline=anyio.current_time() + engine.timeouts.status,
        )
        for step in plan(Command.STATUS, network):
            await chain.run(step)
