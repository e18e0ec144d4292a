"""What a container gets and sends is measured: 8 Mbit a second in each direction."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
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
# A machine that stands still for longer than the burst lasts sends less; none lets more pass.
MEASUREMENTS = 10
# One Ethernet frame's, and five times the rate while nobody holds it back. Datagrams, for TCP
# would measure how it takes the losses: it has sent 6.8 of 8 megabits a second for two seconds.
DATAGRAM = bytes(1400)
TOGETHER = 18
PAUSE_SECONDS = 0.005


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
            rates = list(measured(host, link))
        assert take(host, "bandwidth", CASE, Step(verb="DEL"), results).status == 0
    count(f"{rates[-1] / 1e6:.2f} Mbit/s, measurement {len(rates)}")
    assert max(rates) < 1.1 * RATE
    assert rates[-1] > 0.9 * RATE


def measured(host: Host, link: str) -> Iterator[float]:
    """Give the bits a second that a link sends, until they are no less than nine tenths."""
    until = time.monotonic() + SECONDS
    while sent(host, link) < 2 * BURST / 8:
        assert time.monotonic() < until, "nothing is sent"
        time.sleep(0.05)
    for _ in range(MEASUREMENTS):
        # Both looks are within: on a machine that is slow the figure is too small, never too great.
        began = time.monotonic()
        first = sent(host, link)
        time.sleep(MEASURED_SECONDS)
        passed = sent(host, link) - first
        yield (rate := passed * 8 / (time.monotonic() - began))
        if rate > 0.9 * RATE:
            return


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
    """Send five times what passes from one namespace to an address of another one."""
    with ExitStack() as opened:
        taker = opened.enter_context(target.call(_datagrams))
        taker.bind((address, 0))
        sender = opened.enter_context(source.call(_datagrams))
        sender.connect(taker.getsockname())
        ended = threading.Event()
        thread = threading.Thread(target=_send, args=[sender, ended])
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(SECONDS)


def _datagrams() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _send(sender: socket.socket, ended: threading.Event) -> None:
    while not ended.wait(PAUSE_SECONDS):
        for _ in range(TOGETHER):
            # A full queue of the sender's own is as good as a loss.
            with suppress(OSError):
                sender.send(DATAGRAM, socket.MSG_DONTWAIT)
