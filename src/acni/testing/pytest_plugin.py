"""The pytest plugin: tests in a private host, and what could not run said aloud.

Load it with ``-p acni.testing.pytest_plugin``. With ``--private-host`` the whole test process moves
into a private host before anything else is imported, so that no test can touch the machine's
network. Where that is impossible, tests marked ``netns`` are skipped with a reason that begins
with ``cannot run here:``; they are counted and named at the end.
"""

from __future__ import annotations

import pytest

from acni.host.private_host import PrivateHostError, enter_private_host

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
