"""``acni demo``: for whoever has Python, and for nobody's network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from acni.testing import look_for_leftovers
from tests.another_user import as_another_user, without_rights

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("clean_host")]

SECONDS = 100

SHOWN = r"""
a private host of its own: the network of this machine is not touched

Two pods, each with a network namespace and an address on a bridge
  pod-a is attached after [\d.]+ ms: 10\.88\.0\.2/16
  pod-b is attached after [\d.]+ ms: 10\.88\.0\.3/16
  pod-a pings 10\.88\.0\.3: an answer after [\d.]+ ms

A port of the host leads to pod-b; nobody named one, so one was picked
  the host calls 127\.0\.0\.1:(?P<port>6\d{4}): pod-b answers after [\d.]+ ms

What acni ls shows
  attached  pod-a  demo  10\.88\.0\.2/16
  attached  pod-b  demo  10\.88\.0\.3/16

Another acni attaches pod-c, and is killed with kill -9 in the middle
  it left: the address 10\.88\.0\.4, the journal's note of pod-c, the link \w+
  acni recover: undone, from the journal; the two pods did not notice
  pod-a pings 10\.88\.0\.3: an answer after [\d.]+ ms
  the host calls 127\.0\.0\.1:(?P=port): pod-b answers after [\d.]+ ms

The end
  pod-a is detached
  pod-b is detached
  nothing is left: no link, no address, no port, no record
.*
"""


def demo(*prefix: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    """Run it as on a machine that has Python and nothing else."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", "acni", "demo"],
        env={"PATH": "/nonexistent", "LC_ALL": "C", "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("who", ["root", "another user"])
def test_it_shows_two_pods_a_crash_and_nothing_left(who: str, scratch: Path) -> None:
    before = look_for_leftovers()
    prefix = as_another_user() if who == "another user" else []
    # By its path: there is no PATH.
    prefix = [f"/usr/bin/{prefix[0]}", *prefix[1:]] if prefix else []
    done = demo(*prefix, scratch=scratch)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(SHOWN.strip(), done.stdout.strip()), done.stdout
    # Its host was its own.
    assert look_for_leftovers().beyond(before) == []
    assert list(scratch.iterdir()) == []


def test_who_may_not_make_namespaces_is_told_why(scratch: Path) -> None:
    script = """if True:
        import os, sys
        from pathlib import Path
        from acni.testing import enter_private_host
        enter_private_host()
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        os.execv(sys.argv[1], sys.argv[1:])
    """
    bare = without_rights()
    started = as_another_user(sys.executable, "-c", script, f"/usr/bin/{bare[0]}", *bare[1:])
    done = demo(f"/usr/bin/{started[0]}", *started[1:], scratch=scratch)
    assert (done.returncode, done.stdout) == (2, "")
    assert "namespaces cannot be made: the setting user.max_user_namespaces is 0" in done.stderr
    assert "root, or sysctl user.max_user_namespaces=10000" in done.stderr
