"""A response becomes a result or an error: the exit status alone decides which."""

from __future__ import annotations

import copy
import errno
import json
import pickle
import signal
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.errors import (
    AcniError,
    CheckFailed,
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
from acni.events import Debt, RollbackFinished
from acni.spec import Command, Ending, Response, Result, parse_network, plan, read_response

# STATUS, which is about no attachment, has tests of its own.
ON_ATTACHMENTS = [Command.ADD, Command.DEL, Command.CHECK]

_NETWORK = parse_network(
    b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"first"},{"type":"second"}]}'
)
_RESULT = '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}'
_ERROR = '{"cniVersion":"1.0.0","code":7,"msg":"no address","details":"the range is full"}'


def _read(response: Response, command: Command = Command.ADD) -> Result | None:
    """Read the response of the second plugin of a chain."""
    step = next(step for step in plan(command, _NETWORK) if step.index == 1)
    return read_response(step, response, _NETWORK.cni_version)


def _exited(status: int, stdout: str | bytes = b"", stderr: str | bytes = b"") -> Response:
    return Response(
        ending=Ending.EXITED,
        status=status,
        stdout=stdout.encode() if isinstance(stdout, str) else stdout,
        stderr=stderr.encode() if isinstance(stderr, str) else stderr,
        seconds=1.25,
    )


def _error(response: Response, command: Command = Command.ADD) -> PluginError:
    with pytest.raises(PluginError) as caught:
        _read(response, command)
    return caught.value


@pytest.mark.rule("R13")
def test_an_add_that_succeeds_yields_its_result() -> None:
    result = _read(_exited(0, _RESULT + "\n", stderr="a log"))
    assert result is not None
    assert result.raw == _RESULT
    assert str(result.ipv4) == "10.0.0.2"


def test_a_result_that_is_passed_on_as_it_came_is_not_read_again() -> None:
    step = next(step for step in plan(Command.ADD, _NETWORK) if step.index == 1)
    first = _read(_exited(0, _RESULT))
    assert first is not None
    for printed, is_same in ((first.raw, True), (first.raw + "\n", False), ("{}", False)):
        response = _exited(0, printed)
        result = read_response(step, response, _NETWORK.cni_version, previous=first)
        assert (result is first) == is_same
        assert result == read_response(step, response, _NETWORK.cni_version)


@pytest.mark.rule("R13")
@pytest.mark.parametrize("command", [Command.DEL, Command.CHECK])
@pytest.mark.parametrize(
    "stdout",
    [
        pytest.param(b"", id="R13 empty"),
        pytest.param(_RESULT, id="R13 a result"),
        pytest.param(_ERROR, id="R13 an error object"),
        pytest.param(b"\xff\x00 {", id="R13 rubbish"),
        pytest.param(b"[" * 60_000, id="R13 hostile"),
    ],
)
def test_a_delete_or_check_that_exits_with_0_is_never_read(
    command: Command, stdout: str | bytes
) -> None:
    assert _read(_exited(0, stdout), command) is None


@pytest.mark.rule("R13", "R42")
@pytest.mark.parametrize(
    ("stdout", "message"),
    [
        pytest.param("", "(it printed nothing)", id="R13 empty"),
        pytest.param(_ERROR, "an error object, where a result was expected", id="R13 error object"),
        pytest.param("log\n" + _RESULT, "(it printed 'log\\n{", id="R13 a log before"),
        pytest.param(_RESULT + _RESULT, "text after the JSON object", id="R13 two results"),
        pytest.param(
            '{"cniVersion":"1.0.0","ips":[7]}', "expected an object at $.ips[0]", id="R42 no object"
        ),
        pytest.param('{"cniVersion":"9.0.0"}', "unknown version '9.0.0'", id="R42 unknown version"),
        pytest.param(b"\xff\xfe\x1b[31m", "not UTF-8 at byte 0", id="R13 no UTF-8"),
    ],
)
def test_an_add_that_exits_with_0_and_no_result_broke_the_protocol(
    stdout: str | bytes, message: str
) -> None:
    error = _error(_exited(0, stdout, stderr="why"))
    assert type(error) is PluginProtocolError
    assert "ADD printed no valid result" in str(error)
    assert message in str(error)
    assert str(error).isascii()
    assert str(error).isprintable()
    assert error.stderr == "why"
    assert "ResultError" not in "".join(traceback.format_exception(error))


