"""The pytest plugin: tests in a private host, and what could not run said aloud.

Load it with ``-p acni.testing.pytest_plugin``. With ``--private-host`` the whole test process moves
into a private host before anything else is imported, so that no test can touch the machine's
network. Where that is impossible, tests marked ``netns`` are skipped with a reason that begins
with ``cannot run here:``; they are counted and named at the end.

Fixtures: ``acni_netns``, a network namespace of the test's own; ``acni_scripted``, a runner double;
``acni_plugins``, an empty directory of plugin executables that do as they are told;
``acni_plugin_bench``, a function that makes a plugin's bench.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from acni.host import netns
from acni.host.private_host import PrivateHostError, enter_private_host
from acni.testing.plugin_bench import PluginBench
from acni.testing.recording import RecordingPlugins
from acni.testing.scripted import ScriptedRunner

CANNOT_RUN = "cannot run here:"

_OBSTACLE = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("acni")
    group.addoption(
        "--private-host",
        action="store_true",
        help="run the tests in network and mount namespaces of their own",
    )


# Early: before plugins start threads, which would stay outside.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "netns: makes network namespaces; needs --private-host")
    config.stash[_OBSTACLE] = "" if config.getoption("--private-host") else "no --private-host"
    if config.getoption("--private-host"):
        try:
            enter_private_host()
        except PrivateHostError as error:
            config.stash[_OBSTACLE] = f"no private host: {error}"


# Before the fixtures, which may touch the host.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    obstacle = item.config.stash[_OBSTACLE]
    if obstacle and item.get_closest_marker("netns"):
        pytest.skip(f"{CANNOT_RUN} {obstacle}")


@pytest.fixture
def acni_netns() -> Iterator[netns.Namespace]:
    """A network namespace of the test's own; mark the test ``netns``."""
    with netns.anonymous() as namespace:
        yield namespace


@pytest.fixture
def acni_scripted() -> ScriptedRunner:
    """A runner without processes."""
    return ScriptedRunner()


@pytest.fixture
def acni_plugins(tmp_path: Path) -> RecordingPlugins:
    """A directory of plugin executables, empty until ``install`` is called."""
    return RecordingPlugins(tmp_path / "acni-plugins")


@pytest.fixture
def acni_plugin_bench() -> Iterator[Callable[..., PluginBench]]:
    """A function that makes a bench of a plugin; see :class:`acni.testing.PluginBench`. Mark the
    test ``netns``.
    """
    with ExitStack() as opened:

        def make(*arguments: Any, **settings: Any) -> PluginBench:
            return opened.enter_context(PluginBench(*arguments, **settings))

        yield make
