"""``acni status``, ``acni version`` and ``acni validate``: what plugins answer when no container is
concerned. They take no lock and need no right to write.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from acni.cli.records import open_records
from acni.cli.report import error_document, exit_status
from acni.cli.session import looking_engine, run_verb
from acni.cli.subject import named_network
from acni.cli.tables import print_documents, print_table
from acni.engine import status as status_verb
from acni.engine import validate as validate_verb
from acni.engine import versions
from acni.engine.engine import Engine
from acni.engine.validate import Validation
from acni.errors import AcniError, NetworkNotFound, StoreError, printable
from acni.host.configurations import load_configurations
from acni.host.plugins import BUILTIN
from acni.spec.commands import Command
from acni.spec.configuration import NetworkConfig
from acni.spec.names import parse_plugin_type
from acni.spec.planning import plan
from acni.store.records import Records

_REFUSED: Final = 2


def status(arguments: argparse.Namespace) -> int:
    """Ask one network, or all of the configuration directory, whether it is ready."""

    async def verb() -> int:
        records = arguments.opened.enter_context(_records_if_any(arguments))
        engine = looking_engine(arguments, records)
        networks = _networks(arguments)
        errors = [await _ask_status(engine, network) for network in networks]
        asked = [bool(plan(Command.STATUS, network)) for network in networks]
        if arguments.output == "human":
            answers = map(_status_answer, asked, errors)
            names = (network.name for network in networks)
            print_table(("NETWORK", "ANSWER"), zip(names, answers, strict=True))
        else:
            rows = zip(networks, asked, errors, strict=True)
            print_documents(
                (
                    {
                        "network": network.name,
                        "ready": error is None,
                        "asked": was_asked,
                        "error": _document(error),
                    }
                    for network, was_asked, error in rows
                ),
                arguments.output,
            )
        return _first_status(errors)

    return run_verb(arguments, verb)


def version(arguments: argparse.Namespace) -> int:
    """Ask plugins which versions they support."""

    async def verb() -> int:
        engine = looking_engine(arguments)
        answers = [await _ask_version(engine, plugin) for plugin in arguments.plugins]
        rows = list(zip(arguments.plugins, answers, strict=True))
        if arguments.output == "human":
            print_table(
                ("PLUGIN", "VERSIONS"), ((plugin, _words(answer)) for plugin, answer in rows)
            )
        else:
            documents = ({"plugin": plugin, **_version_facts(answer)} for plugin, answer in rows)
            print_documents(documents, arguments.output)
        return _first_status([e for e in answers if isinstance(e, AcniError)])

    return run_verb(arguments, verb)


def validate(arguments: argparse.Namespace) -> int:
    """Look whether a network can run at all: failures, and keys that never reach a plugin."""

    async def verb() -> int:
        network = named_network(arguments)
        found = await validate_verb.validate(looking_engine(arguments), network)
        if arguments.output == "human":
            print_table(("FINDING", "PLUGIN", "WHAT"), _findings(network, found))
        else:
            document = {
                "network": found.network,
                "valid": not found.failures,
                "cniVersion": found.cni_version,
                "failures": [error_document(error) for error in found.failures],
                "dropped": [{"plugin": plugin, "key": key} for plugin, key in found.dropped],
                "runners": dict(found.runners),
            }
            print_documents([document], arguments.output)
        return _REFUSED if found.failures else 0

    return run_verb(arguments, verb)


@contextmanager
def _records_if_any(arguments: argparse.Namespace) -> Generator[Records]:
    """Open the state directory for looking; whoever may not look there is told what plugins say."""
    with ExitStack() as opened:
        try:
            records = opened.enter_context(open_records(arguments))
        except StoreError:
            records = Records(None, None)
        yield records


def _networks(arguments: argparse.Namespace) -> list[NetworkConfig]:
    """Load the network that was named, or all; what is broken is said aside."""
    if arguments.network:
        return [named_network(arguments)]
    found = load_configurations(arguments.conf_dir)
    for path, error in found.broken:
        if not arguments.quiet:
            print(printable(f"acni: not asked: {path}: {error}"), file=sys.stderr)
    if not found.networks:
        raise NetworkNotFound(
            f"no network configuration in {found.directory}", expected="a network configuration"
        )
    return list(found.networks.values())


async def _ask_status(engine: Engine, network: NetworkConfig) -> AcniError | None:
    try:
        await status_verb.status(engine, network)
    except AcniError as error:
        return error
    return None


async def _ask_version(engine: Engine, plugin_type: str) -> tuple[str, ...] | AcniError:
    try:
        return await versions.version(engine, parse_plugin_type(plugin_type))
    except AcniError as error:
        return error


def _status_answer(was_asked: bool, error: AcniError | None) -> str:
    if error is not None:
        return f"not ready: {error}"
    return "ready" if was_asked else "ready, not asked: its version has no STATUS"


def _words(answer: tuple[str, ...] | AcniError) -> str:
    return str(answer) if isinstance(answer, AcniError) else ", ".join(answer)


def _version_facts(answer: tuple[str, ...] | AcniError) -> dict[str, object]:
    if isinstance(answer, AcniError):
        return {"versions": None, "error": error_document(answer)}
    return {"versions": list(answer), "error": None}


def _findings(network: NetworkConfig, found: Validation) -> list[tuple[str, str, str]]:
    failures = [("failure", error.plugin or "", error.message) for error in found.failures]
    dropped = [
        ("dropped", plugin, f"the key {key} is the runtime's and never reaches it")
        for plugin, key in found.dropped
    ]
    failed = {error.plugin for error in found.failures}
    runners = dict(found.runners)
    supports = f", supports {found.cni_version}" if found.cni_version else ""
    good = [
        ("ok", plugin.type, f"{_found(runners.get(plugin.type, ''))}{supports}")
        for plugin in network.plugins
        if plugin.type not in failed
    ]
    return [*failures, *dropped, *good]


def _found(runner: str) -> str:
    return "built in" if runner == BUILTIN else "found"


def _document(error: AcniError | None) -> dict[str, object] | None:
    return None if error is None else error_document(error)


def _first_status(errors: Sequence[AcniError | None]) -> int:
    return next((exit_status(error) for error in errors if error is not None), 0)
