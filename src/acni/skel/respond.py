"""From a request to a response, through a plugin's verb: what the main function of an executable
does.

Rule 1: whatever goes wrong becomes the specification's error object with exit status 1, and so does
    ``sys.exit``: whoever asked needs the object. What nobody expected says only what kind it was:
    its text may hold anything.
Rule 2: :class:`acni.skel.Stopped` alone goes through: then there is no response.

(specification, section 2, "VERSION"; section 5, "Error", "Version"; rules P9, P10)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from acni.errors import AcniError, Busy
from acni.host.visits import Stranded
from acni.skel.bounds import Bounds
from acni.skel.call import Call, Leave, Verbs, do_now
from acni.skel.calls import (
    VERSION,
    fields_of,
    make_call,
    read_command,
    read_configuration,
    read_version,
    require_variables,
    require_version,
)
from acni.skel.delegation import Delegates, Delegation
from acni.skel.errors import Code, PluginError, code_of
from acni.skel.kept import Kept
from acni.skel.results import result_text
from acni.spec.commands import Command
from acni.spec.jsontext import JsonError, dump
from acni.spec.plugin import Ending, Request, Response
from acni.spec.versions import SUPPORTED_VERSIONS

# What is answered where somebody took away what an ADD made.
LOST: Final = b"lost"


def run_verb(verbs: Verbs, call: Call) -> str:
    """Run the verb of a call; return what it prints.

    Raises:
        PluginError: it refused.
    """
    match call.command:
        case Command.ADD:
            return result_text(verbs.add(call), call.cni_version)
        case Command.DEL:
            verbs.delete(call)
        case Command.CHECK | Command.GC | Command.STATUS:
            verb = {Command.CHECK: verbs.check, Command.GC: verbs.gc, Command.STATUS: verbs.status}
            if (run := verb[call.command]) is not None:
                run(call)
    return ""


def look_for_lost(verbs: Verbs, call: Call) -> str:
    """Look whether somebody took away what an ADD made; return ``LOST`` where that is so.

    Raises:
        PluginError: it cannot be said.
    """
    return LOST.decode() if verbs.restore is not None and verbs.restore(call) is not None else ""


def put_back(verbs: Verbs, call: Call) -> str:
    """Put back what somebody took away; return ``LOST`` where there was something.

    Raises:
        PluginError: it is another one's by now, or the kernel refuses.
    """
    put = None if verbs.restore is None else verbs.restore(call)
    if put is None:
        return ""
    call.bounds.check()
    put()
    return LOST.decode()


def respond(
    verbs: Verbs,
    request: Request,
    *,
    bounds: Bounds,
    delegates: Delegates,
    guard: int | None = None,
    leave: Leave = do_now,
    own_netns_ok: bool = True,
    kept: Kept | None = None,
    run: Callable[[Verbs, Call], str] = run_verb,
) -> Response:
    """Run a plugin's verb in the calling thread, and answer as its executable would.

    Args:
        verbs: The plugin.
        request: Environment and standard input.
        bounds: How long it may go on.
        delegates: Where the plugins that it delegates to come from.
        guard: A descriptor that executables among them inherit, or None.
        leave: Where it leaves functions that only wait.
        own_netns_ok: Whether the container's namespace may be the calling thread's own.
        kept: What is kept from call to call; None, nothing is.
        run: What is run; all but the verb itself needs no more than an attachment.

    Returns:
        The response: it exited, with 0 or with 1 and an error object on standard output.

    Raises:
        Stopped: the verb ended because it was told to, or is out of time.
    """
    version = ""
    warnings: list[str] = []
    try:
        verb = read_command(request.environment)
        # First of all the version: what else is wrong is told in it.
        members = read_configuration(request.stdin)
        fields = fields_of(members)
        version = read_version(fields)
        if verb == VERSION:
            return _exited(dump(_versions(verbs, version)))
        command = Command(verb)
        if run is run_verb:
            require_variables(command, request.environment)
            require_version(verbs, command, version)
        ipam = Delegation(request, bounds, delegates, guard)
        with ExitStack() as opened:
            ipam.call = call = make_call(
                command,
                request,
                members,
                fields=fields,
                version=version,
                bounds=bounds,
                ipam=ipam,
                leave=leave,
                warn=warnings.append,
                kept=kept or opened.enter_context(Kept()),
                is_alone=kept is None,
                own_netns_ok=own_netns_ok,
                opened=opened,
            )
            return _exited(run(verbs, call), warnings)
    except Stranded:  # whose thread this is sees that, too, and ends it
        message = "the thread cannot come back from a container's namespace"
        return refuse(PluginError(Code.TRY_AGAIN, message), version)
    except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever it is, it is answered)
        return refuse(refusal_of(error), version)


def refusal_of(error: Exception | SystemExit) -> PluginError:
    """Say what went wrong as a plugin does."""
    match error:
        case PluginError():
            return error
        case Busy():
            return PluginError(Code.TRY_AGAIN, error.message)
        case AcniError():
            return PluginError(Code.IO_FAILURE, error.message)
        case OSError():
            return PluginError(code_of(error.errno), error.strerror or type(error).__name__)
        case _:
            message = f"an unexpected {type(error).__name__}"
            return PluginError(Code.INTERNAL, message, details=_place_of(error))


def _place_of(error: BaseException) -> str:
    """Say where in the code it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else ""


def _versions(verbs: Verbs, version: str) -> Mapping[str, object]:
    said = version if version in SUPPORTED_VERSIONS else verbs.versions[-1]
    return {"cniVersion": said, "supportedVersions": list(verbs.versions)}


def _exited(stdout: str, warnings: Sequence[str] = ()) -> Response:
    stderr = "".join(f"{warning}\n" for warning in warnings)
    return Response(ending=Ending.EXITED, stdout=stdout.encode(), stderr=stderr.encode())


def refuse(error: PluginError, version: str = "") -> Response:
    """Answer with the specification's error object.

    Args:
        error: What it says.
        version: The version of the request; empty where it is not known.
    """
    told: dict[str, object] = {"cniVersion": version or SUPPORTED_VERSIONS[-1]}
    told |= {"code": error.code, "msg": error.msg}
    if error.details:
        told["details"] = error.details
    if error.reason is not None:
        told["reason"] = error.reason
    try:
        stdout = dump(told)
    except JsonError:
        stdout = dump({"code": int(Code.INTERNAL), "msg": "an error that cannot be written"})
    return Response(ending=Ending.EXITED, status=1, stdout=stdout.encode())
