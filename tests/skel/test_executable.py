"""A plugin as an executable, as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from acni import netns
from acni.netns import Namespace
from acni.skel import PluginError
from acni.skel.executable import read_input
from tests.skel.asking import script

SECONDS = 100

_PROGRAM = """\
#!{python}
import os, sys, time
from acni.skel import Verbs, main, make_result
from acni.spec import IpConfig

HOME = {home!r}

def touch(name):
    with open(HOME + "/" + name, "w") as file:
        file.write(os.readlink("/proc/self/fd/2"))

def add(call):
    touch("added")
    if call.fields.flag("waits"):
        while True:
            call.bounds.check()
            time.sleep(0.01)
    if call.ipam.type:
        return call.ipam.add()
    if call.fields.flag("breaks"):
        raise KeyError("a secret")
    if call.fields.flag("exits"):
        sys.exit(3)
    call.warn("a warning")
    return make_result()

def delete(call):
    touch("deleted")
    if call.ipam.type:
        call.ipam.delete()

def brought(call):
    return make_result(ips=[IpConfig(address="192.0.2.5/24", gateway=None, interface=None)])

BROUGHT = Verbs(add=brought, delete=lambda call: None)
sys.exit(main(Verbs(add=add, delete=delete), delegates={{"brought": BROUGHT}}))
"""


@define(eq=False)
class Executable:
    """An executable and a container's namespace."""

    home: Path
    netns: str

    @property
    def path(self) -> str:
        return str(self.home / "probe")

    def environment(self, command: str, **variables: str) -> dict[str, str]:
        given = {
            "COMMAND": command,
            "CONTAINERID": "c1",
            "NETNS": self.netns,
            "IFNAME": "eth0",
            "PATH": str(self.home),
        }
        of_cni = {f"CNI_{name}": value for name, value in (given | variables).items()}
        return {name: value for name, value in (os.environ | of_cni).items() if value}

    def run(
        self, command: str, stdin: bytes | None = None, **variables: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.path],
            input=request() if stdin is None else stdin,
            env=self.environment(command, **variables),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

    def has(self, name: str) -> bool:
        return (self.home / name).exists()


def request(**config: Any) -> bytes:
    return json.dumps({"cniVersion": "1.1.0", "name": "net", "type": "probe", **config}).encode()


def said(done: subprocess.CompletedProcess[bytes]) -> Any:
    return json.loads(done.stdout)


@pytest.fixture
def executable(tmp_path: Path, acni_netns: Namespace) -> Executable:
    path = tmp_path / "probe"
    path.write_text(_PROGRAM.format(python=sys.executable, home=str(tmp_path)))
    path.chmod(0o755)
    return Executable(tmp_path, acni_netns.path)


pytestmark = pytest.mark.netns


def test_a_result_goes_to_standard_output_and_a_warning_beside_it(executable: Executable) -> None:
    done = executable.run("ADD")
    assert (done.returncode, said(done), done.stderr) == (
        0,
        {"cniVersion": "1.1.0"},
        b"a warning\n",
    )


@pytest.mark.rule("P10")
def test_version_echoes_the_version_of_the_request(executable: Executable) -> None:
    done = executable.run("VERSION", b'{"cniVersion": "0.4.0"}')
    assert (done.returncode, said(done)["cniVersion"]) == (0, "0.4.0")
    assert "1.1.0" in said(done)["supportedVersions"]


def test_version_is_answered_without_a_configuration(executable: Executable) -> None:
    done = executable.run("VERSION", b"")
    assert (done.returncode, said(done)["cniVersion"]) == (0, "0.1.0")


@pytest.mark.rule("P10")
def test_an_error_goes_to_standard_output_with_the_version(executable: Executable) -> None:
    done = executable.run("ADD", request(breaks=True))
    assert done.returncode == 1
    assert said(done) == {
        "cniVersion": "1.1.0",
        "code": 999,
        "msg": "an unexpected KeyError",
        "details": said(done)["details"],
    }
    assert b"secret" not in done.stdout + done.stderr


def test_a_verb_that_ends_the_process_is_an_error_as_any_other(executable: Executable) -> None:
    done = executable.run("ADD", request(exits=True))
    assert done.returncode == 1
    assert (said(done)["code"], said(done)["msg"]) == (999, "an unexpected SystemExit")


def test_who_calls_it_by_hand_is_told_what_it_is_and_not_waited_for(
    executable: Executable,
) -> None:
    read, write = os.pipe()
    try:
        done = subprocess.run(
            [executable.path],
            stdin=read,
            env=executable.environment(""),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        os.close(read)
        os.close(write)
    assert (done.returncode, said(done)["code"]) == (1, 4)
    assert done.stderr.startswith(b"probe: a CNI plugin")


@pytest.mark.parametrize(
    ("stdin", "code"),
    [
        pytest.param(b"", 6, id="nothing"),
        pytest.param(b"\x00\xff", 6, id="garbage"),
        pytest.param(b"[]", 6, id="a list"),
        pytest.param(b"{" * 200_000, 6, id="deep"),
        pytest.param(b" " * (5 << 20), 6, id="huge"),
    ],
)
def test_what_is_no_configuration_is_refused(
    executable: Executable, stdin: bytes, code: int
) -> None:
    done = executable.run("ADD", stdin)
    assert (done.returncode, said(done)["code"]) == (1, code)
    assert not executable.has("added")


@pytest.mark.parametrize("closed", ["0<&-", "0<&- 1>&- 2>&-", "2>&-"])
def test_a_standard_stream_that_is_closed_is_none_of_the_files_it_opens(
    executable: Executable, closed: str
) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {executable.path} {closed}"],
        input=request(),
        env=executable.environment("DEL"),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    has_stdin = not closed.startswith("0")
    assert done.returncode == (0 if has_stdin else 1)
    assert executable.has("deleted") == has_stdin
    if has_stdin:
        assert (executable.home / "deleted").read_text() == os.devnull


def test_an_add_whose_result_nobody_could_get_is_not_begun(executable: Executable) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {executable.path} 1>&-"],
        input=request(),
        env=executable.environment("ADD"),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, executable.has("added")) == (1, False)
    assert b"standard output is closed" in done.stderr


