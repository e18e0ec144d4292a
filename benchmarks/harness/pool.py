"""Where everything runs: a private host, and network namespaces that all peers attach in turn."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from acni import netns
from acni.testing import enter_private_host

SPACES: Final = 64
# Where libcni keeps its cache when go-cni uses it.
_DEFAULT_CACHE: Final = Path("/var/lib/cni")


def move_to_private_host(home: Path) -> None:
    """Move this process, and what it starts, to a private host.

    What lies at libcni's default place lies on the file system of the directory as well, or go-cni
    would have a faster one than its peers.
    """
    enter_private_host()
    cache = home / "default-cache"
    cache.mkdir()
    subprocess.run(["mount", "--bind", cache, _DEFAULT_CACHE], check=True, timeout=20)


@contextmanager
def pool(spaces: int = SPACES) -> Generator[tuple[str, ...]]:
    """Make network namespaces with paths that last.

    Yields:
        Their paths, under ``/run/netns`` of the private host.
    """
    with ExitStack() as stack:
        made = [stack.enter_context(netns.create(f"bench{number}")) for number in range(spaces)]
        yield tuple(space.path for space in made)