@pytest.mark.rule("R13")
@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [
        pytest.param(_ERROR, "", id="R13 the object alone"),
        pytest.param(_RESULT + _ERROR, "", id="R13 a result and then an error"),
        pytest.param(_RESULT + "\n" + json.dumps(json.loads(_ERROR), indent=4), "", id="R13 Go's"),
        pytest.param("I0101 main.go:1] {Name:x}\n" + _ERROR, "", id="R13 logs before"),
        pytest.param(_ERROR + "\nexit status 1\n", "", id="R13 text after"),
        pytest.param(_ERROR + _RESULT, "", id="R13 a result after"),
        pytest.param('{"level":"info","msg":"log"}\n' * 1000 + _ERROR, "", id="R13 JSON logs"),
        pytest.param("x" * 100_000 + _ERROR, "", id="R13 long logs"),
        pytest.param("", _ERROR, id="R13 on stderr only"),
        pytest.param(_RESULT, "a log\n" + _ERROR, id="R13 a result, the error on stderr"),
        pytest.param(_ERROR, '{"code":1,"msg":"other"}', id="R13 stdout before stderr"),
        pytest.param(b"\xff\xfe" + _ERROR.encode(), "", id="R13 not UTF-8 before"),
        pytest.param(_ERROR + '{"level":"info","msg":"bye"}', "", id="R13 a JSON log after"),
        pytest.param('{"level":"info","msg":"bye"}', _ERROR, id="R13 a log, the error on stderr"),
        pytest.param(
            '{"Code":7,"MSG":"no address","Details":"the range is full"}', "", id="R13 Go's keys"
        ),
        pytest.param('{"a":' + _ERROR, "", id="R13 in an unclosed object"),
    ],
)
@pytest.mark.parametrize("status", [1, 2, 255])
def test_what_a_failed_plugin_said_is_found(stdout: str | bytes, stderr: str, status: int) -> None:
    error = _error(_exited(status, stdout, stderr))
    assert type(error) is PluginFailed
    assert (error.code, error.msg, error.details) == (7, "no address", "the range is full")
    assert error.message == "ADD failed with code 7: no address; the range is full"
    assert str(error) == f"plugin second: {error.message}"
    assert (error.plugin, error.index, error.elapsed) == ("second", 1, 1.25)


@pytest.mark.rule("R13", "R43")
@pytest.mark.parametrize(
    ("said", "code", "msg", "message"),
    [
        pytest.param({"code": "7", "msg": "x"}, 7, "x", "code 7: x", id="R13 code as text"),
        pytest.param({"code": "-3", "msg": "x"}, -3, "x", "code -3: x", id="R13 negative text"),
        pytest.param({"code": -1, "msg": "x"}, -1, "x", "code -1: x", id="R13 negative"),
        pytest.param({"code": 999, "msg": "x"}, 999, "x", "code 999: x", id="R43 Go's internal"),
        pytest.param({"code": 0, "msg": ""}, 0, "", "code 0: no message", id="R13 zero and empty"),
        pytest.param({"msg": "x"}, None, "x", "code none: x", id="R13 no code"),
        pytest.param({"code": 7}, 7, None, "code 7: no message", id="R13 no msg"),
        pytest.param({"code": "EX", "msg": "x"}, None, "x", "code EX: x", id="R13 a word as code"),
        pytest.param({"code": None, "msg": "x"}, None, "x", "code none: x", id="R13 null"),
        pytest.param({"code": True, "msg": "x"}, None, "x", "code True: x", id="R13 true"),
        pytest.param({"code": 7.5, "msg": "x"}, None, "x", "code 7.5: x", id="R13 float"),
        pytest.param({"code": [7], "msg": "x"}, None, "x", "code none: x", id="R13 list"),
        pytest.param({"code": 7, "msg": 5}, 7, "5", "code 7: 5", id="R13 number as msg"),
        pytest.param({"code": 7, "msg": {"a": 1}}, 7, None, "code 7: no message", id="R13 object"),
        pytest.param({"code": "\u0667", "msg": "x"}, None, "x", "code \u0667: x", id="R13 Arabic"),
        pytest.param({"code": "11\n", "msg": "x"}, None, "x", "code 11\\n: x", id="R13 newline"),
        pytest.param({"code": "--1", "msg": "x"}, None, "x", "code --1: x", id="R13 two signs"),
        pytest.param({"code": "-", "msg": "x"}, None, "x", "code -: x", id="R13 a sign alone"),
        pytest.param({"code": "1:", "msg": "x"}, None, "x", "code 1:: x", id="R13 after the nine"),
        pytest.param({"code": "1/", "msg": "x"}, None, "x", "code 1/: x", id="R13 before the 0"),
        pytest.param(
            {"code": 999_999_999}, 999_999_999, None, "code 999999999: no message", id="R13 nine"
        ),
        pytest.param(
            {"code": 10**9}, None, None, "code 1000000000: no message", id="R13 ten digits"
        ),
    ],
)
def test_an_error_object_is_read_loosely(
    said: Mapping[str, object], code: int | None, msg: str | None, message: str
) -> None:
    error = _error(_exited(1, json.dumps(said)))
    assert type(error) is PluginFailed
    assert (error.code, error.msg) == (code, msg)
    assert error.message == f"ADD failed with {message}"


