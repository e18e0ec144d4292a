"""A plugin under test: a host and containers of its own, and whoever asks it.

The host is a network namespace, a container another one; both are gone with the bench. Files are
not: plugins that write to ``/var/lib`` or ``/run`` are tested with ``--private-host``.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

from attrs import define, field, frozen

from acni.host import netns
from acni.netlink import addresses, links
from acni.netlink.links import Peer
from acni.netlink.sockets import open_here
from acni.plugins.addressing import parse_interface
from acni.plugins.catalog import BUILT_IN
from acni.skel.bounds import Bounds
from acni.skel.call import Verbs
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from acni.spec.jsontext import dump, is_object
from acni.spec.plugin import Request
from acni.spec.result import parse_result
from acni.spec.versions import SUPPORTED_VERSIONS, is_at_least
from acni.testing.hoststate import HostState, look_here

_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.02
_NETWORK: Final = "bench"
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
# TEST-NET-3 of RFC 5737: no plugin under test gives these.
_OF_ANOTHER: Final = "203.0.113.{number}/24"

# The host's ends of pairs that the plugin before the one under test made.
_PAIR: Final = "bench-pair"
_KEPT_BY_ANOTHER: Final = (f"* {_PAIR}*", f"* {_PAIR}* *", f"setting */conf/{_PAIR}*/*")


@frozen(kw_only=True)
class PluginAnswer:
    """What a plugin answered.

    Attributes:
        status: Its exit status; negative for a signal.
        stdout: What it printed.
        stderr: What it said beside it.

    Example:
        >>> testing.PluginAnswer(status=1, stdout=b'{"code": 7}', stderr=b"").printed
        {'code': 7}
    """

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def printed(self) -> Mapping[str, Any]:
        """The object that it printed; empty where there is none.

        Example:
            >>> testing.PluginAnswer(status=0, stdout=b"", stderr=b"").printed
            {}
        """
        try:
            printed: object = json.loads(self.stdout)
        except ValueError:
            return {}
        return printed if is_object(printed) else {}

    def __str__(self) -> str:
        said = self.stdout.decode(errors="replace").strip()
        beside = self.stderr.decode(errors="replace").strip()
        return f"status {self.status}: {said}" + (f" ({beside})" if beside else "")


@define(eq=False, kw_only=True)
class BenchContainer:
    """A container.

    Attributes:
        name: Its ID.
        namespace: Its namespace.
        previous: What the plugin before the one under test answered, as JSON; None where that is
            the first of the chain.
        result: What the plugin under test answered to its ADD, as JSON; None before.

    Example:
        >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
        ...     bench.container().result is None
        True
    """

    name: str
    namespace: netns.Namespace
    previous: str | None = None
    result: str | None = None

    @property
    def netns(self) -> str:
        """CNI_NETNS: empty where the container has ended.

        Example:
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     box = bench.container()
            ...     bench.end(box)
            ...     box.netns
            ''
        """
        return self.namespace.path if self.namespace.fd >= 0 else ""


@define(eq=False)
class PluginBench:
    """A plugin under test, with a host and containers of its own; a context manager.

    Attributes:
        plugin: The plugin: its functions, or the path of its executable.
        configuration: Its plugin configuration, without ``type`` and ``cniVersion``.
        follows: Whether it comes after another plugin: each container then has an interface
            ``eth0`` with an address, which the other end of a pair on the host leads to, and
            ``prevResult`` tells of them.
        gives_addresses: Whether it is an address plugin, to which others delegate.
        directories: Where it keeps files.
        keeps: What of it stays on the host after the last DEL, as patterns of
            :meth:`HostState.without`.
        settings: What it sets in a container and its CHECK looks for, below ``/proc/sys/net``,
            such as ``ipv4/ip_unprivileged_port_start``.
        unacceptable: Members of a configuration that it cannot act on, each alone an error.
        not_ready: Members with which its STATUS is an error; None where it is always ready.
        delegates: The plugins that ``ipam.type`` may name, by type, beside executables.
        ifname: The name of the interface.
        settle_seconds: How long the host may take to be as it was: the kernel takes a namespace
            down, and what leads into it, some time after the last one left it.

    Example:
        >>> loopback = acni.BuiltIns().plugins["loopback"]
        >>> with testing.PluginBench(loopback, {}, ifname="lo") as bench:
        ...     added = bench.run("ADD", bench.container())
        ...     added.status, added.printed["interfaces"][0]["name"]
        (0, 'lo')
    """

    plugin: Verbs | str | os.PathLike[str]
    configuration: Mapping[str, object]
    follows: bool = field(default=False, kw_only=True)
    gives_addresses: bool = field(default=False, kw_only=True)
    directories: Sequence[str | os.PathLike[str]] = field(default=(), kw_only=True)
    keeps: Sequence[str] = field(default=(), kw_only=True)
    settings: Sequence[str] = field(default=(), kw_only=True)
    unacceptable: Mapping[str, object] = field(default=_NOTHING, kw_only=True)
    not_ready: Mapping[str, object] | None = field(default=None, kw_only=True)
    delegates: Mapping[str, Verbs] = field(default=BUILT_IN, kw_only=True, repr=False)
    ifname: str = field(default="eth0", kw_only=True)
    settle_seconds: float = field(default=5.0, kw_only=True)
    _opened: ExitStack[bool | None] = field(factory=ExitStack[bool | None], init=False, repr=False)
    _host: netns.Namespace | None = field(default=None, init=False, repr=False)
    _path: str = field(default="", init=False, repr=False)
    _version: str = field(default="", init=False, repr=False)
    _count: int = field(default=0, init=False, repr=False)

    @property
    def host(self) -> netns.Namespace:
        """The host's namespace.

        Example:
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     bench.host.has_interface("lo")
            True
        """
        if self._host is None:
            raise AssertionError("a bench is a context manager")
        return self._host

    @property
    def search_path(self) -> Path:
        """The directory of CNI_PATH: empty, but for what a test puts there.

        Example:
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     list(bench.search_path.iterdir())
            []
        """
        return Path(self._path)

    @property
    def version(self) -> str:
        """The newest version of the specification that the plugin speaks.

        Example:
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     bench.version
            '1.1.0'
        """
        if not self._version:
            spoken = self.run("VERSION").printed.get("supportedVersions", ())
            known = [version for version in SUPPORTED_VERSIONS if version in spoken]
            if not known:
                raise AssertionError(f"it speaks no version that is known here: {spoken}")
            self._version = known[-1]
        return self._version

    def speaks(self, since: str) -> bool:
        """Tell whether the plugin speaks a version, or a newer one.

        Args:
            since: The version.

        Example:
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     bench.speaks("0.4.0")
            True
        """
        return is_at_least(self.version, since)

    def container(self) -> BenchContainer:
        """Make a container; one that follows another plugin's has what that one made.

        Example:
            >>> loopback = acni.BuiltIns().plugins["loopback"]
            >>> with testing.PluginBench(loopback, {}, follows=True) as bench:
            ...     bench.container().namespace.has_interface("eth0")
            True
        """
        self._count += 1
        namespace = self._opened.enter_context(netns.anonymous())
        made = BenchContainer(name=f"{_NETWORK}-{self._count}", namespace=namespace)
        if self.follows:
            made.previous = self._be_another(made, self._count)
        return made

    def end(self, container: BenchContainer) -> None:
        """End a container without a DEL: its namespace is gone.

        Args:
            container: The container.

        Example:
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     box = bench.container()
            ...     bench.end(box)
            ...     box.namespace.fd
            -1
        """
        container.namespace.close()

    def run(
        self,
        command: str,
        container: BenchContainer | None = None,
        *,
        configuration: Mapping[str, object] = _NOTHING,
        environment: Mapping[str, str] = _NOTHING,
        stdin: bytes | None = None,
    ) -> PluginAnswer:
        """Ask the plugin; an ADD that succeeds is remembered by its container.

        Args:
            command: The verb.
            container: The container; None for VERSION, STATUS and GC.
            configuration: Members that take the place of those of the request configuration; None
                leaves a member out.
            environment: Variables that take the place of those of the call.
            stdin: What is sent instead of a request configuration.

        Example:
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     bench.run("ADD", bench.container(), environment={"CNI_IFNAME": ""}).status
            1
        """
        request = Request(
            environment={**self._environment(command, container), **environment},
            stdin=self._stdin(command, container, configuration) if stdin is None else stdin,
        )
        answer = self.host.call(lambda: self.ask(request))
        if command == "ADD" and container is not None and answer.status == 0:
            container.result = answer.stdout.decode(errors="replace")
        return answer

    def look(self) -> HostState:
        """Look at the host and the directories, without what the plugin keeps.

        Example:
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     bench.look().beyond(bench.look())
            []
        """
        seen = self.host.call(lambda: look_here(self.directories))
        return seen.without([*self.keeps, *_KEPT_BY_ANOTHER])

    def look_inside(self, container: BenchContainer) -> HostState:
        """Look at a container.

        Args:
            container: The container.

        Example:
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     box = bench.container()
            ...     before = bench.look_inside(box)
            ...     added = bench.run("ADD", box)
            ...     [line for line in bench.look_inside(box).beyond(before) if "link" in line]
            ['was kind None, mtu 65536, down, is kind None, mtu 65536, up: link lo']
        """
        return container.namespace.call(look_here)

    def left_beyond(self, before: HostState) -> list[str]:
        """Describe what is otherwise on the host than it was, once the kernel is done.

        Args:
            before: What was there.

        Example:
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     bench.left_beyond(bench.look())
            []
        """
        until = time.monotonic() + self.settle_seconds
        while (left := self.look().beyond(before)) and time.monotonic() < until:
            time.sleep(_PAUSE_SECONDS)
        return left

    def ask(self, request: Request) -> PluginAnswer:
        """Ask the plugin in the calling thread, as it is.

        Args:
            request: Environment and standard input.

        Example:
            >>> given = spec.Request(environment={"CNI_COMMAND": "VERSION"}, stdin=b"{}")
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     bench.ask(given).status
            0
        """
        if isinstance(self.plugin, Verbs):
            bounds = Bounds(time.monotonic() + _SECONDS)
            delegates = Delegates(built_in=self.delegates, executables_first=True)
            response = respond(
                self.plugin, request, bounds=bounds, delegates=delegates, own_netns_ok=False
            )
            return PluginAnswer(
                status=response.status, stdout=response.stdout, stderr=response.stderr
            )
        done = subprocess.run(
            [os.fspath(self.plugin)],
            input=request.stdin,
            env=request.environment,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        return PluginAnswer(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def request(self, command: str, container: BenchContainer | None = None) -> Request:
        """Make the request of a verb.

        Args:
            command: The verb.
            container: The container; None for VERSION, STATUS and GC.

        Example:
            >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
            ...     bench.request("STATUS").environment["CNI_COMMAND"]
            'STATUS'
        """
        return Request(
            environment=self._environment(command, container),
            stdin=self._stdin(command, container, _NOTHING),
        )

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            self._host = opened.enter_context(netns.anonymous())
            netns.set_up(self._host, "lo")
            self._path = opened.enter_context(TemporaryDirectory(prefix="acni-bench-"))
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def _environment(self, command: str, container: BenchContainer | None) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container.name if container else "",
            "CNI_NETNS": container.netns if container else "",
            "CNI_IFNAME": self.ifname if container else "",
            "CNI_ARGS": "",
            "CNI_PATH": self._path,
        }

    def _stdin(
        self,
        command: str,
        container: BenchContainer | None,
        configuration: Mapping[str, object],
    ) -> bytes:
        if command == "VERSION":
            return dump({"cniVersion": SUPPORTED_VERSIONS[-1], **configuration}).encode()
        members: dict[str, object] = {
            "cniVersion": self.version,
            "name": _NETWORK,
            "type": _type_of(self.plugin),
            **self.configuration,
        }
        text = self._previous(command, container)
        if text is not None:
            members["prevResult"] = json.loads(text)
        members |= configuration
        return dump({key: value for key, value in members.items() if value is not None}).encode()

    def _previous(self, command: str, container: BenchContainer | None) -> str | None:
        """Return what the ADD's predecessor answered, or for other verbs the ADD itself."""
        if container is None:
            return None
        if command == "ADD" or container.result is None:
            return container.previous
        return container.result

    def _be_another(self, container: BenchContainer, number: int) -> str:
        """Make what another plugin would have made; return what it would have answered."""
        address = _OF_ANOTHER.format(number=number % 250 + 1)
        fd = container.namespace.fd
        pair = f"{_PAIR}{number}"

        def on_host() -> None:
            with open_here() as netlink:
                peer = Peer(name=self.ifname, netns_fd=fd)
                netlink.request(links.new_veth(pair, peer=peer, up=True))

        def inside() -> None:
            with open_here() as netlink:
                index = links.get_link(netlink, self.ifname).index
                netlink.request(links.change(index, up=True))
                netlink.request(addresses.add(parse_interface(address), index=index))

        self.host.call(on_host)
        container.namespace.call(inside)
        told = {
            "cniVersion": SUPPORTED_VERSIONS[-1],
            "interfaces": [
                {"name": pair},
                {"name": self.ifname, "sandbox": container.namespace.path},
            ],
            "ips": [{"address": address, "interface": 1}],
            "routes": [{"dst": "203.0.113.0/24"}],
            "dns": {"nameservers": ["203.0.113.254"]},
        }
        return parse_result(dump(told), self.version).raw


def _type_of(plugin: Verbs | str | os.PathLike[str]) -> str:
    return "bench" if isinstance(plugin, Verbs) else Path(plugin).name
