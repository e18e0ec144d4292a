"""The example programs, on real requests."""

from __future__ import annotations

import importlib.util
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest

import acni
from acni import netns
from acni.testing import Behaviour, RecordingPlugins, look_for_leftovers
from tests.docs.conftest import DOCS

EXAMPLES = DOCS / "examples"

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("clean_host")]


class Client:
    """A connection to a service."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("r")

    def send(self, **request: Any) -> None:
        self._socket.sendall(json.dumps(request).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        line = self._lines.readline()
        assert line, "the service hung up"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, **request: Any) -> dict[str, Any]:
        self.send(**request)
        return self.receive()

    def is_hung_up(self) -> bool:
        return self._lines.readline() == ""

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Node:
    """Directories, plugins, and two pods."""

    def __init__(self, home: Path, pods: dict[str, str]) -> None:
        self.home = home
        self.pods = pods
        self.plugins = RecordingPlugins(home / "plugins")
        self.plugins.install("first", "second")
        self.conf_dir = home / "net.d"
        self.conf_dir.mkdir()
        plugins = '[{"type":"first"},{"type":"second","capabilities":{"portMappings":true}}]'
        (self.conf_dir / "net.conflist").write_text(
            f'{{"cniVersion":"1.0.0","name":"net","plugins":{plugins}}}'
        )

    @property
    def held(self) -> set[str]:
        return self.plugins.held

    @property
    def records(self) -> set[str]:
        return {path.name for path in (self.home / "state" / "results").iterdir()}

    @contextmanager
    def service(self, program: str, *, drain: float = 10) -> Iterator[subprocess.Popen[bytes]]:
        argv = [
            *(sys.executable, "-W", "error::ResourceWarning", str(EXAMPLES / program)),
            *(str(self.socket), "net", "--drain", str(drain)),
            *("--state-dir", str(self.home / "state"), "--conf-dir", str(self.conf_dir)),
            *("--plugin-dir", self.plugins.directory),
        ]
        with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
            try:
                self._wait_for_socket(process)
                yield process
            finally:
                process.kill()

    @property
    def socket(self) -> Path:
        return self.home / "socket"

    def _wait_for_socket(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            try:
                Client(self.socket).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(process.stderr.read().decode() if process.stderr else "no socket")

    def wait_for_call(self, call: str, *, times: int = 1) -> None:
        deadline = time.monotonic() + 20
        while [str(made) for made in self.plugins.calls].count(call) < times:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=200)
        assert (process.returncode, stderr) == (0, b"")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with ExitStack() as stack:
        pods = {name: stack.enter_context(netns.anonymous()).path for name in ("web", "db")}
        yield Node(tmp_path, pods)


SERVICES = ["asyncio_service.py", "blocking_service.py", "trio_service.py"]


@pytest.mark.parametrize("program", SERVICES)
def test_a_service_attaches_lists_and_detaches(program: str, node: Node) -> None:
    with node.service(program) as process, closing(Client(node.socket)) as client:
        attach = {"do": "attach", "id": "web", "netns": node.pods["web"]}
        assert client.ask(**attach) == {"addresses": ["192.0.2.7/24"]}
        assert client.ask(**attach)["error"] == "AttachmentExists"
        assert client.ask(do="list") == {"attachments": [{"id": "web", "state": "attached"}]}
        assert client.ask(do="dance")["error"] == "BadRequest"
        assert client.ask(do="attach", id="../x", netns="/")["error"] == "InvalidName"
        assert client.ask(do="detach", id="web") == {}
        assert client.ask(do="detach", id="web") == {}
        node.plugins.tell("second", "ADD", Behaviour.failing(code=11, msg="later"))
        failed = client.ask(**attach)
        assert (failed["error"], failed["retry"]) == ("TryAgain", True)
        node.end(process)
        assert client.is_hung_up()
    assert node.held == set()
    assert node.records == set()


@pytest.mark.parametrize("program", SERVICES)
def test_a_service_attaches_two_pods_at_once(program: str, node: Node) -> None:
    with node.service(program) as process, ExitStack() as stack:
        with closing(Client(node.socket)) as client:  # a boot's first one is attached alone
            client.ask(do="attach", id="first", netns=node.pods["web"])
            client.ask(do="detach", id="first")
        clients = [stack.enter_context(closing(Client(node.socket))) for _ in node.pods]
        with node.plugins.paused("first", "ADD"):
            for client, (name, path) in zip(clients, node.pods.items(), strict=True):
                client.send(do="attach", id=name, netns=path)
            node.wait_for_call("ADD first", times=1 + len(node.pods))  # both stand still there
        for client in clients:
            assert client.receive() == {"addresses": ["192.0.2.7/24"]}
        node.end(process)
    assert node.records == {"net-web-eth0", "net-db-eth0"}


@pytest.mark.parametrize("program", SERVICES)
def test_a_service_that_ends_lets_a_request_finish(program: str, node: Node) -> None:
    node.plugins.tell("first", "ADD", Behaviour(seconds=1))
    with node.service(program) as process, closing(Client(node.socket)) as client:
        client.send(do="attach", id="web", netns=node.pods["web"])
        node.wait_for_call("ADD first")
        node.end(process)
        assert client.receive() == {"addresses": ["192.0.2.7/24"]}
        assert client.is_hung_up()
    with node.service(program) as process, closing(Client(node.socket)) as client:
        assert client.ask(do="list") == {"attachments": [{"id": "web", "state": "attached"}]}
        assert client.ask(do="detach", id="web") == {}
        node.end(process)
    assert node.held == set()


@pytest.mark.parametrize("program", SERVICES)
def test_a_service_that_ends_cancels_and_undoes_what_takes_long(program: str, node: Node) -> None:
    with node.service(program, drain=0.2) as process, closing(Client(node.socket)) as client:
        client.ask(do="attach", id="db", netns=node.pods["db"])
        node.plugins.tell("second", "ADD", Behaviour(seconds=50))
        client.send(do="attach", id="web", netns=node.pods["web"])
        node.wait_for_call("ADD second", times=2)
        node.end(process)
        assert client.is_hung_up()
    assert node.held == {"first/db/eth0", "second/db/eth0"}
    assert node.records == {"net-db-eth0"}
    assert not _is_running(node.plugins.notes()[-3]["inside"]["pid"])


def _is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def load(name: str) -> ModuleType:
    """Import an example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


