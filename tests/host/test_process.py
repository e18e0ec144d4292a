"""One plugin run: what it is given, how it ends, and what is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest
import trio
from attrs import define, field

from acni.host.process import Executables
from acni.host.spawn import PosixSpawner, Spawner, make_spawner
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response
from acni.testing import Behaviour, Call, RecordingPlugins, RunnerContract, cancelled_at
from tests.host.marks import living_with

KIB = 1 << 10
MIB = 1 << 20
ROOMY = Caps(stdout_bytes=4 * MIB, stderr_bytes=4 * MIB)
# The deadline of a plugin that never ends, longer each time it was not so far by then.
PATIENCE = (0.3, 2.0, 10.0)


@define(eq=False)
class Shell:
    """Runs shell scripts as plugins and finds every process that came of them.

    Attributes:
        path: Where the script lies.
        mark: A variable of their environment that no other process has.
    """

    path: Path
    mark: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.mark = f"ACNI_TEST_MARK={self.path}"

    def plugin(self, script: str) -> Plugin:
        self.path.write_text(f"#!/bin/sh\n{script}\n")
        self.path.chmod(0o755)
        kind = PluginType(self.path.name)
        return Plugin(type=kind, path=str(self.path), identity="", runner="executable")

    async def run(
        self,
        script: str,
        *,
        stdin: bytes = b"",
        seconds: float = 15.0,
        grace: float = 0.2,
        caps: Caps = ROOMY,
        environment: Mapping[str, str] | None = None,
    ) -> Response:
        name, _, value = self.mark.partition("=")
        return await Executables(grace_seconds=grace).run(
            self.plugin(script),
            Request(environment={name: value, **(environment or {})}, stdin=stdin),
            deadline=anyio.current_time() + seconds,
            caps=caps,
        )

    async def run_too_long(
        self, script: str, is_so_far: Callable[[Response], bool], **options: Any
    ) -> Response:
        """Run a script that never ends, until it was where it should be when its time was over."""
        for seconds in PATIENCE:
            response = await self.run(script, seconds=seconds, **options)
            assert response.ending is Ending.OUT_OF_TIME
            if is_so_far(response):
                return response
        raise AssertionError("it never came so far")

    @property
    def ready(self) -> Path:
        """A file for scripts that are where they should be."""
        return self.path.with_suffix(".ready")

    def living(self) -> set[int]:
        """Return the processes with the mark; a zombie has no environment."""
        return living_with(self.mark)

    async def has_started(self, processes: int) -> None:
        """Wait until so many processes with the mark live."""
        for _ in range(10_000):
            if len(self.living()) >= processes:
                return
            await anyio.lowlevel.checkpoint()
        raise AssertionError("they never lived")

    def has_ended(self) -> bool:
        """Tell whether all of them are gone: a killed process needs a moment."""
        return _wait_until(lambda: not self.living())


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path / "script")
    yield shell
    for pid in shell.living():
        os.kill(pid, signal.SIGKILL)


@define(eq=False)
class _Processes:
    """The contract's world of real processes."""

    plugins: RecordingPlugins
    runner: Executables

    @property
    def directories(self) -> tuple[str, ...]:
        return (self.plugins.directory,)

    @property
    def calls(self) -> list[Call]:
        return self.plugins.calls

    def tell(self, plugin_type: str, command: str, behaviour: Behaviour) -> None:
        self.plugins.tell(plugin_type, command, behaviour)


@pytest.mark.anyio
class TestExecutables(RunnerContract):
    @pytest.fixture
    def world(self, plugins: RecordingPlugins) -> _Processes:
        plugins.install("probe")
        return _Processes(plugins, Executables(grace_seconds=0.2))


@pytest.mark.anyio
async def test_a_plugin_has_descriptors_0_to_2_and_nothing_else(shell: Shell) -> None:
    with _inheritable_descriptors():
        response = await shell.run("exec ls /proc/self/fd")
    # ls itself opens the directory as 3.
    assert response.stdout.split() == [b"0", b"1", b"2", b"3"]


