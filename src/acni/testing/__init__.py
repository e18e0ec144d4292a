"""For tests of programs that use acni, and of acni itself.

``ScriptedRunner`` is a runner without processes, for tests in virtual time; ``RecordingPlugins``
are real executables that do as they are told; both record what they were asked and hold a resource
from ADD to DEL. ``RunnerContract`` holds the tests that every runner must pass,
``PluginContract`` those of a plugin, on a ``PluginBench``: a host and containers of its own.
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
from acni.testing.hoststate import HostState, look_here
from acni.testing.plugin_bench import BenchContainer, PluginAnswer, PluginBench
from acni.testing.plugin_contract import PluginContract
from acni.testing.plugin_killing import add_killed, kill_points
from acni.testing.plugin_rules import PLUGIN_RULES, PluginRule, RuleBroken, check_kills
from acni.testing.recording import RecordingPlugins
from acni.testing.runner_contract import RunnerContract
from acni.testing.scripted import ScriptedRunner

__all__ = [
    "PLUGIN_RULES",
    "Behaviour",
    "BenchContainer",
    "Call",
    "HostState",
    "Leftovers",
    "PluginAnswer",
    "PluginBench",
    "PluginContract",
    "PluginRule",
    "PrivateHostError",
    "RecordingPlugins",
    "RuleBroken",
    "RunnerContract",
    "ScriptedRunner",
    "add_killed",
    "cancelled_at",
    "check_kills",
    "enter_private_host",
    "kill_points",
    "look_for_leftovers",
    "look_here",
]
