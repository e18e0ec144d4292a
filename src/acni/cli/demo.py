"""``acni demo``: two pods get addresses from the reference plugins, talk to each other and leave
nothing behind.

It builds a private host for itself and never touches the machine's network.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import struct
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import Final

import anyio
from attrs import frozen

from acni.cli.report import report_error, step_printer
from acni.cli.session import chosen_runner, tracing
from acni.cli.signals import run_cancellable
from acni.engine.engine import Observer
from acni.engine.listing import list_records
from acni.engine.runner import Runner
from acni.engine.runtime import Runtime, open_runtime
from acni.errors import AcniError, PluginNotFound
from acni.host import netns
from acni.host.host import this_host
from acni.host.leftovers import look_for_leftovers
from acni.host.plugins import find_executable, parse_plugin_dirs
from acni.host.private_host import enter_private_host
from acni.spec.attachment import Attachment
from acni.spec.configuration import NetworkConfig, parse_network
from acni.spec.names import PluginType
from acni.spec.result import Result
from acni.store.records import Records

_CONFIGURATION: Final = b"""{
  "cniVersion": "1.0.0",
  "name": "demo",
  "plugins": [
    {"type": "bridge", "bridge": "demo0", "isGateway": true, "ipMasq": true,
     "ipam": {"type": "host-local", "subnet": "10.88.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": true}},
    {"type": "firewall"}
  ]
}"""
_PLUGINS: Final = ("bridge", "host-local", "portmap", "firewall")
_PACKAGES: Final = "on Debian: apt-get install containernetworking-plugins iptables"

_ECHO_REQUEST: Final = 8
_PING_SECONDS: Final = 2.0


def demo(arguments: argparse.Namespace) -> int:
    """Show the whole way once, on a host of its own."""
    with ExitStack() as stack:
        try:
            directories = parse_plugin_dirs(arguments.plugin_dirs or arguments.plugin_dirs_default)
            _require_tools(directories)
            tracers = stack.enter_context(tracing(arguments))
            runner = stack.enter_context(chosen_runner(arguments))
            enter_private_host()
        except AcniError as error:
            return report_error(error, output="human", quiet=False, verbose=False)
        say("a private host, namespaces of its own: the machine's network is not touched")
        state_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="acni-demo-"))
        status, number = run_cancellable(lambda: _show(state_dir, directories, tracers, runner))
    return status if number is None else 128 + number


def say(text: str) -> None:
    """Print a step, at once."""
    print(text, flush=True)


async def _show(
    state_dir: str,
    directories: tuple[str, ...],
    tracers: tuple[Observer, ...],
    runner: Runner | None,
) -> int:
    network = parse_network(_CONFIGURATION)
    observers = (*tracers, step_printer(lambda line: say(f"    {line}")))
    try:
        async with open_runtime(
            state_dir=state_dir, plugin_dirs=directories, observers=observers, runner=runner
        ) as runtime:
            say("\na first pod comes and goes: the plugins keep the bridge and their static chains")
            await _come_and_go(runtime, network)
            before = look_for_leftovers()
            with netns.create("pod-a") as a, netns.create("pod-b") as b:
                pods = (_Pod("pod-a", a, 8081), _Pod("pod-b", b, 8082))
                try:
                    results = [await _attach(runtime, network, pod) for pod in pods]
                    await _ping(pods[0], results[1])
                    _show_records(state_dir)
                finally:
                    with anyio.move_on_after(120, shield=True):
                        for pod in pods:
                            await _detach(runtime, network, pod)
            left = look_for_leftovers().beyond(before)
    except (AcniError, DemoFailed) as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_status
    return _conclude(left)


class DemoFailed(Exception):
    """The demonstration did not show what it should."""

    exit_status = 1


@frozen
class _Pod:
    name: str
    namespace: netns.Namespace
    port: int

    @property
    def attachment(self) -> Attachment:
        ports = [{"hostPort": self.port, "containerPort": 80, "protocol": "tcp"}]
        return Attachment(
            container_id=self.name,
            netns=self.namespace.path,
            capability_args={"portMappings": ports},
        )


async def _come_and_go(runtime: Runtime, network: NetworkConfig) -> None:
    with netns.create("pod-0") as namespace:
        pod = _Pod("pod-0", namespace, 8080)
        await runtime.add(network, pod.attachment)
        await runtime.delete(pod.attachment.id)


async def _attach(runtime: Runtime, network: NetworkConfig, pod: _Pod) -> Result:
    say(f"\nattach {pod.name}, its port 80 at the host's {pod.port}")
    result = await runtime.add(network, pod.attachment)
    say(f"  {pod.name} has {', '.join(ip.address for ip in result.ips)}")
    return result


async def _detach(runtime: Runtime, network: NetworkConfig, pod: _Pod) -> None:
    say(f"\ndetach {pod.name}")
    await runtime.delete(pod.attachment, network=network)


async def _ping(pod: _Pod, target: Result) -> None:
    address = str(target.ipv4)
    seconds = await anyio.to_thread.run_sync(pod.namespace.call, lambda: ping(address))
    if seconds is None:
        raise DemoFailed(f"{address} did not answer {pod.name}")
    say(f"\n{pod.name} pings {address}: an answer after {seconds * 1000:.2f} ms")


def _show_records(state_dir: str) -> None:
    records = Records.look(state_dir)
    say("\nthe records, as acni ls has them")
    for row in list_records(records, this_host()):
        attachment = f"{row.container_id}/{row.ifname}"
        say(f"  {row.state}  {attachment}  {row.network}  {', '.join(row.addresses)}")
    records.close()


def _conclude(left: list[str]) -> int:
    if left:
        print("\n".join(["demo: something is left:", *left]), file=sys.stderr)
        return DemoFailed.exit_status
    say("\nnothing is left: links, namespaces, rules and leases are as after the first pod")
    return 0


def _require_tools(directories: tuple[str, ...]) -> None:
    """Name all that is missing, before anything is made.

    Raises:
        PluginNotFound: plugins or iptables are.
    """
    missing: list[str] = []
    for plugin in _PLUGINS:
        try:
            find_executable(PluginType(plugin), directories)
        except PluginNotFound as error:
            missing.append(f"{plugin} ({error.message})")
    if shutil.which("iptables", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
        missing.append("the program iptables, for the plugins portmap and firewall")
    if missing:
        raise PluginNotFound("missing: " + "; ".join(missing), expected=_PACKAGES)


def ping(address: str) -> float | None:
    """Send one ICMP echo request from the calling thread's namespace; seconds until the answer, or
    None.

    A socket of our own: a fresh Debian has no ``ping``.
    """
    with socket.socket(
        socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMP
    ) as icmp:
        identifier = os.getpid() & 0xFFFF
        started = time.monotonic()
        icmp.sendto(_echo_request(identifier), (address, 0))
        while (left := started + _PING_SECONDS - time.monotonic()) > 0:
            icmp.settimeout(left)
            try:
                packet = icmp.recv(2048)
            except TimeoutError:
                return None
            kind, _, _, answered = struct.unpack_from("!BBHH", packet, (packet[0] & 15) * 4)
            if kind == 0 and answered == identifier:
                return time.monotonic() - started
    return None


def _echo_request(identifier: int) -> bytes:
    payload = b"acni demo"
    unsummed = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, identifier, 1) + payload
    return struct.pack("!BBHHH", _ECHO_REQUEST, 0, _checksum(unsummed), identifier, 1) + payload


def _checksum(data: bytes) -> int:
    """Compute the Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