@pytest.mark.anyio
async def test_a_plugin_works_in_the_root_directory(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (await shell.run("readlink /proc/$$/cwd")).stdout == b"/\n"


@pytest.mark.rule("R11")
@pytest.mark.anyio
async def test_a_plugin_runs_in_the_network_namespace_of_the_runtime(shell: Shell) -> None:
    own = Path("/proc/thread-self/ns/net").readlink()
    assert (await shell.run("readlink /proc/$$/ns/net")).stdout.decode().strip() == str(own)


@pytest.mark.anyio
async def test_a_plugin_leads_a_session_of_its_own(shell: Shell) -> None:
    response = await shell.run("cut -d' ' -f1,5,6 /proc/$$/stat")
    pid, group, session = response.stdout.split()
    assert pid == group == session
    assert int(pid) != os.getpid()


@pytest.mark.anyio
async def test_signals_are_default_whatever_the_parent_ignores_and_blocks(shell: Shell) -> None:
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN, "Python ignores it"
    with _disposition(signal.SIGUSR1, signal.SIG_IGN), _blocked(signal.SIGTERM):
        response = await shell.run("exec grep -E 'SigBlk|SigIgn' /proc/self/status")
    assert [int(mask, 16) for mask in response.stdout.split()[1::2]] == [0, 0]


@pytest.mark.anyio
async def test_the_environment_is_what_was_given_and_nothing_else(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACNI_SECRET", "of the host program")
    given = {"CNI_COMMAND": "ADD", "CNI_ARGS": "", "ODD": "a=b;c\n d\u00e9\udcff"}
    response = await shell.run("cat /proc/$$/environ", environment=given)
    expected = [shell.mark, *(f"{name}={value}" for name, value in given.items())]
    assert response.stdout.split(b"\0")[:-1] == [os.fsencode(entry) for entry in expected]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(0, id="nothing"),
        pytest.param(64 * KIB - 1, id="less_than_a_pipe"),
        pytest.param(64 * KIB, id="a_pipe"),
        pytest.param(64 * KIB + 1, id="more_than_a_pipe"),
        pytest.param(MIB, id="one_mebibyte"),
    ],
)
async def test_a_request_and_the_output_arrive_whole(shell: Shell, size: int) -> None:
    data = os.urandom(size)
    response = await shell.run("exec cat", stdin=data)
    assert (response.ending, response.status) == (Ending.EXITED, 0)
    assert response.stdout == data


@pytest.mark.anyio
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(64 * KIB - 1, id="less_than_a_pipe"),
        pytest.param(64 * KIB, id="a_pipe"),
        pytest.param(64 * KIB + 1, id="more_than_a_pipe"),
        pytest.param(MIB, id="one_mebibyte"),
    ],
)
async def test_standard_error_arrives_whole(shell: Shell, size: int) -> None:
    data = os.urandom(size)
    response = await shell.run("exec cat >&2", stdin=data)
    assert (response.stdout, response.stderr) == (b"", data)


@pytest.mark.anyio
async def test_both_outputs_at_once_do_not_block_each_other(shell: Shell) -> None:
    script = "cat >&2 & head -c 1000000 /dev/zero; wait"
    response = await shell.run(script, stdin=b"e" * MIB)
    # In the background of a shell without job control, standard input is /dev/null.
    assert (len(response.stdout), response.status) == (1_000_000, 0)
    response = await shell.run("tee /proc/self/fd/2", stdin=b"x" * MIB)
    assert (len(response.stdout), len(response.stderr)) == (MIB, MIB)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "size", [pytest.param(1000, id="in_a_pipe"), pytest.param(MIB, id="in_a_file_in_memory")]
)
async def test_a_plugin_may_exit_without_reading_its_request(shell: Shell, size: int) -> None:
    response = await shell.run("exit 3", stdin=b"x" * size)
    assert (response.ending, response.status) == (Ending.EXITED, 3)


@pytest.mark.anyio
async def test_a_request_can_be_read_again_from_where_a_child_left_off(shell: Shell) -> None:
    response = await shell.run("head -c 0; exec cat", stdin=b"x" * MIB)
    assert response.stdout == b"x" * MIB


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("printed", "ending"),
    [
        pytest.param(999, Ending.EXITED, id="under"),
        pytest.param(1000, Ending.EXITED, id="at"),
        pytest.param(1001, Ending.OVER_CAP, id="over"),
        pytest.param(5_000_000, Ending.OVER_CAP, id="far_over"),
    ],
)
async def test_the_cap_is_the_last_size_that_is_taken(
    shell: Shell, printed: int, ending: Ending
) -> None:
    caps = Caps(stdout_bytes=1000)
    response = await shell.run(f"head -c {printed} /dev/zero", caps=caps)
    assert response.ending is ending
    assert len(response.stdout) == min(printed, 1000)


@pytest.mark.anyio
async def test_endless_output_ends_the_run_at_once(shell: Shell) -> None:
    caps = Caps(stdout_bytes=MIB)
    response = await shell.run("trap '' TERM; yes & yes", caps=caps, grace=30)
    assert (response.ending, len(response.stdout)) == (Ending.OVER_CAP, MIB)
    assert response.seconds < 30
    assert shell.has_ended()


