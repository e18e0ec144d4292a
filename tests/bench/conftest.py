"""A chain over the runner double, measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import pytest

from acni import NetworkConfig, Runtime, netns, open_runtime, parse_network
from acni.bench.failures import Failure
from acni.bench.lanes import RUN, RUNTIME, Lane, Piece, Waterfall
from acni.bench.machine import this_machine
from acni.bench.measuring import Workload
from acni.bench.pool import Pool
from acni.bench.report import FORMAT, Report, Step, summarize_verb
from acni.testing import ScriptedRunner

OpenRuntime = Callable[..., AbstractAsyncContextManager[Runtime]]

NETWORK: Final = parse_network(
    json.dumps(
        {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "first"}, {"type": "second"}]}
    ).encode()
)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that nobody tells of."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.001)


@pytest.fixture
def network() -> NetworkConfig:
    return NETWORK


@pytest.fixture
def workload(network: NetworkConfig) -> Workload:
    return Workload(network=network, count=6, warm_up=2)


@pytest.fixture
def pool() -> Iterator[Pool]:
    with ExitStack() as stack:
        boxes = [stack.enter_context(netns.anonymous()) for _ in range(3)]
        yield Pool(tuple(box.path for box in boxes))


@pytest.fixture
def opened(state_dir: Path, scripted: ScriptedRunner) -> OpenRuntime:
    return partial(
        open_runtime, state_dir=state_dir, plugin_dirs=["/plugins"], runner=scripted, recover=False
    )


def made_report(scale: float = 1.0, *, failures: tuple[Failure, ...] = ()) -> Report:
    """Make a measurement of two steps, as fast as ``scale`` says."""

    def waterfall(number: int) -> Waterfall:
        run = Piece(RUN, 0.001, (20 + number) * 1e-3 * scale)
        pieces = (run, Piece(RUNTIME, run.begin + run.seconds, 1e-4))
        before = Lane("before the plugins", (Piece(RUNTIME, 0.0, 0.001),))
        seconds = 0.001 + run.seconds + 1e-4
        return Waterfall(seconds=seconds, lanes=(before, Lane("first", pieces)))

    verbs = tuple(
        summarize_verb(command, [waterfall(number % 7) for number in range(40)])
        for command in ("ADD", "DEL")
    )
    steps = tuple(
        Step(at_once=at_once, cycles=40, seconds=2.5, verbs=verbs, namespaces=(), failures=failures)
        for at_once in (1, 8)
    )
    return Report(
        format=FORMAT,
        machine=this_machine(),
        network="net",
        plugins=("first", "second"),
        host="private",
        count=40,
        warm_up=1,
        is_complete=True,
        steps=steps,
    )
