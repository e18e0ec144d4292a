"""A blocking runtime over the runner double, on either loop."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import Factory, define

from acni import NetworkConfig, netns, networks
from acni.blocking import Runtime, open_runtime
from acni.spec import Caps, Plugin, PluginType, Request, Response
from acni.testing import ScriptedRunner

OpenRuntime = Callable[..., AbstractContextManager[Runtime]]

# Longer than anything here takes; a test that waits for it in vain fails.
SECONDS = 60.0


@define(eq=False)
class Gate:
    """A runner in which one plugin stands still on one verb until the gate is opened."""

    runner: ScriptedRunner
    plugin_type: str
    command: str
    reached: threading.Event = Factory(threading.Event)
    open: threading.Event = Factory(threading.Event)

    def find(
        self, plugin_type: PluginType, directories: Sequence[str], *, added_by: str | None = None
    ) -> Plugin:
        return self.runner.find(plugin_type, directories, added_by=added_by)

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        if (plugin.type, request.environment["CNI_COMMAND"]) == (self.plugin_type, self.command):
            self.reached.set()
            while not self.open.is_set():  # noqa: ASYNC110 (set by another thread)
                await anyio.sleep(0.01)
        return await self.runner.run(plugin, request, deadline=deadline, caps=caps, guard=guard)


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """The loop of the runtime's thread."""
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail a test that leaves a thread. A loop's worker threads end a moment after it; trio keeps
    idle ones, which are daemons.
    """
    before = set(threading.enumerate())
    yield
    for thread in threading.enumerate():
        if thread not in before and not thread.daemon:
            thread.join(SECONDS)
            assert not thread.is_alive(), thread
    gc.collect()  # an interrupt's traceback may hold the frames that it went through, and a bell


@pytest.fixture
def box() -> Iterator[netns.Namespace]:
    """A container's namespace."""
    with netns.anonymous() as namespace:
        yield namespace


@pytest.fixture
def network() -> NetworkConfig:
    """A chain of three."""
    kinds = ({"type": kind} for kind in ("first", "second", "third"))
    return networks.from_plugins("net", *kinds, version="1.1.0")


@pytest.fixture
def opened(state_dir: Path, scripted: ScriptedRunner, backend: str) -> OpenRuntime:
    """Open a runtime over the double, or what is given."""

    def open_it(**settings: Any) -> AbstractContextManager[Runtime]:
        given = {"state_dir": state_dir, "runner": scripted, "backend": backend, "recover": False}
        return open_runtime(**{**given, **settings})

    return open_it
