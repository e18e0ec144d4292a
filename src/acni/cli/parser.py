"""The command's words. Flags stand beside the environment variables that cnitool reads."""

from __future__ import annotations

import argparse
import importlib
import math
import os
from collections.abc import Callable, Iterable, Sequence

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
            formatter_class: type[argparse.HelpFormatter],
        ) -> argparse.ArgumentParser: ...


_DESCRIPTION = "Attach containers to CNI networks, and know afterwards what is attached."

# Every verb by the question it answers, and what it does.
GROUPS = {
    "do": {
        "add": "attach a container to a network and print the result",
        "check": "check an attachment, with what its record holds",
        "del": "detach a container; a debt resumes where it halted",
        "run": "run a command in a network namespace of its own, with an address",
        "netns": "create, delete, or run a program in a network namespace",
        "demo": "two pods on a private host: attach, ping, publish, crash, recover, nothing left",
    },
    "look": {
        "ls": "list what is attached, owed, foreign or unreadable",
        "inspect": "print the record of one attachment, its configuration decoded",
        "networks": "list the networks: which file is used for each, and why others are not",
        "status": "ask the plugins of a network, or of all, whether they are ready",
        "version": "ask plugins which versions of the specification they support",
        "validate": "look whether every plugin of a network is there and supports its version",
        "plan": "print what a verb would run, and run nothing",
    },
    "mend": {
        "gc": "detach what is not kept of a network, and have its plugins collect",
        "recover": "settle what killed runtimes left, and what is owed",
        "debt": "list, retry or forget the deletes that are still owed",
    },
    "measure": {
        "bench": "measure a network's chain, or find plugins that race each other",
    },
    "set up": {
        "completion": "print a shell's completions for this command",
        "man": "print the manual page",
    },
}
_USUAL_COLUMNS = 80
_BENCHES = {
    "chain": "attach and detach again and again, and say where the time goes",
    "race": "attach more and more containers at once to fresh hosts, and say what fails when",
}
_HELP = {name: text for group in GROUPS.values() for name, text in group.items()}

_EPILOG = """\
exit status: 0 done, 1 failed (undone), 2 refused before anything ran, 3 not found, 4 out of time, 5
cleanup is owed, 6 check found a difference, 74 done but not printed, 75 try again later, 130/143
interrupted (undone)
"""


class _VersionAction(argparse.Action):
    """Prints the version; looking it up costs some milliseconds that other calls need not pay."""

    def __call__(self, *_: object, **__: object) -> NoReturn:
        from importlib.metadata import version

        print(f"acni {version('acni')}")
        raise SystemExit(0)


