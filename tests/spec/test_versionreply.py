"""Asking a plugin for its versions; what it prints is in the table of test_printed.py."""

from __future__ import annotations

import traceback

import pytest

from acni.errors import (
    PluginError,
    PluginKilled,
    PluginLost,
    PluginNotStarted,
    PluginOverflow,
    PluginProtocolError,
    PluginTimeout,
)
from acni.spec import Ending, Response
from acni.spec.names import parse_plugin_type
from acni.spec.versionreply import read_versions, version_request

FIRST = parse_plugin_type("first")


@pytest.mark.rule("R16", "R60")
def test_the_question_fills_what_the_oldest_plugins_look_at() -> None:
    request = version_request({"PATH": "/bin"})
    assert request.stdin == b'{"cniVersion":"1.1.0"}'
    assert request.environment == {
        "PATH": "/bin",
        "CNI_COMMAND": "VERSION",
        "CNI_CONTAINERID": "dummy",
        "CNI_NETNS": "dummy",
        "CNI_IFNAME": "dummy",
        "CNI_ARGS": "",
        "CNI_PATH": "dummy",
    }


def test_a_plugin_that_runs_out_of_time_is_told_apart() -> None:
    with pytest.raises(PluginTimeout) as caught:
        read_versions(FIRST, Response(ending=Ending.OUT_OF_TIME, seconds=10.04))
    assert caught.value.message == "VERSION ran out of time after 10.0 s"
    assert (caught.value.verb, caught.value.plugin) == (None, "first")
    assert caught.value.elapsed == 10.04


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        (Ending.SIGNALLED, PluginKilled),
        (Ending.OVER_CAP, PluginOverflow),
        (Ending.NOT_STARTED, PluginNotStarted),
        (Ending.LOST, PluginLost),
    ],
    ids=str,
)
def test_a_plugin_that_was_ended_said_nothing_of_what_it_supports(
    ending: Ending, error: type[PluginError]
) -> None:
    with pytest.raises(PluginError) as caught:
        read_versions(FIRST, Response(ending=ending, status=9))
    assert type(caught.value) is error
    assert caught.value.plugin == "first"


def _exited(status: int, stdout: bytes = b"", stderr: bytes = b"") -> Response:
    return Response(ending=Ending.EXITED, status=status, stdout=stdout, stderr=stderr, seconds=1.25)


@pytest.mark.rule("R60")
def test_a_list_counts_before_the_version_that_had_none() -> None:
    printed = b'{"cniVersion":"0.2.0","supportedVersions":["0.1.0","0.2.0","0.3.0"]}'
    assert read_versions(FIRST, _exited(0, printed)) == ("0.1.0", "0.2.0", "0.3.0")


@pytest.mark.rule("R60")
def test_a_plugin_may_say_on_standard_error_that_it_does_not_know_version() -> None:
    said = b"unknown CNI_COMMAND: VERSION"
    assert read_versions(FIRST, _exited(1, stderr=said)) == ("0.1.0",)


@pytest.mark.rule("R60")
@pytest.mark.parametrize(
    "response",
    [
        pytest.param(_exited(0, b'{"supportedVersions":[]}'), id="R60 an empty list"),
        pytest.param(_exited(0, b'{"supportedVersions":"1.0.0"}'), id="R60 a text"),
        pytest.param(_exited(0, b'{"supportedVersions":{"1.0.0":1}}'), id="R60 an object"),
        pytest.param(_exited(0, b'{"supportedVersions":["1.0.0",1]}'), id="R60 a number in it"),
        pytest.param(_exited(0, b'{"cniVersion":"0.2"}'), id="R60 no list"),
        pytest.param(_exited(0, b"1.0.0"), id="R60 no object"),
        pytest.param(_exited(1, b'{"code":4}'), id="R60 another failure"),
    ],
)
def test_what_is_no_answer_says_which_plugin_gave_it(response: Response) -> None:
    with pytest.raises(PluginProtocolError, match="VERSION") as caught:
        read_versions(FIRST, response)
    assert (caught.value.verb, caught.value.plugin) == (None, "first")
    assert caught.value.elapsed == 1.25
    assert "JsonError" not in "".join(traceback.format_exception(caught.value))
