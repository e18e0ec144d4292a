"""``acni add``, ``acni check``, ``acni del``."""

from __future__ import annotations

import argparse

from acni.cli.session import open_session, run_verb
from acni.cli.subject import (
    named_attachment,
    named_identity,
    named_network,
    named_target,
    network_to_delete,
)
from acni.errors import AttachmentNotFound
from acni.spec.names import parse_network_name


def add(arguments: argparse.Namespace) -> int:
    """Attach, and print the result."""

    async def verb() -> int:
        attachment = named_attachment(arguments)
        # Blocks for the configuration directory: a command has nothing else to do.
        network = named_network(arguments)
        async with open_session(arguments) as runtime:
            result = await runtime.add(network, attachment)
        print(result.raw)
        return 0

    return run_verb(arguments, verb)


def check(arguments: argparse.Namespace) -> int:
    """Check an attachment."""

    async def verb() -> int:
        target = named_target(arguments)
        name = parse_network_name(arguments.network) if arguments.network else None
        async with open_session(arguments) as runtime:
            await runtime.check(target, network=name)
        return 0

    return run_verb(arguments, verb)


def delete(arguments: argparse.Namespace) -> int:
    """Detach; the record knows the rest, the configuration is the fallback."""

    async def verb() -> int:
        target = named_attachment(arguments) if arguments.netns else named_identity(arguments)
        network, trouble = network_to_delete(arguments)
        async with open_session(arguments) as runtime:
            try:
                await runtime.delete(target, network=network)
            except AttachmentNotFound as error:
                raise trouble or error from None
        return 0

    return run_verb(arguments, verb)