@pytest.mark.anyio
async def test_endless_output_that_is_dropped_costs_no_memory_and_ends_in_time(
    shell: Shell,
) -> None:
    caps = Caps(stdout_bytes=1000, stderr_bytes=1000, ends_at_cap=False)
    response = await shell.run_too_long(
        "yes >&2 & exec yes",
        lambda response: bool(response.stdout and response.stderr),
        caps=caps,
    )
    assert (len(response.stdout), len(response.stderr)) == (1000, 1000)
    assert shell.has_ended()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "slow", [pytest.param("", id="quick"), pytest.param("sleep 0.1;", id="slow")]
)
async def test_of_standard_error_the_last_is_kept(shell: Shell, slow: str) -> None:
    caps = Caps(stderr_bytes=8)
    script = f"{slow} head -c 200000 /dev/zero >&2; printf the-last >&2"
    assert (await shell.run(script, caps=caps)).stderr == b"the-last"


@pytest.mark.anyio
async def test_a_cap_of_nothing_takes_nothing(shell: Shell) -> None:
    caps = Caps(stdout_bytes=0, stderr_bytes=0, ends_at_cap=False)
    response = await shell.run("echo out; echo err >&2", caps=caps)
    assert (response.ending, response.stdout, response.stderr) == (Ending.EXITED, b"", b"")


@pytest.mark.anyio
async def test_a_grandchild_that_holds_the_output_does_not_hold_the_run(shell: Shell) -> None:
    response = await shell.run("sleep 30 & echo done")
    assert (response.ending, response.stdout) == (Ending.EXITED, b"done\n")


@pytest.mark.anyio
async def test_a_grandchild_that_goes_on_printing_does_not_hold_the_run(shell: Shell) -> None:
    response = await shell.run("yes & sleep 0.1; exit 0", caps=Caps(ends_at_cap=False))
    assert (response.ending, response.status) == (Ending.EXITED, 0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "slow", [pytest.param("", id="quick"), pytest.param("sleep 0.1;", id="slow")]
)
async def test_after_a_success_what_was_started_lives_on(shell: Shell, slow: str) -> None:
    response = await shell.run(f"sleep 30 & {slow} exit 0")
    assert (response.ending, response.status) == (Ending.EXITED, 0)
    # Its environment cannot be read while it execs, so it is looked for until it is there.
    await shell.has_started(1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("script", "ending"),
    [
        pytest.param("sleep 30 & exit 1", Ending.EXITED, id="failure"),
        pytest.param("sleep 30 & sleep 0.1; exit 1", Ending.EXITED, id="slow_failure"),
        pytest.param("sleep 30 & kill -USR1 $$", Ending.SIGNALLED, id="signal"),
        pytest.param("sleep 30 & kill -KILL $$", Ending.SIGNALLED, id="kill"),
        pytest.param("sleep 30 & sleep 30", Ending.OUT_OF_TIME, id="timeout"),
        pytest.param("trap '' TERM; sleep 30 & wait", Ending.OUT_OF_TIME, id="deaf_to_term"),
        pytest.param("trap 'exit 0' TERM; (trap '' TERM; sleep 30) & wait", Ending.OUT_OF_TIME,
                     id="deaf_grandchild"),
        pytest.param("sleep 30 & yes", Ending.OVER_CAP, id="overflow"),
        pytest.param("sleep 30 & head -c 1001 /dev/zero", Ending.OVER_CAP,
                     id="overflow_and_success"),
        pytest.param("sleep 30 & head -c 1001 /dev/zero; sleep 0.1", Ending.OVER_CAP,
                     id="slow_overflow"),
        pytest.param("sleep 30 & kill -STOP $$; exit 0", Ending.OUT_OF_TIME, id="stops_itself"),
    ],
)  # fmt: skip
async def test_after_anything_else_nothing_of_the_process_group_is_left(
    shell: Shell, script: str, ending: Ending
) -> None:
    seconds = 0.4 if ending is Ending.OUT_OF_TIME else 15.0
    response = await shell.run(script, seconds=seconds, caps=Caps(stdout_bytes=1000))
    assert response.ending is ending
    assert shell.has_ended()


@pytest.mark.anyio
async def test_a_plugin_that_ignores_sigterm_is_killed_after_the_grace(shell: Shell) -> None:
    script = f"trap '' TERM; echo > {shell.ready}; while :; do sleep 0.05; done"
    response = await shell.run_too_long(script, lambda _: shell.ready.exists(), grace=0.3)
    assert response.seconds >= 0.3
    assert shell.has_ended()


@pytest.mark.anyio
async def test_a_plugin_that_heeds_sigterm_is_heard_out(shell: Shell) -> None:
    script = f"trap 'echo undone; exit 0' TERM; echo > {shell.ready}; while :; do sleep 0.02; done"
    response = await shell.run_too_long(script, lambda _: shell.ready.exists(), grace=30)
    assert (response.status, response.stdout) == (0, b"undone\n")
    assert response.seconds < 30


@pytest.mark.anyio
async def test_a_plugin_of_no_seconds_is_out_of_time(shell: Shell) -> None:
    response = await shell.run("sleep 30", seconds=-1.0)
    assert response.ending is Ending.OUT_OF_TIME


