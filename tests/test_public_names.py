"""The list of public names, owned here: a change of it is a decision."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import acni

PUBLIC = {
    "acni": """
        AcniError Attachment AttachmentExists AttachmentId AttachmentNotFound AttachmentRecord
        Bandwidth Box BuiltIns Busy CheckFailed CleanupIncomplete ConfigError Executables
        ExecutablesFirst GCFailed GCReport
        HostChanged InvalidName Limits NetnsChanged NetnsInUse NetworkConfig NetworkNotFound
        NotPermitted NotReady
        PluginError PluginFailed PluginKilled PluginLost PluginNotFound PluginNotStarted
        PluginOverflow PluginProtocolError PluginTimeout PortMapping RecoveryReport Result Runner
        Runtime RuntimeClosed StoreError Timeouts TryAgain Validation VersionUnsupported
        blocking errors events load_network netns networks observe open_runtime parse_network skel
        spec
    """,
    "acni.blocking": """
        Box Runtime open_runtime
    """,
    "acni.netns": """
        Namespace NetnsIdentity anonymous create delete from_pid identity open pin run unpin
    """,
    "acni.networks": """
        bridge from_plugins routed
    """,
    "acni.observe": """
        Trace trace
    """,
    "acni.skel": """
        Bounds Call Code Delegate Fields Kept OpenNetns PluginError Stopped Verbs main
        make_result
    """,
    "acni.spec": """
        Attachment AttachmentId Bandwidth Caps Command ContainerId Dns Ending IfName Interface
        IpConfig NetnsPath NetworkConfig NetworkName Parameters Plugin PluginConfig PluginType
        PortMapping Request Response Result ResultError Route SUPPORTED_VERSIONS Step Times
        build_request parse_network parse_plugin parse_result parse_single plan read_response
    """,
    "acni.testing": """
        Behaviour BenchContainer Call HostState Leftovers PLUGIN_RULES PluginAnswer PluginBench
        PluginContract PluginRule PrivateHostError RecordingPlugins RuleBroken RunnerContract
        ScriptedRunner add_killed cancelled_at check_kills enter_private_host kill_points
        look_for_leftovers look_here
    """,
}


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_these_and_each_is_there(module: str) -> None:
    imported = importlib.import_module(module)
    assert sorted(imported.__all__) == sorted(PUBLIC[module].split())
    for name in imported.__all__:
        assert getattr(imported, name) is not None
    assert len(set(imported.__all__)) == len(imported.__all__)


def test_the_errors_are_all_public() -> None:
    for name in acni.errors.__all__:
        assert getattr(acni, name) is getattr(acni.errors, name)


def test_what_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(acni, "nothing")  # noqa: B009 (asked for by a name that nobody has)
    assert set(dir(acni)) == set(acni.__all__)


def test_importing_acni_loads_nothing_of_it() -> None:
    program = "import acni, sys; print(*(m for m in sys.modules if m.startswith('acni.')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == []
