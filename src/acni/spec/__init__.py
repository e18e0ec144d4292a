"""The specification as pure functions and frozen values: no I/O, no clock, no event loop.

One module a section of SPEC.md. Importing this package loads neither anyio nor asyncio.

Example:
    >>> network = spec.parse_network(
    ...     b'{"cniVersion": "1.0.0", "name": "dbnet", "plugins": [{"type": "bridge"}]}'
    ... )
    >>> [f"{step.command} {step.plugin.type}" for step in spec.plan(spec.Command.DEL, network)]
    ['DEL bridge']
"""

from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.capabilities import Bandwidth, PortMapping
from acni.spec.configuration import (
    NetworkConfig,
    PluginConfig,
    parse_network,
    parse_plugin,
    parse_single,
)
from acni.spec.names import ContainerId, IfName, NetnsPath, NetworkName, PluginType
from acni.spec.plan import Command, Step, plan
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
