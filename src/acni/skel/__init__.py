"""Writing a plugin as functions that run in the runtime's own process.

A plugin is a :class:`Verbs`: plain functions that take a :class:`Call`, block in bounded steps
only, and ask ``call.bounds.check()`` between them. :func:`respond` makes of a request what an
executable would have made of it: a response.
"""

from acni.skel.bounds import Bounds, Stopped
from acni.skel.call import Call, Delegate, OpenNetns, Verbs
from acni.skel.delegation import Delegates
from acni.skel.errors import Code, PluginError
from acni.skel.reading import Fields
from acni.skel.respond import respond
from acni.skel.results import make_result

__all__ = [
    "Bounds",
    "Call",
    "Code",
    "Delegate",
    "Delegates",
    "Fields",
    "OpenNetns",
    "PluginError",
    "Stopped",
    "Verbs",
    "make_result",
    "respond",
]
