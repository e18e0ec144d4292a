"""What a container gets and sends is measured: 8 Mbit a second in each direction."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from acni.netns import Namespace
from tests.plugins.answering import SECONDS, ask_ours
from tests.plugins.chained import Case, Step, prepare, take
from tests.plugins.hosts import Host, host_of

pytestmark = [pytest.mark.deep, pytest.mark.netns]

RATE = 8_000_000
# A tenth of a second's; the first that passes is not limited.
BURST = 800_000
CASE = Case(
    config={"ingressRate": RATE, "ingressBurst": BURST, "egressRate": RATE, "egressBurst": BURST}
)
MEASURED_SECONDS = 2.0


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_eight_megabits_a_second_are_held_within_ten_percent(
    direction: str, tmp_path: Path, count: Callable[[object], None]
) -> None:
    with host_of(ask_ours, tmp_path) as host:
        results = prepare(host, CASE)
        host.ip("address", "add", "10.9.0.1/24", "dev", "veth0")
        host.ip("address", "add", "10.9.0.2/24", "dev", "eth0", inside="c1")
        told = take(host, "bandwidth", CASE, Step(), results).printed
        pod = host.container("c1")
        link = "veth0" if direction == "ingress" else told["interfaces"][2]["name"]
        ends = (host.namespace, pod) if direction == "ingress" else (pod, host.namespace)
        address = "10.9.0.2" if direction == "ingress" else "10.9.0.1"
        with flooding(*ends, address):
            rate = measured(host, link)
        assert take(host, "bandwidth", CASE, Step(verb="DEL"), results).status == 0
    count(f"{rate / 1e6:.2f} Mbit/s")
    assert rate == pytest.approx(RATE, rel=0.1)


def measured(host: Host, link: str) -> float:
    """Return the bits a second that a link sends, once the burst is over."""
    until = time.monotonic() + SECONDS
    while (first := sent(host, link)) < 2 * BURST / 8:
        assert time.monotonic() < until, "nothing is sent"
        time.sleep(0.05)
    began = time.monotonic()
    time.sleep(MEASURED_SECONDS)
    last, seconds = sent(host, link), time.monotonic() - began
    return (last - first) * 8 / seconds


def sent(host: Host, link: str) -> int:
    """Return the bytes that a link's queue let pass."""
    words = ["tc", "-j", "-s", "qdisc", "show", "dev", link, "root"]
    run = host.namespace.call(
        lambda: subprocess.run(words, capture_output=True, check=True, timeout=SECONDS)
    )
    (qdisc,) = json.loads(run.stdout)
    assert qdisc["kind"] == "tbf"
    passed: int = qdisc["bytes"]
    return passed


@contextmanager
def flooding(source: Namespace, target: Namespace, address: str) -> Iterator[None]:
    """Send as much as passes from one namespace to an address of another one."""
    with ExitStack() as opened:
        server = opened.enter_context(target.call(lambda: socket.create_server((address, 0))))
        server.settimeout(SECONDS)
        place = server.getsockname()
        client = opened.enter_context(
            source.call(lambda: socket.create_connection(place, timeout=SECONDS))
        )
        taken, _ = server.accept()
        opened.enter_context(taken)
        taken.settimeout(SECONDS)
        threads = [
            threading.Thread(target=_send, args=[client]),
            threading.Thread(target=_take, args=[taken]),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for one in (client, taken):
                one.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(SECONDS)


def _send(client: socket.socket) -> None:
    block = bytes(1 << 14)
    try:
        while True:
            client.sendall(block)
    except OSError:
        return


def _take(taken: socket.socket) -> None:
    try:
        while taken.recv(1 << 16):
            pass
    except OSError:
        return
