"""The specification as pure functions and frozen values: no I/O, no clock, no event loop.

One module a section of SPEC.md. Importing this package loads neither anyio nor asyncio.

Example:
    >>> network = spec.parse_network(
    ...     b'{"cniVersion": "1.0.0", "name": "dbnet", "plugins": [{"type": "bridge"}]}'
    ... )
    >>> [f"{step.command} {step.plugin.type}" for step in spec.plan(spec.Command.DEL, network)]
    ['DEL bridge']
"""

from __future__ import annotations

import importlib

# As typing has it, without the import of it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from acni.spec.attachment import Attachment, AttachmentId
    from acni.spec.capabilities import Bandwidth, PortMapping
    from acni.spec.commands import Command
    from acni.spec.configuration import (
        NetworkConfig,
        PluginConfig,
        parse_network,
        parse_plugin,
        parse_single,
    )
    from acni.spec.names import ContainerId, IfName, NetnsPath, NetworkName, PluginType
    from acni.spec.planning import Step, plan
    from acni.spec.plugin import Caps, Ending, Plugin, Request, Response, Times
    from acni.spec.request import Parameters, build_request
    from acni.spec.response import read_response
    from acni.spec.result import Dns, Interface, IpConfig, Result, ResultError, Route, parse_result
    from acni.spec.versions import SUPPORTED_VERSIONS

__all__ = [
    "SUPPORTED_VERSIONS",
    "Attachment",
    "AttachmentId",
    "Bandwidth",
    "Caps",
    "Command",
    "ContainerId",
    "Dns",
    "Ending",
    "IfName",
    "Interface",
    "IpConfig",
    "NetnsPath",
    "NetworkConfig",
    "NetworkName",
    "Parameters",
    "Plugin",
    "PluginConfig",
    "PluginType",
    "PortMapping",
    "Request",
    "Response",
    "Result",
    "ResultError",
    "Route",
    "Step",
    "Times",
    "build_request",
    "parse_network",
    "parse_plugin",
    "parse_result",
    "parse_single",
    "plan",
    "read_response",
]

# Loaded when they are first asked for: a plugin's executable pays for each module.
_HOMES = {
    "Attachment": "attachment",
    "AttachmentId": "attachment",
    "Bandwidth": "capabilities",
    "Caps": "plugin",
    "Command": "commands",
    "ContainerId": "names",
    "Dns": "result",
    "Ending": "plugin",
    "IfName": "names",
    "Interface": "result",
    "IpConfig": "result",
    "NetnsPath": "names",
    "NetworkConfig": "configuration",
    "NetworkName": "names",
    "Parameters": "request",
    "Plugin": "plugin",
    "PluginConfig": "configuration",
    "PluginType": "names",
    "PortMapping": "capabilities",
    "Request": "plugin",
    "Response": "plugin",
    "Result": "result",
    "ResultError": "result",
    "Route": "result",
    "SUPPORTED_VERSIONS": "versions",
    "Step": "planning",
    "Times": "plugin",
    "build_request": "request",
    "parse_network": "configuration",
    "parse_plugin": "configuration",
    "parse_result": "result",
    "parse_single": "configuration",
    "plan": "planning",
    "read_response": "response",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'acni.spec' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"acni.spec.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