@pytest.mark.anyio
async def test_a_run_is_timed(shell: Shell) -> None:
    assert 0.1 <= (await shell.run("sleep 0.1")).seconds < 15


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("content", "mode", "status"),
    [
        pytest.param(b"no program\n", 0o755, errno.ENOEXEC, id="no_executable_format"),
        pytest.param(b"", 0o755, errno.ENOEXEC, id="empty"),
        pytest.param(b"#!/bin/sh\n", 0o644, errno.EACCES, id="not_executable"),
        pytest.param(b"#!/absent/interpreter\n", 0o755, errno.ENOENT, id="no_interpreter"),
    ],
)
async def test_what_the_kernel_refuses_to_start_is_not_started(
    shell: Shell, content: bytes, mode: int, status: int
) -> None:
    plugin = shell.plugin("")
    shell.path.write_bytes(content)
    shell.path.chmod(mode)
    assert await _run(Executables(), plugin) == Response(ending=Ending.NOT_STARTED, status=status)


@pytest.mark.anyio
async def test_a_file_that_stays_open_for_writing_is_not_started(shell: Shell) -> None:
    plugin = shell.plugin("exit 0")
    with shell.path.open("ab"):
        response = await _run(Executables(), plugin)
    assert (response.ending, response.status) == (Ending.NOT_STARTED, errno.ETXTBSY)


@pytest.mark.anyio
async def test_a_file_that_is_just_being_written_is_tried_again(shell: Shell) -> None:
    """An administrator installs a plugin while one is asked for."""
    plugin = shell.plugin("echo started")
    runner = Executables()
    tries = 0
    with shell.path.open("ab") as writing:

        class Counting:
            def spawn(self, *arguments: Any) -> None:
                nonlocal tries
                tries += 1
                if tries == 3:
                    writing.close()
                make_spawner().spawn(*arguments)

        runner._spawner = Counting()
        response = await _run(runner, plugin)
    assert (response.ending, response.stdout, tries) == (Ending.EXITED, b"started\n", 3)


@pytest.mark.anyio
async def test_trying_again_can_be_cancelled(shell: Shell) -> None:
    plugin = shell.plugin("exit 0")
    runner = Executables()
    scope = anyio.CancelScope()

    class Cancelling:
        def spawn(self, *arguments: Any) -> None:
            scope.cancel()
            make_spawner().spawn(*arguments)

    runner._spawner = Cancelling()
    with shell.path.open("ab"), scope:
        await _run(runner, plugin)
    assert scope.cancelled_caught


@pytest.mark.anyio
async def test_a_guard_is_inherited_as_descriptor_3(shell: Shell) -> None:
    with _inheritable_descriptors():
        guard = os.open(shell.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            response = await Executables().run(
                shell.plugin("readlink /proc/self/fd/3; exec ls /proc/self/fd"),
                Request(environment={}, stdin=b""),
                deadline=anyio.current_time() + 15,
                caps=Caps(),
                guard=guard,
            )
        finally:
            os.close(guard)
    assert response.stdout.decode().split() == [str(shell.path.parent), "0", "1", "2", "3", "4"]


@pytest.mark.anyio
async def test_what_a_run_waits_for_its_start_is_not_charged_to_it(shell: Shell) -> None:
    plugin = shell.plugin("exec sleep 30")
    runner = Executables()
    async with anyio.create_task_group() as tasks:
        responses: list[Response] = []

        async def run() -> None:
            responses.append(await _run(runner, plugin, seconds=0.8))

        turns = runner._turns_of_loop()
        await turns.wait()
        tasks.start_soon(run)
        await anyio.sleep(0.9)
        turns.pass_on(None)
    (response,) = responses
    assert response.ending is Ending.OUT_OF_TIME
    assert response.times.queue > 0.8
    # Almost all of its 0.8 s: they count from the call on, and the machine may stand still there.
    assert response.seconds > 0.1, "it had its time from its start on"
    assert 0 < response.times.spawn <= response.seconds


@pytest.mark.anyio
async def test_an_environment_the_kernel_refuses_starts_nothing(shell: Shell) -> None:
    response = await shell.run("exit 0", environment={"LONG": "x" * 200_000})
    assert (response.ending, response.status) == (Ending.NOT_STARTED, errno.E2BIG)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "text", [pytest.param("a\0b", id="NUL"), pytest.param("\ud800", id="half")]
)
async def test_text_that_cannot_be_passed_on_is_not_cut_short(shell: Shell, text: str) -> None:
    with pytest.raises(ValueError, match=r"NUL|surrogates"):
        await shell.run("exit 0", environment={"NAME": text})


