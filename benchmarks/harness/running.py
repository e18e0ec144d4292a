"""Cells run: their peers take turns in every round, each as a process that gets an order and prints
a JSON line for each phase of its work.

Rule 1: who begins a round began none of the rounds before it, as far as there are peers: what a
    round leaves to the file system strikes everyone alike.
Rule 2: a peer that fails or takes too long is named and its round missing; the others go on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from attrs import asdict, define, field

from harness.building import BENCHMARKS, Programs
from harness.orders import BRIDGE, BUILT_IN, CHAIN, EITHER, FLOOR, Cell, Order
from harness.records import fill
from harness.results import kept

PEER_SECONDS: Final = 180
_WARM_UP: Final = 50

Say = Callable[[str], None]


class PeerFailed(Exception):
    """A peer ended badly, or not in time."""


@define(eq=False)
class Course:
    """Runs cells.

    Attributes:
        programs: What can be run.
        home: An empty directory on the file system that is asked about.
        netns: The namespaces that are attached.
        say: Is told what happens.
        warm_up: How often each peer does its work before it is measured.
        failures: What went wrong.
    """

    programs: Programs
    home: Path
    netns: tuple[str, ...]
    say: Say = field(default=lambda text: print(text, file=sys.stderr, flush=True))
    warm_up: int = _WARM_UP
    failures: list[str] = field(factory=list, init=False)

    def run(self, cells: Iterable[Cell]) -> Iterator[dict[str, Any]]:
        """Run all cells; iterate over the lines of their peers."""
        for cell in cells:
            begun = time.monotonic()
            yield from self._cell(cell)
            took = time.monotonic() - begun
            self.say(
                f"{took:5.0f} s: {cell.group}, {cell.plugin}, {cell.at_once} at once,"
                f" chain of {cell.chain_length}, {cell.records} records"
            )

    def _cell(self, cell: Cell) -> Iterator[dict[str, Any]]:
        if cell.plugin not in self.programs.plugins:
            return
        peers = [peer for peer in cell.peers if peer in self.programs.commands]
        with self._shared_state(cell) as shared:
            for number in range(cell.rounds):
                first = number % max(len(peers), 1)
                for peer in peers[first:] + peers[:first]:
                    try:
                        yield from self._peer(cell, peer, number, shared)
                    except PeerFailed as error:
                        self.failures.append(f"{peer}, {cell.group}: {error}")
                        self.say(self.failures[-1])

    @contextmanager
    def _shared_state(self, cell: Cell) -> Generator[Path | None]:
        """Make the state directory of a cell that asks for records; others have one a peer."""
        if not cell.records:
            yield None
            return
        with self._directory() as state:
            fill(state, cell.records)
            yield state

    @contextmanager
    def _directory(self) -> Generator[Path]:
        directory = Path(tempfile.mkdtemp(dir=self.home))
        try:
            yield directory
        finally:
            shutil.rmtree(directory)

    def _peer(
        self, cell: Cell, peer: str, number: int, shared: Path | None
    ) -> Iterator[dict[str, Any]]:
        with self._directory() as own:
            order = self._order(cell, peer, own, shared)
            for line in run_peer(self.programs.commands[peer], order, cell):
                yield {
                    "peer": peer,
                    "phase": line["phase"],
                    "plugin": cell.plugin,
                    "at_once": cell.at_once,
                    "chain_length": cell.chain_length,
                    "records": cell.records,
                    "round": number,
                    "load": os.getloadavg()[0],
                    **kept(line),
                }

    def _order(self, cell: Cell, peer: str, own: Path, shared: Path | None) -> Order:
        chain = own / "net.conflist"
        chain.write_text(json.dumps(configuration(cell, own / "leases")))
        state = own / "state"
        return Order(
            peer=peer,
            work=cell.work,
            count=cell.count,
            at_once=cell.at_once,
            # Processes are new each time; what runs on in one gets as fast as it will be.
            warm_up=self.warm_up if peer in BUILT_IN else min(self.warm_up, cell.count),
            chain=str(chain),
            plugin_dirs=(self.programs.plugins[cell.plugin],),
            state=str(shared or state),
            netns=self.netns,
            program=self.programs.cold,
        )


def configuration(cell: Cell, leases: Path) -> dict[str, Any]:
    """Return the network configuration of a cell."""
    bridge: dict[str, Any] = {
        "type": "bridge",
        "bridge": "bench0",
        "isGateway": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(leases),
            "ranges": [[{"subnet": "10.88.0.0/16"}]],
        },
    }
    plugins = [bridge if cell.plugin in (BRIDGE, EITHER) else {"type": "noop"}] * cell.chain_length
    if cell.plugin == CHAIN:
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        plugins = [{**bridge, "ipMasq": True}, ports, {"type": "firewall"}]
    return {"cniVersion": "1.0.0", "name": "net", "plugins": plugins}


def run_peer(command: tuple[str, ...], order: Order, cell: Cell) -> list[dict[str, Any]]:
    """Run a peer to its end; return its lines.

    Raises:
        PeerFailed: it ended badly, not in time, or printed something else.
    """
    argv, environment, request = _call(command, order, cell)
    try:
        done = subprocess.run(
            argv,
            env=environment,
            input=request,
            capture_output=True,
            check=False,
            timeout=PEER_SECONDS,
        )
        if done.returncode == 0:
            return [json.loads(line) for line in done.stdout.splitlines()]
    except subprocess.TimeoutExpired as error:
        raise PeerFailed(f"had not ended after {PEER_SECONDS} s") from error
    except ValueError as error:
        raise PeerFailed(f"printed what is no JSON line: {error}") from error
    raise PeerFailed(f"exit status {done.returncode}: {_last_words(done.stderr)}")


def _last_words(stderr: bytes) -> str:
    """Return the last line that names an error, of a group's traceback too, or the last at all."""
    lines = [line.strip(" |+-") for line in stderr.decode(errors="replace").splitlines()]
    said = [line for line in lines if line]
    errors = [line for line in said if re.match(r"[\w.]+: ", line)]
    return (errors or said or ["nothing was said"])[-1]


def _call(
    command: tuple[str, ...], order: Order, cell: Cell
) -> tuple[list[str], dict[str, str], bytes]:
    """Return what is executed, its environment, and its standard input."""
    if order.peer != FLOOR:
        paths = [str(BENCHMARKS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        variables = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        return [*command, json.dumps(asdict(order))], variables, b""
    # The floor runs plugins and knows nothing of attachments: it gets one request for all of them.
    environment = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "warm" + "0" * 60,
        "CNI_NETNS": order.netns[0],
        "CNI_IFNAME": "eth0",
        "CNI_PATH": order.plugin_dirs[0],
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    plugin = {"cniVersion": "1.0.0", "name": "net", "type": "noop"}
    runs = str(order.count * cell.chain_length)
    path = f"{order.plugin_dirs[0]}/noop"
    return [*command, runs, str(order.at_once), path], environment, json.dumps(plugin).encode()
