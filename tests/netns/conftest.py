"""Pods, the world outside, and runtimes on Debian's plugins."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from attrs import Factory, define

from acni import Attachment, NetworkConfig, Runtime, netns, open_runtime, parse_network
from acni.cli.ping import ping
from acni.events import Event, PluginStarted
from acni.netns import Namespace
from acni.testing import Leftovers, look_for_leftovers

PLUGINS = "/usr/lib/cni"


@define(eq=False)
class Pod:
    """A container's namespace with a name, and what is done from inside it."""

    name: str
    namespace: Namespace

    def attachment(self, **options: Any) -> Attachment:
        return Attachment(**{"container_id": self.name, "netns": self.namespace.path} | options)

    async def pings(self, address: object) -> bool:
        def inside() -> bool:
            try:
                return ping(str(address)) is not None
            except OSError:  # no route
                return False

        return await anyio.to_thread.run_sync(self.namespace.call, inside)

    async def asks(self, address: str, port: int) -> str:
        """Send a line to a TCP server and return what it answers, or the name of the error."""
        return await anyio.to_thread.run_sync(self.namespace.call, lambda: _ask(address, port))

    def ip(self, *arguments: str) -> str:
        """Run ``ip`` inside and return what it prints."""
        done = netns.run(self.namespace, ["ip", *arguments], timeout=20)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    @contextmanager
    def serving(self, port: int) -> Iterator[None]:
        """Answer each TCP connection with the pod's name and what was sent."""
        listener = self.namespace.call(
            lambda: socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        )

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # shut down
                    return
                with connection:
                    connection.sendall(self.name.encode() + b" " + connection.recv(100))

        server = threading.Thread(target=serve)
        server.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()
            listener.close()


def _ask(address: str, port: int) -> str:
    try:
        with socket.create_connection((address, port), timeout=5) as connection:
            connection.sendall(b"hello")
            return connection.recv(100).decode()
    except OSError as error:
        return type(error).__name__


@define(eq=False)
class Host:
    """The private host, as a test looks at it."""

    state_dir: Path
    events: list[Event] = Factory(list[Event])

    def look(self) -> Leftovers:
        return look_for_leftovers()

    def settles(self, earlier: Leftovers, *, but: list[str]) -> None:
        """Assert that nothing but these lines differs, once the kernel is done.

        It takes namespaces that ended down in the background, and with them the host's end of
        their links.
        """
        deadline = time.monotonic() + 30
        while (left := self.look().beyond(earlier)) != but and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == but

    def records(self) -> list[str]:
        return sorted(path.name for path in (self.state_dir / "results").iterdir())

    def ran(self) -> list[str]:
        """Return what plugins were run since the last time, in order."""
        started = [event for event in self.events if isinstance(event, PluginStarted)]
        self.events.clear()
        return [f"{event.command} {event.plugin}" for event in started]

    async def asks(self, address: str, port: int) -> str:
        return await anyio.to_thread.run_sync(_ask, address, port)

    def ip(self, *arguments: str) -> str:
        """Run ``ip`` on the host and return what it prints."""
        return _ip(*arguments)

    def network(
        self, *plugins: dict[str, Any], version: str = "1.0.0", offering: Sequence[str] = ()
    ) -> NetworkConfig:
        document = {
            "cniVersion": version,
            "cniVersions": list(offering),
            "name": "net",
            "plugins": plugins,
        }
        return parse_network(json.dumps(document).encode())


@pytest.fixture
def host(clean_host: None, state_dir: Path) -> Host:
    # bandwidth's links stay when a test failed half-way: they are in no namespace of a pod.
    for name in look_for_leftovers().links:
        if name.startswith("bwp"):
            _ip("link", "del", name)
    return Host(state_dir)


@pytest.fixture
async def runtime(host: Host) -> AsyncIterator[Runtime]:
    async with open_runtime(
        state_dir=host.state_dir, plugin_dirs=[PLUGINS], observers=[host.events.append]
    ) as opened:
        yield opened


@pytest.fixture
def make_pod(clean_host: None) -> Iterator[Callable[[str], Pod]]:
    """Make pods in named namespaces; a test may delete the name itself."""
    with ExitStack() as made:

        def make(name: str) -> Pod:
            namespace = netns.create(name)
            made.callback(_remove, name)
            made.callback(namespace.close)
            return Pod(name, namespace)

        yield make


def _remove(name: str) -> None:
    if name in look_for_leftovers().namespaces:
        netns.delete(name)


@pytest.fixture
def pods(make_pod: Callable[[str], Pod]) -> tuple[Pod, Pod]:
    return make_pod("a"), make_pod("b")


@pytest.fixture
def outside(make_pod: Callable[[str], Pod]) -> Iterator[Pod]:
    """A neighbour of the host: 192.0.2.2, connected to the host's 192.0.2.1."""
    neighbour = make_pod("outside")
    _ip("link", "add", "out0", "type", "veth", "peer", "name", "eth0", "netns", "outside")
    _ip("addr", "add", "192.0.2.1/24", "dev", "out0")
    _ip("link", "set", "out0", "up")
    neighbour.ip("addr", "add", "192.0.2.2/24", "dev", "eth0")
    neighbour.ip("link", "set", "eth0", "up")
    yield neighbour
    _ip("link", "del", "out0")


@pytest.fixture
def uplink(clean_host: None) -> Iterator[str]:
    """A link of the host with a carrier, for plugins that stack their own on one."""
    _ip("link", "add", "up0", "type", "veth", "peer", "name", "up1")
    for name in ("up0", "up1"):
        _ip("link", "set", name, "up")
    yield "up0"
    _ip("link", "del", "up0")


def _ip(*arguments: str) -> str:
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
