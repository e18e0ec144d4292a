"""Fixtures for all tests: both loops, a private host, and nothing left open."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

from acni import netns
from acni.host.private_host import COVERED
from acni.testing import RecordingPlugins, ScriptedRunner, look_for_leftovers

# This machine's load is not the code's: no deadline for an example, or for making one up.
_PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("acni", **_PATIENT)
settings.register_profile("thin", **_PATIENT, max_examples=10)
settings.load_profile("acni")


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"debug": True}), id="asyncio"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Run every test marked anyio on both loops."""
    backend: tuple[str, dict[str, object]] = request.param
    return backend


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests of a rule be run alone, and crashes be tried all, or none."""
    help_text = "only the tests of this rule of docs/rules.toml, such as R34; may be repeated"
    parser.addoption("--rule", action="append", help=help_text)
    help_text = "how many of the points of tests/crash are struck; all of them take half an hour"
    choices = ("sample", "whole", "none")
    parser.addoption("--crash", choices=choices, default="none", help=help_text)
    help_text = "each test on both loops, or on the one that its name chooses"
    loops = ("both", "one")
    parser.addoption("--loops", choices=loops, default="both", help=help_text)
    help_text = "when runtimes are killed at random: a number, as a report names it"
    parser.addoption("--crash-seed", type=int, help=help_text)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers of a rule's tests and of those that take long."""
    config.addinivalue_line("markers", "rule(*ids): proves these rules of docs/rules.toml")
    config.addinivalue_line("markers", "crash(only_whole=False): takes long; see --crash")
    text = "deep: a sweep, a search or a soak, with a session of its own"
    config.addinivalue_line("markers", text)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a test with both marks: it would run twice, both times on trio. Leave out what was
    not asked for.
    """
    for item in items:
        if item.get_closest_marker("anyio") and item.get_closest_marker("trio"):
            raise pytest.UsageError(f"{item.nodeid} is marked both anyio and trio")
    wanted = {item: _is_wanted(item, config) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if not wanted[item]])
    items[:] = [item for item in items if wanted[item]]


def _is_wanted(item: pytest.Item, config: pytest.Config) -> bool:
    crash = item.get_closest_marker("crash")
    tried = ("whole",) if crash and crash.kwargs.get("only_whole") else ("whole", "sample")
    if crash and config.getoption("--crash") not in tried:
        return False
    if not _is_on_loop(item, config.getoption("--loops")):
        return False
    rules = config.getoption("--rule")
    return not rules or _proves(item, rules)


def _is_on_loop(item: pytest.Item, loops: str) -> bool:
    """Tell whether a test runs on a loop that is asked for, or on one anyhow."""
    if loops == "both" or not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return True
    match item.callspec.params.get("anyio_backend"):
        case (str(loop), _):
            chosen = zlib.crc32(item.originalname.encode()) % 2
            return loop == ("asyncio", "trio")[chosen]
        case _:
            return True


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was struck, and how often."""
    if counts := config.stash.get(_COUNTS, []):
        terminalreporter.section(f"struck (--crash {config.getoption('--crash')})")
        for count in counts:
            terminalreporter.write_line(count)


_COUNTS: Final = pytest.StashKey[list[str]]()


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[object], None]:
    """Say in the end what was struck."""
    counts = request.config.stash.setdefault(_COUNTS, [])
    return lambda struck: counts.append(f"{request.node.name}: {struck}")


def _proves(item: pytest.Item, rules: list[str]) -> bool:
    return any(rule in marker.args for marker in item.iter_markers("rule") for rule in rules)


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Fail a test that leaves a descriptor open or a child unreaped."""
    before = _descriptors()
    yield
    assert _descriptors() <= before + _LOOPS_OWN
    with pytest.raises(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)


# trio keeps nothing; asyncio's debug mode and pytest's capture may open one lazily.
_LOOPS_OWN = 0


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def no_plugin_thread_left() -> Iterator[None]:
    """Fail a test after which a thread of a runner of built-in plugins lives."""
    before = set(threading.enumerate())
    yield
    left = {each.name for each in threading.enumerate() if each not in before}
    assert {name for name in left if name.startswith("acni-")} == set()


@pytest.fixture
def clean_host() -> None:
    """Begin on a host without links, rules, names and leases of an earlier test."""
    assert all(Path(root).is_mount() for root in COVERED), "not a private host"
    subprocess.run(["nft", "flush", "ruleset"], check=True, timeout=20)
    for name in _MADE & set(look_for_leftovers().links):
        subprocess.run(["ip", "link", "del", name], check=True, timeout=20)
    for name in look_for_leftovers().namespaces:
        netns.delete(name)
    for root in COVERED:
        for entry in Path(root).iterdir():
            shutil.rmtree(entry)


# The links that tests make on the host and plugins keep; everything else goes with its namespace.
_MADE = {"br0", "demo0", "cni0", "acni-net"}


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A state directory that does not exist yet."""
    return tmp_path / "state"


@pytest.fixture
def scripted() -> ScriptedRunner:
    """A runner double."""
    return ScriptedRunner()


@pytest.fixture
def plugins(tmp_path: Path) -> RecordingPlugins:
    """Executables that do as they are told: first, second and third."""
    recording = RecordingPlugins(tmp_path / "plugins")
    recording.install("first", "second", "third")
    return recording
