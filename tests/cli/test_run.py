"""``acni run``: the command has the terminal, the signals and an address; nothing is left."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from attrs import define

from acni import netns
from acni.cli.run import DEFAULT_SUBNET
from acni.host.netns import own
from acni.testing import Behaviour, Leftovers, RecordingPlugins, look_for_leftovers
from tests.another_user import as_another_user
from tests.netlink.nft import all_elements

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("clean_host")]

SECONDS = 200.0
# What only processes of these tests have on their command line: others may run beside them.
MARK = f"acni-test-{os.getpid()}"
FOREVER = f"1000.{os.getpid():07d}"

# Writes a line for each signal, with its number, and ends by SIGTERM's exit status or at the end of
# standard input.
COUNTING = """
import os, signal, sys
def told(number, frame):
    os.write(1, f"got {signal.Signals(number).name}\\n".encode())
names = "SIGINT SIGTERM SIGHUP SIGQUIT SIGUSR1 SIGUSR2 SIGWINCH SIGCONT"
for name in names.split():
    signal.signal(getattr(signal, name), told)
os.write(1, b"ready\\n")
while os.read(0, 1):
    pass
sys.exit(3)
"""


# Ends by a signal only.
STAYING = ("sh", "-c", f"echo ready; exec sleep {FOREVER}")


@define
class Commands:
    """The command, called by root on this host or by another user in a private one."""

    is_root: bool
    environment: dict[str, str]

    def argv(self, *arguments: str) -> list[str]:
        called = [sys.executable, "-m", "acni", "run", *arguments]
        return called if self.is_root else as_another_user(*called)

    def __call__(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*arguments),
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*arguments),
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(params=["root", "another user"])
def run(request: pytest.FixtureRequest, environment: dict[str, str]) -> Commands:
    # What the other user may not look into would be in the way.
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin"
    environment = environment | {"CNI_PATH": "/usr/lib/cni", "PATH": path}
    return Commands(request.param == "root", environment)


@pytest.fixture
def run_here(environment: dict[str, str]) -> Commands:
    """On this host, on Debian's plugins."""
    return Commands(True, environment | {"CNI_PATH": "/usr/lib/cni"})


@pytest.fixture
def run_on_doubles(environment: dict[str, str]) -> Commands:
    """On this host; the plugins of the network net do as they are told."""
    return Commands(True, environment)


@pytest.fixture(autouse=True)
def nothing_left(clean_host: None) -> Iterator[None]:
    """Whatever happened: no link, no lease, no namespace, no process."""
    before = look_for_leftovers()
    yield
    assert _settled(before) == []
    assert _running(MARK) == []


def _settled(before: Leftovers) -> list[str]:
    """What is left once the kernel is done: it takes a namespace down in the background."""
    until = time.monotonic() + 30
    while (left := look_for_leftovers().beyond(before)) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def _leases(before: Leftovers) -> set[str]:
    return set(re.findall(r"lease: .*/(10\..*)", "\n".join(look_for_leftovers().beyond(before))))


