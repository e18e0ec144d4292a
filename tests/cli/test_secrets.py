from __future__ import annotations

import json

import pytest

from acni.cli.secrets import HIDDEN, hidden_environment, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param('{"password":"x"}', {"password": HIDDEN}, id="key"),
        pytest.param('{"a":[{"apiKey":7}]}', {"a": [{"apiKey": HIDDEN}]}, id="deep"),
        pytest.param('{"args":{"cni":1}}', {"args": HIDDEN}, id="args"),
        pytest.param(
            '{"runtimeConfig":{"ips":[1]}}', {"runtimeConfig": {"ips": HIDDEN}}, id="caps"
        ),
        pytest.param('{"capabilityArgs":{"a":1}}', {"capabilityArgs": {"a": HIDDEN}}, id="record"),
        pytest.param('{"cniArgs":[["K","v"]]}', {"cniArgs": [["K", HIDDEN]]}, id="pairs"),
        pytest.param('{"cniArgs":[1,[]]}', {"cniArgs": [HIDDEN, HIDDEN]}, id="no pairs"),
        pytest.param('{"capabilityArgs":null}', {"capabilityArgs": None}, id="null"),
        pytest.param('{"keys":[1],"passage":2}', {"keys": [1], "passage": 2}, id="others"),
    ],
)
def test_what_holds_a_secret_is_hidden(text: str, shown: object) -> None:
    assert json.loads(without_secrets(text)) == shown


def test_what_holds_none_stays_as_it_was_written() -> None:
    text = '{"x":1e2,"y": 123456789012345678901234567890,"token":"t"}'
    assert (
        without_secrets(text)
        == f'{{"x":1e2,"y":123456789012345678901234567890,"token":"{HIDDEN}"}}'
    )


def test_the_environment_keeps_names_and_loses_values() -> None:
    environment = {"CNI_ARGS": "K=v;L=w", "PATH": "/bin", "API_TOKEN": "t"}
    shown = hidden_environment(environment)
    assert shown == {"CNI_ARGS": f"K={HIDDEN};L={HIDDEN}", "PATH": "/bin", "API_TOKEN": HIDDEN}
    assert hidden_environment({"CNI_ARGS": ""}) == {"CNI_ARGS": ""}


def test_a_large_record_is_shown_whole() -> None:
    text = '{"a":"' + "x" * (2 << 20) + '","b":[' + "[]," * 100_000 + "[]]}"
    assert without_secrets(text) == text
