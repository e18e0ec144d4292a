"""``acni plan``: a dry run. No plugin adds or deletes, nothing is written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from acni.cli.records import open_records
from acni.cli.rehearsal import Rehearsal, Run
from acni.cli.report import error_document, exit_status, report
from acni.cli.secrets import hidden_environment, without_secrets
from acni.cli.session import looking_engine
from acni.cli.shell import shell_lines
from acni.cli.subject import (
    named_attachment,
    named_identity,
    named_network,
    named_target,
    network_to_delete,
)
from acni.cli.tables import one_line, print_texts
from acni.errors import AcniError, AttachmentNotFound, ConfigError, InvalidName, printable
from acni.spec.jsontext import dump, join
from acni.spec.names import parse_network_name
from acni.spec.plugin import Plugin


def plan(arguments: argparse.Namespace) -> int:
    """Print what a verb would run."""
    try:
        if arguments.shell and not arguments.show_secrets:
            raise ConfigError(
                "the lines would hold every argument as it is",
                place="--shell",
                expected="--show-secrets beside it",
            )
        with open_records(arguments) as records:
            verb, rehearse = _REHEARSALS[arguments.rehearsed]
            rehearsal = Rehearsal(looking_engine(arguments, records), verb)
            rehearse(rehearsal, arguments)
        if arguments.shell and not rehearsal.obstacles:
            _print_shell(rehearsal, arguments)
            return 0
    except AcniError as error:
        return report(error, arguments)
    if not arguments.shell:
        _print_plan(rehearsal, arguments)
    if arguments.output == "human" or arguments.shell:
        for obstacle in rehearsal.obstacles:
            report(obstacle, arguments)
    return next(map(exit_status, rehearsal.obstacles), 0)


def _add(rehearsal: Rehearsal, arguments: argparse.Namespace) -> None:
    if not arguments.netns:
        raise InvalidName("none was given", place="NETNS", expected="the container's namespace")
    rehearsal.add(named_network(arguments), named_attachment(arguments))


def _check(rehearsal: Rehearsal, arguments: argparse.Namespace) -> None:
    rehearsal.check(named_target(arguments), parse_network_name(arguments.network))


def _delete(rehearsal: Rehearsal, arguments: argparse.Namespace) -> None:
    target = named_attachment(arguments) if arguments.netns else named_identity(arguments)
    network, trouble = network_to_delete(arguments)
    try:
        rehearsal.delete(target, network)
    except AttachmentNotFound as error:
        raise trouble or error from None


def _status(rehearsal: Rehearsal, arguments: argparse.Namespace) -> None:
    rehearsal.status(named_network(arguments))


# What the verb is called in the engine, and how it is gone through.
_REHEARSALS: Final[Mapping[str, tuple[str, Callable[[Rehearsal, argparse.Namespace], None]]]] = {
    "add": ("add", _add),
    "check": ("check", _check),
    "del": ("delete", _delete),
    "status": ("status", _status),
}


def _print_shell(rehearsal: Rehearsal, arguments: argparse.Namespace) -> None:
    words = [arguments.rehearsed, arguments.network, arguments.netns or ""]
    script = shell_lines(rehearsal.runs, " ".join(words).strip())
    sys.stdout.flush()
    sys.stdout.buffer.write(script)


def _print_plan(rehearsal: Rehearsal, arguments: argparse.Namespace) -> None:
    if arguments.output == "human":
        for number, run in enumerate(rehearsal.runs, 1):
            for line in _human_lines(number, run, show_secrets=arguments.show_secrets):
                print(printable(line))
        if not rehearsal.runs:
            print("nothing would run")
        return
    texts = [_document(run, show_secrets=arguments.show_secrets) for run in rehearsal.runs]
    obstacles = [dump(error_document(error)) for error in rehearsal.obstacles]
    if arguments.output == "jsonl":
        print_texts(texts + obstacles, "jsonl")
    else:
        members = {"runs": f"[{','.join(texts)}]", "obstacles": f"[{','.join(obstacles)}]"}
        print(join(members))


def _document(run: Run, *, show_secrets: bool) -> str:
    environment, stdin = _shown(run, show_secrets=show_secrets)
    return join(
        {
            "command": dump(run.step.command),
            "network": dump(run.network.name),
            "plugin": dump(run.step.plugin.type),
            "index": dump(run.step.index),
            "binary": dump(run.plugin.path or None if run.plugin else None),
            "runner": dump(run.plugin.runner if run.plugin else None),
            "environment": dump(environment),
            "stdin": stdin,
            "prevResult": dump(run.previous),
            "cniVersions": dump(run.network.versions),
            "standIn": dump(run.has_stand_in),
        }
    )


def _human_lines(number: int, run: Run, *, show_secrets: bool) -> Iterator[str]:
    environment, stdin = _shown(run, show_secrets=show_secrets)
    yield f"{number}. {run.step.command} {run.step.plugin.type} (network {run.network.name})"
    yield f"   binary       {_binary(run.plugin)}"
    label = "environment"
    for name, text in environment.items():
        yield f"   {label:11}  {name}={text}"
        label = ""
    yield f"   stdin        {one_line(stdin)}"
    yield f"   prevResult   {run.previous}"
    if run.has_stand_in:
        yield "   CNI_NETNS    a stand-in for the namespace that is gone, made when it runs"
    if run.undecided:
        yield f"   version      {run.undecided}"


def _binary(plugin: Plugin | None) -> str:
    if plugin is None:
        return "MISSING"
    why = f": {plugin.replaces}" if plugin.replaces else ""
    return plugin.path or f"none, it is built in{why}"


def _shown(run: Run, *, show_secrets: bool) -> tuple[Mapping[str, str], str]:
    stdin = run.request.stdin.decode()
    if show_secrets:
        return run.request.environment, stdin
    return hidden_environment(run.request.environment), without_secrets(stdin)
