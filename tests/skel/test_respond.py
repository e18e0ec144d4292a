"""From a request to a response."""

from __future__ import annotations

import errno

import pytest

from acni.errors import Busy
from acni.skel import Call, PluginError, Stopped, Verbs
from acni.spec.plugin import Ending
from acni.spec.result import parse_result
from tests.skel.asking import Probe, one_address, request, said

NETNS = "/proc/self/ns/net"


@pytest.mark.rule("P9")
def test_an_add_prints_its_result_in_the_version_of_the_request() -> None:
    probe = Probe(lambda _: one_address())
    response = probe.answer(request("ADD", {"cniVersion": "0.3.1"}, NETNS=NETNS))
    assert (response.ending, response.status) == (Ending.EXITED, 0)
    assert said(response)["cniVersion"] == "0.3.1"
    assert parse_result(response.stdout, "0.3.1").ips[0].address == "10.88.0.2/16"


@pytest.mark.parametrize("command", ["DEL", "CHECK", "GC", "STATUS"])
def test_the_other_verbs_print_nothing(command: str) -> None:
    probe = Probe()
    response = probe.answer(request(command, {"cni.dev/valid-attachments": []}, NETNS=NETNS))
    assert (response.status, response.stdout) == (0, b"")
    assert [call.command for call in probe.calls] == [command]


def test_a_verb_that_a_plugin_does_not_have_succeeds() -> None:
    probe = Probe()
    verbs = Verbs(add=probe.add, delete=probe.note)
    for command in ("CHECK", "GC", "STATUS"):
        asked = request(command, {"cni.dev/valid-attachments": []}, NETNS=NETNS)
        assert probe.answer(asked, verbs).status == 0
    assert probe.calls == []


@pytest.mark.rule("P10")
@pytest.mark.parametrize("version", ["0.4.0", "1.1.0"])
def test_version_echoes_the_version_of_the_request(version: str) -> None:
    probe = Probe()
    verbs = probe.verbs(versions=("0.4.0", "1.0.0"))
    asked = request("VERSION", f'{{"cniVersion": "{version}"}}'.encode())
    response = probe.answer(asked, verbs)
    assert response.status == 0
    assert said(response) == {"cniVersion": version, "supportedVersions": ["0.4.0", "1.0.0"]}


@pytest.mark.rule("P10")
def test_a_refusal_is_the_error_object_with_the_version_of_the_request() -> None:
    def refuse(_: object) -> None:
        raise PluginError(100, "no room", details="of 254", reason="addresses-exhausted")

    response = Probe(refuse).answer(request("ADD", {"cniVersion": "0.4.0"}, NETNS=NETNS))
    assert (response.ending, response.status) == (Ending.EXITED, 1)
    assert said(response) == {
        "cniVersion": "0.4.0",
        "code": 100,
        "msg": "no room",
        "details": "of 254",
        "reason": "addresses-exhausted",
    }


@pytest.mark.parametrize(
    ("error", "code", "msg"),
    [
        (OSError(errno.ENODEV, "No such device"), 5, "No such device"),
        (OSError(errno.EMFILE, "Too many open files"), 11, "Too many open files"),
        (Busy("no descriptor", place="x", expected="room"), 11, "no descriptor"),
        (KeyError("secret"), 999, "an unexpected KeyError"),
        (SystemExit("secret"), 999, "an unexpected SystemExit"),
        (SystemExit(0), 999, "an unexpected SystemExit"),
    ],
)
def test_whatever_goes_wrong_is_answered(error: BaseException, code: int, msg: str) -> None:
    def fail(_: object) -> None:
        raise error

    response = Probe(fail).answer(request("DEL"))
    assert response.status == 1
    assert (said(response)["code"], said(response)["msg"]) == (code, msg)
    assert b"secret" not in response.stdout


def test_what_nobody_expected_says_where_it_came_from() -> None:
    def stumble(_: object) -> None:
        raise ZeroDivisionError

    assert "in stumble, line" in said(Probe(stumble).answer(request("DEL")))["details"]


def test_a_verb_that_is_stopped_has_no_response() -> None:
    def stop(_: object) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        Probe(stop).answer(request("DEL"))


def test_a_message_that_cannot_be_written_is_an_error_all_the_same() -> None:
    def refuse(_: object) -> None:
        raise PluginError(100, "half a character: \udc80")

    response = Probe(refuse).answer(request("DEL"))
    assert (response.status, said(response)["code"]) == (1, 100)


def test_what_a_verb_warns_of_is_on_standard_error() -> None:
    def warn(call: Call) -> None:
        call.warn("nearly full")
        call.warn("of everything")

    response = Probe(warn).answer(request("ADD", NETNS=NETNS))
    assert (response.status, response.stderr) == (0, b"nearly full\nof everything\n")
