"""Asking a plugin for its versions; what it prints is in the table of test_printed.py."""

from __future__ import annotations

import pytest

from acni.errors import PluginProtocolError, PluginTimeout
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
    assert (caught.value.verb, caught.value.plugin) == ("version", "first")


@pytest.mark.parametrize(
    "ending", [each for each in Ending if each not in (Ending.EXITED, Ending.OUT_OF_TIME)], ids=str
)
def test_a_plugin_that_was_ended_gave_no_answer(ending: Ending) -> None:
    with pytest.raises(PluginProtocolError, match=f"VERSION ended: {ending.value}"):
        read_versions(FIRST, Response(ending=ending, status=9))
