"""A private host, entered by a process of its own: there is no way back."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from acni.host import netns
from acni.host.host import this_host
from acni.host.private_host import COVERED
from acni.store.state import open_store

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("clean_host")]

_LOOK = """
import json, os, socket, subprocess
from pathlib import Path

def look():
    return {
        "links": [name for _, name in socket.if_nameindex()],
        "sysfs": os.listdir("/sys/class/net"),
        "named": os.listdir("/run/netns"),
        "state": os.listdir("/var/lib/cni"),
        "lo": "LOOPBACK,UP" in subprocess.run(["ip", "link", "show", "lo"], capture_output=True,
                                              text=True, check=True).stdout,
        "forward": Path("/proc/sys/net/ipv4/ip_forward").read_text().strip(),
        "cgroups": bool(os.listdir("/sys/fs/cgroup")),
        "netns": os.readlink("/proc/self/ns/net"),
    }
"""

_ENTER = """
from acni.host.private_host import PrivateHostError, enter_private_host

def enter():
    try:
        enter_private_host()
    except PrivateHostError as error:
        return {"error": str(error), "expected": error.expected}
    return {"error": None}
"""


def test_nothing_of_the_machine_is_seen_inside_and_nothing_inside_is_seen_outside() -> None:
    subprocess.run(["ip", "link", "add", "br0", "type", "bridge"], check=True, timeout=20)
    Path("/var/lib/cni/lease").mkdir()
    with netns.create("box"):
        found = _run("""
            outside = look()
            enter()
            inside = look()
            subprocess.run(["ip", "link", "add", "inner0", "type", "bridge"], check=True)
            subprocess.run(["ip", "netns", "add", "inner"], check=True)
            Path("/var/lib/cni/inner").mkdir()
            report = [outside, inside, look()]
        """)
        outside, inside, used = found
        assert {"lo", "br0"} <= set(outside["links"])
        assert outside["named"] == ["box"]
        assert inside["links"] == inside["sysfs"] == ["lo"]
        assert (inside["named"], inside["state"]) == ([], [])
        assert inside["lo"]
        assert inside["forward"] == "1"
        assert inside["cgroups"]
        assert inside["netns"] != outside["netns"]
        assert set(used["links"]) >= {"lo", "inner0"}
        assert used["named"] == ["inner"]
        with netns.own() as own:
            assert not own.has_interface("inner0")
        assert [path.name for path in Path("/run/netns").iterdir()] == ["box"]
        assert [path.name for path in Path("/var/lib/cni").iterdir()] == ["lease"]


def test_a_private_host_can_be_entered_inside_another() -> None:
    first, second = _run("report = [enter(), enter()]")
    assert first == second == {"error": None}


def test_a_process_with_threads_is_refused_and_stays_where_it_is() -> None:
    error, is_unmoved = _run("""
        import threading
        before = os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/mnt")
        done = threading.Event()
        thread = threading.Thread(target=done.wait)
        thread.start()
        error = enter()
        after = os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/mnt")
        done.set()
        thread.join()
        report = [error, before == after]
    """)
    assert "already has threads" in error["error"]
    assert error["expected"] == "a single thread"
    assert is_unmoved


def test_a_process_that_may_not_is_refused_with_what_it_needs() -> None:
    error = _run("""
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        report = enter()
    """)
    assert "namespaces cannot be made: Operation not permitted" in error["error"]
    assert error["expected"] == "root, or CAP_SYS_ADMIN"


def test_every_covered_directory_is_a_mount_of_its_own() -> None:
    mounts = _run("""
        enter()
        subprocess.run(["mount", "--make-rshared", "/"], check=True)  # as systemd leaves it
        enter()
        report = Path("/proc/self/mountinfo").read_text().splitlines()
    """)
    covered = {line.split()[4] for line in mounts if " - tmpfs " in line}
    # /run/netns is /var/run/netns where /var/run is a link.
    assert set(COVERED) <= covered
    assert not any("shared:" in line for line in mounts), "a mount would reach the machine"


def _run(script: str) -> Any:
    body = textwrap.dedent(script)
    program = f"{_LOOK}\n{_ENTER}\n{body}\nprint(json.dumps(report))"
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_its_state_directory_is_one_that_a_runtime_takes() -> None:
    with open_store("/var/lib/cni", this_host()):
        pass
