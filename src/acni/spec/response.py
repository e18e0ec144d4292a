"""Reading a response: what a plugin printed and how it exited becomes a result or an error with
facts.

Rule 1: the exit status alone decides (R13). With 0, standard output is read for ADD only: Azure's
    plugin prints a result on CHECK, plugins of the 0.1.0 library print one on DEL.
Rule 2: on failure the last object with a ``code`` counts, on standard output first, else the last
    with a ``msg``: the skeleton of the Go plugins prints a result and then an error, and some
    plugins log around it, in JSON with a ``msg``. Keys are folded as Go folds them.

(specification, section 2, "Errors"; section 5, "Error"; rules R13, R43, R45)
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Mapping
from typing import Any, Final

from acni.errors import (
    CheckFailed,
    Facts,
    NotReady,
    PluginError,
    PluginFailed,
    PluginKilled,
    PluginLost,
    PluginNotStarted,
    PluginOverflow,
    PluginProtocolError,
    PluginTimeout,
    TryAgain,
)
from acni.spec.commands import RULES, Command
from acni.spec.jsontext import objects_in, spell_keys, spellings
from acni.spec.planning import Step
from acni.spec.plugin import Ending, Response
from acni.spec.reasons import reason_of
from acni.spec.result import Result, ResultError, parse_result

TRY_AGAIN: Final = 11
NOT_READY: Final = (50, 51)

# A plugin's error object is some hundred bytes at the end of its output; the rest are logs.
_ERROR_TAIL: Final = 64 << 10

_ERROR_KEYS: Final = spellings("code", "msg", "details")
# What acni's own plugins give beside the message; any other plugin may.
_REASON: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
_CODE: Final = re.compile(r"-?[0-9]{1,9}")


def read_response(
    step: Step, response: Response, cni_version: str, *, previous: Result | None = None
) -> Result | None:
    """Read a response: the result of an ADD, nothing for the other verbs (specification, section 5,
    "Success", "Error").

    Args:
        step: The step that was run.
        response: What the run yielded.
        cni_version: The network's selected version.
        previous: The result of the plugin before it. One that changes nothing passes that on as it
            came, and it is not read again.

    Raises:
        PluginError: the plugin failed, was ended or broke the protocol; which, is its class.

    Example:
        >>> step = spec.plan(spec.Command.ADD, network)[0]
        >>> printed = b'{"cniVersion": "1.1.0", "ips": [{"address": "10.88.0.2/16"}]}'
        >>> response = spec.Response(ending=spec.Ending.EXITED, stdout=printed)
        >>> spec.read_response(step, response, network.cni_version).ipv4
        IPv4Address('10.88.0.2')
    """
    require_success(step.command, step, response)
    if not RULES[step.command].has_result:
        return None
    if previous is not None and response.stdout == previous.raw.encode():
        return previous
    try:
        return parse_result(response.stdout, cni_version)
    except ResultError as error:
        raise PluginProtocolError(
            f"{step.command} printed no valid result: {error}{_head(response)}",
            **_facts(step, response),
        ) from None


def require_success(command: str, step: Step, response: Response) -> None:
    """Look whether a run succeeded.

    Args:
        command: What was run, if by a word that is no verb of the specification.
        step: Of which plugin.
        response: What the run yielded.

    Raises:
        PluginError: the plugin failed, or was ended; which, is its class.
    """
    facts = _facts(step, response)
    if response.ending is not Ending.EXITED:
        raise ended(command, response, facts)
    if response.status != 0:
        raise _failed(command, response, facts)


def _facts(step: Step, response: Response) -> Facts:
    return {
        "plugin": step.plugin.type,
        "index": step.index,
        "elapsed": response.seconds,
        "stderr": response.stderr.decode("utf-8", "replace"),
    }


def ended(command: str, response: Response, facts: Facts) -> PluginError:
    """Make the error of a run that did not end by itself, or never began."""
    match response.ending:
        case Ending.OUT_OF_TIME:
            return PluginTimeout(
                f"{command} ran out of time after {response.seconds:.1f} s", **facts
            )
        case Ending.OVER_CAP:
            return PluginOverflow(f"{command} printed more than is taken", **facts)
        case Ending.SIGNALLED:
            return PluginKilled(f"{command} was ended by {_signal_name(response.status)}", **facts)
        case Ending.NOT_STARTED:
            return PluginNotStarted(
                f"could not be started: {_error_name(response.status)}", **facts
            )
        case _:
            return PluginLost("its exit status was taken by somebody else in this process", **facts)


def _failed(command: str, response: Response, facts: Facts) -> PluginError:
    said = _error_object(response)
    if said is None:
        return PluginProtocolError(
            f"{command} exited with {response.status} and no error object{_head(response)}",
            **facts,
        )
    code = _text(said.get("code"))
    facts["code"] = int(code) if code and _CODE.fullmatch(code) else None
    facts["msg"] = _text(said.get("msg"))
    facts["details"] = _text(said.get("details"))
    message = "; ".join(part for part in (facts["msg"], facts["details"]) if part) or "no message"
    message = f"{command} failed with code {code or 'none'}: {message}"
    facts["reason"] = _reason(said.get("reason")) or reason_of(message)
    return _kind(command, facts["code"])(message, **facts)


def _kind(command: str, code: int | None) -> type[PluginFailed]:
    if code == TRY_AGAIN:
        return TryAgain
    if command is Command.STATUS and code in NOT_READY:
        return NotReady
    return CheckFailed if command is Command.CHECK else PluginFailed


def _error_object(response: Response) -> Mapping[str, Any] | None:
    found = [*_objects(response.stderr), *_objects(response.stdout)]
    with_code = [said for said in found if "code" in said]
    with_msg = [said for said in found if "msg" in said]
    return next(reversed(with_code or with_msg), None)


def _objects(output: bytes) -> list[dict[str, Any]]:
    text = output[-_ERROR_TAIL:].decode("utf-8", "replace")
    return [spell_keys(said, _ERROR_KEYS) for said in objects_in(text)]


def _reason(value: object) -> str | None:
    return value if isinstance(value, str) and _REASON.fullmatch(value) else None


def _text(value: object) -> str | None:
    """Read a member of an error loosely: some plugins print the code as text, or no text at all."""
    if value is None or isinstance(value, (dict, list)):
        return None
    return str(value)


def _head(response: Response) -> str:
    """Show how the output begins; standard output is no secret (the result is returned anyway)."""
    head = response.stdout[:80]
    return f" (it printed {head.decode('utf-8', 'replace')!a})" if head else " (it printed nothing)"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _error_name(number: int) -> str:
    return f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
