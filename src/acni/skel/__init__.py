"""Writing a plugin as functions.

A plugin is a :class:`Verbs`: plain functions that take a :class:`Call`, block in bounded steps
only, and ask ``call.bounds.check()`` between them. :class:`acni.BuiltIns` runs it in the runtime's
own process, :func:`main` makes it an executable for any runtime.

Example:
    >>> def add(call):
    ...     address = spec.IpConfig(address="192.0.2.9/24", gateway=None, interface=None)
    ...     return skel.make_result(ips=[address])
    >>> verbs = skel.Verbs(add=add, delete=lambda call: None)
    >>> async def main():
    ...     with acni.BuiltIns(plugins={"mine": verbs}) as runner:
    ...         async with runtime_over(runner) as runtime:
    ...             local = acni.networks.from_plugins("local", {"type": "mine"})
    ...             return (await runtime.add(local, attachment)).ipv4
    >>> anyio.run(main)
    IPv4Address('192.0.2.9')
"""

from __future__ import annotations

import importlib

# As typing has it, without the import of it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from acni.skel.bounds import Bounds, Stopped
    from acni.skel.call import Call, Delegate, OpenNetns, Verbs
    from acni.skel.errors import Code, PluginError
    from acni.skel.executable import main
    from acni.skel.kept import Kept
    from acni.skel.reading import Fields
    from acni.skel.results import make_result

__all__ = [
    "Bounds",
    "Call",
    "Code",
    "Delegate",
    "Fields",
    "Kept",
    "OpenNetns",
    "PluginError",
    "Stopped",
    "Verbs",
    "main",
    "make_result",
]

# Loaded when they are first asked for: a plugin's executable pays for each module.
_HOMES = {
    "Bounds": "bounds",
    "Call": "call",
    "Code": "errors",
    "Delegate": "call",
    "Fields": "reading",
    "Kept": "kept",
    "OpenNetns": "call",
    "PluginError": "errors",
    "Stopped": "bounds",
    "Verbs": "call",
    "main": "executable",
    "make_result": "results",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'acni.skel' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"acni.skel.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
