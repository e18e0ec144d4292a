"""A runtime that is killed in the middle of an ADD: what the demonstration recovers from.

A process of its own, ``python -m acni.cli.victim STATE_DIR NETNS``, with the network's
configuration on standard input. It dies by SIGKILL when the plugin has made everything and nobody
has been told: the link and the address are there, the record is not.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

import anyio

from acni.engine.runtime import open_runtime
from acni.events import Event, PluginFinished
from acni.plugins.builtins import BuiltIns
from acni.spec.attachment import Attachment
from acni.spec.configuration import NetworkConfig, parse_network

NAME: Final = "pod-c"


def main() -> None:
    """Attach, and never come back."""
    state_dir, netns = sys.argv[1:]
    anyio.run(_attach, state_dir, netns, parse_network(sys.stdin.buffer.read()))


async def _attach(state_dir: str, netns: str, network: NetworkConfig) -> None:
    with BuiltIns() as runner:
        async with open_runtime(
            state_dir=state_dir, runner=runner, observers=[_die], recover=False
        ) as runtime:
            await runtime.add(network, Attachment(container_id=NAME, netns=netns))


def _die(event: Event) -> None:
    if isinstance(event, PluginFinished):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
