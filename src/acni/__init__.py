"""acni: attach containers to CNI networks from Python, on asyncio and trio.

The public names are loaded when they are first asked for: ``import acni`` and ``acni --help`` stay
cheap.

Example:
    >>> async def main():
    ...     async with acni.open_runtime(
    ...         state_dir=state_dir, conf_dir=conf_dir, plugin_dirs=[plugins.directory]
    ...     ) as runtime:
    ...         result = await runtime.add(await runtime.network("dbnet"), attachment)
    ...         await runtime.delete(attachment.id)
    ...         return result.ipv4
    >>> anyio.run(main)
    IPv4Address('192.0.2.7')
"""

from __future__ import annotations

import importlib

# As typing has it, without the 3 ms that importing typing takes from every `acni --help`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from acni import blocking, errors, events, netns, networks, observe, skel, spec
    from acni.engine.attached import Box
    from acni.engine.gc import GCReport
    from acni.engine.listing import AttachmentRecord
    from acni.engine.recovery import RecoveryReport
    from acni.engine.runner import Runner
    from acni.engine.runtime import Runtime, open_runtime
    from acni.engine.settings import Limits, Timeouts
    from acni.engine.validate import Validation
    from acni.errors import (
        AcniError,
        AttachmentExists,
        AttachmentNotFound,
        Busy,
        CheckFailed,
        CleanupIncomplete,
        ConfigError,
        GCFailed,
        HostChanged,
        InvalidName,
        NetnsChanged,
        NetnsInUse,
        NetworkNotFound,
        NotPermitted,
        NotReady,
        PluginError,
        PluginFailed,
        PluginKilled,
        PluginLost,
        PluginNotFound,
        PluginNotStarted,
        PluginOverflow,
        PluginProtocolError,
        PluginTimeout,
        RuntimeClosed,
        StoreError,
        TryAgain,
        VersionUnsupported,
    )
    from acni.host.configurations import load_network
    from acni.host.process import Executables
    from acni.plugins.builtins import BuiltIns
    from acni.plugins.selection import ExecutablesFirst
    from acni.spec.attachment import Attachment, AttachmentId
    from acni.spec.capabilities import Bandwidth, PortMapping
    from acni.spec.configuration import NetworkConfig, parse_network
    from acni.spec.result import Result

__all__ = [
    "AcniError",
    "Attachment",
    "AttachmentExists",
    "AttachmentId",
    "AttachmentNotFound",
    "AttachmentRecord",
    "Bandwidth",
    "Box",
    "BuiltIns",
    "Busy",
    "CheckFailed",
    "CleanupIncomplete",
    "ConfigError",
    "Executables",
    "ExecutablesFirst",
    "GCFailed",
    "GCReport",
    "HostChanged",
    "InvalidName",
    "Limits",
    "NetnsChanged",
    "NetnsInUse",
    "NetworkConfig",
    "NetworkNotFound",
    "NotPermitted",
    "NotReady",
    "PluginError",
    "PluginFailed",
    "PluginKilled",
    "PluginLost",
    "PluginNotFound",
    "PluginNotStarted",
    "PluginOverflow",
    "PluginProtocolError",
    "PluginTimeout",
    "PortMapping",
    "RecoveryReport",
    "Result",
    "Runner",
    "Runtime",
    "RuntimeClosed",
    "StoreError",
    "Timeouts",
    "TryAgain",
    "Validation",
    "VersionUnsupported",
    "blocking",
    "errors",
    "events",
    "load_network",
    "netns",
    "networks",
    "observe",
    "open_runtime",
    "parse_network",
    "skel",
    "spec",
]

_HOMES = {
    "Attachment": "acni.spec.attachment",
    "AttachmentId": "acni.spec.attachment",
    "AttachmentRecord": "acni.engine.listing",
    "Box": "acni.engine.attached",
    "Bandwidth": "acni.spec.capabilities",
    "BuiltIns": "acni.plugins.builtins",
    "Executables": "acni.host.process",
    "ExecutablesFirst": "acni.plugins.selection",
    "GCReport": "acni.engine.gc",
    "Limits": "acni.engine.settings",
    "NetworkConfig": "acni.spec.configuration",
    "PortMapping": "acni.spec.capabilities",
    "RecoveryReport": "acni.engine.recovery",
    "Result": "acni.spec.result",
    "Runner": "acni.engine.runner",
    "Runtime": "acni.engine.runtime",
    "Timeouts": "acni.engine.settings",
    "Validation": "acni.engine.validate",
    "load_network": "acni.host.configurations",
    "open_runtime": "acni.engine.runtime",
    "parse_network": "acni.spec.configuration",
}
_MODULES = ("blocking", "errors", "events", "netns", "networks", "observe", "skel", "spec")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'acni' has no attribute {name!r}")
    if name in _MODULES:
        return importlib.import_module(f"acni.{name}")
    value = getattr(importlib.import_module(_HOMES.get(name, "acni.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
