"""``acni run``: one command in a network namespace of its own, with an address on a bridge.

Who owns the machine's network uses the machine: its state directory, and a bridge that the machine
and other runs are on. Everybody else gets a private host, and the state lies in it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Final

import anyio
import anyio.lowlevel
from attrs import define, field, frozen

from acni import networks
from acni.cli.report import report, report_error
from acni.cli.session import interrupted, open_session, tracing
from acni.cli.subject import named_network
from acni.engine.engine import Ending
from acni.engine.runtime import Runtime
from acni.errors import AcniError, Busy, ConfigError, NotPermitted
from acni.host import command
from acni.host.arrivals import Arrival, Arrivals, arrivals
from acni.host.private_host import enter_private_host
from acni.host.rights import owns_network
from acni.netlink import links
from acni.netlink.bridges import count_ports
from acni.netlink.netfilter import Netfilter
from acni.netlink.sockets import open_here
from acni.plugins.elements import take_out_shared
from acni.plugins.podelements import way
from acni.spec.attachment import AttachmentId
from acni.spec.capabilities import PortMapping
from acni.spec.configuration import NetworkConfig
from acni.spec.result import Result
from acni.spec.subnets import parse_bridge_subnets
from acni.store.runs import Runs, open_runs

# As many addresses as a bridge has ports, in a corner of 10.0.0.0/8 where neither podman, docker,
# nerdctl, CRI-O nor the networks of Kubernetes begin.
DEFAULT_SUBNET: Final = "10.213.0.0/22"

# How the networks begin that are described here.
_OURS: Final = "acni-run-"
_PORT_MAPPINGS: Final = "portMappings"
_PRIVATE_STATE: Final = "/var/lib/cni"
_LEFT_SECONDS: Final = 10.0
_JOIN_SECONDS: Final = 10.0
_JOIN_LOOK_SECONDS: Final = 0.02


def run(arguments: argparse.Namespace) -> int:
    """Run a command, and return its exit status."""
    argv = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not argv:
        print("acni: run: no command was given", file=sys.stderr)
        return 2
    with arrivals(command.WATCHED) as arrived, ExitStack() as stack:
        try:
            place = _prepare(arguments)
            arguments.tracers = stack.enter_context(tracing(arguments))
            if place.is_private:
                arguments.state_dir = _PRIVATE_STATE
                enter_private_host()
        except AcniError as error:
            return report(error, arguments)
        return anyio.run(_run, arguments, place, argv, arrived)


@frozen
class _Place:
    """Where a command is to run.

    Attributes:
        network: Its network.
        is_ours: The network is described here.
        bridge: The bridge that goes with the last run on it; empty where it is not ours, or goes
            with the host.
        is_private: The host is a private one.
        capability_args: The ports of the host, if any are to lead to the command.
    """

    network: NetworkConfig
    is_ours: bool
    bridge: str
    is_private: bool
    capability_args: Mapping[str, Sequence[PortMapping]]


def _prepare(arguments: argparse.Namespace) -> _Place:
    is_private = not owns_network()
    ports: Sequence[PortMapping] = arguments.ports
    if ports and is_private:
        message = "without root it runs on a private host, which nobody reaches by any port"
        raise NotPermitted(message, place="--publish", expected="rights over the host's network")
    asked = {_PORT_MAPPINGS: ports} if ports else {}
    if arguments.network is not None:
        network = named_network(arguments)
        if ports and not any(_PORT_MAPPINGS in one.capabilities for one in network.plugins):
            expected = f"a plugin with the capability {_PORT_MAPPINGS}"
            message = f"no plugin of the network {network.name} takes ports"
            raise ConfigError(message, place="--publish", expected=expected)
        return _Place(network, False, "", is_private, asked)
    given = arguments.subnets or [DEFAULT_SUBNET]
    subnets = [str(subnet) for subnet in parse_bridge_subnets(given, place="--subnet")]
    # Runs with the same subnets meet on one bridge, others are apart.
    name = _OURS + "_".join(subnets).replace("/", "-").replace(":", "-")
    bridge = "acni-" + hashlib.sha256(name.encode()).hexdigest()[:8]
    network = _own_network(name, bridge, subnets, has_ports=bool(ports))
    # What is installed here does not matter.
    arguments.runner = arguments.runner or "builtin"
    return _Place(network, True, "" if is_private else bridge, is_private, asked)


def _own_network(name: str, bridge: str, subnets: list[str], *, has_ports: bool) -> NetworkConfig:
    ranges = [[{"subnet": subnet}] for subnet in subnets]
    plugin = {
        "type": "bridge",
        "bridge": bridge,
        "isGateway": True,
        "isDefaultGateway": True,
        "ipam": {"type": "host-local", "ranges": ranges},
    }
    if not has_ports:
        return networks.from_plugins(name, plugin)
    portmap = {"type": "portmap", "capabilities": {_PORT_MAPPINGS: True}}
    # Without hairpin it does not reach itself by a port of the host.
    return networks.from_plugins(name, {**plugin, "hairpinMode": True}, portmap)


async def _run(
    arguments: argparse.Namespace, place: _Place, argv: list[str], arrived: Arrivals
) -> int:
    arguments.ending = Ending()
    usher = _Usher(arrived)
    status: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(usher.serve)
        try:
            with usher.scope:
                async with open_session(arguments) as runtime:
                    status.append(await _attached(runtime, arguments, place, argv, usher))
        except AcniError as error:
            status.append(report(error, arguments))
        tasks.cancel_scope.cancel()
    return status[-1] if status else interrupted(usher.told, arguments)


@define(eq=False, repr=False)
class _Usher:
    """Takes signals to who they are for: to the command while it runs. Before that one ends the
    attaching, which is undone; afterwards, everything is being undone already.
    """

    arrivals: Arrivals
    scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    told: int = field(default=0, init=False)
    _take: Callable[[Arrival], None] | None = field(default=None, init=False)
    _is_over: bool = field(default=False, init=False)

    async def serve(self) -> None:
        while True:
            await anyio.wait_readable(self.arrivals.fd)
            for arrival in self.arrivals.read():
                if self._take is not None:
                    self._take(arrival)
                elif arrival.signal in command.ENDING and not self._is_over:
                    self.told = self.told or arrival.signal
                    self.scope.cancel()

    async def attend(self, started: command.Command) -> int:
        """Wait for a command, with all signals for it."""
        self._take = started.take
        try:
            return await started.wait()
        finally:
            self._take, self._is_over = None, True


async def _attached(
    runtime: Runtime,
    arguments: argparse.Namespace,
    place: _Place,
    argv: list[str],
    usher: _Usher,
) -> int:
    with open_runs(arguments.state_dir) as runs:
        await _remove_left(runtime, runs, place)
        await _join(runs, place.network.name)
        try:
            async with runtime.attached(
                place.network,
                runs.begin(),
                ifname=arguments.ifname,
                capability_args=place.capability_args,
            ) as box:
                _tell_picked(arguments, box.result)
                # A signal may have come since the last wait: from here on they are the command's.
                await anyio.lowlevel.checkpoint_if_cancelled()
                started = command.start(
                    argv,
                    box.netns.path,
                    blocked=usher.arrivals.blocked,
                    grace_seconds=arguments.grace,
                )
                return await usher.attend(started)
        finally:
            if place.bridge and runs.is_last(place.network.name):
                _remove_bridge(place.bridge)


def _tell_picked(arguments: argparse.Namespace, result: Result) -> None:
    """Say which ports were picked."""
    asked: Sequence[PortMapping] = arguments.ports
    for port in result.port_mappings:
        if port not in asked and not arguments.quiet:
            print(f"acni: run: published {port}", file=sys.stderr, flush=True)


async def _remove_left(runtime: Runtime, runs: Runs, place: _Place) -> None:
    """Detach what runs left that were killed, and that this one has the plugins for; what cannot be
    detached, or not soon, is in nobody's way, and left to the next one.
    """
    with anyio.move_on_after(_LEFT_SECONDS):
        for row in await runtime.attachments():
            is_ours = row.network.startswith(_OURS)
            if is_ours is not place.is_ours or not runs.is_left(row.container_id):
                continue
            try:
                await runtime.delete(AttachmentId(row.container_id, row.ifname), missing_ok=True)
            except AcniError as error:
                report_error(error, output="human", quiet=False, verbose=False)


async def _join(runs: Runs, network: str) -> None:
    """Share the network; whoever takes it down needs a moment.

    Raises:
        Busy: it is still held.
    """
    with anyio.move_on_after(_JOIN_SECONDS):
        while not runs.join(network):  # noqa: ASYNC110 (another process has it)
            await anyio.sleep(_JOIN_LOOK_SECONDS)
        return
    raise Busy("another run is taking the network down", network=network)


def _remove_bridge(name: str) -> None:
    """Remove a bridge that nobody is on."""
    try:
        with open_here() as netlink:
            bridge = links.find_link(netlink, name)
            if bridge is not None and not count_ports(netlink, bridge.index):
                netlink.request(links.delete(bridge.index))
                _forget_way(bridge.index)
    except OSError as error:
        print(f"acni: run: the bridge {name} is left: {error}", file=sys.stderr)


def _forget_way(index: int) -> None:
    """Forget what ports of the host left of a bridge: another link may have its index next."""
    # Where the kernel has no nf_tables there is nothing.
    with contextlib.suppress(OSError), closing(Netfilter.open()) as netfilter:
        take_out_shared(netfilter, way(index))
