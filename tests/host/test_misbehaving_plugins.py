"""Plugins that misbehave: how each run ends, and what is left of it.

One table. Each plugin runs on both loops, alone and in a control group of its own, and every third
of them started by the spawner for other C libraries. The promises are the same for all:

- the run ends as the table says, within its deadline, its grace and a moment;
- after a success all that the plugin started lives on;
- after anything else nothing of its process group lives; in a control group nothing at all;
- no descriptor, child or thread is left.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import pytest
from attrs import Factory, define, field, frozen

from acni.host.process import Executables
from acni.host.spawn import PosixSpawner, Spawner
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response
from tests.host.conftest import groups

KIB: Final = 1 << 10
MIB: Final = 1 << 20
CAP: Final = 128 * KIB
# What a run may take beyond its deadline and its grace: a loaded machine, not a promise. What it
# would wait for otherwise sleeps for a minute.
MOMENT: Final = 15.0
# The deadline of a plugin that hangs, longer each time it was not yet at its misbehaviour by then.
PATIENCE: Final = (0.15, 0.6, 2.4, 6.0)
AMPLE: Final = 15.0

SHELL: Final = """#!/bin/sh
ready() { echo > "$READY"; }
"""
PYTHON: Final = f"""#!{sys.executable} -IS
import os, signal
def ready():
    with open(os.environ["READY"], "w") as file:
        file.write("ready")
"""


@frozen(kw_only=True)
class Case:
    """A plugin that misbehaves.

    Attributes:
        name: What it does.
        ending: How its run ends.
        status: Its exit status, signal or errno.
        make: Puts it at a path.
        lives: How many of its processes live afterwards where it has no control group.
        stdin: Its request.
        stdout: What was read of it, or None where that is a matter of luck.
        stderr: The same of standard error.
        grace: Between SIGTERM and SIGKILL.
    """

    name: str
    ending: Ending
    status: int = 0
    make: Callable[[Path], None]
    lives: int = 0
    stdin: bytes = b""
    stdout: bytes | None = None
    stderr: bytes | None = None
    grace: float = 0.1

    @property
    def is_success(self) -> bool:
        return (self.ending, self.status) == (Ending.EXITED, 0)


def _file(content: str | bytes, mode: int = 0o755) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)

    return make


def _itself_as_interpreter(path: Path) -> None:
    _file(f"#!{path}\n")(path)


def exits(
    name: str,
    script: str,
    status: int = 0,
    *,
    lives: int = 0,
    stdin: bytes = b"",
    stdout: bytes | None = None,
    stderr: bytes | None = None,
    head: str = SHELL,
) -> Case:
    return Case(
        name=name,
        ending=Ending.EXITED,
        status=status,
        make=_file(head + script),
        lives=lives,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )


def dies(name: str, script: str, number: signal.Signals, *, lives: int = 0) -> Case:
    make = _file(SHELL + script)
    return Case(name=name, ending=Ending.SIGNALLED, status=number, make=make, lives=lives)


def hangs(
    name: str,
    script: str,
    *,
    lives: int = 0,
    stdin: bytes = b"",
    stderr: bytes | None = None,
    grace: float = 0.1,
    head: str = SHELL,
) -> Case:
    """Make a plugin that calls ``ready`` once it is at its misbehaviour and never ends."""
    return Case(
        name=name,
        ending=Ending.OUT_OF_TIME,
        make=_file(head + script),
        lives=lives,
        stdin=stdin,
        stderr=stderr,
        grace=grace,
    )


def floods(name: str, script: str) -> Case:
    make = _file(SHELL + script)
    return Case(name=name, ending=Ending.OVER_CAP, make=make, stdout=b"y\n" * (CAP // 2))


def is_refused(name: str, make: Callable[[Path], object], status: int) -> Case:
    def put(path: Path) -> None:
        make(path)

    return Case(name=name, ending=Ending.NOT_STARTED, status=status, make=put)


# Waits until the daemon leads a session of its own: before, it is in the plugin's process group.
DAEMON = """
rm -f "$DIR/fifo"; mkfifo "$DIR/fifo"
setsid sh -c 'echo > "$DIR/fifo"; exec sleep 60' &
read _ < "$DIR/fifo"
"""
DAEMON_OF_A_DAEMON = DAEMON.replace("exec sleep 60", "sleep 60 &")

# 63 processes at most, for a minute at most.
BOMB = """
bomb() {
    if [ "$1" -gt 0 ]; then bomb $(($1 - 1)) & bomb $(($1 - 1)) & fi
    exec sleep 60
}
"""

# A child in a process group of its own, in the plugin's session.
OTHER_GROUP = """
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.execv("/bin/sleep", ["sleep", "60"])
try:
    os.setpgid(child, child)
