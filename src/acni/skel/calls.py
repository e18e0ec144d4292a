"""From a request to a call: the environment, standard input, and what the version allows.

Rule 1: what a verb needs is required, and all that is missing is named at once (code 4).
Rule 2: standard input is read strictly, as everything here is (code 6).
Rule 3: a verb that the version of the request does not have yet, and a version that the plugin does
    not speak, are refused before anything is done (code 1).
Rule 4: whether the namespace may be the runtime's own is the engine's to decide, which has an
    opt-out for virtual machines. Where no engine of ours is around a plugin it is refused (code 8).

(specification, section 2, "Parameters", "CNI operations"; section 5, "Error"; rules R16, R24, P10)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from acni.errors import AcniError, Busy, InvalidName
from acni.host import netns
from acni.skel.bounds import Bounds
from acni.skel.call import PREVIOUS, Call, Delegate, Leave, OpenNetns, Verbs
from acni.skel.errors import Code, PluginError
from acni.skel.kept import Kept
from acni.skel.reading import Fields
from acni.spec.attachment import AttachmentId
from acni.spec.commands import RULES, Command
from acni.spec.jsontext import JsonError, Member, decode, fold_key, object_members
from acni.spec.names import (
    parse_cni_args_text,
    parse_container_id,
    parse_ifname,
    parse_network_name,
)
from acni.spec.plugin import Request
from acni.spec.result import Result, ResultError, parse_result
from acni.spec.versions import SUPPORTED_VERSIONS, is_at_least

VERSION: Final = "VERSION"

_ATTACHMENT: Final = ("CNI_CONTAINERID", "CNI_IFNAME")
_REQUIRED: Final[Mapping[Command, tuple[str, ...]]] = {
    Command.ADD: (*_ATTACHMENT, "CNI_NETNS"),
    Command.CHECK: (*_ATTACHMENT, "CNI_NETNS"),
    Command.DEL: _ATTACHMENT,
    Command.GC: ("CNI_PATH",),
    Command.STATUS: (),
}
# Of longer ones a few would be much.
_MOST_REMEMBERED_BYTES: Final = 1 << 15
_VERBS: Final = frozenset((*Command, VERSION))
# The second is what the text of 1.1.0 says, the first what is meant.
_VALID: Final = ("cni.dev/valid-attachments", "cni.dev/attachments")


def read_command(environment: Mapping[str, str]) -> str:
    """Read the verb, VERSION included.

    Raises:
        PluginError: there is none, or it is not known.
    """
    command = environment.get("CNI_COMMAND", "")
    if command not in _VERBS:
        message = f"unknown CNI_COMMAND: {command[:20]!a}" if command else "CNI_COMMAND is missing"
        raise PluginError(Code.INVALID_ENVIRONMENT, message)
    return command


def require_variables(command: Command, environment: Mapping[str, str]) -> None:
    """Refuse an environment without what the verb needs.

    Raises:
        PluginError: with the names of the variables.
    """
    missing = [name for name in _REQUIRED[command] if not environment.get(name)]
    if missing:
        message = f"required environment variables are missing: {', '.join(missing)}"
        raise PluginError(Code.INVALID_ENVIRONMENT, message)


def read_configuration(stdin: bytes) -> Mapping[str, Member]:
    """Read standard input.

    Raises:
        PluginError: it is no JSON object.
    """
    try:
        return object_members(decode(stdin))
    except JsonError as error:
        message = f"the configuration is no JSON object: {error}"
        raise PluginError(Code.DECODING_FAILURE, message) from None


def fields_of(members: Mapping[str, Member]) -> Fields:
    """Return a configuration to be read with its places."""
    return Fields({key: member.value for key, member in members.items()})


def read_version(fields: Fields) -> str:
    """Read the version of the request; without one it is 0.1.0.

    Raises:
        PluginError: it is no text.
    """
    return fields.text("cniVersion") or SUPPORTED_VERSIONS[0]


def require_version(verbs: Verbs, command: Command, version: str) -> None:
    """Refuse a version that the plugin does not speak, or that does not have the verb.

    Raises:
        PluginError: with what would do.
    """
    if version not in verbs.versions:
        supported = ", ".join(verbs.versions)
        message = f"cniVersion {version[:40]!a} is not supported"
        details = f"supported: {supported}"
        raise PluginError(Code.INCOMPATIBLE_VERSION, message, details=details)
    since = RULES[command].since
    if not is_at_least(version, since):
        message = f"{command} needs cniVersion {since}, the configuration has {version}"
        raise PluginError(Code.INCOMPATIBLE_VERSION, message)


def make_call(
    command: Command,
    request: Request,
    members: Mapping[str, Member],
    *,
    fields: Fields,
    version: str,
    bounds: Bounds,
    ipam: Delegate,
    leave: Leave,
    warn: Callable[[str], None],
    kept: Kept,
    is_alone: bool,
    own_netns_ok: bool,
    opened: ExitStack,
) -> Call:
    """Make the call of a request.

    Args:
        command: Its verb.
        request: The request.
        members: Its configuration.
        fields: The same, to be read with its places.
        version: Its version.
        bounds: How long it may go on.
        ipam: What it delegates to.
        leave: Where functions are left that only wait.
        warn: Says something on standard error.
        kept: What is kept from call to call.
        is_alone: Whether no runtime of ours is around.
        own_netns_ok: Whether the namespace may be the calling thread's own.
        opened: Closes the namespace.

    Raises:
        PluginError: a variable, or what every plugin reads of its configuration, is not allowed.
    """
    environment = request.environment
    is_on_attachment = RULES[command].is_on_attachment
    try:
        container_id, ifname = "", ""
        if is_on_attachment:
            container_id = parse_container_id(environment["CNI_CONTAINERID"])
            ifname = parse_ifname(environment["CNI_IFNAME"])
        args = parse_cni_args_text(environment.get("CNI_ARGS", ""))
    except InvalidName as error:
        raise PluginError(Code.INVALID_ENVIRONMENT, _named(error)) from None
    path = environment.get("CNI_NETNS", "") if is_on_attachment else ""
    is_short = len(request.stdin) <= _MOST_REMEMBERED_BYTES
    spelled = [key for key in members if len(key) == len(PREVIOUS) and fold_key(key) == PREVIOUS]
    texts = [(key, one.text) for key, one in members.items() if key not in spelled]
    return Call(
        command=command,
        container_id=container_id,
        ifname=ifname,
        netns=_open_netns(command, path, opened, own_netns_ok=own_netns_ok),
        args=args,
        plugin_dirs=tuple(filter(None, environment.get("CNI_PATH", "").split(":"))),
        cni_version=version,
        network=_network_name(fields),
        fields=fields,
        previous=_previous([members[key] for key in spelled], version, kept, is_short=is_short),
        valid=_valid(fields) if command is Command.GC else None,
        bounds=bounds,
        ipam=ipam,
        leave=leave,
        warn=warn,
        kept=kept,
        is_alone=is_alone,
        texts=tuple(texts) if is_short else None,
    )


def _named(error: InvalidName) -> str:
    """Name the variable whose value is not allowed."""
    variables = {"container ID": "CNI_CONTAINERID", "interface name": "CNI_IFNAME"}
    place = error.place or ""
    return f"{variables.get(place, place)} is not allowed: {error.message}"


def _open_netns(
    command: Command, path: str, opened: ExitStack, *, own_netns_ok: bool
) -> OpenNetns | None:
    if not path:
        return None
    try:
        namespace = opened.enter_context(netns.open(path))
    except InvalidName as error:
        if command is Command.DEL:  # the container is gone: that is no failure (P3)
            return None
        message = f"CNI_NETNS is not allowed: {error.message}"
        raise PluginError(Code.INVALID_ENVIRONMENT, message) from None
    except Busy as error:
        raise PluginError(Code.TRY_AGAIN, f"CNI_NETNS cannot be opened: {error.message}") from None
    if not own_netns_ok and _is_own(namespace.fd):
        message = "CNI_NETNS leads to the namespace of the plugin itself"
        raise PluginError(Code.INVALID_NETNS, message, details="CNI_NETNS_OVERRIDE=1 allows it")
    return OpenNetns(path=path, fd=namespace.fd)


def _is_own(fd: int) -> bool:
    """Tell whether an open namespace is the calling thread's; both live, so inodes will do."""
    return os.path.samestat(os.fstat(fd), os.stat("/proc/thread-self/ns/net"))


def _network_name(fields: Fields) -> str:
    name = fields.required_text("name")
    try:
        return parse_network_name(name)
    except AcniError as error:
        raise PluginError(Code.INVALID_CONFIG, f"{error.message} at $.name") from None


def _previous(told: Sequence[Member], version: str, kept: Kept, *, is_short: bool) -> Result | None:
    if not told or told[-1].value is None:  # of two spellings the last counts
        return None
    text = told[-1].text
    try:
        if not is_short:
            return parse_result(text, version)
        # A plugin behind others mostly passes on what the next one is given.
        return kept.parsed((parse_result, text, version), lambda: parse_result(text, version))
    except ResultError as error:
        message = f"no result at $.prevResult: {error}"
        raise PluginError(Code.DECODING_FAILURE, message) from None


def _valid(fields: Fields) -> frozenset[AttachmentId]:
    """Read what is valid; a GC that does not say so may free nothing."""
    key = next((key for key in _VALID if fields.has(key)), None)
    if key is None:
        raise fields.error(_VALID[0], "nothing says what is valid", "a list of attachments")
    return frozenset(
        AttachmentId(one.required_text("containerID"), one.required_text("ifname"))
        for one in fields.objects(key)
    )
