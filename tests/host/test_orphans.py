"""Plugins that a dead runtime left running: waited for, and ended when they are out of time."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from acni.host.holders import Holders, Process, find_process
from acni.host.locks import is_held, try_lock, unlock
from acni.host.orphans import (
    Orphans,
    Pinned,
    is_plugin,
    leaders_to_end,
    outside_of,
    wait_for_orphans,
)
from acni.testing import cancelled_at
from tests.host.dead_runtime import BYTE, DeadRuntime, dead_runtime, wait_until

HANGS = "echo > ready; read line"
IGNORES_TERM = "trap '' TERM; echo > ready; sleep 600"
DAEMON = "setsid sleep 600 & echo $! > daemon"
MANY_THREADS = f"""#!{sys.executable} -I
import os, pathlib, threading
here = pathlib.Path(__file__).parent
if os.fork():
    (here / "ready").touch()
for _ in range(50):
    threading.Thread(target=threading.Event().wait).start()
"""
PATH = "/opt/cni/bin/bridge"


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[DeadRuntime]:
    with dead_runtime(tmp_path) as runtime:
        yield runtime


def since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def take_over(
    runtime: DeadRuntime,
    *,
    plugins: Collection[str] = (),
    seconds: float = 0.0,
    grace: float = 10.0,
) -> Orphans:
    return await wait_for_orphans(
        runtime.lock,
        BYTE,
        until=since_boot() + seconds,
        plugins=plugins,
        grace_seconds=grace,
    )


def pids_of(processes: tuple[Process, ...]) -> list[int]:
    return [process.pid for process in processes]


def daemon_of(runtime: DeadRuntime) -> int:
    assert runtime.has_written("daemon")
    text = runtime.directory / "daemon"
    assert wait_until(lambda: text.read_text() != "")
    pid = int(text.read_text())
    # Until then it is a shell in the plugin's session.
    assert wait_until(lambda: os.getsid(pid) == pid)
    return pid


def lives(runtime: DeadRuntime, pid: int) -> bool:
    """Tell whether a process lives; one that just executes a program has no environment."""
    return wait_until(lambda: pid in runtime.living())


@pytest.mark.anyio
async def test_where_nobody_holds_the_byte_it_returns_at_its_first_checkpoint(
    runtime: DeadRuntime,
) -> None:
    assert await cancelled_at(2, take_over(runtime, seconds=math.inf)) == (1, False)
    result = await take_over(runtime, seconds=math.inf)
    assert result == Orphans(waited_seconds=result.waited_seconds)


@pytest.mark.anyio
async def test_what_its_own_description_holds_is_not_waited_for(runtime: DeadRuntime) -> None:
    assert try_lock(runtime.lock, BYTE)
    assert not (await take_over(runtime, seconds=math.inf)).is_held


@pytest.mark.anyio
async def test_an_orphan_that_ends_by_itself_is_waited_for(runtime: DeadRuntime) -> None:
    path = runtime.script("plugin", HANGS)
    pid = runtime.starts(path)
    assert runtime.has_written("ready")

    async def end() -> None:
        await anyio.wait_all_tasks_blocked()
        runtime.close_inputs()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end)
        result = await take_over(runtime, plugins=[path], seconds=math.inf)
    assert result == Orphans(waited_seconds=result.waited_seconds)
    assert runtime.exit_code(pid) >= 0


@pytest.mark.anyio
async def test_a_hanging_orphan_is_ended_when_its_time_is_over(runtime: DeadRuntime) -> None:
    path = runtime.script("plugin", HANGS)
    pid = runtime.starts(path)
    assert runtime.has_written("ready")
    result = await take_over(runtime, plugins=[path], seconds=0.05)
    assert pids_of(result.ended) == [pid]
    assert result.waited_seconds >= 0.05
    assert (result.stuck, result.daemons, result.is_held) == ((), (), False)
    assert runtime.exit_code(pid) == -signal.SIGTERM


@pytest.mark.anyio
async def test_an_orphan_that_is_no_script_is_ended_too(runtime: DeadRuntime) -> None:
    cat = shutil.which("cat")
    assert cat is not None
    path = runtime.program("plugin", Path(cat).read_bytes())
    pid = runtime.starts(path)
    assert pids_of((await take_over(runtime, plugins=[path])).ended) == [pid]
    assert runtime.exit_code(pid) == -signal.SIGTERM


@pytest.mark.anyio
async def test_an_orphan_may_end_in_order_within_the_grace(runtime: DeadRuntime) -> None:
    # What is waited for in the foreground would be, if TERM came just before it began, to its end.
    script = "trap 'echo > undone; exit 0' TERM; sleep 600 & echo > ready; wait"
    path = runtime.script("plugin", script)
    pid = runtime.starts(path)
    assert runtime.has_written("ready")
    assert pids_of((await take_over(runtime, plugins=[path])).ended) == [pid]
    assert runtime.exit_code(pid) == 0
    assert runtime.has_written("undone")


@pytest.mark.anyio
@pytest.mark.parametrize("grace", [0.0, 0.05])
async def test_an_orphan_that_ignores_term_is_killed_with_its_children(
    runtime: DeadRuntime, grace: float
) -> None:
    path = runtime.script("plugin", IGNORES_TERM)
    pid = runtime.starts(path)
    assert runtime.has_written("ready")
    result = await take_over(runtime, plugins=[path], grace=grace)
    assert pids_of(result.ended) == [pid]
    assert not result.is_held
    assert runtime.exit_code(pid) == -signal.SIGKILL
    assert runtime.living() == set()


@pytest.mark.anyio
async def test_an_orphan_of_many_threads_is_gone_whole(runtime: DeadRuntime) -> None:
    """Its first thread may end some moments before the others, which have its files open."""
    path = runtime.program("plugin", MANY_THREADS.encode())
    runtime.starts(path)
    assert runtime.has_written("ready")
    result = await take_over(runtime, plugins=[path], grace=0.0)
    assert (len(result.ended), result.stuck, result.is_held) == (1, (), False)
    assert runtime.living() == set()


@pytest.mark.anyio
async def test_other_process_groups_of_its_session_are_ended_too(runtime: DeadRuntime) -> None:
    """A shell with job control makes them."""
    path = runtime.script("plugin", "set -m; sleep 600 & sleep 601 & echo > ready; read line")
    runtime.starts(path)
    assert runtime.has_written("ready")
    result = await take_over(runtime, plugins=[path])
    assert not result.is_held
    assert runtime.living() == set()


@pytest.mark.anyio
async def test_an_orphan_whose_child_alone_holds_the_byte_is_ended(runtime: DeadRuntime) -> None:
    path = runtime.script("plugin", "sleep 600 & exec 3>&-; echo > ready; read line")
    pid = runtime.starts(path)
    assert runtime.has_written("ready")
    result = await take_over(runtime, plugins=[path])
    assert pids_of(result.ended) == [pid]
    assert not result.is_held
    assert runtime.living() == set()


@pytest.mark.anyio
async def test_two_orphans_are_ended_at_once(runtime: DeadRuntime) -> None:
    polite = runtime.script("polite", "echo > polite-is-ready; read line")
    rude = runtime.script("rude", IGNORES_TERM)
    pids = {runtime.starts(polite), runtime.starts(rude)}
    assert runtime.has_written("ready")
    assert runtime.has_written("polite-is-ready")
    result = await take_over(runtime, plugins=[polite, rude], grace=0.05)
    assert set(pids_of(result.ended)) == pids
    assert not result.is_held
    assert runtime.living() == set()


@pytest.mark.anyio
async def test_a_daemon_of_a_plugin_that_is_gone_is_left_alone(runtime: DeadRuntime) -> None:
    path = runtime.script("plugin", DAEMON)
    pid = runtime.starts(path)
    daemon = daemon_of(runtime)
    assert runtime.exit_code(pid) == 0
    result = await take_over(runtime, plugins=[path])
    assert (result.ended, result.stuck, result.is_held) == ((), (), True)
    assert pids_of(result.daemons) == [daemon]
    assert lives(runtime, daemon)


@pytest.mark.anyio
async def test_a_daemon_of_a_plugin_that_hangs_outlives_it(runtime: DeadRuntime) -> None:
    path = runtime.script("plugin", f"{DAEMON}\n{HANGS}")
    pid = runtime.starts(path)
    daemon = daemon_of(runtime)
    assert runtime.has_written("ready")
    result = await take_over(runtime, plugins=[path])
    assert pids_of(result.ended) == [pid]
    assert pids_of(result.daemons) == [daemon]
    assert lives(runtime, daemon)


@pytest.mark.anyio
async def test_what_a_plugin_left_in_its_session_is_a_daemon_when_it_is_gone(
    runtime: DeadRuntime,
) -> None:
    path = runtime.script("plugin", "sleep 600 & echo $! > child")
    pid = runtime.starts(path)
    assert runtime.exit_code(pid) == 0
    child = int((runtime.directory / "child").read_text())
    # Until then it is a copy of the plugin.
    assert wait_until(lambda: Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"sleep"))
    result = await take_over(runtime, plugins=[path])
    assert pids_of(result.daemons) == [child]
    assert lives(runtime, child)


@pytest.mark.anyio
async def test_a_holder_that_is_no_plugin_of_the_chain_is_left_alone(runtime: DeadRuntime) -> None:
    path = runtime.script("other", HANGS)
    pid = runtime.starts(path)
    assert runtime.has_written("ready")
    result = await take_over(runtime, plugins=[f"{runtime.directory}/plugin"])
    assert pids_of(result.daemons) == [pid]
    assert pid in runtime.living()


@pytest.mark.anyio
async def test_the_same_executable_with_arguments_is_a_daemon(runtime: DeadRuntime) -> None:
    path = runtime.script("dhcp", HANGS)
    pid = runtime.starts(path, "daemon")
    assert runtime.has_written("ready")
    result = await take_over(runtime, plugins=[path])
    assert pids_of(result.daemons) == [pid]
    assert pid in runtime.living()


@pytest.mark.anyio
async def test_nothing_in_the_session_of_this_process_is_ended(runtime: DeadRuntime) -> None:
    path = runtime.script("plugin", HANGS)
    pid = runtime.starts(path, own_session=False)
    assert runtime.has_written("ready")
    result = await take_over(runtime, plugins=[path])
    assert result.ended == ()
    assert pid in runtime.living()


@pytest.mark.anyio
async def test_the_byte_is_free_once_the_runtime_let_go_though_a_daemon_has_the_descriptor(
    runtime: DeadRuntime,
) -> None:
    with runtime.guard() as guard:
        runtime.starts_with(guard, "/bin/cat")
        assert (await take_over(runtime)).is_held
        unlock(guard, BYTE)
        assert not (await take_over(runtime, seconds=math.inf)).is_held


@pytest.mark.anyio
async def test_the_byte_stays_held_when_the_runtime_only_closed_it(runtime: DeadRuntime) -> None:
    with runtime.guard() as guard:
        pid = runtime.starts_with(guard, "/bin/cat")
    assert pids_of((await take_over(runtime)).daemons) == [pid]


@pytest.mark.anyio
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot run here: becoming another user")
async def test_what_may_not_be_looked_at_is_left_alone_and_the_byte_said_to_be_held(
    runtime: DeadRuntime,
) -> None:
    path = runtime.script("plugin", HANGS)
    pid = runtime.starts(path)
    assert runtime.has_written("ready")
    os.seteuid(65534)
    try:
        result = await take_over(runtime, plugins=[path])
    finally:
        os.seteuid(0)
    assert (result.ended, result.stuck, result.daemons) == ((), (), ())
    assert result.is_held
    assert pid in runtime.living()


@pytest.mark.anyio
async def test_a_descriptor_that_is_closed_is_an_error(runtime: DeadRuntime) -> None:
    closed = os.dup(runtime.lock)
    os.close(closed)
    with pytest.raises(OSError, match="Bad file descriptor"):
        await wait_for_orphans(closed, BYTE, until=0.0, plugins=(), grace_seconds=0.0)


@pytest.mark.anyio
async def test_cancelled_while_it_waits_it_has_touched_nobody(runtime: DeadRuntime) -> None:
    path = runtime.script("plugin", "trap 'echo > touched' TERM; echo > ready; read line")
    pid = runtime.starts(path)
    assert runtime.has_written("ready")
    with anyio.move_on_after(0.05) as scope:
        await take_over(runtime, plugins=[path], seconds=math.inf)
    assert scope.cancelled_caught
    assert pid in runtime.living()
    assert is_held(runtime.lock, BYTE)
    runtime.close_inputs()
    runtime.exit_code(pid)
    assert not (runtime.directory / "touched").exists()


@pytest.mark.anyio
async def test_cancelled_anywhere_an_orphan_is_untouched_or_ended_whole(
    runtime: DeadRuntime,
) -> None:
    outcomes = set[bool]()
    point, suspensions = 0, 0
    while suspensions >= point:
        point += 1
        suspensions, is_ended = await cancelled_over_an_orphan(runtime, point)
        outcomes.add(is_ended)
    assert outcomes == {False, True}


async def cancelled_over_an_orphan(runtime: DeadRuntime, point: int) -> tuple[int, bool]:
    """Cancel the taking over, and see whether its orphan is ended; it is untouched otherwise."""
    before = open_descriptors()
    path = runtime.script(
        f"plugin{point}",
        f"trap 'echo > touched{point}' TERM; echo > ready{point}; read line; sleep 600",
    )
    pid = runtime.starts(path)
    assert runtime.has_written(f"ready{point}")
    suspensions, _ = await cancelled_at(
        point, take_over(runtime, plugins=[path], seconds=0.001, grace=0.05)
    )
    is_ended = runtime.living() == set()
    if not is_ended:
        os.killpg(pid, signal.SIGKILL)
        assert wait_until(lambda: not runtime.living())
        assert not (runtime.directory / f"touched{point}").exists()
    runtime.exit_code(pid)
    runtime.close_inputs()
    # A thread may still look, for a caller who is gone.
    assert wait_until(lambda: open_descriptors() <= before)
    return suspensions, is_ended


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def pinned(runtime: DeadRuntime) -> Iterator[Pinned]:
    pinned = Pinned.pin(found(runtime.starts(runtime.script("plugin", HANGS))))
    assert pinned is not None
    assert runtime.has_written("ready")
    yield pinned
    pinned.close()


def found(pid: int) -> Process:
    process = find_process(pid)
    assert process is not None
    return process


def test_a_process_with_the_number_but_not_the_start_of_what_was_found_is_not_it(
    pinned: Pinned,
) -> None:
    now = pinned.process
    earlier = evolve(now, started=now.started - 1)
    assert Pinned.pin(earlier) is None
    assert not pinned.has_exited()


def test_a_process_that_is_gone_is_not_found_again(runtime: DeadRuntime) -> None:
    pid = runtime.starts("/bin/true")
    gone = found(pid)
    runtime.exit_code(pid)
    assert Pinned.pin(gone) is None


def test_a_zombie_has_exited(runtime: DeadRuntime, pinned: Pinned) -> None:
    assert not pinned.has_exited()
    runtime.close_inputs()
    assert wait_until(pinned.has_exited)


def test_where_descriptors_reach_no_group_it_is_signalled_by_number(
    runtime: DeadRuntime, pinned: Pinned
) -> None:
    pinned.signal_group_by_number(signal.SIGTERM)
    assert runtime.exit_code(pinned.process.pid) == -signal.SIGTERM


def test_but_not_once_its_leader_is_gone(runtime: DeadRuntime) -> None:
    """The number may be another's by then."""
    pid = runtime.starts(runtime.script("plugin", "sleep 600 & echo > ready; read line"))
    assert runtime.has_written("ready")
    leader = Pinned.pin(found(pid))
    assert leader is not None
    try:
        os.kill(pid, signal.SIGKILL)
        runtime.exit_code(pid)
        leader.signal_group_by_number(signal.SIGKILL)
        assert len(runtime.living()) == 1
        leader.signal_group(signal.SIGKILL)  # by descriptor: its child is still of that group
        assert wait_until(lambda: not runtime.living())
        leader.signal_group(signal.SIGKILL)  # and now nobody is
    finally:
        leader.close()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param([PATH], True, id="an executable"),
        pytest.param(["/bin/sh", PATH], True, id="a script"),
        pytest.param(["/usr/bin/python3", "-sP", PATH], True, id="a script with an option"),
        pytest.param(["python3", "-s", "-P", PATH], True, id="a script by env -S"),
        pytest.param([PATH, "daemon"], False, id="with arguments"),
        pytest.param(["/bin/sh", PATH, "daemon"], False, id="a script with arguments"),
        pytest.param(["/opt/cni/bin/ptp"], False, id="another plugin"),
        pytest.param(["bridge"], False, id="its name"),
        pytest.param([], False, id="a kernel thread"),
    ],
)
def test_a_command_line_is_that_of_a_plugin_or_not(command: list[str], expected: bool) -> None:
    assert is_plugin(command, {PATH}) == expected


