"""Asking whether a network is ready (specification, section 2, "STATUS").

Informational: no attachment, no lock, never a gate for other verbs (R22). Below 1.1.0 there is no
STATUS, and the answer is "ready, not asked".

Where all plugins are ready, the records say what those of this process once made: what somebody
took away of it is told as the specification has it, "existing containers ... may have limited
connectivity" (code 51). What is not there is looked at once more under its container's lock.
"""

from __future__ import annotations

import anyio

from acni.engine.chain import Chain
from acni.engine.engine import Engine, Operation
from acni.engine.restoring import find_lost
from acni.engine.versions import negotiated
from acni.errors import NotReady
from acni.skel.errors import Code
from acni.spec.commands import Command
from acni.spec.configuration import NetworkConfig
from acni.spec.planning import plan
from acni.spec.reasons import RULES_LOST
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
        await _require_all_there(engine, network)


async def _require_all_there(engine: Engine, network: NetworkConfig) -> None:
    """Look whether somebody took something away from containers of a network; what cannot be looked
    at is told by those who try to put it back.

    Raises:
        NotReady: somebody did.
    """
    found = await find_lost(engine, network.name)
    if found is not None:
        attachment, plugin = found
        msg = f"somebody took away what {attachment} had on this host, at least"
        details = "acni recover, or Runtime.recover(), puts it back"
        raise NotReady(
            f"{msg}; {details}",
            plugin=plugin,
            code=int(Code.LIMITED),
            msg=msg,
            details=details,
            reason=RULES_LOST,
        )