def _running(word: str) -> list[str]:
    """Whose command line has a word."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if word in line and "pytest" not in line:
            found.append(line)
    return found


def _until(holds: Callable[[], object]) -> None:
    until = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def _ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def test_the_command_has_an_address_and_a_way_to_the_bridge(run: Commands) -> None:
    done = run("--", "ip", "-json", "address")
    assert (done.returncode, done.stderr) == (0, "")
    lo, eth0 = json.loads(done.stdout)
    assert (lo["ifname"], "UP" in lo["flags"]) == ("lo", True)
    assert eth0["ifname"] == "eth0"
    assert "10.213.0.2" in [found["local"] for found in eth0["addr_info"]]
    routes = run("ip", "route").stdout.splitlines()
    assert routes[0].startswith("default via 10.213.0.1 dev eth0")
    assert DEFAULT_SUBNET in routes[1]


def test_a_subnet_and_an_interface_can_be_chosen(run: Commands) -> None:
    chosen = ("--subnet", "10.5.0.0/24", "--subnet", "fd00:5::/64", "-i", "net7")
    done = run(*chosen, "--", "ip", "-brief", "address", "show", "net7")
    assert (done.returncode, done.stderr) == (0, "")
    assert "10.5.0.2/24" in done.stdout
    assert "fd00:5::2/64" in done.stdout


def test_its_streams_directory_and_environment_are_the_callers(run: Commands) -> None:
    run.environment["WORD"] = "said"
    script = 'cat; echo "$WORD $PWD $0" >&2'
    done = run("sh", "-c", script, "zeroth", given="given\n")
    assert (done.returncode, done.stdout) == (0, "given\n")
    assert done.stderr == f"said {Path.cwd()} zeroth\n"


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        pytest.param(["true"], 0, "", id="success"),
        pytest.param(["sh", "-c", "exit 77"], 77, "", id="failure"),
        pytest.param(["sh", "-c", "kill -USR1 $$"], 138, "", id="signal"),
        pytest.param(["sh", "-c", "kill -9 $$"], 137, "", id="killed"),
        pytest.param(["acni-test-absent"], 127, "acni-test-absent: No such file", id="not found"),
        pytest.param(["/etc/passwd"], 126, "/etc/passwd: Permission denied", id="no program"),
        pytest.param([], 2, "no command was given", id="no command"),
        pytest.param(["--"], 2, "no command was given", id="nothing behind the dashes"),
        pytest.param(["--subnet", "10.0.0.0/31", "true"], 2, "too small", id="small subnet"),
        pytest.param(["--subnet", "0.0.0.0/0", "true"], 2, "contains 0.0.0.0/8", id="everything"),
        pytest.param(["--subnet", "ff00::/8", "true"], 2, "which is multicast", id="multicast"),
        pytest.param(
            ["--subnet", "10.1.0.0/24", "--subnet", "10.2.0.0/24", "true"],
            2,
            "second one of IPv4",
            id="two of a family",
        ),
        pytest.param(["--subnet", "10.0.0.1/24", "true"], 2, "host bits", id="no subnet"),
        pytest.param(
            ["--subnet", "10.0.0.0/8", "--network", "net", "x"], 2, "not allowed", id="two"
        ),
        pytest.param(["-i", "a/b", "true"], 2, "interface name", id="ifname"),
        pytest.param(["-p", "8080-80", "true"], 2, "is no port; expected", id="no port"),
        pytest.param(["-p", "70000:80", "true"], 2, "expected a port from 0 to 65535\n", id="port"),
    ],
)
def test_the_exit_status_is_the_commands_or_tells_why_there_is_none(
    argv: Sequence[str], status: int, said: str, run: Commands
) -> None:
    done = run(*argv)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    if not said:
        assert done.stderr == ""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_that_a_process_sends_is_passed_on_once(name: str, run: Commands) -> None:
    with run.start(sys.executable, "-c", COUNTING, MARK) as process:
        _ready(process)
        process.send_signal(getattr(signal, name))
        assert process.stdout is not None
        assert process.stdout.readline() == f"got {name}\n"
        stdout, stderr = process.communicate("", timeout=SECONDS)
    assert (process.returncode, stdout, stderr) == (3, "", "")


def test_a_command_that_a_signal_ends_gives_the_status_of_that_signal(run: Commands) -> None:
    with run.start("sh", "-c", "echo ready; exec sleep 1000", MARK) as process:
        _ready(process)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=SECONDS)
    assert (process.returncode, stderr) == (143, "")


def test_a_command_that_outlives_sigterm_is_killed_after_the_grace(run: Commands) -> None:
    said = ""
    for grace in ("0.2", "3", "20"):  # more, where it had not come to say what it got
        argv = ("--grace", grace, sys.executable, "-c", COUNTING, MARK)
        with run.start(*argv) as process:
            _ready(process)
            process.send_signal(signal.SIGTERM)
            assert process.stdout is not None
            said = process.stdout.read()
            assert process.wait(SECONDS) == 137
        if said:
            break
    assert said == "got SIGTERM\n"


def test_what_the_command_leaves_running_ends_with_it(run: Commands) -> None:
    """A process in the background, one with a session of its own, and one whose parent ended."""
    script = f"s='sleep {FOREVER}'; $s & setsid $s & ($s &); echo done"
    done = run("sh", "-c", script)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert _running(f"sleep {FOREVER}") == []


def test_adopted_processes_that_end_are_reaped_meanwhile(run: Commands) -> None:
    script = """if True:
        import os, subprocess, time
        from pathlib import Path
        for _ in range(20):
            subprocess.run(["sh", "-c", "true &"], check=True)
        def stat_of(path):
            try:
                return path.read_text()
            except OSError:  # it has ended meanwhile
                return ""
        def dead():
            stats = map(stat_of, Path("/proc").glob("[0-9]*/stat"))
            words = (stat.rpartition(")")[2].split() for stat in stats)
            return [word for word in words if word[:2] == ["Z", str(os.getppid())]]
        until = time.monotonic() + 20
        while dead() and time.monotonic() < until:
            time.sleep(0.01)
        print(len(dead()))
    """
    done = run(sys.executable, "-c", script)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_before_the_command_runs_undoes_the_attaching(
    number: signal.Signals, run_on_doubles: Commands, plugins: RecordingPlugins
) -> None:
    plugins.tell("second", "ADD", Behaviour(seconds=60))
    with run_on_doubles.start("--network", "net", "--", "echo", "never") as process:
        _until(lambda: len(plugins.notes()) == 2)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=SECONDS)
    assert (process.returncode, stdout) == (128 + number, "")
    assert f"ended by {number.name}" in stderr
    assert [str(call) for call in plugins.calls][-2:] == ["DEL second", "DEL first"]
    assert plugins.held == set()


def test_no_signal_skips_the_undo(run_on_doubles: Commands, plugins: RecordingPlugins) -> None:
    with plugins.paused("second", "DEL"):
        process = run_on_doubles.start("--network", "net", "--", "sh", "-c", "exit 9")
        _until(lambda: len(plugins.notes()) == 3)
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
    with process:
        _, stderr = process.communicate(timeout=SECONDS)
    assert (process.returncode, stderr) == (9, "")
    assert plugins.held == set()


def test_a_network_that_nobody_described_is_not_found(run_here: Commands) -> None:
    done = run_here("--network", "absent", "true")
    assert done.returncode == 3
    assert "no configuration" in done.stderr


def test_a_failed_undo_is_owed_and_said(
    run_on_doubles: Commands, plugins: RecordingPlugins
) -> None:
    plugins.tell("first", "DEL", Behaviour.failing(msg="in use"))
    done = run_on_doubles("--network", "net", "--", "echo", "hello")
    assert (done.returncode, done.stdout) == (5, "hello\n")
    assert "the delete of first" in done.stderr
    plugins.tell("first", "DEL", Behaviour())
    # The next run settles it before anything else.
    assert run_on_doubles("--network", "net", "--", "true").returncode == 0
    assert plugins.held == set()


def test_runs_with_one_subnet_reach_each_other_and_the_last_takes_the_bridge(
    run_here: Commands,
) -> None:
    serve = """if True:
        import socket, sys
        with socket.create_server(("0.0.0.0", 80)) as server:
            print("ready", flush=True)
            with server.accept()[0] as connection:
                connection.sendall(b"hello")
            sys.stdin.read()
    """
    ask = """if True:
        import socket, sys
        with socket.create_connection((sys.argv[1], 80), 10) as connection:
            print(connection.recv(100).decode())
    """
    before = look_for_leftovers()
    with run_here.start(sys.executable, "-c", serve, MARK) as server:
        _ready(server)
        asked = run_here(sys.executable, "-c", ask, "10.213.0.2")
        assert (asked.returncode, asked.stdout) == (0, "hello\n"), asked.stderr
        bridges = [line for line in look_for_leftovers().beyond(before) if "link: acni-" in line]
        assert len(bridges) == 1
        server.communicate("", timeout=SECONDS)
    assert server.returncode == 0


ANSWERING = """if True:
    import socket, sys
    with socket.create_server(("", 80)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("", 53))
        print("ready", flush=True)
        for _ in range(2):
            with tcp.accept()[0] as connection:
                connection.sendall(b"hello")
        _, sender = udp.recvfrom(100)
        udp.sendto(b"hello", sender)
        sys.stdin.read()
