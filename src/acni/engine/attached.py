"""A namespace with an address, for as long as a block lasts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from subprocess import CompletedProcess
from typing import Final

import anyio
from attrs import define

from acni.host import netns
from acni.spec.result import Result

# Enters a namespace and becomes a program. A process of its own: no thread of the host program is
# ever in another namespace, and a cancelled call kills it as it kills any process.
_ENTER: Final = """\
import ctypes, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_CLOEXEC)
if ctypes.CDLL(None, use_errno=True).setns(fd, 0x40000000):
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])
"""


@define(eq=False)
class Box:
    """A network namespace that is attached to a network.

    Attributes:
        netns: The namespace.
        result: What the ADD yielded.

    Example:
        >>> async def main():
        ...     async with runtime_over(scripted) as runtime:
        ...         async with runtime.attached(network, "job-1") as box:
        ...             return box.result.ipv4, box.netns.has_interface("lo")
        >>> anyio.run(main)
        (IPv4Address('192.0.2.7'), True)
    """

    netns: netns.Namespace
    result: Result

    async def run(self, argv: Sequence[str], *, timeout: float) -> CompletedProcess[bytes]:  # noqa: ASYNC109
        """Run a program inside and wait for it.

        Args:
            argv: The program and its arguments.
            timeout: Seconds after which it is killed.

        Returns:
            The finished process with ``returncode``, ``stdout`` and ``stderr``.

        Raises:
            TimeoutError: it was killed.

        Example:
            >>> async def main():
            ...     async with runtime_over(scripted) as runtime:
            ...         async with runtime.attached(network, "job-1") as box:
            ...             return await box.run(["ip", "-brief", "link"], timeout=10)
            >>> anyio.run(main).stdout.split()[0]
            b'lo'
        """
        command = [sys.executable, "-IS", "-c", _ENTER, self.netns.path, *argv]
        with anyio.fail_after(timeout):
            return await anyio.run_process(command, check=False)
