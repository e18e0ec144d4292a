"""A cgroup directory as an administrator delegates it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


def unified() -> Path | None:
    """Find where cgroup v2 is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(where, os.W_OK):
            return Path(where)
    return None


@pytest.fixture
def delegated(tmp_path: Path) -> Iterator[Path]:
    """A directory as an administrator delegates it."""
    mount = unified()
    if mount is None:
        pytest.skip("cannot run here: no cgroup v2 that may be written")
    path = mount / f"acni-test-{os.getpid()}-{time.monotonic_ns()}"
    path.mkdir()
    if not (path / "cgroup.kill").exists():
        path.rmdir()
        pytest.skip("cannot run here: no cgroup.kill, which Linux 5.14 brought")
    yield path
    for group in path.glob("acni-run-*"):
        (group / "cgroup.kill").write_text("1")
    until = time.monotonic() + 10
    while groups(path) and time.monotonic() < until:
        for group in path.glob("acni-run-*"):
            try:
                group.rmdir()
            except OSError:
                time.sleep(0.01)
    path.rmdir()


def groups(delegated: Path) -> list[Path]:
    return list(delegated.glob("acni-run-*"))
