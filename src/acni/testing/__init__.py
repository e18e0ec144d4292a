"""For tests of programs that use acni, and of acni itself.

``ScriptedRunner`` is a runner without processes, for tests in virtual time; ``RecordingPlugins``
are real executables that do as they are told; both record what they were asked and hold a resource
from ADD to DEL. ``RunnerContract`` holds the tests that every runner must pass.
``acni.testing.pytest_plugin`` (the only module that imports pytest) moves the test process into a
private host.

Example:
    >>> scripted.tell("portmap", "ADD", testing.Behaviour.failing())
    >>> try:
    ...     call("add", network, attachment)
    ... except acni.PluginFailed:
    ...     print(scripted.held, [str(asked) for asked in scripted.calls])
    set() ['ADD bridge', 'ADD portmap', 'DEL portmap', 'DEL bridge']
"""

from acni.host.leftovers import Leftovers, look_for_leftovers
from acni.host.private_host import PrivateHostError, enter_private_host
from acni.testing.behaviour import Behaviour, Call
from acni.testing.cancellation import cancelled_at
from acni.testing.recording import RecordingPlugins
from acni.testing.runner_contract import RunnerContract
from acni.testing.scripted import ScriptedRunner

__all__ = [
    "Behaviour",
    "Call",
    "Leftovers",
    "PrivateHostError",
    "RecordingPlugins",
    "RunnerContract",
    "ScriptedRunner",
    "cancelled_at",
    "enter_private_host",
    "look_for_leftovers",
]