def test_an_add_whose_result_nobody_reads_has_failed(executable: Executable) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [executable.path],
            input=request(),
            env=executable.environment("ADD"),
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
            check=False,
        )
    finally:
        os.close(write)
    assert done.returncode == 1
    assert b"the result cannot be written: Broken pipe" in done.stderr


@pytest.mark.parametrize("command", ["ADD", "CHECK", "DEL"])
def test_its_own_namespace_is_refused_before_anything_is_done(
    executable: Executable, command: str
) -> None:
    done = executable.run(command, NETNS="/proc/self/ns/net")
    assert (done.returncode, said(done)["code"]) == (1, 8)
    assert not executable.has("added")
    assert not executable.has("deleted")


def test_who_says_so_gets_its_own_namespace(executable: Executable) -> None:
    done = executable.run("ADD", NETNS="/proc/self/ns/net", NETNS_OVERRIDE="true")
    assert (done.returncode, executable.has("added")) == (0, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_verb_between_its_steps(
    executable: Executable, number: signal.Signals
) -> None:
    # Who runs the tests may have it ignored, as nohup does, and a child takes that over.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        process = subprocess.Popen(
            [executable.path],
            env=executable.environment("ADD"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    finally:
        signal.signal(number, before)
    with process:
        assert process.stdin
        process.stdin.write(request(waits=True))
        process.stdin.close()
        process.stdin = None
        while not executable.has("added"):
            assert process.poll() is None
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=SECONDS)
    assert (process.returncode, stdout, stderr) == (-number, b"", b"")


@pytest.mark.rule("P8")
def test_it_delegates_to_an_executable_of_the_search_path_first(executable: Executable) -> None:
    answer = '{"cniVersion": "1.1.0", "ips": [{"address": "192.0.2.6/24"}]}'
    assert said(executable.run("ADD", request(ipam={"type": "brought"})))["ips"] == [
        {"address": "192.0.2.5/24"}
    ]
    script(executable.home, "brought", f"echo '{answer}'")
    assert said(executable.run("ADD", request(ipam={"type": "brought"})))["ips"] == [
        {"address": "192.0.2.6/24"}
    ]


@pytest.mark.rule("P8")
def test_a_link_to_itself_is_not_started_once_more(executable: Executable) -> None:
    """The link would be the plugin that delegates, and not the one that it is asked for."""
    (executable.home / "brought").symlink_to("probe")
    assert said(executable.run("ADD", request(ipam={"type": "brought"})))["ips"] == [
        {"address": "192.0.2.5/24"}
    ]


def test_a_delegate_that_everybody_may_write_to_is_not_replaced(executable: Executable) -> None:
    script(executable.home, "brought", "exit 0")
    (executable.home / "brought").chmod(0o777)
    done = executable.run("ADD", request(ipam={"type": "brought"}))
    assert (done.returncode, said(done)["code"]) == (1, 7)
    assert "everybody may write" in said(done)["msg"]


def test_a_delegate_holds_the_guard_of_its_container(executable: Executable) -> None:
    guard = executable.home / "guard"
    guard.touch()
    script(executable.home, "other", f'readlink /proc/self/fd/3 >"{executable.home}/held"; exit 1')
    with guard.open() as file:
        subprocess.run(
            ["sh", "-c", f'exec {executable.path} 3<"{guard}"'],
            input=request(ipam={"type": "other"}),
            env=executable.environment("ADD"),
            pass_fds=[file.fileno()],
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    assert (executable.home / "held").read_text() == f"{guard}\n"


def test_standard_input_that_does_not_end_is_given_up() -> None:
    read, write = os.pipe()
    try:
        os.write(write, b"{")
        with pytest.raises(PluginError, match="did not end"):
            read_input(read, seconds=0.05)
    finally:
        os.close(read)
        os.close(write)


def test_standard_input_that_is_too_long_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"x" * 100_000)
    with path.open("rb", buffering=0) as file:
        with pytest.raises(PluginError, match="longer than 70000 bytes") as caught:
            read_input(file.fileno(), most=70_000)
        assert (caught.value.code, file.tell() <= 140_000) == (6, True)


def test_standard_input_that_comes_in_pieces_is_read_to_its_end() -> None:
    read, write = os.pipe()

    def give() -> None:
        for _ in range(3):
            os.write(write, b"x" * 70_000)
        os.close(write)

    thread = threading.Thread(target=give)
    thread.start()
    try:
        assert len(read_input(read)) == 210_000
    finally:
        thread.join()
        os.close(read)


def test_standard_input_that_is_no_file_to_read_is_refused(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(PluginError, match="cannot be read: Is a directory"):
            read_input(fd)
    finally:
        os.close(fd)


def test_a_namespace_that_is_no_more_is_no_failure_of_a_del(executable: Executable) -> None:
    with netns.create("gone-soon") as box:
        path = box.path
    assert executable.run("DEL", NETNS=path).returncode == 0
    assert executable.run("DEL", NETNS="").returncode == 0