@pytest.mark.rule("R45")
@pytest.mark.parametrize("code", [11, "11"], ids=["number", "text"])
@pytest.mark.parametrize("command", ON_ATTACHMENTS)
def test_code_11_is_try_again_for_every_verb(command: Command, code: object) -> None:
    """R45: from CHECK it is "not now", never "the check found a difference"."""
    error = _error(_exited(1, json.dumps({"code": code, "msg": "later"})), command)
    assert type(error) is TryAgain
    assert error.retryable
    assert error.exit_status == 75
    assert error.code == 11


@pytest.mark.rule("R21", "R43")
@pytest.mark.parametrize("code", [1, 3, 7, 50, 51, 100, None])
def test_a_check_that_fails_found_a_difference(code: int | None) -> None:
    error = _error(_exited(1, json.dumps({"code": code, "msg": "no route"})), Command.CHECK)
    assert type(error) is CheckFailed
    assert error.exit_status == 6
    assert not error.retryable
    assert error.code == code


@pytest.mark.rule("R43", "R44")
@pytest.mark.parametrize("code", [3, 50, 51, 100])
@pytest.mark.parametrize("command", [Command.ADD, Command.DEL])
def test_no_other_code_is_special(command: Command, code: int) -> None:
    assert type(_error(_exited(1, json.dumps({"code": code})), command)) is PluginFailed


@pytest.mark.rule("R43", "R45")
@pytest.mark.parametrize(
    ("command", "code", "kind"),
    [
        pytest.param(Command.STATUS, 49, PluginFailed, id="R43 below"),
        pytest.param(Command.STATUS, 50, NotReady, id="R43 not available"),
        pytest.param(Command.STATUS, 51, NotReady, id="R43 limited connectivity"),
        pytest.param(Command.STATUS, 52, PluginFailed, id="R43 above"),
        pytest.param(Command.STATUS, 11, TryAgain, id="R45 status"),
        pytest.param(Command.STATUS, None, PluginFailed, id="R43 none"),
        pytest.param(Command.GC, 50, PluginFailed, id="R43 gc"),
        pytest.param(Command.GC, 51, PluginFailed, id="R43 gc, too"),
        pytest.param(Command.GC, 11, TryAgain, id="R45 gc"),
    ],
)
def test_codes_50_and_51_say_not_ready_to_status_only(
    command: Command, code: int | None, kind: type[PluginError]
) -> None:
    network = parse_network(b'{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"a"}]}')
    (step,) = plan(command, network)
    with pytest.raises(PluginError) as caught:
        read_response(step, _exited(1, json.dumps({"code": code, "msg": "x"})), "1.1.0")
    assert type(caught.value) is kind
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param({"msg": "no IP addresses available"}, "addresses-exhausted", id="msg"),
        pytest.param(
            {"msg": "failed", "details": "no IP addresses available"},
            "addresses-exhausted",
            id="details",
        ),
        pytest.param({"msg": "veth name (eth0) already exists"}, "interface-exists", id="veth"),
        pytest.param({"msg": "no route"}, None, id="nothing known"),
        pytest.param({"msg": "x", "reason": "port-taken"}, "port-taken", id="its own"),
        pytest.param({"msg": "x", "reason": "Port taken!"}, None, id="no word"),
        pytest.param({"msg": "x", "reason": 7}, None, id="no text"),
    ],
)
def test_what_plugins_say_in_prose_has_a_stable_word(
    said: Mapping[str, object], reason: str | None
) -> None:
    assert _error(_exited(1, json.dumps({"code": 7, **said}))).reason == reason


