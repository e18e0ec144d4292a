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
from tests.another_user import as_another_user, without_rights

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("clean_host")]

_LOOK = """
import json, os, socket, subprocess, sys
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
        facts = {"expected": error.expected, "place": error.place, "status": error.exit_status}
        return {"error": str(error), **facts}
    return {"error": None}
"""

_AGAIN = f"{_LOOK}\n{_ENTER}\nprint(json.dumps(enter()))"


def test_nothing_of_the_machine_is_seen_inside_and_nothing_inside_is_seen_outside() -> None:
    subprocess.run(["ip", "link", "add", "br0", "type", "bridge"], check=True, timeout=200)
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


def test_another_user_has_the_same_inside_as_root() -> None:
    found = _run(
        """
        outside = look()
        entered = enter()
        inside = look()
        subprocess.run(["ip", "link", "add", "inner0", "type", "bridge"], check=True)
        subprocess.run(["ip", "netns", "add", "inner"], check=True)
        Path("/var/lib/cni/inner").mkdir()
        report = [entered, outside, inside, look(), os.getuid()]
        """,
        by_another_user=True,
    )
    entered, outside, inside, used, user = found
    assert (entered, user) == ({"error": None}, 0)
    assert inside["links"] == inside["sysfs"] == ["lo"]
    assert (inside["named"], inside["state"]) == ([], [])
    assert inside["lo"]
    assert inside["forward"] == "1"
    assert inside["cgroups"]
    assert inside["netns"] != outside["netns"]
    assert used["named"] == ["inner"]
    with netns.own() as own:
        assert not own.has_interface("inner0")
    assert list(Path("/run/netns").iterdir()) == list(Path("/var/lib/cni").iterdir()) == []


def test_another_user_has_the_directories_that_a_fresh_machine_lacks() -> None:
    entered, inside, kept, is_link = _run(
        """
        entered = enter()
        kept = [Path("/run/here/file").read_text(), sorted(os.listdir("/run"))]
        report = [entered, look(), kept, os.path.islink("/run/link")]
        """,
        by_another_user=True,
        before="""
        enter()
        from acni.host.libc import mount
        for place in ("/run", "/var/lib"):
            mount("none", place, "tmpfs", options="mode=0755")
        Path("/run/here").mkdir()
        Path("/run/here/file").write_text("seen")
        Path("/run/link").symlink_to("here")
        """,
    )
    assert entered == {"error": None}
    assert (inside["named"], inside["state"]) == ([], [])
    assert kept == ["seen", ["cni", "here", "link", "netns"]]
    assert is_link


def test_a_kernel_that_forbids_it_is_named_with_its_setting() -> None:
    no_networks, no_users = _run(
        """
        enter()
        limits = "/proc/sys/user/max_{}_namespaces"
        Path(limits.format("net")).write_text("0")
        no_networks = enter()
        Path(limits.format("user")).write_text("0")
        argv = [*WITHOUT_RIGHTS, sys.executable, "-c", AGAIN]
        no_users = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        report = [no_networks, json.loads(no_users)]
        """,
        by_another_user=True,
    )
    for refused, setting in (
        (no_networks, "user.max_net_namespaces"),
        (no_users, "user.max_user_namespaces"),
    ):
        assert f"namespaces cannot be made: the setting {setting} is 0" in refused["error"]
        assert refused["expected"] == f"root, or sysctl {setting}=10000"
        assert refused["place"] == setting
        assert refused["status"] == 2


def test_it_ends_with_its_last_process_and_nothing_of_it_is_left() -> None:
    before = sorted(Path("/proc/self/mountinfo").read_text().splitlines())
    _run(
        """
        enter()
        subprocess.run(["ip", "netns", "add", "inner"], check=True)
        report = None
        """,
        by_another_user=True,
    )
    assert sorted(Path("/proc/self/mountinfo").read_text().splitlines()) == before


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


def _run(script: str, *, by_another_user: bool = False, before: str = "") -> Any:
    """Run a script, and before it perhaps another one as root in the same process."""
    heads = [_LOOK, _ENTER, f"WITHOUT_RIGHTS = {without_rights()}", f"AGAIN = {_AGAIN!r}"]
    program = "\n".join([*heads, textwrap.dedent(script), "print(json.dumps(report))"])
    argv = [sys.executable, "-c", program]
    argv = as_another_user(*argv) if by_another_user else argv
    if before:
        first = "\n".join(
            [_LOOK, _ENTER, textwrap.dedent(before), f"os.execvp({argv[0]!r}, {argv})"]
        )
        argv = [sys.executable, "-c", first]
    finished = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_its_state_directory_is_one_that_a_runtime_takes() -> None:
    with open_store("/var/lib/cni", this_host()):
        pass
