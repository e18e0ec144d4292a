"""The command's words. Flags stand beside the environment variables that cnitool reads."""

from __future__ import annotations

import argparse
import importlib
import math
import os
from collections.abc import Callable, Sequence

# As typing has it, without the 3 ms that importing typing takes from every `acni --help`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, Protocol

    class _Verbs(Protocol):
        """What ``add_subparsers`` returns; argparse has no public name for it."""

        def add_parser(
            self,
            name: str,
            *,
            help: str,  # noqa: A002 (argparse's name)
            description: str,
            aliases: Sequence[str],
            allow_abbrev: bool,
        ) -> argparse.ArgumentParser: ...


_DESCRIPTION = """\
Attach containers to CNI networks, and know afterwards what is attached.

  do        add, del, check      one attachment, in cnitool's language
            netns                network namespaces
            demo                 two pods on a private host, step by step
  look      ls, inspect          what is attached, what is owed, one record
"""

_EPILOG = """\
exit status: 0 done, 1 failed (undone), 2 refused before anything ran, 3 not found, 4 out of time, 5
cleanup is owed, 6 check found a difference, 75 try again later, 130/143 interrupted (undone)
"""


class _VersionAction(argparse.Action):
    """Prints the version; looking it up costs some milliseconds that other calls need not pay."""

    def __call__(self, *_: object, **__: object) -> NoReturn:
        from importlib.metadata import version

        print(f"acni {version('acni')}")
        raise SystemExit(0)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser; ``verb`` of what it returns is the function to call with the arguments."""
    parser = argparse.ArgumentParser(
        prog="acni",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_VersionAction, nargs=0, help="print the version")
    verbs = parser.add_subparsers(metavar="VERB", required=True, title="verbs")
    _add_attach_verbs(verbs)
    _add_look_verbs(verbs)
    _add_netns_verbs(verbs)
    demo = _verb(
        verbs,
        "demo",
        "two pods on a private host: attach, ping, look, detach, prove that nothing is left",
    )
    _plugin_dirs(demo)
    demo.set_defaults(verb=_lazily("acni.cli.demo", "demo"))
    return parser


def _add_attach_verbs(verbs: _Verbs) -> None:
    for name, function, aliases, text in (
        ("add", "add", (), "attach a container to a network and print the result"),
        ("check", "check", (), "check an attachment, with what its record holds"),
        ("del", "delete", ("delete",), "detach a container; a debt resumes where it halted"),
    ):
        verb = _verb(verbs, name, text, aliases)
        optional = None if name == "add" else "?"
        verb.add_argument("network", metavar="NET", nargs=optional, help="the network's name")
        verb.add_argument(
            "netns", metavar="NETNS", nargs=optional, help="the path of the network namespace"
        )
        _identity(verb)
        if name != "check":
            _configuration(verb)
        _plugin_dirs(verb)
        _state_dir(verb)
        _output(verb)
        verb.add_argument(
            "--timeout", type=_seconds, metavar="SECONDS", help="bound all plugins together"
        )
        verb.set_defaults(verb=_lazily("acni.cli.attach", function))


def _add_look_verbs(verbs: _Verbs) -> None:
    listing = _verb(verbs, "ls", "list what is attached, owed, foreign or unreadable")
    _state_dir(listing)
    _output(listing)
    listing.set_defaults(verb=_lazily("acni.cli.look", "list_attachments"))
    inspect = _verb(
        verbs, "inspect", "print the record of one attachment, its configuration decoded"
    )
    inspect.add_argument("container_id", metavar="ID", help="the container's ID")
    inspect.add_argument(
        "-i", "--ifname", metavar="NAME", help="one interface; by default all of the container's"
    )
    inspect.add_argument(
        "--show-secrets", action="store_true", help="print values whose key looks like a secret's"
    )
    _state_dir(inspect)
    _output(inspect)
    inspect.set_defaults(verb=_lazily("acni.cli.look", "inspect"))


def _add_netns_verbs(verbs: _Verbs) -> None:
    netns = _verb(verbs, "netns", "create, delete, or run a program in a network namespace")
    actions = netns.add_subparsers(metavar="ACTION", required=True)
    for name, text in (("create", "make /run/netns/NAME"), ("delete", "remove /run/netns/NAME")):
        action = _verb(actions, name, text)
        action.add_argument("name", metavar="NAME")
        action.set_defaults(verb=_lazily("acni.cli.namespaces", name))
    run = _verb(actions, "run", "become a program inside a namespace")
    run.add_argument("name", metavar="NAME", help="a name below /run/netns, or a path")
    run.add_argument(
        "command", metavar="CMD", nargs=argparse.REMAINDER, help="the program and its arguments"
    )
    run.set_defaults(verb=_lazily("acni.cli.namespaces", "run"))


def _verb(
    verbs: _Verbs, name: str, text: str, aliases: tuple[str, ...] = ()
) -> argparse.ArgumentParser:
    return verbs.add_parser(name, help=text, description=text, aliases=aliases, allow_abbrev=False)


def _identity(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--container-id",
        metavar="ID",
        help="the container's ID (by default cnitool's: made from the namespace's path)",
    )
    verb.add_argument(
        "-i",
        "--ifname",
        metavar="NAME",
        default=os.environ.get("CNI_IFNAME") or "eth0",
        help="the interface in the container [CNI_IFNAME] (default: eth0)",
    )


def _configuration(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--conf-dir",
        metavar="DIR",
        default=os.environ.get("NETCONFPATH") or "/etc/cni/net.d",
        help="the network configurations [NETCONFPATH] (default: /etc/cni/net.d)",
    )
    verb.add_argument(
        "--arg",
        metavar="K=V",
        action="append",
        default=[],
        help="a pair of CNI_ARGS, repeatable [CNI_ARGS]",
    )
    verb.add_argument(
        "--cap",
        metavar="NAME=JSON",
        action="append",
        default=[],
        help="a capability argument, repeatable [CAP_ARGS]",
    )


def _plugin_dirs(verb: argparse.ArgumentParser) -> None:
    from_environment = [path for path in os.environ.get("CNI_PATH", "").split(":") if path]
    verb.add_argument(
        "--plugin-dir",
        metavar="DIR",
        action="append",
        dest="plugin_dirs",
        help="a directory of plugins, repeatable [CNI_PATH] (default: /opt/cni/bin, /usr/lib/cni)",
    )
    verb.set_defaults(plugin_dirs_default=from_environment or ["/opt/cni/bin", "/usr/lib/cni"])


def _state_dir(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--state-dir",
        metavar="DIR",
        default=os.environ.get("ACNI_STATE_DIR") or "/var/lib/cni",
        help="where records lie [ACNI_STATE_DIR] (default: /var/lib/cni)",
    )


def _output(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "-o",
        "--output",
        choices=("human", "json", "jsonl"),
        default="human",
        help="the form of data and of errors",
    )
    noise = verb.add_mutually_exclusive_group()
    noise.add_argument("-q", "--quiet", action="store_true", help="print no advice")
    noise.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="print each step, and what plugins wrote to stderr",
    )


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError("expected seconds, more than 0")
    return seconds


def _lazily(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    def call(arguments: argparse.Namespace) -> int:
        status: int = getattr(importlib.import_module(module), function)(arguments)
        return status

    return call