class _Help(argparse.HelpFormatter):
    """Knows how wide the terminal is, as ``shutil.get_terminal_size`` does: importing that, which
    argparse does for each option, is 2 ms of every call.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


class _GroupedHelp(_Help, argparse.RawDescriptionHelpFormatter):
    """Leaves the list of the verbs as it is."""


def build_parser(first: str | None = None) -> argparse.ArgumentParser:
    """Build the parser; ``verb`` of what it returns loads the function to call with the arguments.

    Args:
        first: The first of the words to be parsed, where they are known: then only those verbs are
            built that it may need. All of them take a third of an ``acni --help``.
    """
    parser = argparse.ArgumentParser(
        prog="acni",
        usage="acni VERB [ARGUMENT ...]",
        description=f"{_DESCRIPTION}\n\n{_grouped()}",
        epilog=_EPILOG,
        formatter_class=_GroupedHelp,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_VersionAction, nargs=0, help="print the version")
    # The description lists them, in groups.
    verbs = parser.add_subparsers(
        metavar="VERB", required=True, prog="acni", help=argparse.SUPPRESS
    )
    for add in _needed(first):
        add(verbs)
    return parser


def _needed(first: str | None) -> Iterable[Callable[[_Verbs], None]]:
    if first in ("-h", "--help", "--version"):
        return ()  # the description lists the verbs
    adders: dict[str, Callable[[_Verbs], None]] = {
        **dict.fromkeys(("add", "check", "del", "delete"), _add_attach_verbs),
        "run": _add_run,
        "netns": _add_netns_verbs,
        "demo": _add_demo,
        **dict.fromkeys(("ls", "inspect"), _add_record_verbs),
        **dict.fromkeys(("networks", "status", "version", "validate"), _add_network_verbs),
        "plan": _add_plan,
        "gc": _add_gc,
        "recover": _add_recover_verb,
        "debt": _add_debt_verbs,
        "bench": _add_bench_verbs,
        **dict.fromkeys(("completion", "man"), _add_set_up_verbs),
    }
    return (adders[first],) if first in adders else dict.fromkeys(adders.values())


def spell_out(argv: Sequence[str]) -> Sequence[str]:
    """Say in full what ``acni bench NET`` leaves out; a network called as one of the two words is
    measured by ``acni bench chain race``.
    """
    if len(argv) > 1 and argv[0] == "bench" and argv[1] not in (*_BENCHES, "-h", "--help"):
        return [argv[0], "chain", *argv[1:]]
    return argv


def _grouped() -> str:
    width = max(map(len, _HELP))
    return "\n\n".join(
        "\n".join([f"{group}:", *(f"  {name:{width}}  {text}" for name, text in verbs.items())])
        for group, verbs in GROUPS.items()
    )


def _add_attach_verbs(verbs: _Verbs) -> None:
    for name, function, aliases in (
        ("add", "add", ()),
        ("check", "check", ()),
        ("del", "delete", ("delete",)),
    ):
        verb = _verb(verbs, name, aliases=aliases)
        optional = None if name == "add" else "?"
        verb.add_argument("network", metavar="NET", nargs=optional, help="the network's name")
        _netns(verb, nargs=optional)
        _identity(verb)
        if name != "check":
            _conf_dir(verb)
            _arguments(verb)
        _plugin_dirs(verb)
        _state_dir(verb)
        _timeout(verb)
        _trace(verb)
        _output(verb)
        verb.set_defaults(verb=_lazily("acni.cli.attach", function))


def _add_run(verbs: _Verbs) -> None:
    run = _verb(verbs, "run")
    where = run.add_mutually_exclusive_group()
    where.add_argument(
        "--subnet",
        metavar="S",
        dest="subnets",
        type=_subnet,
        action="append",
        help="where its address comes from, repeatable, for one of each family (default: "
        "10.213.0.0/22)",
    )
    where.add_argument(
        "--network", metavar="NET", help="a network of the configuration directory instead"
    )
    run.add_argument(
        "-p",
        "--publish",
        metavar="PORT",
        dest="ports",
        type=_port,
        action="append",
        default=[],
        help="let a port of the host lead to it, repeatable: [[IP:]HOSTPORT:]PORT[/PROTOCOL]; one "
        "is picked without HOSTPORT. As root only",
    )
    run.add_argument(
        "--grace",
        type=_seconds,
        metavar="SECONDS",
        default=10.0,
        help="kill the command so long after it was told to end (default: 10)",
    )
    _ifname(run)
    _conf_dir(run)
    _plugin_dirs(run)
    _state_dir(run)
    _timeout(run)
    _trace(run)
    _noise(run)
    run.add_argument(
        "command", metavar="CMD", nargs=argparse.REMAINDER, help="the command and its arguments"
    )
    run.set_defaults(verb=_lazily("acni.cli.run", "run"), output="human")


def _add_demo(verbs: _Verbs) -> None:
    demo = _verb(verbs, "demo")
    _trace(demo)
    demo.set_defaults(verb=_lazily("acni.cli.demo", "demo"))


def _add_record_verbs(verbs: _Verbs) -> None:
    listing = _verb(verbs, "ls")
    _state_dir(listing)
    _output(listing)
    listing.set_defaults(verb=_lazily("acni.cli.look", "list_attachments"))
    inspect = _verb(verbs, "inspect")
    inspect.add_argument("container_id", metavar="ID", help="the container's ID")
    inspect.add_argument(
        "-i", "--ifname", metavar="NAME", help="one interface; by default all of the container's"
    )
    _show_secrets(inspect)
    _state_dir(inspect)
    _output(inspect)
    inspect.set_defaults(verb=_lazily("acni.cli.look", "inspect"))


def _add_network_verbs(verbs: _Verbs) -> None:
    networks = _verb(verbs, "networks")
    _conf_dir(networks)
    _output(networks)
    networks.set_defaults(verb=_lazily("acni.cli.networks", "list_networks"))
    for name in ("status", "version", "validate"):
        verb = _verb(verbs, name)
        if name == "version":
            verb.add_argument("plugins", metavar="PLUGIN", nargs="+", help="a plugin's type")
        else:
            optional = "?" if name == "status" else None
            text = "the network's name" + ("; by default all" if optional else "")
            verb.add_argument("network", metavar="NET", nargs=optional, help=text)
            _conf_dir(verb)
        if name == "status":
            _state_dir(verb)
        _plugin_dirs(verb)
        each = "network's plugins together" if name == "status" else "plugin's answer"
        _timeout(verb, f"bound each {each}")
        _trace(verb)
        _output(verb)
        verb.set_defaults(verb=_lazily("acni.cli.health", name))


def _add_plan(verbs: _Verbs) -> None:
    plan = _verb(verbs, "plan")
    plan.add_argument(
        "rehearsed",
        metavar="VERB",
        choices=("add", "check", "del", "status"),
        help="the verb: add, check, del or status",
    )
    plan.add_argument("network", metavar="NET", help="the network's name")
    _netns(plan, nargs="?")
    _identity(plan)
    plan.add_argument(
        "--shell",
        action="store_true",
        help="print lines for a POSIX shell that run the plugins, with --show-secrets only",
    )
    _show_secrets(plan)
    _conf_dir(plan)
    _arguments(plan)
    _plugin_dirs(plan)
    _state_dir(plan)
    _output(plan)
    plan.set_defaults(verb=_lazily("acni.cli.plan", "plan"))


def _add_debt_verbs(verbs: _Verbs) -> None:
    actions = _verb(verbs, "debt").add_subparsers(metavar="ACTION", required=True)
    for name, function, text in (
        ("list", "list_owed", "list the deletes that are owed, and why"),
        ("retry", "retry", "delete what is owed, beginning where it halted"),
        ("forget", "forget", "give up what is owed: no plugin runs, what they hold stays held"),
    ):
        action = _verb(actions, name, text)
        if name != "list":
            action.add_argument(
                "--container-id",
                metavar="ID",
                required=name == "forget",
                help="the container's ID" + ("" if name == "forget" else "; by default all"),
            )
            action.add_argument(
                "-i",
                "--ifname",
                metavar="NAME",
                help="one interface; by default all of the container's",
            )
        if name == "forget":
            action.add_argument(
                "--reason", metavar="TEXT", required=True, help="why; observers are told"
            )
        if name == "retry":
            _plugin_dirs(action)
            _timeout(action, "bound each debt's plugins together")
        if name != "list":
            _trace(action)
        _state_dir(action)
        _output(action)
        action.set_defaults(verb=_lazily("acni.cli.debts", function))


def _add_gc(verbs: _Verbs) -> None:
    gc = _verb(verbs, "gc")
    gc.add_argument("network", metavar="NET", help="the network's name")
    kept = gc.add_mutually_exclusive_group(required=True)
    kept.add_argument(
        "--keep",
        metavar="ID/IFNAME",
        action="append",
        help="an attachment that stays, repeatable (without /IFNAME: eth0)",
    )
    kept.add_argument(
        "--keep-from",
        metavar="FILE",
        help="a file with the attachments that stay, one on a line; - reads standard input",
    )
    kept.add_argument("--all", action="store_true", help="nothing stays")
    gc.add_argument(
        "--dry-run", action="store_true", help="only say what would be deleted; takes no lock"
    )
    gc.add_argument(
        "--foreign", action="store_true", help="collect what other writers attached, too"
    )
    _conf_dir(gc)
    _plugin_dirs(gc)
    _state_dir(gc)
    _timeout(gc, "bound all that follows the wait for others")
    _trace(gc)
    _output(gc)
    gc.set_defaults(verb=_lazily("acni.cli.gc", "gc"))


def _add_recover_verb(verbs: _Verbs) -> None:
    recover = _verb(verbs, "recover")
    recover.add_argument(
        "--assume-rebooted",
        action="store_true",
        help="what was attached from another host network namespace counts as of an earlier boot",
    )
    _plugin_dirs(recover)
    _state_dir(recover)
    _timeout(recover, "bound the plugins of each attachment together")
    _trace(recover)
    _output(recover)
    recover.set_defaults(verb=_lazily("acni.cli.debts", "recover"))


def _add_bench_verbs(verbs: _Verbs) -> None:
    actions = _verb(verbs, "bench").add_subparsers(metavar="ACTION", required=True)
    for name, text in _BENCHES.items():
        action = _verb(actions, name, text)
        action.add_argument("network", metavar="NET", help="the network's name")
        if name == "chain":
            _add_measuring(action)
            _trace(action)
        else:
            _add_hunting(action)
        _conf_dir(action)
        _arguments(action)
        _plugin_dirs(action)
        _timeout(action, "bound all of it (default: 600)")
        action.set_defaults(verb=_lazily("acni.cli.bench", name), timeout=600.0)
        _output(action)


def _add_measuring(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--count",
        type=_count,
        metavar="N",
        default=50,
        help="attach and detach so often (default: 50)",
    )
    action.add_argument(
        "--at-once",
        type=_count,
        metavar="N",
        action="append",
        help="so many containers at once, repeatable (default: 1)",
    )
    action.add_argument(
        "--warm-up",
        type=_count,
        metavar="N",
        default=1,
        help="before, attach and detach so often unmeasured (default: 1)",
    )
    action.add_argument(
        "--netns",
        metavar="NETNS",
        action="append",
        help="measure in this namespace on the host as it is, repeatable; by default in namespaces "
        "of a private host",
    )
    action.add_argument("--html", metavar="FILE", help="write a page with pictures")
    beside = action.add_mutually_exclusive_group()
    beside.add_argument(
        "--compare", metavar="FILE", help="print ratios to what an earlier -o json printed"
    )
    beside.add_argument(
        "--against",
        choices=("builtin", "executable"),
        help="measure built-in plugins, or executables, by turns with the other kind, and print "
        "ratios",
    )
    _ifname(action)
    _state_dir(action)


def _add_hunting(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--up-to",
        type=_count,
        metavar="N",
        default=32,
        help="attach 1, 2, 4 and so on up to N containers at once (default: 32)",
    )
    action.add_argument(
        "--rounds",
        type=_count,
        metavar="N",
        default=10,
        help="so often each, on a fresh private host every time (default: 10)",
    )
    action.add_argument(
        "--first-add-alone",
        action="store_true",
        help="let the runtime make a network's first ADD alone, as it does elsewhere",
    )


def _add_set_up_verbs(verbs: _Verbs) -> None:
    completion = _verb(verbs, "completion")
    completion.add_argument(
        "shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish"
    )
    completion.set_defaults(verb=_lazily("acni.cli.completion", "completion"))
    _verb(verbs, "man").set_defaults(verb=_lazily("acni.cli.manual", "manual"))


def _add_netns_verbs(verbs: _Verbs) -> None:
    actions = _verb(verbs, "netns").add_subparsers(metavar="ACTION", required=True)
    for name, text in (("create", "make /run/netns/NAME"), ("delete", "remove /run/netns/NAME")):
        action = _verb(actions, name, text)
        action.add_argument("name", metavar="NAME", help="the namespace's name")
        action.set_defaults(verb=_lazily("acni.cli.namespaces", name))
    run = _verb(actions, "run", "become a program inside a namespace")
    run.add_argument("name", metavar="NAME", help="a name below /run/netns, or a path")
    run.add_argument(
        "command", metavar="CMD", nargs=argparse.REMAINDER, help="the program and its arguments"
    )
    run.set_defaults(verb=_lazily("acni.cli.namespaces", "run"))


def _verb(
    verbs: _Verbs, name: str, text: str = "", *, aliases: tuple[str, ...] = ()
) -> argparse.ArgumentParser:
    text = text or _HELP[name]
    return verbs.add_parser(
        name,
        help=text,
        description=text,
        aliases=aliases,
        allow_abbrev=False,
        formatter_class=_Help,
    )


def _netns(verb: argparse.ArgumentParser, *, nargs: str | None) -> None:
    verb.add_argument(
        "netns", metavar="NETNS", nargs=nargs, help="the path of the network namespace"
    )


def _identity(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--container-id",
        metavar="ID",
        help="the container's ID (by default cnitool's: made from the namespace's path)",
    )
    _ifname(verb)


def _ifname(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "-i",
        "--ifname",
        metavar="NAME",
        default=os.environ.get("CNI_IFNAME") or "eth0",
        help="the interface in the container [CNI_IFNAME] (default: eth0)",
    )


def _conf_dir(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--conf-dir",
        metavar="DIR",
        default=os.environ.get("NETCONFPATH") or "/etc/cni/net.d",
        help="the network configurations [NETCONFPATH] (default: /etc/cni/net.d)",
    )


def _arguments(verb: argparse.ArgumentParser) -> None:
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
    kinds = verb.add_mutually_exclusive_group()
    kinds.add_argument(
        "--builtin",
        action="store_const",
        const="builtin",
        dest="runner",
        help="run built-in plugins only (default: where there is no executable)",
    )
    kinds.add_argument(
        "--no-builtin",
        action="store_const",
        const="executable",
        dest="runner",
        help="run executables only",
    )


def _state_dir(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--state-dir",
        metavar="DIR",
        default=os.environ.get("ACNI_STATE_DIR") or "/var/lib/cni",
        help="where records lie [ACNI_STATE_DIR] (default: /var/lib/cni)",
    )


def _timeout(verb: argparse.ArgumentParser, text: str = "bound all plugins together") -> None:
    verb.add_argument("--timeout", type=_seconds, metavar="SECONDS", help=text)


def _trace(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--trace",
        metavar="FILE",
        help="write what happens to a file that ui.perfetto.dev draws, overwriting it",
    )


def _show_secrets(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--show-secrets",
        action="store_true",
        help="print arguments, and values whose key looks like a secret's",
    )


def _output(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "-o",
        "--output",
        metavar="FORM",
        choices=("human", "json", "jsonl"),
        default="human",
        help="the form of data and of errors: human, json or jsonl",
    )
    _noise(verb)


def _noise(verb: argparse.ArgumentParser) -> None:
    noise = verb.add_mutually_exclusive_group()
    noise.add_argument("-q", "--quiet", action="store_true", help="print no advice")
    noise.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="print each step, and what plugins wrote to stderr",
    )


def _columns() -> int:
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    try:
        return os.get_terminal_size().columns or _USUAL_COLUMNS
    except OSError:  # closed, or no terminal
        return _USUAL_COLUMNS


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("expected a whole number, 1 or more")
    return count


def _subnet(text: str) -> str:
    from acni.errors import ConfigError
    from acni.spec.subnets import parse_subnet

    try:
        return str(parse_subnet(text, place="--subnet"))
    except ConfigError as error:
        message = f"{error.message}; expected {error.expected}"
        raise argparse.ArgumentTypeError(message) from None


def _port(text: str) -> object:
    from acni.cli.ports import parse_port
    from acni.errors import ConfigError

    try:
        return parse_port(text)
    except ConfigError as error:  # what was expected is said with it
        raise argparse.ArgumentTypeError(error.message) from None


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError("expected seconds, more than 0")
    return seconds


def _lazily(module: str, function: str) -> Callable[[], Callable[[argparse.Namespace], int]]:
    def load() -> Callable[[argparse.Namespace], int]:
        verb: Callable[[argparse.Namespace], int] = getattr(
            importlib.import_module(module), function
        )
        return verb

    return load
