"""``acni demo``: two pods get addresses and a port of their host, talk to each other, survive the
death of a runtime, and leave nothing behind.

It builds a private host for itself and never touches the machine's network; it needs no root where
users may make user namespaces, and nothing installed but Python: the plugins are acni's own.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from typing import Final

import anyio
from attrs import frozen

from acni.cli import victim
from acni.cli.ping import ping
from acni.cli.report import report_error
from acni.cli.session import tracing
from acni.cli.signals import run_cancellable
from acni.engine.engine import Observer
from acni.engine.listing import AttachmentRecord, list_records
from acni.engine.runtime import Runtime, open_runtime
from acni.errors import AcniError
from acni.host import netns
from acni.host.host import this_host
from acni.host.private_host import enter_private_host
from acni.netlink.netfilter import Netfilter
from acni.plugins.builtins import BuiltIns
from acni.plugins.elements import entries_of
from acni.plugins.podelements import ports_of
from acni.spec.attachment import Attachment
from acni.spec.capabilities import PortMapping
from acni.spec.configuration import parse_network
from acni.spec.result import Result
from acni.store.records import Records

_CONFIGURATION: Final = b"""{
  "cniVersion": "1.1.0",
  "name": "demo",
  "plugins": [
    {"type": "bridge", "bridge": "demo0", "isGateway": true, "isDefaultGateway": true,
     "ipam": {"type": "host-local", "subnet": "10.88.0.0/16"}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}"""
_NETWORK: Final = parse_network(_CONFIGURATION)

# Both are the private host's own, and end with it.
_STATE_DIR: Final = "/var/lib/cni"
_LEASES: Final = "/var/lib/cni/networks/demo"

# By the state of what acni ls lists; what was left open stands in the journal alone.
_KNOWN: Final = {"attached": "the record"}
_LEFT_OPEN: Final = "the journal's note"

# Nobody names the host's.
_PORT: Final = PortMapping(host=0, container=80)
_ANSWER: Final = b"hello"

_ANSWER_SECONDS: Final = 5.0
_VICTIM_SECONDS: Final = 60.0
_UNDO_SECONDS: Final = 120.0


def demo(arguments: argparse.Namespace) -> int:
    """Show the whole way once, on a host of its own."""
    with ExitStack() as stack:
        try:
            tracers = stack.enter_context(tracing(arguments))
            enter_private_host()
        except AcniError as error:
            return report_error(error, output="human", quiet=False, verbose=False)
        say("a private host of its own: the network of this machine is not touched")
        status, number = run_cancellable(lambda: _show(tracers))
    return status if number is None else 128 + number


def say(text: str) -> None:
    """Print a step, at once."""
    print(text, flush=True)


async def _show(tracers: tuple[Observer, ...]) -> int:
    try:
        with BuiltIns() as runner:
            async with open_runtime(
                state_dir=_STATE_DIR, runner=runner, observers=tracers, recover=False
            ) as runtime:
                with netns.anonymous() as a, netns.anonymous() as b, netns.anonymous() as c:
                    pods = (_Pod("pod-a", a), _Pod("pod-b", b, (_PORT,)))
                    await _live(runtime, pods, c)
    except (AcniError, DemoFailed) as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_status
    return 0


class DemoFailed(Exception):
    """The demonstration did not show what it should."""

    exit_status = 1


@frozen
class _Pod:
    name: str
    namespace: netns.Namespace
    ports: tuple[PortMapping, ...] = ()

    @property
    def attachment(self) -> Attachment:
        return Attachment(
            container_id=self.name,
            netns=self.namespace.path,
            capability_args={"portMappings": self.ports} if self.ports else {},
        )


async def _live(runtime: Runtime, pods: tuple[_Pod, _Pod], third: netns.Namespace) -> None:
    before = _look()
    try:
        say("\nTwo pods, each with a network namespace and an address on a bridge")
        results = [await _attach(runtime, pod) for pod in pods]
        await _ping(pods[0], results[1])
        say(f"\nA port of the host leads to {pods[1].name}; nobody named one, so one was picked")
        await _call(pods[1], results[1])
        _show_records()
        await _crash(runtime, third)
        await _ping(pods[0], results[1])
        await _call(pods[1], results[1])
    finally:
        with anyio.move_on_after(_UNDO_SECONDS, shield=True):
            say("\nThe end")
            for pod in pods:
                await _detach(runtime, pod)
    _require_nothing_beyond(before)
    say("  nothing is left: no link, no address, no port, no record")
    say("  (the bridge stays for the next pod, as CNI has it, and ends with this host)")


async def _attach(runtime: Runtime, pod: _Pod) -> Result:
    began = anyio.current_time()
    result = await runtime.add(_NETWORK, pod.attachment)
    milliseconds = (anyio.current_time() - began) * 1000
    addresses = ", ".join(ip.address for ip in result.ips)
    say(f"  {pod.name} is attached after {milliseconds:.1f} ms: {addresses}")
    return result


async def _detach(runtime: Runtime, pod: _Pod) -> None:
    await runtime.delete(pod.attachment, network=_NETWORK)
    say(f"  {pod.name} is detached")


async def _ping(pod: _Pod, target: Result) -> None:
    address = str(target.ipv4)
    seconds = await anyio.to_thread.run_sync(pod.namespace.call, lambda: ping(address))
    if seconds is None:
        raise DemoFailed(f"{address} did not answer {pod.name}")
    say(f"  {pod.name} pings {address}: an answer after {seconds * 1000:.2f} ms")


async def _call(pod: _Pod, attached: Result) -> None:
    """Call a pod by its port of the host, from the host."""
    (port,) = attached.port_mappings
    seconds = await anyio.to_thread.run_sync(_call_now, pod, port)
    if seconds is None:
        raise DemoFailed(f"{pod.name} did not answer by the port {port.host} of the host")
    say(f"  the host calls 127.0.0.1:{port.host}: {pod.name} answers after {seconds * 1000:.2f} ms")


def _call_now(pod: _Pod, port: PortMapping) -> float | None:
    """Return after how many seconds a pod answers; None where it does not."""
    listening = pod.namespace.call(lambda: socket.create_server(("", port.container)))
    with listening as server, socket.socket() as caller:
        for one in (server, caller):
            one.settimeout(_ANSWER_SECONDS)
        began = time.monotonic()
        try:
            caller.connect(("127.0.0.1", port.host))
            with server.accept()[0] as connection:
                connection.sendall(_ANSWER)
            is_answered = caller.recv(len(_ANSWER)) == _ANSWER
        except OSError:
            return None
        return time.monotonic() - began if is_answered else None


def _show_records() -> None:
    say("\nWhat acni ls shows")
    for row in _records():
        say(f"  {row.state}  {row.container_id}  {row.network}  {', '.join(row.addresses)}")


def _records() -> list[AttachmentRecord]:
    records = Records.look(_STATE_DIR)
    try:
        return list_records(records, this_host())
    finally:
        records.close()


async def _crash(runtime: Runtime, third: netns.Namespace) -> None:
    """Let another runtime be killed while it attaches a third pod, and recover from it."""
    say(f"\nAnother acni attaches {victim.NAME}, and is killed with kill -9 in the middle")
    before = _look()
    await anyio.to_thread.run_sync(_run_victim, third.path)
    left = sorted(_look() - before)
    if not left:
        raise DemoFailed("what was killed had not begun")
    say(f"  it left: {', '.join(left)}")
    report = await runtime.recover()
    for error in report.failures:
        raise error
    _require_nothing_beyond(before)
    say("  acni recover: undone, from the journal; the two pods did not notice")


def _run_victim(netns_path: str) -> None:
    """Run it, and wait for its death."""
    done = subprocess.run(
        [sys.executable, "-m", victim.__name__, _STATE_DIR, netns_path],
        input=_CONFIGURATION,
        capture_output=True,
        timeout=_VICTIM_SECONDS,
        check=False,
    )
    if done.returncode != -signal.SIGKILL:
        raise DemoFailed(f"it was not killed: {done.stderr.decode(errors='replace')}")


def _look() -> frozenset[str]:
    """List what there is: links, addresses and ports that are taken, records."""
    names = os.listdir(_LEASES) if os.path.isdir(_LEASES) else []
    # host-local's bookkeeping stays after the last lease.
    leases = {f"the address {name}" for name in names if name[0].isdigit()}
    links = {f"the link {name}" for _, name in socket.if_nameindex()}
    with closing(Netfilter.open()) as netfilter:
        entries = entries_of(netfilter, lambda _: True)
    ports = {f"the host's port {port.host_port}" for one in entries for port in ports_of(one)}
    known = {f"{_KNOWN.get(row.state, _LEFT_OPEN)} of {row.container_id}" for row in _records()}
    return frozenset(leases | links | ports | known)


def _require_nothing_beyond(before: frozenset[str]) -> None:
    left = sorted(_look() - before - {"the link demo0"})
    if left:
        raise DemoFailed(f"something is left: {', '.join(left)}")
