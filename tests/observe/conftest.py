"""A runtime over the runner double that is traced, and what its trace draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from acni import Attachment, Runtime, netns, observe, open_runtime
from acni.testing import ScriptedRunner

OpenTraced = Callable[..., AbstractAsyncContextManager[Runtime]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the trace."""
    return tmp_path / "trace.json"


@pytest.fixture
def tracer(path: Path) -> Iterator[observe.Trace]:
    """The observer; the file ends with the test."""
    with observe.trace(path) as made:
        yield made


@pytest.fixture
def opened(state_dir: Path, scripted: ScriptedRunner, tracer: observe.Trace) -> OpenTraced:
    """Open a traced runtime over the double."""

    def open_it(**settings: Any) -> AbstractAsyncContextManager[Runtime]:
        observers = [tracer, *settings.pop("observers", ())]
        own = {"runner": scripted, "plugin_dirs": ["/plugins"], "recover": False}
        return open_runtime(state_dir=state_dir, observers=observers, **{**own, **settings})

    return open_it


@pytest.fixture
def attach() -> Iterator[Callable[..., Attachment]]:
    """Make attachments, each in a namespace of its own."""
    with ExitStack() as stack:

        def make(container_id: str = "c1", **options: Any) -> Attachment:
            namespace = stack.enter_context(netns.anonymous())
            return Attachment(container_id=container_id, netns=namespace.path, **options)

        yield make