@pytest.mark.anyio
async def test_without_descriptors_nothing_is_started(shell: Shell) -> None:
    plugin = shell.plugin("exit 0")
    await _run(Executables(), plugin)  # the loop and the modules open what they need
    with _no_more_descriptors():
        response = await _run(Executables(), plugin)
    assert (response.ending, response.status) == (Ending.NOT_STARTED, errno.EMFILE)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("script", "ending"),
    [
        pytest.param("sleep 0.2; exit 7", Ending.EXITED, id="slow"),
        pytest.param("sleep 30 & sleep 30", Ending.OUT_OF_TIME, id="out_of_time"),
        pytest.param("trap '' TERM; sleep 30 & wait", Ending.OUT_OF_TIME, id="deaf"),
        pytest.param("sleep 30 & yes", Ending.OUT_OF_TIME, id="talkative"),
    ],
)
async def test_ending_a_run_needs_no_more_descriptors(
    shell: Shell, script: str, ending: Ending
) -> None:
    """Just when there are none a run must not be left behind."""
    responses: list[Response] = []

    async def run(seconds: float, has_ended: anyio.Event) -> None:
        slow = f"sleep 0.1; echo on; {script}"
        responses.append(await shell.run(slow, seconds=seconds, grace=0.1))
        has_ended.set()

    for seconds in PATIENCE if ending is Ending.OUT_OF_TIME else (15.0,):
        async with anyio.create_task_group() as tasks:
            has_ended = anyio.Event()
            tasks.start_soon(run, seconds, has_ended)
            await shell.has_started(1)
            with _no_more_descriptors():
                await has_ended.wait()
        assert responses[-1].ending is ending
        assert shell.has_ended()
        if responses[-1].stdout.startswith(b"on\n"):
            return
    raise AssertionError("it never came so far")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "slow", [pytest.param("", id="quick"), pytest.param("sleep 0.1;", id="slow")]
)
async def test_a_host_program_that_ignores_sigchld_loses_the_exit_status(
    shell: Shell, slow: str
) -> None:
    with _disposition(signal.SIGCHLD, signal.SIG_IGN):
        response = await shell.run(f"sleep 30 & {slow} echo out; exit 0")
    assert (response.ending, response.status) == (Ending.LOST, 0)
    assert response.stdout == b"out\n"
    assert shell.has_ended(), "what is no success leaves nothing"