def leader(pid: int = 70, *, started: int = 100, command: tuple[str, ...] = (PATH,)) -> Process:
    return Process(pid=pid, started=started, session=pid, command=command)


def member(session: int = 70, *, started: int = 101) -> Process:
    return Process(pid=71, started=started, session=session, command=("x",))


def test_a_leader_of_a_holder_is_ended() -> None:
    holders = Holders(processes=(member(), leader()), leaders=(leader(),))
    assert leaders_to_end(holders, {PATH}, own=5) == [leader()]


def test_a_leader_that_started_in_the_same_tick_as_its_child_is_ended() -> None:
    holders = Holders(processes=(member(started=100),), leaders=(leader(),))
    assert leaders_to_end(holders, {PATH}, own=5) == [leader()]


@pytest.mark.parametrize(
    ("holders", "plugins"),
    [
        pytest.param(Holders(), {PATH}, id="nobody"),
        pytest.param(
            Holders(processes=(member(1),), leaders=(leader(1),)), {PATH}, id="the init process"
        ),
        pytest.param(
            Holders(processes=(member(5),), leaders=(leader(5),)), {PATH}, id="its own session"
        ),
        pytest.param(
            Holders(processes=(member(),), leaders=(leader(command=()),)), {PATH}, id="a zombie"
        ),
        pytest.param(
            Holders(processes=(member(),), leaders=(leader(started=102),)),
            {PATH},
            id="younger than its session",
        ),
        pytest.param(
            Holders(processes=(member(9),), leaders=(leader(),)), {PATH}, id="without a holder"
        ),
        pytest.param(
            Holders(processes=(member(),), leaders=(leader(),)), set[str](), id="of another chain"
        ),
    ],
)
def test_a_leader_is_not_ended(holders: Holders, plugins: Collection[str]) -> None:
    assert leaders_to_end(holders, plugins, own=5) == []


def test_who_is_in_the_session_of_a_stuck_plugin_is_no_daemon() -> None:
    assert outside_of([leader()], [leader(), member(), member(9)]) == (member(9),)
