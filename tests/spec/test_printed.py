"""Whatever a plugin prints, each verb and exit status makes of it what the table says."""

from __future__ import annotations

import re

import pytest

from acni.errors import PluginFailed, PluginProtocolError
from acni.spec import Command, Ending, Response, parse_network, plan, read_response
from acni.spec.names import parse_plugin_type
from acni.spec.versionreply import read_versions
from tests.spec.printed import NO_ERROR, TABLE, Broken, Printed

NETWORK = parse_network(b'{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"first"}]}')
VERSION = "1.0.0"


def response(row: Printed, status: int) -> Response:
    return Response(ending=Ending.EXITED, status=status, stdout=row.stdout, stderr=row.stderr)


@pytest.fixture(params=[pytest.param(row, id=row.words) for row in TABLE])
def row(request: pytest.FixtureRequest) -> Printed:
    printed: Printed = request.param
    return printed


@pytest.mark.rule("R13")
def test_add_reads_a_result_or_says_what_was_wrong(row: Printed) -> None:
    (step,) = plan(Command.ADD, NETWORK)
    if isinstance(row.add, Broken):
        with pytest.raises(PluginProtocolError, match=re.escape(row.add)) as caught:
            read_response(step, response(row, 0), VERSION)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400
    else:
        result = read_response(step, response(row, 0), VERSION)
        assert result is not None
        assert str(result.ipv4).lower() == row.add


@pytest.mark.rule("R13")
@pytest.mark.parametrize("command", [each for each in Command if each is not Command.ADD])
def test_no_other_verb_reads_anything_of_a_success(row: Printed, command: Command) -> None:
    (step,) = plan(command, NETWORK)
    assert read_response(step, response(row, 0), VERSION) is None


@pytest.mark.rule("R13", "R43")
@pytest.mark.parametrize("command", Command)
def test_a_failure_says_what_the_plugin_said(row: Printed, command: Command) -> None:
    (step,) = plan(command, NETWORK)
    with pytest.raises((PluginFailed, PluginProtocolError)) as caught:
        read_response(step, response(row, 1), VERSION)
    assert str(caught.value).isprintable()
    if isinstance(caught.value, PluginFailed):
        assert (caught.value.code, caught.value.msg) == row.failed
    else:
        assert row.failed == NO_ERROR
        assert NO_ERROR in str(caught.value)


@pytest.mark.rule("R60")
def test_version_reads_a_list_or_says_what_was_wrong(row: Printed) -> None:
    plugin = parse_plugin_type("first")
    if isinstance(row.version, Broken):
        with pytest.raises(PluginProtocolError, match=re.escape(row.version)) as caught:
            read_versions(plugin, response(row, 0))
        assert str(caught.value).isprintable()
    else:
        assert read_versions(plugin, response(row, 0)) == row.version


@pytest.mark.rule("R60")
def test_version_that_fails_is_an_old_plugin_or_no_answer(row: Printed) -> None:
    plugin = parse_plugin_type("first")
    if b"unknown CNI_COMMAND" in row.stdout:
        assert read_versions(plugin, response(row, 1)) == ("0.1.0",)
    else:
        with pytest.raises(PluginProtocolError, match="VERSION exited with 1"):
            read_versions(plugin, response(row, 1))