"""


def test_ports_of_the_host_lead_to_the_command_as_long_as_it_runs(run_here: Commands) -> None:
    ports = ("-p", "8080:80", "-p", "80", "-p", "127.0.0.1:5353:53/udp")
    with run_here.start(*ports, sys.executable, "-c", ANSWERING, MARK) as server:
        _ready(server)
        assert server.stderr is not None
        told = re.fullmatch(r"acni: run: published (\d+):80/tcp\n", server.stderr.readline())
        assert told is not None
        for port in (8080, int(told[1])):
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                assert connection.recv(10) == b"hello"
        with socket.socket(type=socket.SOCK_DGRAM) as asking:
            asking.settimeout(10)
            asking.sendto(b"who is there", ("127.0.0.1", 5353))
            assert asking.recv(10) == b"hello"
        _, stderr = server.communicate("", timeout=SECONDS)
    assert (server.returncode, stderr) == (0, "")
    with own() as host:
        assert {name: left for name, left in all_elements(host).items() if left} == {}


@pytest.mark.parametrize("flags", [(), ("-q",)], ids=["loud", "quiet"])
def test_a_port_that_is_picked_is_said_unless_nothing_is_to_be_said(
    run_here: Commands, flags: Sequence[str]
) -> None:
    done = run_here(*flags, "-p", "80", "-p", "8081:81", "true")
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == (0 if flags else 1), done.stderr


def test_without_root_a_port_is_refused_and_it_is_said_why(run: Commands) -> None:
    run.is_root = False
    done = run("-p", "8080:80", "echo", "never")
    assert (done.returncode, done.stdout) == (2, "")
    assert "a private host, which nobody reaches by any port" in done.stderr
    assert "run it as root" in done.stderr


def test_a_network_is_asked_for_ports_if_a_plugin_of_it_takes_some(
    run_on_doubles: Commands, plugins: RecordingPlugins, conf_dir: Path
) -> None:
    asked = ("--network", "net", "-p", "80", "-p", "[::1]:8080:80", "true")
    assert run_on_doubles(*asked).returncode == 0
    assert plugins.calls[1].config["runtimeConfig"] == {
        "portMappings": [
            {"hostPort": 0, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "::1"},
        ]
    }
    bare = '{"cniVersion":"1.0.0","name":"bare","plugins":[{"type":"first"}]}'
    (conf_dir / "30-bare.conflist").write_text(bare)
    ran = len(plugins.notes())
    done = run_on_doubles("--network", "bare", "-p", "80", "true")
    assert done.returncode == 2
    assert "no plugin of the network bare takes ports" in done.stderr
    assert len(plugins.notes()) == ran


def test_what_a_killed_run_left_is_removed_by_the_next_one(run_here: Commands) -> None:
    before = look_for_leftovers()
    with run_here.start(*STAYING) as process:
        _ready(process)
        other = run_here.start(sys.executable, "-c", COUNTING, MARK)
        _ready(other)
        process.kill()
        process.communicate(timeout=SECONDS)
    # The command ends with acni; its record and its lease are what is left.
    _until(lambda: _running(f"sleep {FOREVER}") == [])
    assert _leases(before) == {"10.213.0.2", "10.213.0.3"}
    again = run_here("true")
    assert (again.returncode, again.stderr) == (0, "")
    assert _leases(before) == {"10.213.0.3"}
    with other:
        other.communicate("", timeout=SECONDS)
    assert other.returncode == 3


def test_a_run_killed_in_the_middle_of_an_add_is_undone_by_the_next_one(
    run_on_doubles: Commands, plugins: RecordingPlugins
) -> None:
    plugins.tell("second", "ADD", Behaviour(seconds=60))
    with run_on_doubles.start("--network", "net", "--", "echo", "never") as process:
        _until(lambda: len(plugins.notes()) == 2)
        process.kill()
        os.kill(plugins.notes()[1]["inside"]["pid"], signal.SIGKILL)
        process.communicate(timeout=SECONDS)
    plugins.tell("second", "ADD", Behaviour())
    assert plugins.held
    assert run_on_doubles("--network", "net", "--", "true").returncode == 0
    assert plugins.held == set()


def test_of_a_killed_run_in_a_private_host_nothing_is_left(run: Commands, scratch: Path) -> None:
    run.is_root = False
    run.environment["TMPDIR"] = str(scratch)
    with run.start(*STAYING) as process:
        _ready(process)
        process.kill()
        process.communicate(timeout=SECONDS)
    _until(lambda: _running(f"sleep {FOREVER}") == [])
    assert list(scratch.iterdir()) == []
    assert run("true").returncode == 0


def test_in_a_namespace_of_processes_nothing_at_all_outlives_a_killed_run(run: Commands) -> None:
    """As the how-to page says: acni ends unshare, and that one its process 1, with whom all end."""
    script = f"setsid sleep {FOREVER} >&- 2>&- & (sleep {FOREVER} >&- 2>&- &); echo ready; wait"
    alone = ("unshare", "--pid", "--fork", "--kill-child")
    with run.start("--", *alone, "sh", "-c", script) as process:
        _ready(process)
        _until(lambda: len([line for line in _running(FOREVER) if line.startswith("sleep")]) == 2)
        process.kill()
        process.communicate(timeout=SECONDS)
    _until(lambda: _running(FOREVER) == [])
    assert run("true").returncode == 0


def test_others_containers_are_left_alone(
    acni: Callable[..., subprocess.CompletedProcess[str]],
    run_on_doubles: Commands,
    plugins: RecordingPlugins,
) -> None:
    others = (("--container-id", "c1"), ("--container-id", "acni-run-mine", "-i", "net1"))
    with netns.anonymous() as box:
        for other in others:
            assert acni("add", "net", box.path, *other).returncode == 0
        held = plugins.held
        assert run_on_doubles("--network", "net", "--", "true").returncode == 0
        assert plugins.held == held
        for other in others:
            assert acni("del", *other).returncode == 0


class Terminal:
    """A terminal, with a command in the foreground that leads its group."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        pid, self.fd = pty.fork()
        if pid == 0:
            os.execve(argv[0], argv, environment)  # noqa: S606 (running a program is the test)
        self.pid = pid
        self.shown = b""

    def shows(self, word: bytes) -> None:
        until = time.monotonic() + SECONDS
        while word not in self.shown:
            assert time.monotonic() < until, self.shown
            try:
                self.shown += os.read(self.fd, 4096)
            except OSError:  # nobody has it any more
                assert word in self.shown, self.shown
                return

    def types(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def ends(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_ctrl_c_reaches_the_command_once(run: Commands) -> None:
    argv = run.argv(sys.executable, "-c", COUNTING, MARK)
    terminal = Terminal(_absolute(argv), run.environment)
    terminal.shows(b"ready")
    for count in (1, 2):
        terminal.types(b"\x03")
        _until_count(terminal, b"got SIGINT", count)
    terminal.types(b"\x1c")
    terminal.shows(b"got SIGQUIT")
    terminal.types(b"\n\x04")
    assert terminal.ends() == 3
    assert terminal.shown.count(b"got SIGINT") == 2
    assert terminal.shown.count(b"got SIGQUIT") == 1


def test_a_command_that_ctrl_c_ends_is_undone(run: Commands) -> None:
    script = "echo ready; exec sleep 1000"
    terminal = Terminal(_absolute(run.argv("sh", "-c", script)), run.environment)
    terminal.shows(b"ready")
    terminal.types(b"\x03")
    assert terminal.ends() == 130


def test_ctrl_z_stops_both_and_both_go_on(run: Commands) -> None:
    """As a shell sees it, whose job they are: one group, stopped and continued."""
    argv = run.argv(sys.executable, "-c", COUNTING, MARK)
    # The leader of a session without a shell is an orphan, which Ctrl-Z does not stop: there is a
    # shell in between.
    script = 'set -m; "$@"; echo "stopped $?"; fg >/dev/null; echo "ended $?"'
    terminal = Terminal(["/bin/bash", "-c", script, "bash", *argv], run.environment)
    terminal.shows(b"ready")
    terminal.types(b"\x1a")
    terminal.shows(b"stopped 148")
    terminal.shows(b"got SIGCONT")
    terminal.types(b"\x03")
    terminal.shows(b"got SIGINT")
    terminal.types(b"\n\x04")
    terminal.shows(b"ended 3")
    assert terminal.ends() == 0


def test_a_shell_inside_has_job_control(run: Commands) -> None:
    terminal = Terminal(_absolute(run.argv("bash", "--norc", "-i")), run.environment)
    terminal.types(b"echo $((40 + 2))-ready\n")
    terminal.shows(b"42-ready")
    terminal.types(f"sleep {FOREVER}\n".encode())
    _until(lambda: _running(f"sleep {FOREVER}"))
    terminal.types(b"\x03")
    terminal.types(b"echo $((40 + 3))-again; exit 6\n")
    terminal.shows(b"43-again")
    assert terminal.ends() == 6
    assert not re.search(b"no job control|cannot set terminal", terminal.shown)


def test_a_terminal_that_hangs_up_ends_the_command(run: Commands) -> None:
    script = "trap '' HUP; echo ready; exec sleep 1000"
    argv = run.argv("--grace", "0.2", "sh", "-c", script)
    terminal = Terminal(_absolute(argv), run.environment)
    terminal.shows(b"ready")
    os.close(terminal.fd)
    _, status = os.waitpid(terminal.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 137


def _until_count(terminal: Terminal, word: bytes, count: int) -> None:
    until = time.monotonic() + SECONDS
    while terminal.shown.count(word) < count:
        assert time.monotonic() < until, terminal.shown
        terminal.shown += os.read(terminal.fd, 4096)


def _absolute(argv: Sequence[str]) -> list[str]:
    found = shutil.which(argv[0])
    assert found is not None
    return [found, *argv[1:]]


def test_many_at_once_are_all_undone(run_here: Commands) -> None:
    with ExitStack() as stack:
        started = [stack.enter_context(run_here.start("ip", "-o", "addr")) for _ in range(6)]
        answers = [process.communicate(timeout=SECONDS) for process in started]
    assert [process.returncode for process in started] == [0] * 6, answers
    taken = {re.findall(r"10\.213\.0\.\d+", stdout)[0] for stdout, _ in answers}
    assert len(taken) == 6