@pytest.mark.rule("R13")
@pytest.mark.parametrize(
    ("stdout", "stderr", "head"),
    [
        pytest.param("", "panic: nil", "(it printed nothing)", id="R13 a panic"),
        pytest.param("", "", "(it printed nothing)", id="R13 nothing at all"),
        pytest.param("usage: x", "", "(it printed 'usage: x')", id="R13 prose"),
        pytest.param(_RESULT, "", "(it printed '{", id="R13 a result only"),
        pytest.param("{}", "", "(it printed '{}')", id="R13 an empty object"),
        pytest.param('{"code":NaN}', "", "(it printed '{", id="R13 NaN"),
        pytest.param("[7]", "", "(it printed '[7]')", id="R13 a list"),
        pytest.param(b"\x1b[31m\xff", "", "(it printed '\\x1b[31m\\ufffd')", id="R13 bytes"),
    ],
)
@pytest.mark.parametrize("command", ON_ATTACHMENTS)
def test_a_failure_without_an_error_object_broke_the_protocol(
    stdout: str | bytes, stderr: str, head: str, command: Command
) -> None:
    error = _error(_exited(2, stdout, stderr), command)
    assert type(error) is PluginProtocolError
    assert f"{command} exited with 2 and no error object {head}"[:60] in error.message
    assert error.code is None
    assert error.stderr == stderr
    assert str(error).isascii()


@pytest.mark.parametrize(
    ("response", "kind", "message"),
    [
        pytest.param(
            Response(ending=Ending.SIGNALLED, status=signal.SIGKILL),
            PluginKilled,
            "ADD was ended by SIGKILL",
            id="killed",
        ),
        pytest.param(
            Response(ending=Ending.SIGNALLED, status=35),
            PluginKilled,
            "ADD was ended by signal 35",
            id="killed by a real-time signal",
        ),
        pytest.param(
            Response(ending=Ending.OUT_OF_TIME, seconds=30.04),
            PluginTimeout,
            "ADD ran out of time after 30.0 s",
            id="timeout",
        ),
        pytest.param(
            Response(ending=Ending.OVER_CAP),
            PluginOverflow,
            "ADD printed more than is taken",
            id="overflow",
        ),
        pytest.param(
            Response(ending=Ending.NOT_STARTED, status=errno.EACCES),
            PluginNotStarted,
            "could not be started: Permission denied (EACCES)",
            id="not started",
        ),
        pytest.param(
            Response(ending=Ending.NOT_STARTED, status=9999),
            PluginNotStarted,
            "could not be started: Unknown error 9999 (9999)",
            id="not started, for an unknown reason",
        ),
        pytest.param(
            Response(ending=Ending.LOST),
            PluginLost,
            "its exit status was taken by somebody else in this process",
            id="lost",
        ),
    ],
)
def test_a_run_that_did_not_exit_says_how_it_ended(
    response: Response, kind: type[PluginError], message: str
) -> None:
    error = _error(response)
    assert type(error) is kind
    assert error.message == message
    assert (error.plugin, error.index, error.code) == ("second", 1, None)


@pytest.mark.rule("R13")
@pytest.mark.parametrize("ending", [ending for ending in Ending if ending is not Ending.EXITED])
@pytest.mark.parametrize("command", ON_ATTACHMENTS)
def test_a_run_that_did_not_exit_is_no_success_whatever_it_printed(
    ending: Ending, command: Command
) -> None:
    """R13: a result, an error object and status 0 change nothing."""
    for stdout in (_RESULT, '{"code":11,"msg":"later"}'):
        error = _error(Response(ending=ending, stdout=stdout.encode(), stderr=b"\xffwhy"), command)
        assert not isinstance(error, PluginFailed)
        assert error.stderr == "\ufffdwhy"


def test_an_error_object_larger_than_what_is_searched_is_none() -> None:
    """64 KiB at the end are searched."""
    around = len(json.dumps({"code": 7, "msg": ""}))
    largest = json.dumps({"code": 7, "msg": "x" * (65_536 - around)})
    assert _error(_exited(1, "a log" + largest)).code == 7
    error = _error(_exited(1, largest.replace("x", "xx", 1)))
    assert type(error) is PluginProtocolError