except PermissionError:  # it sleeps already
    pass
"""

# The child's group is the foreground of a terminal that hangs up when the plugin ends.
TERMINAL = f"""
signal.signal(signal.SIGHUP, signal.SIG_IGN)
master, slave = os.openpty()
controlling = os.open(os.ttyname(slave), os.O_RDWR)
{OTHER_GROUP}
os.tcsetpgrp(controlling, child)
"""

MAIN_THREAD_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ready()
number = {"x86_64": 60, "aarch64": 93}[os.uname().machine]
ctypes.CDLL(None).syscall(number, 0)
"""

LATE = """
(
    trap '' PIPE
    while kill -0 $$ 2>/dev/null; do sleep 0.01; done
    echo late; echo late >&2
    exec sleep 60
) &
echo early
"""

REPLACED = """
printf '#!/bin/sh\\nexit 9\\n' > "$0.new"; chmod 755 "$0.new"; mv "$0.new" "$0"
echo still the first
"""

DEADLY = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGKILL,
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGPIPE,
    signal.SIGUSR1,
    signal.SIGALRM,
)

SIZES = (64 * KIB - 1, 64 * KIB, 64 * KIB + 1)

CASES: Sequence[Case] = (
    # Those that never end.
    hangs("hangs", "ready; sleep 60"),
    hangs("ignores_SIGTERM", "trap '' TERM; ready; while :; do sleep 0.05; done"),
    hangs(
        "ignores_what_can_be_ignored",
        "trap '' HUP INT QUIT PIPE ALRM TERM USR1 USR2 CHLD TSTP TTIN TTOU; ready\n"
        "while :; do sleep 0.05; done",
    ),
    hangs("stops_itself", "ready; kill -STOP $$; exit 0"),
    hangs("stops_its_process_group", "sleep 60 & ready; kill -STOP 0; exit 0"),
    hangs("executes_itself_away", "ready; exec sleep 60"),
    hangs("closes_standard_output_and_lives_on", "exec >&-; ready; exec sleep 60"),
    hangs("closes_everything_and_lives_on", "exec <&- >&- 2>&-; ready; exec sleep 60"),
    hangs("never_reads_a_large_request_and_hangs", "ready; sleep 60", stdin=b"x" * MIB),
    hangs("hangs_with_children", "for i in 1 2 3 4 5; do sleep 60 & done; ready; wait"),
    hangs("hangs_with_a_daemon", f"{DAEMON} ready; sleep 60", lives=1),
    hangs(
        "exits_on_SIGTERM_while_its_child_ignores_it",
        "trap 'exit 0' TERM; (trap '' TERM; ready; while :; do sleep 0.05; done) &\nwait",
        grace=5.0,
    ),
    hangs(
        "forks_on_SIGTERM",
        "trap 'sleep 60 & sleep 60 & exit 0' TERM; ready; while :; do sleep 0.02; done",
        grace=5.0,
    ),
    hangs(
        "starts_a_daemon_on_SIGTERM",
        f"heed() {{ {DAEMON} exit 0; }}\ntrap heed TERM; ready; while :; do sleep 0.02; done",
        lives=1,
        grace=5.0,
    ),
    hangs(
        "becomes_another_user_and_hangs",
        'exec 9> "$READY"\n'
        "exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c 'echo >&9; sleep 60; :'",
    ),
    hangs(
        "hides_in_a_process_namespace",
        'exec unshare --pid --fork sh -c \'trap "" TERM; echo > "$READY"; sleep 60; :\'',
    ),
    hangs("ends_its_main_thread_only", MAIN_THREAD_ENDS, head=PYTHON),
    hangs("forks_like_a_bomb_and_hangs", f"{BOMB} ready; bomb 5"),
    # Those that print too much, or at the wrong time.
    hangs("floods_standard_error", "ready; exec yes >&2", stderr=b"y\n" * (CAP // 2)),
    floods("floods_standard_output", "exec yes"),
    floods("floods_both", "yes >&2 & exec yes"),
    floods("lets_children_flood", "yes & yes & sleep 60"),
    floods("floods_and_ignores_SIGTERM", "trap '' TERM; yes & yes; sleep 60"),
    exits("prints_after_its_exit", LATE, lives=1, stdout=b"early\n", stderr=b""),
    *(
        exits(f"prints_{size}_bytes", f"head -c {size} /dev/zero", stdout=bytes(size), stderr=b"")
        for size in SIZES
    ),
    *(
        exits(
            f"prints_{size}_bytes_of_errors",
            f"head -c {size} /dev/zero >&2; exit 1",
            1,
            stdout=b"",
            stderr=bytes(size),
        )
        for size in SIZES
    ),
    *(
        exits(
            f"prints_{size}_bytes_on_both",
            f"head -c {size} /dev/zero >&2; head -c {size} /dev/zero",
            stdout=bytes(size),
            stderr=bytes(size),
        )
        for size in SIZES
    ),
    exits(
        "prints_all_at_once_into_a_pipe_that_it_made_larger",
        f"import fcntl\nfcntl.fcntl(1, fcntl.F_SETPIPE_SZ, {MIB})\nos.write(1, bytes({2 * CAP}))",
        head=PYTHON,
        stdin=b"{}",
        stdout=bytes(2 * CAP),
    ),
    exits("drinks_its_own_output", "cat < /proc/self/fd/1 > /dev/null & echo gone; exit 1", 1),
    # Those that do not care for their descriptors.
    exits("never_reads_a_large_request", "echo done", stdin=b"x" * MIB, stdout=b"done\n"),
    exits("exits_before_it_reads", "exit 3", 3, stdin=b"x" * 1000),
    exits("reads_a_part_and_closes", "head -c 9; exec <&-", stdin=b"x" * MIB, stdout=b"x" * 9),
    exits("closes_what_it_inherited", "exec <&- >&- 2>&-; exit 0", stdout=b"", stderr=b""),
    exits("closes_everything_and_fails_late", "exec <&- >&- 2>&-; sleep 0.05; exit 4", 4),
    # Those that leave something behind.
    exits("leaves_a_child_with_its_output", "sleep 60 & exit 0", lives=1),
    exits("leaves_a_child_and_fails", "sleep 60 & exit 1", 1),
    exits("leaves_twenty_children", "for i in $(seq 20); do sleep 60 & done; exit 0", lives=20),
    exits("leaves_twenty_children_and_fails", "for i in $(seq 20); do sleep 60 & done; exit 1", 1),
    exits("leaves_a_daemon", f"{DAEMON} exit 0", lives=1),
    exits("leaves_a_daemon_and_fails", f"{DAEMON} exit 1", 1, lives=1),
    exits("leaves_a_daemon_of_a_daemon", f"{DAEMON_OF_A_DAEMON} exit 0", lives=1),
    exits("leaves_a_daemon_of_a_daemon_and_fails", f"{DAEMON_OF_A_DAEMON} exit 1", 1, lives=1),
    dies("leaves_a_daemon_and_dies", f"{DAEMON} kill -KILL $$", signal.SIGKILL, lives=1),
    exits("leaves_another_process_group", OTHER_GROUP, lives=1, head=PYTHON),
    exits(
        "leaves_another_process_group_and_fails",
        f"{OTHER_GROUP}\nos._exit(1)",
        1,
        lives=1,
        head=PYTHON,
    ),
    exits("gives_a_terminal_away", TERMINAL, lives=1, head=PYTHON),
    exits("gives_a_terminal_away_and_fails", f"{TERMINAL}\nos._exit(1)", 1, lives=1, head=PYTHON),
    exits("forks_like_a_bomb_and_fails", f"{BOMB} bomb 5 & exit 1", 1),
    # Those that die.
    *(
        dies(f"dies_of_{number.name}", f"ulimit -c 0; kill -{number.name[3:]} $$", number)
        for number in DEADLY
    ),
    dies("dumps_core", 'cd "$DIR"; ulimit -c unlimited; kill -ABRT $$', signal.SIGABRT),
    dies("kills_its_process_group", "sleep 60 & kill -KILL 0", signal.SIGKILL),
    dies("dies_and_leaves_children", "sleep 60 & sleep 60 & kill -USR1 $$", signal.SIGUSR1),
    # Those whose file is not what it was, or no program at all.
    exits("replaces_itself", REPLACED, stdout=b"still the first\n"),
    exits("deletes_itself", 'rm "$0"; echo still here', stdout=b"still here\n"),
    is_refused("has_no_interpreter", _file("#!/absent\n"), errno.ENOENT),
    is_refused("has_a_directory_as_interpreter", _file("#!/etc\n"), errno.EACCES),
    is_refused("has_itself_as_interpreter", _itself_as_interpreter, errno.ELOOP),
    is_refused("is_empty", _file(""), errno.ENOEXEC),
    is_refused("is_half_a_program", _file(b"\x7fELF\x02\x01\x01"), errno.ENOEXEC),
    is_refused("is_not_executable", _file(SHELL, 0o644), errno.EACCES),
    is_refused("is_a_directory", Path.mkdir, errno.EACCES),
    is_refused("is_a_FIFO", os.mkfifo, errno.EACCES),
    is_refused("is_a_dangling_link", lambda path: path.symlink_to("absent"), errno.ENOENT),
    is_refused("is_a_link_to_itself", lambda path: path.symlink_to(path), errno.ELOOP),
)


@define(eq=False)
class Noting:
    """A spawner that notes the ID of what it starts."""

    inner: Spawner
    leaders: list[int] = Factory(list[int])

    def spawn(
        self,
        path: str,
        environment: Mapping[str, str],
        descriptors: Sequence[int],
        pidfd: ctypes.c_int,
        cgroup: int | None = None,
    ) -> None:
        self.inner.spawn(path, environment, descriptors, pidfd, cgroup)
        for line in Path(f"/proc/self/fdinfo/{pidfd.value}").read_text().splitlines():
            if line.startswith("Pid:"):
                self.leaders.append(int(line.split()[1]))


@define(eq=False)
class Ground:
    """Where a plugin lies and works, and how its processes are found: by a variable of their
    environment, or by the process group they are in.
    """

    directory: Path
    mark: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.mark = f"ACNI_TEST_MARK={self.directory}"

    @property
    def plugin(self) -> Plugin:
        path = str(self.directory / "plugin")
        return Plugin(type=PluginType("plugin"), path=path, identity="", runner="executable")

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "ACNI_TEST_MARK": str(self.directory),
            "DIR": str(self.directory),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "READY": str(self.directory / "ready"),
        }

    def is_ready(self) -> bool:
        """Tell whether the plugin came to its misbehaviour, and forget it."""
        ready = self.directory / "ready"
        was_ready = ready.exists() and ready.stat().st_size > 0
        ready.unlink(missing_ok=True)
        return was_ready

    def living(self) -> set[int]:
        """Return the processes of the plugin that nobody has killed; a zombie has no
        environment.
        """
        return {
            pid
            for pid in _processes()
            if self.mark.encode() in _read(pid, "environ").split(b"\0") and not _is_killed(pid)
        }

    def come_to_be(self, count: int) -> bool:
        """Wait until so many processes live: some of them end by themselves."""
        return _wait_until(lambda: len(self.living()) == count)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    ground = Ground(tmp_path)
    yield ground
    kill_all(ground.living())


ALONE, GROUPED, POSIX = "alone", "in_a_cgroup", "by_posix_spawn"


@pytest.fixture
def cgroup(setting: str, request: pytest.FixtureRequest) -> Path | None:
    """The directory of control groups, where the setting has one."""
    return request.getfixturevalue("delegated") if setting == GROUPED else None


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("case", "setting"),
    [
        pytest.param(
            case,
            setting,
            id=f"{case.name}-{setting}",
            marks=() if (number // each + turn) % 3 == 0 else pytest.mark.deep,
        )
        for turn, (setting, each) in enumerate(((ALONE, 1), (GROUPED, 1), (POSIX, 3)))
        for number, case in enumerate(CASES)
        if number % each == 0
    ],
)
async def test_a_misbehaving_plugin_ends_as_promised_and_leaves_what_was_promised(
    ground: Ground, cgroup: Path | None, case: Case, setting: str
) -> None:
    await anyio.sleep(0.001)  # trio as pytest's guest waits in a thread of its own, from here on
    threads = _threads()
    case.make(Path(ground.plugin.path))
    runner = Executables(grace_seconds=case.grace, cgroup=str(cgroup) if cgroup else None)
    spawner = Noting(PosixSpawner() if setting == POSIX else runner._spawner)
    runner._spawner = spawner
    response = await _run_to_its_misbehaviour(runner, ground, case)

    shown = (response, response.stdout[:200], response.stderr[:200])
    assert (response.ending, response.status) == (case.ending, case.status), shown
    assert case.stdout in (None, response.stdout), shown
    assert case.stderr in (None, response.stderr), shown
    if not case.is_success:
        for leader in spawner.leaders:
            assert _wait_until(partial(_is_empty, leader)), shown
        assert cgroup is None or groups(cgroup) == [], shown
    lives = 0 if cgroup and not case.is_success else case.lives
    assert ground.come_to_be(lives), (ground.living(), shown)
    assert _threads() <= threads, shown


def test_the_table_holds_many_plugins_and_each_once() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30


async def _run_to_its_misbehaviour(runner: Executables, ground: Ground, case: Case) -> Response:
    """Run a plugin; one that hangs again with more time when it was not at it by its deadline."""
    for seconds in PATIENCE if case.ending is Ending.OUT_OF_TIME else (AMPLE,):
        before = anyio.current_time()
        response = await runner.run(
            ground.plugin,
            Request(environment=ground.environment, stdin=case.stdin),
            deadline=before + seconds,
            caps=Caps(stdout_bytes=CAP * 2 if case.stdin else CAP, stderr_bytes=CAP),
        )
        assert anyio.current_time() - before <= seconds + case.grace + MOMENT
        if case.ending is not Ending.OUT_OF_TIME or ground.is_ready():
            return response
        kill_all(ground.living())
    raise AssertionError("it never came to its misbehaviour")


@pytest.mark.anyio
async def test_a_plugin_that_closed_its_output_is_waited_for_without_spinning(
    ground: Ground,
) -> None:
    _file(f"{SHELL}exec <&- >&- 2>&-; exec sleep 60")(Path(ground.plugin.path))
    before = time.process_time()
    response = await Executables(grace_seconds=0.1).run(
        ground.plugin,
        Request(environment=ground.environment, stdin=b""),
        deadline=anyio.current_time() + 1,
        caps=Caps(),
    )
    assert response.ending is Ending.OUT_OF_TIME
    assert time.process_time() - before < response.seconds / 2


@pytest.mark.anyio
async def test_a_fork_bomb_in_a_control_group_with_a_limit_leaves_nothing(
    ground: Ground, delegated: Path
) -> None:
    """The limit of processes that binds a user does not bind root; that of a group does."""
    if not (delegated / "pids.max").exists():
        pytest.skip("cannot run here: no pids controller in cgroup v2")
    (delegated / "pids.max").write_text("64")
    _file(f"{SHELL}bomb() {{ bomb & bomb & wait; }}\nready; bomb\nexit 1\n")(
        Path(ground.plugin.path)
    )
    response = await Executables(grace_seconds=0.1, cgroup=str(delegated)).run(
        ground.plugin,
        Request(environment=ground.environment, stdin=b""),
        deadline=anyio.current_time() + 1,
        caps=Caps(),
    )
    assert (response.ending, response.status) != (Ending.EXITED, 0)
    assert groups(delegated) == []
    assert ground.come_to_be(0)


_HOST_PROGRAM = """
import json, os, signal, sys, threading
import anyio
from acni.host.process import Executables
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Plugin, Request

stop = threading.Event()

def reap_everything():
    while not stop.is_set():
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            stop.wait(0.001)

async def main(plugins):
    endings = {}
    for path, environment, seconds in plugins:
        response = await Executables(grace_seconds=0.1).run(
            Plugin(type=PluginType("p"), path=path, identity="", runner="executable"),
            Request(environment=environment, stdin=b""),
            deadline=anyio.current_time() + seconds,
            caps=Caps(stdout_bytes=1000),
        )
        endings[path] = [response.ending.value, response.status]
    return endings

if sys.argv[1] == "ignores_SIGCHLD":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
else:
    threading.Thread(target=reap_everything, daemon=True).start()
endings = anyio.run(main, json.loads(sys.argv[3]), backend=sys.argv[2])
stop.set()
print(json.dumps(endings))
"""

# For each plugin: how it ends where nobody interferes, and how many of its processes live then.
FOR_RUDE_HOSTS: Mapping[str, tuple[str, Ending, int, int]] = {
    "leaves_a_child": ("sleep 60 & exit 0", Ending.EXITED, 0, 1),
    "leaves_a_child_late": ("sleep 60 & sleep 0.1; exit 0", Ending.EXITED, 0, 1),
    "leaves_a_child_and_fails": ("sleep 60 & exit 1", Ending.EXITED, 1, 0),
    "leaves_a_daemon_and_fails": (f"{DAEMON} exit 1", Ending.EXITED, 1, 1),
    "dies": ("sleep 60 & kill -USR1 $$", Ending.SIGNALLED, signal.SIGUSR1, 0),
    "hangs": ("trap '' TERM; sleep 60 & while :; do sleep 0.05; done", Ending.OUT_OF_TIME, 0, 0),
    "floods": ("sleep 60 & exec yes", Ending.OVER_CAP, 0, 0),
}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("manner", ["ignores_SIGCHLD", "reaps_everything"])
def test_a_rude_host_program_loses_exit_statuses_and_nothing_else(
    tmp_path: Path, backend: str, manner: str
) -> None:
    grounds = {name: Ground(tmp_path / name) for name in FOR_RUDE_HOSTS}
    for name, (script, *_) in FOR_RUDE_HOSTS.items():
        grounds[name].directory.mkdir()
        _file(SHELL + script)(Path(grounds[name].plugin.path))
    plugins = [
        (ground.plugin.path, dict(ground.environment), 0.3 if name == "hangs" else AMPLE)
        for name, ground in grounds.items()
    ]
    argv = [sys.executable, "-c", _HOST_PROGRAM, manner, backend, json.dumps(plugins)]
    try:
        printed = subprocess.run(argv, check=True, timeout=200, capture_output=True).stdout
        endings = json.loads(printed)
        for name, (_, ending, status, lives) in FOR_RUDE_HOSTS.items():
            told = tuple(endings[grounds[name].plugin.path])
            lost, whole = (Ending.LOST.value, 0), (ending.value, status)
            assert told in (lost, whole), name
            is_ours = ending in (Ending.OUT_OF_TIME, Ending.OVER_CAP)
            assert told == whole or not is_ours, name
            if manner == "ignores_SIGCHLD" and not is_ours:
                assert told == lost, name
            is_killed = told == lost and (ending, status) == (Ending.EXITED, 0)
            assert grounds[name].come_to_be(0 if is_killed else lives), (name, told)
    finally:
        for ground in grounds.values():
            kill_all(ground.living())


def kill_all(processes: set[int]) -> None:
    for pid in processes:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended
        return b""


def _is_killed(pid: int) -> bool:
    """Tell whether a process has SIGKILL before it."""
    pending = [
        int(line.split()[1], 16)
        for line in _read(pid, "status").splitlines()
        if line.startswith((b"SigPnd:", b"ShdPnd:"))
    ]
    return any(mask >> (signal.SIGKILL - 1) & 1 for mask in pending)


def _is_empty(group: int) -> bool:
    """Tell whether no process of a process group lives."""
    for pid in _processes():
        # The name before, in brackets, may hold anything.
        fields = _read(pid, "stat").rpartition(b")")[2].split()
        if fields and int(fields[2]) == group and fields[0] not in (b"Z", b"X"):
            return False
    return True


def _wait_until(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        if condition():  # asked once: a process that just executes has no environment
            return True
        time.sleep(0.002)
    return False
