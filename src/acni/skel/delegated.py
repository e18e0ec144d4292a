"""An executable that another plugin delegates to: run, and its answer read.

It is a module of its own because most calls need none of it.

(specification, section 4; rule P8)
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from typing import Final

from attrs import evolve

from acni.errors import PluginError as PluginTrouble
from acni.errors import PluginFailed
from acni.host.spawn import Spawner
from acni.host.threadprocess import run_process
from acni.skel.bounds import Bounds
from acni.skel.errors import Code, PluginError
from acni.spec.commands import Command
from acni.spec.configuration import PluginConfig
from acni.spec.names import PluginType
from acni.spec.planning import Step
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response
from acni.spec.response import read_response
from acni.spec.result import Result

_CAPS: Final = Caps()
# Between the tries of an executable that is just being written.
_BUSY_PAUSES: Final = (0.01, 0.04, 0.16, 0.64)


def run_delegated(
    plugin: Plugin,
    command: Command,
    request: Request,
    *,
    cni_version: str,
    bounds: Bounds,
    spawner: Spawner,
    guard: int | None,
) -> Result | None:
    """Run an executable with the environment and the configuration of who delegates to it.

    Args:
        plugin: The executable.
        command: The verb.
        request: The request of who delegates.
        cni_version: The version of the request.
        bounds: How long it may go on.
        spawner: Starts it.
        guard: A descriptor that it inherits, or None.

    Returns:
        What it answered to an ADD.

    Raises:
        PluginError: what it said, as it said it.
        Stopped: it is over.
    """
    environment: Mapping[str, str] = {**request.environment, "CNI_COMMAND": str(command)}
    asked = evolve(request, environment=environment)
    response = _respond(plugin.path, asked, bounds=bounds, spawner=spawner, guard=guard)
    step = Step(command=command, index=0, plugin=_named(plugin.type), takes_previous=False)
    try:
        return read_response(step, response, cni_version)
    except PluginFailed as error:
        raise PluginError(
            Code.INTERNAL if error.code is None else error.code,
            error.msg or error.message,
            details=error.details or "",
            reason=error.reason,
        ) from None
    except PluginTrouble as error:
        message = f"the plugin {plugin.type} of $.ipam.type: {error.message}"
        raise PluginError(Code.INTERNAL, message) from None


def _respond(
    path: str, request: Request, *, bounds: Bounds, spawner: Spawner, guard: int | None
) -> Response:
    for pause in (*_BUSY_PAUSES, 0.0):
        response = run_process(
            spawner, path, request, seconds_left=bounds.seconds_left, caps=_CAPS, guard=guard
        )
        if response.ending is Ending.OUT_OF_TIME:
            bounds.check()
        is_busy = (response.ending, response.status) == (Ending.NOT_STARTED, errno.ETXTBSY)
        if not is_busy or not pause:
            return response
        time.sleep(min(pause, bounds.seconds_left()))
        bounds.check()
    raise AssertionError("the last try is the last")


def _named(plugin_type: PluginType) -> PluginConfig:
    return PluginConfig(type=plugin_type, capabilities=frozenset(), text="{}")