@pytest.mark.rule("R13")
@pytest.mark.parametrize(
    ("stdout", "head"),
    [
        pytest.param("", "(it printed nothing)", id="R13 nothing"),
        pytest.param("x" * 80, f"(it printed '{'x' * 80}')", id="R13 80 bytes"),
        pytest.param("x" * 81, f"(it printed '{'x' * 80}')", id="R13 one more"),
        pytest.param("x" * 79 + "é", f"(it printed '{'x' * 79}\\ufffd')", id="R13 half a letter"),
    ],
)
def test_an_error_shows_the_first_80_bytes_of_what_was_printed(stdout: str, head: str) -> None:
    error = _error(_exited(2, stdout))
    assert error.message == f"ADD exited with 2 and no error object {head}"


def _facts(error: AcniError) -> dict[str, Any]:
    return {"str": str(error), "type": type(error), **vars(error)}


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(_exited(1, _ERROR, b"\xffsecret"), id="PluginFailed"),
        pytest.param(_exited(1, '{"code":11,"msg":"later \\ud800"}'), id="TryAgain"),
        pytest.param(_exited(1), id="PluginProtocolError"),
        *(
            pytest.param(Response(ending=ending, seconds=2.0), id=ending.name)
            for ending in Ending
            if ending is not Ending.EXITED
        ),
    ],
)
@pytest.mark.parametrize("command", ON_ATTACHMENTS)
def test_an_error_pickles_and_keeps_its_facts(response: Response, command: Command) -> None:
    debt = Debt(network="net", container_id="c1", ifname="eth0", plugin="second", cause="x")
    error = _error(response, command).learn(
        verb="add",
        container_id="c1",
        ifname="eth0",
        network="net",
        debt=debt,
        rollback=RollbackFinished(
            at=1.0,
            verb="add",
            network="net",
            container_id="c1",
            ifname="eth0",
            deleted=("first",),
            debt=debt,
            error=None,
        ),
    )
    error.add_note("what was tried")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert _facts(again) == _facts(error)
    assert _facts(copy.copy(error)) == _facts(error)
    assert str(again).startswith("add, c1/eth0, network net, plugin second: ")


def _kinds(kind: type[AcniError] = AcniError) -> list[type[AcniError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _kinds(below))]


@pytest.mark.parametrize("kind", _kinds())
def test_every_kind_of_error_pickles(kind: type[AcniError]) -> None:
    facts: dict[str, Any] = {
        "place": "$.x",
        "expected": "text",
        "verb": "add",
        "code": 0,
        "elapsed": 0.0,
    }
    # One is a group as well.
    group = ([AcniError("inside")],) if issubclass(kind, ExceptionGroup) else ()
    error = kind("message", *group, **facts)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert _facts(again) == _facts(error)
    assert str(again) == "add, $.x: message"


def test_an_error_learns_only_what_it_did_not_know() -> None:
    error = _error(_exited(1, '{"code":0,"msg":""}'))
    error.learn(plugin="other", code=5, msg="other", network="net")
    assert (error.plugin, error.code, error.msg, error.network) == ("second", 0, "", "net")


@given(
    st.sampled_from(ON_ATTACHMENTS),
    st.sampled_from(list(Ending)),
    st.integers(0, 255),
    st.binary() | st.text('{}[]":,code msg1\n').map(str.encode) | st.just(_ERROR.encode()),
    st.binary(),
)
def test_any_response_is_a_result_nothing_or_a_plugin_error(
    command: Command, ending: Ending, status: int, stdout: bytes, stderr: bytes
) -> None:
    response = Response(ending=ending, status=status, stdout=stdout, stderr=stderr)
    with suppress(PluginError):
        result = _read(response, command)
        assert (ending, status) == (Ending.EXITED, 0)
        assert (result is not None) == (command is Command.ADD)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("\x1b[2Jgone", "\\x1b[2Jgone", id="terminal control"),
        pytest.param("two\nlines", "two\\nlines", id="a log line of its own"),
        pytest.param("\ud800", "\\ud800", id="a lone surrogate, which UTF-8 cannot write"),
        pytest.param("café", "café", id="what prints stays"),
    ],
)
def test_a_message_shows_what_does_not_print_as_an_escape(said: str, shown: str) -> None:
    error = _error(_exited(1, json.dumps({"code": 7, "msg": said})))
    assert error.msg == said
    assert error.message == f"ADD failed with code 7: {shown}"
    assert str(error).encode()
