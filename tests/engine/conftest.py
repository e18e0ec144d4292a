"""A runtime over the runner double, in a namespace of its own for each container."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from acni import Attachment, NetworkConfig, Runtime, Timeouts, netns, open_runtime, parse_network
from acni.engine.runner import Runner
from acni.events import Event
from acni.testing import ScriptedRunner

OpenRuntime = Callable[..., AbstractAsyncContextManager[Runtime]]


@pytest.fixture
def box() -> Iterator[netns.Namespace]:
    """A container's namespace."""
    with netns.anonymous() as namespace:
        yield namespace


@pytest.fixture
def attachment(box: netns.Namespace) -> Attachment:
    """A container's attachment."""
    return Attachment(container_id="c1", netns=box.path)


@pytest.fixture
def network() -> NetworkConfig:
    """A chain of three."""
    return make_network()


def make_network(name: str = "net", version: str = "1.0.0", **members: Any) -> NetworkConfig:
    """Make a chain of three."""
    plugins = [{"type": kind} for kind in ("first", "second", "third")]
    document = {"cniVersion": version, "name": name, "plugins": plugins} | members
    return parse_network(json.dumps(document).encode())


@pytest.fixture
def events() -> list[Event]:
    """What the runtime told."""
    return []


@pytest.fixture
def opened(open_with: OpenRuntime, scripted: ScriptedRunner) -> OpenRuntime:
    """Open a runtime over the double; keyword arguments go to its timeouts."""
    return partial(open_with, scripted)


@pytest.fixture
def open_with(state_dir: Path, events: list[Event]) -> OpenRuntime:
    """Open a runtime over a runner; keyword arguments go to its timeouts."""

    def open_it(runner: Runner, **timeouts: float) -> AbstractAsyncContextManager[Runtime]:
        return open_runtime(
            state_dir=state_dir,
            plugin_dirs=["/plugins"],
            runner=runner,
            timeouts=Timeouts(**timeouts),
            observers=[events.append],
            recover=False,  # what is owed is tried again when a test says so
        )

    return open_it


@pytest.fixture
def read(state_dir: Path) -> Callable[[str], dict[str, Any]]:
    """Read a record as a JSON document."""

    def read_it(name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((state_dir / "results" / name).read_text())
        return document

    return read_it
