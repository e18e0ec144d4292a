"""Struck at any suspension, an operation leaves everything undone, done or owed: never held and
unknown, nobody waits for it, and its first error stays.

The operation runs as a coroutine whose suspensions are counted, with those of the tasks it starts;
it is struck at the first, then at the second, and so on, until it ends before the next one is
reached. Where it is struck twice: at each of those that follow the first strike, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel
import pytest

from acni import (
    AcniError,
    Attachment,
    NetworkConfig,
    PluginFailed,
    PluginKilled,
    PluginProtocolError,
    PluginTimeout,
    StoreError,
    Timeouts,
    netns,
    open_runtime,
)
from acni.testing import Behaviour, RecordingPlugins, ScriptedRunner
from tests.crash.sabotages import Sabotage, run_against
from tests.engine.strikes import (
    C1,
    CASES,
    OBSTRUCTING,
    Case,
    Counts,
    Pods,
    Processes,
    Strike,
    Sweep,
    Witness,
    World,
    cancel,
    chain,
    fail,
    interrupt,
    open_on,
    three_pods,
)

pytestmark = [pytest.mark.netns, pytest.mark.timeout(600)]

Count = Callable[[object], None]
Sweeping = Callable[[Sweep], Awaitable[None]]
Run = Callable[..., Sweep]
Steps = Callable[[str], tuple[int, int]]

# Of what takes long every so many-th point is tried where `--crash whole` does not ask for all: of
# one strike, and of two.
_SAMPLES: Final = {"gc": (2, 4), "recover": (2, 4), "add": (1, 2)}


@pytest.fixture
def pods() -> Iterator[Pods]:
    with three_pods() as made:
        yield made


@pytest.fixture
def steps(pytestconfig: pytest.Config) -> Steps:
    """Return which points of an operation are tried: every so many-th of one strike, and of two."""
    is_whole = pytestconfig.getoption("--crash") == "whole"
    return lambda name: (1, 1) if is_whole else _SAMPLES.get(name, (1, 1))


@pytest.fixture
def witness() -> Witness:
    """Runs the plugins."""
    return Witness()


@pytest.fixture(params=["asyncio", "trio"])
def run(
    request: pytest.FixtureRequest,
    pods: Pods,
    state_dir: Path,
    witness: Witness,
    count: Count,
) -> Run:
    """Run a sweep as the main task of a loop, for trio raises KeyboardInterrupt nowhere else; say
    what it counted.
    """
    loop: str = request.param
    options = {"restrict_keyboard_interrupt_to_checkpoints": True} if loop == "trio" else {}

    def run_it(
        case: Case, sweeping: Sweeping, *, world: World = witness, **options_of_sweep: Any
    ) -> Sweep:
        async def main() -> Sweep:
            async with open_on(state_dir, world, Timeouts()) as another:
                sweep = Sweep(case, pods, state_dir, world, another, **options_of_sweep)
                await sweeping(sweep)
                return sweep

        sweep = anyio.run(main, backend=loop, backend_options=options)
        counts = sweep.counts
        count(counts)
        print(counts)
        assert counts.points == counts.gone + counts.attached + counts.owed > 0
        return sweep

    return run_it


def require_expected(name: str, counts: Counts) -> None:
    """Require what an operation that nothing hinders comes to."""
    if name == "add":
        assert counts.owed == 0
        assert counts.gone >= 6
    if name == "delete":
        assert counts.owed >= 2  # it is not undone: what it did not come to is owed
    if name == "check":
        assert counts.attached == counts.points >= 4
    if name == "gc":
        assert counts.points >= 4
    if name == "recover":
        assert counts.attached == 0


# What takes long has a session of its own.
MARKS: Final = {"gc": (pytest.mark.deep,), "recover": (pytest.mark.deep,)}
each_case = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(name, ())) for name in CASES]
)


@pytest.mark.rule("R28")
@pytest.mark.parametrize("first", [cancel, interrupt, fail])
@each_case
def test_struck_once_an_add_is_undone_and_the_rest_is_known(
    name: str, first: Strike, run: Run, steps: Steps
) -> None:
    step, _ = steps(name)
    sweep = run(CASES[name], lambda sweep: sweep.once(first, step=step))
    require_expected(name, sweep.counts)


@each_case
def test_leaving_its_runtime_an_add_is_undone_and_the_rest_is_known(
    name: str, run: Run, steps: Steps
) -> None:
    step, _ = steps(name)
    sweep = run(CASES[name], lambda sweep: sweep.left(step=step))
    if name == "add":
        assert sweep.counts.owed == 0
        assert sweep.counts.gone >= 5
        ends = [end for end in sweep.outcomes if isinstance(end, AcniError) and end.rollback]
        assert ends, "what was undone is told"


@pytest.mark.deep
@pytest.mark.rule("R28")
@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("add", cancel, interrupt),
        ("add", interrupt, interrupt),
        ("add", fail, interrupt),
        ("add", fail, fail),
        *(
            pytest.param(name, first, interrupt, marks=MARKS.get(name, ()))
            for name, first in product(("delete", "gc", "recover"), (cancel, interrupt))
        ),
    ],
)
def test_struck_again_while_it_is_undone_the_rest_is_owed(
    name: str, first: Strike, second: Strike, run: Run, steps: Steps
) -> None:
    _, step = steps(name)
    sweep = run(CASES[name], lambda sweep: sweep.twice(first, second, step=step))
    if name == "add":
        assert sweep.counts.attached == 0
        assert sweep.counts.owed >= 4


@pytest.mark.parametrize("for_good", [False, True])
@each_case
def test_a_runner_that_raises_is_an_error_as_any_other(
    name: str, for_good: bool, run: Run, witness: Witness
) -> None:
    sweep = run(CASES[name], lambda sweep: sweep.broken(witness, for_good=for_good))
    if name == "add":
        assert (sweep.counts.owed > 0) == for_good


FAILURES: Final[Mapping[str, tuple[type[AcniError], Behaviour]]] = {
    "it says no": (PluginFailed, Behaviour.failing()),
    "it prints nonsense": (PluginProtocolError, Behaviour(stdout="nonsense")),
    "a signal": (PluginKilled, Behaviour(signal=9)),
    "out of time": (PluginTimeout, Behaviour(seconds=60)),
    "no record can be written": (StoreError, OBSTRUCTING),
}


@pytest.mark.rule("R28")
@pytest.mark.parametrize("why", FAILURES)
def test_interrupted_in_its_undo_an_add_that_failed_is_owed_and_its_error_stays(
    why: str, run: Run, witness: Witness, state_dir: Path
) -> None:
    error, behaviour = FAILURES[why]
    if error is StoreError:
        witness.obstacle = state_dir / "results" / "net-c1-eth0"
    sweep = run(
        CASES["add"],
        lambda sweep: sweep.once(interrupt),
        told={("third", "ADD"): behaviour},
        timeouts=Timeouts(add=0.05) if error is PluginTimeout else Timeouts(),
    )
    *interrupted, undisturbed = sweep.outcomes
    assert type(undisturbed) is error
    firsts = [each for end in interrupted for each in chain(end) if type(each) is error]
    assert sum(each.debt is not None for each in firsts) >= 3
    assert all(each.rollback is not None for each in (undisturbed, *firsts))
    assert sweep.counts.owed >= 3


@pytest.mark.rule("R28")
def test_an_undo_that_is_out_of_time_leaves_a_debt_and_the_first_error(run: Run) -> None:
    told = {
        ("third", "ADD"): Behaviour.failing(7, "first"),
        ("first", "DEL"): Behaviour(seconds=60),
    }
    plugins = list[str | None]()
    for undo in (0.05, 0.5, 5.0):  # more, where it had not come to what hangs
        sweep = run(
            CASES["add"], lambda sweep: sweep.once(cancel), told=told, timeouts=Timeouts(undo=undo)
        )
        undisturbed = sweep.outcomes[-1]
        assert isinstance(undisturbed, PluginFailed)
        assert undisturbed.code == 7
        assert undisturbed.debt is not None
        assert sweep.counts.owed >= 3
        plugins.append(undisturbed.debt.plugin)
        if plugins[-1] == "first":
            break
    assert plugins[-1] == "first"


@pytest.mark.rule("R28")
@pytest.mark.parametrize(
    ("name", "first"), [("add", cancel), ("add", interrupt), ("delete", cancel)]
)
def test_with_real_processes(
    name: str, first: Strike, plugins: RecordingPlugins, tmp_path: Path, run: Run
) -> None:
    case = Case([], CASES["add"].call) if name == "add" else Case([C1], CASES["delete"].call)
    world = Processes(plugins=plugins)
    sweep = run(case, lambda sweep: sweep.once(first), world=world, is_used=False)
    assert sweep.counts.points >= 4
    if name == "add":
        assert sweep.counts.owed == 0


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [pytest.param("asyncio", id="asyncio")])
async def test_a_native_cancellation_of_the_record_s_write_brings_nothing_back(
    scripted: ScriptedRunner, tmp_path: Path, network: NetworkConfig
) -> None:
    """It leaves the writing thread behind, which asyncio cannot stop."""
    state_dir = tmp_path / "state"
    with netns.anonymous() as box:
        attachment = Attachment(container_id="c1", netns=box.path)
        async with open_runtime(
            state_dir=state_dir, plugin_dirs=["/plugins"], runner=scripted
        ) as runtime:
            for _ in range(30):
                task = asyncio.create_task(runtime.add(network, attachment))
                for _ in range(200):
                    await anyio.lowlevel.checkpoint()
                    if len(scripted.calls) == 3:
                        break
                await anyio.sleep(0.0001)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                if list((state_dir / "results").iterdir()):
                    await runtime.delete(attachment.id)
                assert scripted.held == set()
                scripted.calls.clear()
        assert list((state_dir / "results").iterdir()) == []
    assert scripted.held == set()


# --- and would be noticed


SABOTAGES: Final = (
    (
        "the undo is not shielded",
        "once and add-cancel",
        "assert [0-9]+ == 0",
        "acni/engine/add.py",
        "engine.timeouts.undo + _UNDO_MARGIN, shield=True",
        "engine.timeouts.undo + _UNDO_MARGIN",
    ),
    (
        "only errors are undone",
        "once and add-cancel",
        "Busy: ",
        "acni/engine/add.py",
        "        except BaseException as error:",
        "        except Exception as error:",
    ),
    (
        "an undo that fails replaces the first error",
        "again and add-fail-fail",
        "AssertionError: Oddity",
        "acni/engine/add.py",
        "    except Exception as unfinished:",
        "    except ZeroDivisionError as unfinished:",
    ),
    (
        "what is owed when the debt's write is interrupted stays open",
        "again and asyncio-delete-cancel",
        "Busy: ",
        "acni/engine/takedown.py",
        "            self._close_as_owed(debt)\n            raise",
        "            raise",
    ),
    (
        "a turn that was struck is not given back",
        "once and check-cancel",
        "Busy: ",
        "acni/engine/turns.py",
        """
                yield until
        finally:
            if not""",
        """
                yield until
        except ZeroDivisionError:
            if not""",
    ),
)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("tests", "finds", "file", "before", "after"),
    [pytest.param(*sabotage[1:], id=sabotage[0]) for sabotage in SABOTAGES],
)
def test_what_keeps_this_is_missed_when_it_is_gone(
    tests: str, finds: str, file: str, before: str, after: str, tmp_path: Path
) -> None:
    """The sweeps run against a changed copy of the sources."""
    change = [{"file": file, "before": before, "after": after}]
    printed = run_against(Sabotage(name="", sweep="", change=change), tests, __file__, tmp_path)
    assert re.search(finds, printed), printed
