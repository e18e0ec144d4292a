"""One volley: so many ADDs to a fresh private host at the same moment, and what failed of them.

A process of its own, ``python -m acni.bench.volley``: the host that it makes for itself ends with
it, and the next volley finds nothing that this one made. What to do is a JSON document on standard
input, what failed one on standard output.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

import anyio
from attrs import field, frozen
from cattrs.preconf.json import make_converter

from acni.bench.failures import Failure, failure_of
from acni.bench.together import Together
from acni.engine.runner import Runner
from acni.engine.runtime import Runtime, open_runtime
from acni.engine.settings import Limits
from acni.errors import AcniError
from acni.host import netns
from acni.host.private_host import enter_private_host
from acni.host.process import Executables
from acni.spec.attachment import Attachment
from acni.spec.configuration import NetworkConfig, parse_network

# How many plugins a runtime runs at once anyhow.
_PLUGINS: Final = 64
# More than the bounds of a delete, its wait included.
_DETACH_SECONDS: Final = 240.0


@frozen(kw_only=True)
class Volley:
    """What is to be done.

    Attributes:
        network: The network's configuration, as JSON text.
        plugin_dirs: Where plugins are looked for.
        at_once: How many ADDs begin together.
        first_add_alone: The runtime makes the first ADD alone, as it does by default.
        cni_args: The containers' CNI_ARGS.
        capability_args: The containers' capability arguments, as they are.
    """

    network: str
    plugin_dirs: tuple[str, ...]
    at_once: int
    first_add_alone: bool
    cni_args: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    capability_args: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)


@frozen(kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        adds: How many ADDs came to their end.
        failures: Those that failed, and the DELs that did.
    """

    adds: int
    failures: tuple[Failure, ...]


def dump(value: Volley | Outcome) -> bytes:
    """Write it for the other process."""
    return make_converter().dumps(value).encode()


def parse_outcome(raw: bytes) -> Outcome:
    """Read what the process wrote."""
    return make_converter().loads(raw, Outcome)


def main() -> int:
    """Do what standard input says."""
    volley = make_converter().loads(sys.stdin.buffer.read(), Volley)
    try:
        enter_private_host()
        with tempfile.TemporaryDirectory(prefix="acni-bench-") as state_dir:
            outcome = anyio.run(_main, volley, state_dir)
    except AcniError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    if outcome is None:
        return 128 + signal.SIGTERM
    sys.stdout.buffer.write(dump(outcome))
    return 0


async def _main(volley: Volley, state_dir: str) -> Outcome | None:
    """Do it; None where a signal ended it."""
    outcome: Outcome | None = None
    failed: list[AcniError] = []
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as tasks:

            async def end_on_signal() -> None:
                async for _ in signals:
                    tasks.cancel_scope.cancel()

            tasks.start_soon(end_on_signal)
            try:
                outcome = await fire(volley, state_dir)
            except AcniError as error:  # raised below: a task group would wrap it
                failed.append(error)
            tasks.cancel_scope.cancel()
    if failed:
        raise failed[0]
    return outcome


async def fire(volley: Volley, state_dir: str, runner: Runner | None = None) -> Outcome:
    """Attach so many containers together, then detach them.

    Args:
        volley: What to do.
        state_dir: A state directory in which nothing was attached yet.
        runner: Runs the plugins; by default executables.
    """
    network = parse_network(volley.network.encode())
    limits = Limits(plugins=max(_PLUGINS, volley.at_once), first_add_alone=volley.first_add_alone)
    with ExitStack() as stack:
        spaces = [stack.enter_context(netns.anonymous()) for _ in range(volley.at_once)]
        attachments = [
            Attachment(
                container_id=f"acni-bench-{number}",
                netns=space.path,
                cni_args=volley.cni_args,
                capability_args=volley.capability_args,
            )
            for number, space in enumerate(spaces)
        ]
        together = Together(
            runner or Executables(),
            frozenset(attachment.container_id for attachment in attachments),
            is_on=not volley.first_add_alone,
        )
        async with open_runtime(
            state_dir=state_dir,
            plugin_dirs=volley.plugin_dirs,
            limits=limits,
            runner=together,
            durability="process",
            recover=False,
        ) as runtime:
            return await _attach_together(runtime, network, attachments, together)


async def _attach_together(
    runtime: Runtime,
    network: NetworkConfig,
    attachments: Sequence[Attachment],
    together: Together,
) -> Outcome:
    failures: list[Failure] = []
    attached: list[Attachment] = []

    async def add(attachment: Attachment) -> None:
        try:
            await runtime.add(network, attachment)
        except AcniError as error:
            failures.append(failure_of("ADD", error))
        else:
            attached.append(attachment)
            together.is_on = True  # the first one, made alone, waited for nobody
        finally:
            together.end(attachment.container_id)

    async def delete(attachment: Attachment) -> None:
        try:
            await runtime.delete(attachment.id)
        except AcniError as error:
            failures.append(failure_of("DEL", error))

    try:
        async with anyio.create_task_group() as adding:
            for attachment in attachments:
                adding.start_soon(add, attachment)
    finally:
        # Whatever ended it: what is attached is detached, together as well.
        with anyio.move_on_after(_DETACH_SECONDS, shield=True):
            async with anyio.create_task_group() as deleting:
                for attachment in attached:
                    deleting.start_soon(delete, attachment)
    return Outcome(adds=len(attachments), failures=tuple(failures))


if __name__ == "__main__":
    raise SystemExit(main())