@pytest.mark.anyio
async def test_reaped_by_somebody_else_at_the_last_moment_nothing_is_left(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    waitid = os.waitid

    def and_then_somebody_reaps(kind: int, fd: int, options: int) -> os.waitid_result | None:
        looked = waitid(kind, fd, options)
        if options & os.WNOWAIT:
            waitid(kind, fd, os.WEXITED)
        return looked

    monkeypatch.setattr(os, "waitid", and_then_somebody_reaps)
    response = await shell.run("sleep 30 & exit 0")
    assert response.ending is Ending.LOST
    assert shell.has_ended()


@pytest.mark.anyio
async def test_a_group_that_no_pidfd_reaches_is_killed_by_its_number(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(signal, "pidfd_send_signal", failing)
    response = await shell.run("sleep 30 & exit 1")
    assert (response.ending, response.status) == (Ending.EXITED, 1)
    assert shell.has_ended()


@pytest.mark.anyio
async def test_a_run_whose_output_cannot_be_read_is_lost_and_leaves_nothing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = shell.plugin("echo out; exit 0")
    read = os.read

    def failing(fd: int, size: int) -> bytes:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return read(fd, size)

    with monkeypatch.context() as patched:
        patched.setattr(os, "read", failing)
        response = await _run(Executables(), plugin)
    assert response.ending is Ending.LOST
    assert shell.has_ended()


@pytest.mark.anyio
async def test_a_host_program_that_ignores_sigchld_can_still_end_a_run(shell: Shell) -> None:
    with _disposition(signal.SIGCHLD, signal.SIG_IGN):
        response = await shell.run("sleep 30 & sleep 30", seconds=0.1)
    assert response.ending is Ending.OUT_OF_TIME
    assert shell.has_ended()


_WITHOUT_STANDARD_STREAMS = """
import os, sys
import anyio
from acni.host.process import Executables
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Plugin, Request

async def main(path):
    # In here: the loop would take the lowest numbers for itself.
    for fd in map(int, sys.argv[4].split(",")):
        os.close(fd)
    plugin = Plugin(type=PluginType("p"), path=path, identity="", runner="executable")
    for size in (5, 1 << 20):
        request = Request(environment={}, stdin=b"x" * size)
        deadline = anyio.current_time() + 10
        caps = Caps(stdout_bytes=1 << 21)
        response = await Executables().run(plugin, request, deadline=deadline, caps=caps)
        assert response.stdout == b"x" * size, response
        assert response.stderr == b"to standard error\\n", response

report = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
os.dup2(report, 50)
os.close(report)
sys.stderr = open(50, "w")
anyio.run(main, sys.argv[1], backend=sys.argv[3])
print("all is well", file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("closed", ["0", "1", "2", "0,1", "1,2", "0,2", "0,1,2"])
def test_a_host_program_may_have_closed_its_standard_streams(
    shell: Shell, tmp_path: Path, backend: str, closed: str
) -> None:
    plugin = shell.plugin("echo to standard error >&2; exec cat")
    report = tmp_path / "report"
    arguments = [plugin.path, str(report), backend, closed]
    argv = [sys.executable, "-c", _WITHOUT_STANDARD_STREAMS, *arguments]
    subprocess.run(argv, check=False, timeout=200)
    assert report.read_text() == "all is well\n"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "script",
    [
        pytest.param("sleep 30 & sleep 30", id="heeds_term"),
        pytest.param("trap '' TERM; sleep 30 & sleep 30; sleep 30", id="deaf"),
        pytest.param("sleep 30 & kill -STOP $$", id="stopped"),
        pytest.param("yes >&2 & yes", id="talkative"),
    ],
)
async def test_after_cancellation_nothing_is_left(shell: Shell, script: str) -> None:
    with anyio.move_on_after(0.1) as scope:
        await shell.run(script, caps=Caps(ends_at_cap=False))
    assert scope.cancelled_caught
    assert shell.has_ended()


_EVENTFUL = (
    "sleep 30 & sleep 0.03; for i in 1 2 3; do echo $i; echo $i >&2; sleep 0.01; done; exit 1"
)


@pytest.mark.anyio
@pytest.mark.parametrize("grace", [pytest.param(0.0, id="no_grace"), pytest.param(0.1, id="grace")])
async def test_cancelled_at_any_suspension_point_nothing_is_left(
    shell: Shell, grace: float
) -> None:
    before = _descriptors_and_children()
    point, cancelled = 1, 0
    for _ in range(200):
        suspensions, was_cancelled = await cancelled_at(point, shell.run(_EVENTFUL, grace=grace))
        cancelled += was_cancelled
        assert shell.has_ended(), f"cancelled at suspension {point}"
        assert _descriptors_and_children() == before
        if suspensions >= point:
            point += 1
        elif cancelled >= 4:  # else the machine stood still, and all of it was there at once
            return
    raise AssertionError("the last round was disturbed")


@pytest.mark.anyio
async def test_cancelled_while_it_waits_for_its_turn_nothing_is_started(shell: Shell) -> None:
    runner = Executables()
    plugin = shell.plugin("exit 0")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await _run(runner, plugin)
    assert scope.cancelled_caught
    assert (await _run(runner, plugin)).ending is Ending.EXITED, "the turn was given back"


@pytest.mark.anyio
async def test_cancelled_while_out_of_time_the_response_is_still_whole(shell: Shell) -> None:
    """Once the end is under way a cancellation changes nothing: the caller learns of it later."""
    responses: list[Response] = []
    script = f"trap 'echo > {shell.ready}' TERM; while :; do sleep 0.02; done"

    async def run(seconds: float) -> None:
        responses.append(await shell.run(script, seconds=seconds, grace=0.4))

    for seconds in PATIENCE:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, seconds)
            while not (shell.ready.exists() or responses):  # noqa: ASYNC110 (a process)
                await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
        assert [response.ending for response in responses] == [Ending.OUT_OF_TIME]
        assert shell.has_ended()
        if shell.ready.exists():
            return
        responses.clear()
    raise AssertionError("it never came so far")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_native_cancellation_pierces_shields_and_still_leaves_nothing(
    shell: Shell, times: int
) -> None:
    """What is left then is ended without a grace: a task can be cancelled again and again."""
    script = "trap '' TERM; sleep 30 & sleep 30; sleep 30"
    task = asyncio.create_task(shell.run(script, grace=0.5))
    await shell.has_started(2)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert shell.has_ended()


_INTERRUPTED = """
import sys
import anyio
from acni.host.process import Executables
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Plugin, Request

async def main(path, mark, grace):
    plugin = Plugin(type=PluginType("p"), path=path, identity="", runner="executable")
    request = Request(environment=dict([mark.split("=", 1)]), stdin=b"")
    deadline = anyio.current_time() + 30
    await Executables(grace_seconds=grace).run(plugin, request, deadline=deadline, caps=Caps())

anyio.run(main, sys.argv[1], sys.argv[2], float(sys.argv[3]), backend=sys.argv[4])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("times", "grace"), [pytest.param(1, "0.2", id="once"), pytest.param(2, "15", id="twice")]
)
def test_an_interrupted_program_leaves_nothing(
    shell: Shell, tmp_path: Path, backend: str, times: int, grace: str
) -> None:
    """The second interrupt comes during the grace, which a shield guards from cancellation only."""
    termed = tmp_path / "termed"
    plugin = shell.plugin(f"trap 'echo > {termed}' TERM; sleep 30 & while :; do sleep 0.02; done")
    program = [sys.executable, "-c", _INTERRUPTED, plugin.path, shell.mark, grace, backend]
    with subprocess.Popen(program, stderr=subprocess.PIPE) as running:
        # Interrupted where it waits for the plugin, not in the moment after the spawn.
        stat = Path(f"/proc/{running.pid}/stat")
        _wait_until(lambda: len(shell.living()) >= 2 and stat.read_text().split()[2] == "S")
        running.send_signal(signal.SIGINT)
        if times == 2:
            _wait_until(termed.exists)
            running.send_signal(signal.SIGINT)
        _, printed = running.communicate(timeout=200)
    assert b"KeyboardInterrupt" in printed
    assert shell.has_ended()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("spawner", [make_spawner, PosixSpawner])
@pytest.mark.parametrize(
    ("function", "time"),
    [("pipe2", 1), ("pipe2", 2), ("pipe2", 3), ("posix_spawn", 1), ("pidfd_open", 1),
     ("set_blocking", 3), ("waitid", 1), ("waitid", 2)],
)  # fmt: skip
def test_interrupted_in_the_midst_of_a_step_nothing_is_lost(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    spawner: Callable[[], Spawner],
    function: str,
    time: int,
) -> None:
    """The interrupt comes when a descriptor or a process is made and nobody holds it yet."""
    runner = Executables(grace_seconds=0.0)
    runner._spawner = spawner()
    plugin = shell.plugin("exit 0")
    name, _, value = shell.mark.partition("=")
    calls = 0
    called = getattr(os, function)

    async def main() -> None:
        monkeypatch.setattr(os, function, and_interrupt)
        await _run(runner, plugin, environment={name: value})
        await anyio.sleep(0.01)  # trio raises at the next checkpoint

    def and_interrupt(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        returned = called(*arguments, **named)
        if calls == time:
            signal.raise_signal(signal.SIGINT)
        return returned

    before = _descriptors_and_children()
    with contextlib.suppress(KeyboardInterrupt):
        anyio.run(main, backend=backend)
    monkeypatch.undo()
    gc.collect()
    assert _descriptors_and_children() == before
    assert shell.has_ended()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_runner_serves_loops_one_after_another(shell: Shell, backend: str) -> None:
    runner = Executables()
    plugin = shell.plugin("exit 0")
    for _ in range(2):
        assert anyio.run(_two_at_once, runner, plugin, backend=backend) == [Ending.EXITED] * 2


def test_one_runner_serves_loops_in_threads_at_once(shell: Shell) -> None:
    runner = Executables()
    plugin = shell.plugin("sleep 0.05")
    with ThreadPoolExecutor(4) as threads:
        endings = [
            threads.submit(partial(anyio.run, _two_at_once, runner, plugin, backend=backend))
            for backend in ("asyncio", "trio", "asyncio", "trio")
        ]
    assert [ending.result() for ending in endings] == [[Ending.EXITED] * 2] * 4


@pytest.mark.parametrize("turns", [1, 12], ids=["quick", "slow"])
def test_a_run_whose_loop_was_closed_is_ended_when_it_is_closed(shell: Shell, turns: int) -> None:
    """A loop that is closed cancels nothing: its tasks are thrown away."""
    before = _descriptors_and_children()
    loop = asyncio.new_event_loop()

    async def start() -> Coroutine[Any, Any, Response]:
        running = shell.run("sleep 30 & sleep 30")
        tasks.add(asyncio.ensure_future(running))
        for _ in range(turns):
            await asyncio.sleep(0.005)
        return running

    tasks = set[asyncio.Future[Response]]()
    running = loop.run_until_complete(start())
    with contextlib.suppress(RuntimeError):  # a scope cannot be left without a loop
        running.close()
    for task in tasks:
        task.cancel()  # it would find out at the deadline of its run
    loop.run_until_complete(asyncio.wait(tasks))
    loop.close()
    assert [type(task.exception()) for task in tasks] == [RuntimeError]
    assert _descriptors_and_children() == before
    assert shell.has_ended()


async def _two_at_once(runner: Executables, plugin: Plugin) -> list[Ending]:
    endings: list[Ending] = []

    async def run() -> None:
        endings.append((await _run(runner, plugin)).ending)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        tasks.start_soon(run)
    return endings


@pytest.mark.anyio
async def test_fifty_runs_at_once_each_get_their_own(plugins: RecordingPlugins) -> None:
    runner = Executables()
    plugin = runner.find(PluginType("first"), (plugins.directory,))
    answers: dict[int, Response] = {}

    async def run(number: int) -> None:
        previous = json.dumps({"cniVersion": "1.0.0", "prevResult": {"number": number}})
        names = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": f"c{number}", "CNI_IFNAME": "eth0"}
        answers[number] = await runner.run(
            plugin,
            Request(environment=names, stdin=previous.encode()),
            deadline=anyio.current_time() + 15,
            caps=Caps(),
        )

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(run, number)
    for number, response in answers.items():
        assert json.loads(response.stdout) == {"number": number}, response
    assert plugins.held == {f"first/c{number}/eth0" for number in range(50)}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("at_once", "each"),
    [pytest.param(20, 1, id="together"), pytest.param(8, 10, id="as_others_end")],
)
async def test_only_one_process_is_spawned_per_turn_of_the_loop(
    shell: Shell, at_once: int, each: int
) -> None:
    plugin = shell.plugin("exit 0")
    runner = Executables()
    turns: list[int] = []

    class Noting:
        def spawn(self, *arguments: Any) -> None:
            turns.append(counted.turn)
            make_spawner().spawn(*arguments)

    async def work() -> None:
        for _ in range(each):
            await _run(runner, plugin)

    runner._spawner = Noting()
    with _counted_turns() as counted:
        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(work)
    assert len(turns) == at_once * each
    assert len(set(turns)) == len(turns)


class _Turns(trio.abc.Instrument):
    """Counts the turns of the loop, where a turn begins: no task knows whether it is the first or
    the last of its turn.
    """

    turn = 0

    def before_io_wait(self, timeout: float) -> None:
        self.turn += 1


@contextmanager
def _counted_turns() -> Iterator[_Turns]:
    turns = _Turns()
    if trio.lowlevel.in_trio_run():
        trio.lowlevel.add_instrument(turns)
        try:
            yield turns
        finally:
            trio.lowlevel.remove_instrument(turns)
        return
    selector = cast(Any, asyncio.get_running_loop())._selector
    select = selector.select

    def counting(timeout: float | None) -> object:
        turns.before_io_wait(timeout or 0.0)
        return select(timeout)

    selector.select = counting
    try:
        yield turns
    finally:
        del selector.select


async def _run(
    runner: Executables,
    plugin: Plugin,
    seconds: float = 15.0,
    environment: Mapping[str, str] | None = None,
) -> Response:
    return await runner.run(
        plugin,
        Request(environment=environment or {}, stdin=b""),
        deadline=anyio.current_time() + seconds,
        caps=Caps(),
    )


def _descriptors_and_children() -> tuple[int, str]:
    children = Path("/proc/thread-self/children").read_text()
    return len(list(Path("/proc/self/fd").iterdir())), children


def _wait_until(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 15
    while not condition() and time.monotonic() < until:
        time.sleep(0.002)
    return condition()


@contextmanager
def _inheritable_descriptors() -> Iterator[None]:
    directory = os.open("/", os.O_RDONLY)
    far = fcntl.fcntl(directory, fcntl.F_DUPFD, 700)
    os.set_inheritable(directory, True)
    try:
        yield
    finally:
        os.close(directory)
        os.close(far)


@contextmanager
def _disposition(number: signal.Signals, handler: signal.Handlers) -> Iterator[None]:
    earlier = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, earlier)


@contextmanager
def _blocked(number: signal.Signals) -> Iterator[None]:
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})


