"""Struck at any suspension, and at any message that a built-in plugin sends to the kernel, an
operation leaves everything undone, done or owed: no link, no lease, no element of the firewall, no
thread at work.

As in test_cancel_everywhere, where plugins run no threads. While one runs the operation has a
single suspension, so it is struck while the plugin's thread sends, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from attrs import evolve

from acni import NetworkConfig, Timeouts
from tests.crash.sabotages import Sabotage, run_against
from tests.crash.scenarios import BRIDGE_CHAIN, PORTS_CHAIN, TUNED_CHAIN, ports_of
from tests.engine.builtin_world import (
    KINDS,
    PORTS_KINDS,
    TUNED_KINDS,
    BuiltInWorld,
    interfering,
    ip,
    make_network,
)
from tests.engine.strikes import (
    C1,
    C2,
    C3,
    Case,
    Pods,
    Strike,
    Sweep,
    cancel,
    fail,
    interrupt,
    open_on,
    three_pods,
)

pytestmark = [
    pytest.mark.netns,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("clean_host", "no_plugin_thread_left"),
]

Count = Callable[[object], None]
Run = Callable[..., Sweep]
Step = Callable[[int], int]


def _cases(network: NetworkConfig) -> dict[str, Case]:
    return {
        "add": Case([C2], lambda runtime, pods: runtime.add(network, pods[C1])),
        "delete": Case([C1, C2], lambda runtime, _: runtime.delete(C1)),
        "check": Case([C1, C2], lambda runtime, _: runtime.check(C1)),
        "gc": Case([C1, C2, C3], lambda runtime, _: runtime.gc(network, keep=[C2]), (C1, C3)),
        "recover": Case([C1, C2, C3], lambda runtime, _: runtime.recover(), (C1, C3), (C1, C3)),
    }


_TUNED: Final = "tuned: "
NAMES: Final = ("add", "delete", "check", "gc", "recover")
# With tuning and bandwidth in the chain; where an operation is suspended says nothing of plugins.
TUNED_NAMES: Final = tuple(f"{_TUNED}{name}" for name in ("add", "delete", "gc"))
# With masquerading and ports of the host.
_PORTS: Final = "ports: "
PORTS_NAMES: Final = tuple(f"{_PORTS}{name}" for name in ("add", "delete", "gc"))


@pytest.fixture
def pods() -> Iterator[Pods]:
    """Three, of which each asks for ports of its own."""
    with three_pods() as made:
        yield {
            one: evolve(pod, capability_args=ports_of(number))
            for number, (one, pod) in enumerate(made.items())
        }


@pytest.fixture
def step(pytestconfig: pytest.Config) -> Step:
    """Return every which point is struck."""
    is_whole = pytestconfig.getoption("--crash") == "whole"
    return lambda step: 1 if is_whole else step


@pytest.fixture(params=["asyncio", "trio"])
def run(
    request: pytest.FixtureRequest, pods: Pods, state_dir: Path, tmp_path: Path, count: Count
) -> Run:
    """Run a sweep as the main task of a loop; say what it counted."""
    loop: str = request.param
    options = {"restrict_keyboard_interrupt_to_checkpoints": True} if loop == "trio" else {}
    leases = tmp_path / "leases"

    def run_it(name: str, sweeping: Callable[[Sweep], Any], chain: str = BRIDGE_CHAIN) -> Sweep:
        kinds: tuple[str, ...] = KINDS
        for prefix, theirs, of_each in (
            (_TUNED, TUNED_CHAIN, TUNED_KINDS),
            (_PORTS, PORTS_CHAIN, PORTS_KINDS),
        ):
            if name.startswith(prefix):
                name, chain, kinds = name.removeprefix(prefix), theirs, of_each
        network = make_network(leases, chain)

        async def main() -> Sweep:
            async with open_on(state_dir, world, Timeouts()) as another:
                sweep = Sweep(
                    _cases(network)[name],
                    pods,
                    state_dir,
                    world,
                    another,
                    network=network,
                    kinds=kinds,
                )
                await sweeping(sweep)
                return sweep

        paths = [str(pod.netns) for pod in pods.values()]
        with BuiltInWorld.make(leases, paths, has_rules=chain == PORTS_CHAIN) as world:
            sweep = anyio.run(main, backend=loop, backend_options=options)
        counts = sweep.counts
        count(counts)
        print(counts)
        assert counts.points == counts.gone + counts.attached + counts.owed > 0
        return sweep

    return run_it


@pytest.mark.deep
@pytest.mark.parametrize("first", [cancel, interrupt, fail])
@pytest.mark.parametrize("name", [*NAMES, TUNED_NAMES[0], PORTS_NAMES[0]])
def test_struck_at_a_suspension_an_add_is_undone_and_the_rest_is_known(
    name: str, first: Strike, run: Run, step: Step
) -> None:
    sweep = run(name, lambda sweep: sweep.once(first, step=step(4)))
    if name.endswith("add"):
        assert sweep.counts.owed == 0


@pytest.mark.deep
@pytest.mark.parametrize(
    ("name", "first"),
    [
        *product((*NAMES, *TUNED_NAMES), (cancel, interrupt)),
        *product(PORTS_NAMES, (cancel,)),
    ],
)
def test_struck_while_a_plugin_sends_an_add_is_undone_and_the_rest_is_known(
    name: str, first: Strike, run: Run, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    with interfering(monkeypatch) as messages:
        every = 8 if name.startswith(_PORTS) else 4  # it has twice as many
        sweep = run(name, lambda sweep: sweep.sending(first, messages, step=step(every)))
    if name.endswith("add"):
        assert sweep.counts.owed == 0


@pytest.fixture
def low(clean_host: None) -> Iterator[None]:
    """A link of the host that macvlan lies on."""
    ip("link", "add", "low0", "up", "type", "bridge")
    yield
    ip("link", "del", "low0")


@pytest.mark.deep
@pytest.mark.usefixtures("low")
@pytest.mark.parametrize("first", ["ptp", "macvlan"])
@pytest.mark.parametrize("name", ["add", "delete"])
def test_struck_at_a_suspension_other_plugins_do_as_bridge_does(
    name: str, first: str, run: Run, step: Step
) -> None:
    sweep = run(name, lambda sweep: sweep.once(cancel, step=step(4)), f"{first} loopback")
    if name == "add":
        assert sweep.counts.owed == 0


@pytest.mark.deep
@pytest.mark.usefixtures("low")
@pytest.mark.parametrize("first", ["ptp", "macvlan"])
@pytest.mark.parametrize("name", ["add", "delete"])
def test_struck_while_they_send_other_plugins_do_as_bridge_does(
    name: str, first: str, run: Run, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    with interfering(monkeypatch) as messages:
        sweep = run(
            name, lambda sweep: sweep.sending(cancel, messages, step=step(2)), f"{first} loopback"
        )
    if name == "add":
        assert sweep.counts.owed == 0


@pytest.mark.deep
@pytest.mark.parametrize(
    ("plugin", "before", "tests", "says"),
    [
        pytest.param(
            "bridge",
            "    undo_with(undo, lambda: _remove_own(call, host, owner))\n",
            "test_bridge.py",
            "left by an ADD",
            id="the link",
        ),
        pytest.param(
            "portmap_publishing",
            "        if not is_again:\n            undo_with(undo, call, entries)\n",
            "test_portmap.py",
            "'hostports4': 2",
            id="the ports",
        ),
        pytest.param(
            "masquerading",
            "        undo_with(undo, call, entries)\n",
            "test_bridge_masquerade.py",
            "'masquerade4': 1",
            id="the masquerading",
        ),
    ],
)
def test_an_undo_that_skips_something_is_missed(
    plugin: str, before: str, tests: str, says: str, tmp_path: Path
) -> None:
    """By those who ask the plugin alone: beneath a runtime its DEL removes it as well."""
    change = {"file": f"acni/plugins/{plugin}.py", "before": before, "after": ""}
    path = Path(__file__).parents[1] / "plugins" / tests
    sabotage = Sabotage(name="", sweep="", change=[change])
    printed = run_against(sabotage, "leaves_nothing and unheeded", str(path), tmp_path)
    assert says in printed
