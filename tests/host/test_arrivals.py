"""Signals read from a descriptor, with who sent them; each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

HEAD = """
import json, os, signal
from acni.host.arrivals import arrivals
WATCHED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM)
def shown(read):
    return [[arrival.signal.name, arrival.is_from_kernel] for arrival in read]
"""


def _run(script: str) -> Any:
    program = f"{HEAD}\n{textwrap.dedent(script)}\nprint(json.dumps(report))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_a_process_sends_and_what_the_kernel_sends_are_told_apart() -> None:
    report = _run("""
        with arrivals(WATCHED) as here:
            assert here.read() == []
            os.kill(os.getpid(), signal.SIGUSR1)
            sent = shown(here.read())
            signal.raise_signal(signal.SIGTERM)
            sent += shown(here.read())
            pid = os.posix_spawn("/bin/true", ["true"], {})
            os.waitpid(pid, 0)
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            assert signal.sigtimedwait([], 0.2) is None
            report = [sent, sorted(shown(here.read()))]
    """)
    sent, kernels = report
    assert sent == [["SIGUSR1", False], ["SIGTERM", False]]
    assert kernels == [["SIGALRM", True], ["SIGCHLD", True]]


def test_the_descriptor_is_readable_when_something_arrived_and_not_inherited() -> None:
    assert _run("""
        import select
        with arrivals(WATCHED) as here:
            before = select.select([here.fd], [], [], 0)[0]
            os.kill(os.getpid(), signal.SIGTERM)
            after = select.select([here.fd], [], [], 20)[0]
            report = [before, after == [here.fd], os.get_inheritable(here.fd)]
    """) == [[], True, False]


def test_a_thread_made_inside_does_not_take_them() -> None:
    assert _run("""
        import threading
        with arrivals(WATCHED) as here:
            go = threading.Event()
            thread = threading.Thread(target=go.wait)
            thread.start()
            for _ in range(50):
                os.kill(os.getpid(), signal.SIGTERM)
            report = shown(here.read())
            go.set()
            thread.join()
    """) == [["SIGTERM", False]]


def test_afterwards_signals_do_what_they_did_and_what_was_not_read_is_dropped() -> None:
    report = _run("""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        got = []
        signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
        with arrivals(WATCHED) as here:
            inside = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            blocked = sorted(here.blocked)
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGUSR1)
        after = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        dropped = list(got)
        os.kill(os.getpid(), signal.SIGUSR1)
        report = [sorted(inside - after), blocked, sorted(after), dropped, got]
    """)
    inside, blocked, after, dropped, got = report
    assert sorted(inside) == sorted([15, 10, 17, 14])
    assert blocked == after == [12]
    assert (dropped, got) == ([], [10])