cri = load("cri_shim")


def sandbox(name: str, **more: Any) -> Any:
    return cri.Sandbox(id=name, namespace="default", name=f"{name}-0", uid="u1", **more)


@contextmanager
def nothing_stays(node: Node) -> Iterator[None]:
    before = look_for_leftovers()
    yield
    assert look_for_leftovers().beyond(before) == []
    assert node.held == set()
    assert node.records == set()


def opened(node: Node) -> Any:
    return acni.open_runtime(
        state_dir=node.home / "state",
        conf_dir=node.conf_dir,
        plugin_dirs=[node.plugins.directory],
    )


@pytest.mark.anyio
async def test_the_shim_runs_tells_of_and_stops_two_pods_at_once(node: Node) -> None:
    async with opened(node) as runtime:
        pods = cri.PodNetwork(runtime, await runtime.network("net"))
        with nothing_stays(node):
            ports = [acni.PortMapping(host=8080, container=80)]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pods.run_pod_sandbox, sandbox("a", ports=ports))
                tasks.start_soon(pods.run_pod_sandbox, sandbox("b"))
            ready = {"state": "READY", "ips": ["192.0.2.7/24"]}
            assert await pods.pod_sandbox_status("a") == ready
            given = {call.environment["CNI_CONTAINERID"]: call for call in node.plugins.calls}
            assert "K8S_POD_NAME=a-0" in given["a"].environment["CNI_ARGS"]
            assert given["a"].config["runtimeConfig"]["portMappings"][0]["hostPort"] == 8080
            netns.delete("cni-b")
            assert (await pods.pod_sandbox_status("b"))["state"] == "NOTREADY"
            for _ in range(2):
                await pods.stop_pod_sandbox("a")
                await pods.stop_pod_sandbox("b")
        with pytest.raises(cri.RpcError) as caught:
            await pods.pod_sandbox_status("a")
        assert caught.value.code is cri.Code.NOT_FOUND


@pytest.mark.anyio
async def test_a_pod_that_fails_or_is_cancelled_leaves_nothing(node: Node) -> None:
    async with opened(node) as runtime:
        pods = cri.PodNetwork(runtime, await runtime.network("net"))
        with nothing_stays(node):
            full = "no IP addresses available in range set: 10.0.0.1-10.0.0.2"
            node.plugins.tell("second", "ADD", Behaviour.failing(msg=full))
            with pytest.raises(cri.RpcError) as caught:
                await pods.run_pod_sandbox(sandbox("a"))
            assert caught.value.code is cri.Code.RESOURCE_EXHAUSTED
            node.plugins.tell("second", "ADD", Behaviour(seconds=50))
            with anyio.move_on_after(0.5) as scope:
                await pods.run_pod_sandbox(sandbox("a"))
            assert scope.cancelled_caught


@pytest.mark.anyio
async def test_the_namespace_of_what_is_owed_stays_until_it_is_settled(node: Node) -> None:
    async with opened(node) as runtime:
        pods = cri.PodNetwork(runtime, await runtime.network("net"))
        with nothing_stays(node):
            node.plugins.tell("second", "ADD", Behaviour.failing())
            node.plugins.tell("first", "DEL", Behaviour.failing())
            with pytest.raises(cri.RpcError) as caught:
                await pods.run_pod_sandbox(sandbox("a"))
            assert caught.value.code is cri.Code.INTERNAL
            assert look_for_leftovers().namespaces == {"cni-a"}
            node.plugins.tell("first", "DEL", Behaviour())
            await pods.stop_pod_sandbox("a")


def test_every_error_has_a_status_code() -> None:
    for name in acni.errors.__all__:
        kind = getattr(acni, name)
        is_group = issubclass(kind, ExceptionGroup)
        error = kind("said", [acni.Busy("this")]) if is_group else kind("said")
        assert cri.code_of(error) in cri.Code
    assert cri.code_of(acni.CheckFailed("said")) is cri.Code.INTERNAL
