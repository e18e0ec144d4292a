"""Writing a plugin as functions that run in the runtime's own process.

A plugin is a :class:`Verbs`: plain functions that take a :class:`Call`, block in bounded steps
only, and ask ``call.bounds.check()`` between them. :class:`acni.BuiltIns` runs it.

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

from acni.skel.bounds import Bounds, Stopped
from acni.skel.call import Call, Delegate, OpenNetns, Verbs
from acni.skel.errors import Code, PluginError
from acni.skel.reading import Fields
from acni.skel.results import make_result

__all__ = [
    "Bounds",
    "Call",
    "Code",
    "Delegate",
    "Fields",
    "OpenNetns",
    "PluginError",
    "Stopped",
    "Verbs",
    "make_result",
]