@contextmanager
def _no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.anyio
async def test_a_file_that_stays_busy_is_tried_no_longer_than_the_deadline(shell: Shell) -> None:
    plugin = shell.plugin("exit 0")
    tries = 0

    class Counting:
        def spawn(self, *arguments: Any) -> None:
            nonlocal tries
            tries += 1
            make_spawner().spawn(*arguments)

    runner = Executables()
    runner._spawner = Counting()
    with shell.path.open("ab"):
        response = await _run(runner, plugin, seconds=0.05)
    assert (response.ending, response.status) == (Ending.NOT_STARTED, errno.ETXTBSY)
    assert tries < 4


@pytest.mark.anyio
async def test_a_kernel_that_signals_no_group_by_pidfd_is_served_too(shell: Shell) -> None:
    """Before Linux 6.9; the number of the process is learnt while there are descriptors."""
    runner = Executables(grace_seconds=0.2)
    runner._signals_groups = False
    name, _, value = shell.mark.partition("=")
    plugin = shell.plugin("sleep 30 & sleep 30")
    response = await _run(runner, plugin, seconds=0.3, environment={name: value})
    assert response.ending is Ending.OUT_OF_TIME
    assert shell.has_ended()


def test_whether_a_pidfd_reaches_a_group_is_known_in_any_process() -> None:
    """Also in one that leads no group, as most do."""
    program = "from acni.host.process import Executables; print(Executables()._signals_groups)"
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            process_group=group,
            check=True,
            timeout=200,
        ).stdout
        for group in (0, None)
    }
    assert len(answers) == 1
