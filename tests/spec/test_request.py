"""The request of a step: six variables, and a configuration spliced from what was written."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.spec import (
    Attachment,
    AttachmentId,
    Command,
    NetworkConfig,
    Parameters,
    Request,
    build_request,
    parse_network,
    parse_result,
    plan,
)
from acni.spec.jsontext import Member, object_members
from acni.spec.names import ContainerId, IfName, NetnsPath
from acni.spec.request import network_parameters

# STATUS, which is about no attachment, has tests of its own.
ON_ATTACHMENTS = [Command.ADD, Command.DEL, Command.CHECK]

_SIX = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"}
_ODD = '{"n":123456789012345678901234567890,"f":1e2,"w":1.0,"s":"\\u00e9\\/é","z":[ ],"a":{"b":-0}}'


def _parameters(
    *,
    netns: str = "/run/netns/blue",
    cni_args: Mapping[str, str] | None = None,
    capability_texts: Mapping[str, str] | None = None,
    plugin_dirs: Sequence[str] = ("/opt/cni/bin",),
    inherited: Mapping[str, str] | None = None,
) -> Parameters:
    return Parameters(
        container_id=ContainerId("c1"),
        netns=netns,
        ifname=IfName("eth0"),
        cni_args=cni_args or {},
        capability_texts=capability_texts or {},
        plugin_dirs=plugin_dirs,
        inherited=inherited or {},
    )


def _network(*plugins: str, version: str = "1.0.0") -> NetworkConfig:
    return parse_network(
        f'{{"cniVersion":"{version}","name":"net","top":1,"plugins":[{",".join(plugins)}]}}'.encode()
    )


def _request(
    plugin: str,
    command: Command = Command.ADD,
    *,
    parameters: Parameters | None = None,
    previous: str | None = None,
    version: str = "1.0.0",
) -> Request:
    """Build the request of the second plugin of a chain."""
    network = _network('{"type":"first"}', plugin, version=version)
    step = next(step for step in plan(command, network) if step.index == 1)
    return build_request(step, network, parameters or _parameters(), previous=previous)


def _stdin(
    plugin: str,
    command: Command = Command.ADD,
    *,
    previous: str | None = None,
    version: str = "1.0.0",
) -> str:
    return _request(plugin, command, previous=previous, version=version).stdin.decode()


@pytest.mark.rule("R12", "R16")
@pytest.mark.parametrize("command", ON_ATTACHMENTS)
def test_all_six_variables_are_always_there_and_nothing_else(command: Command) -> None:
    """R12, R16: empty rather than absent."""
    parameters = _parameters(netns="", plugin_dirs=())
    environment = _request('{"type":"a"}', command, parameters=parameters).environment
    assert environment == {
        "CNI_COMMAND": command.value,
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "",
        "CNI_PATH": "",
    }


@pytest.mark.rule("R12", "R31", "R53")
def test_the_variables_say_what_the_runtime_was_given() -> None:
    parameters = _parameters(
        cni_args={"IgnoreUnknown": "1", "K8S_POD_NAME": "web", "A": ""},
        plugin_dirs=("/opt/cni/bin", "/usr/lib/cni"),
    )
    assert _request('{"type":"a"}', parameters=parameters).environment == {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/run/netns/blue",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=web;A=",
        "CNI_PATH": "/opt/cni/bin:/usr/lib/cni",
    }


@pytest.mark.rule("R12")
def test_nothing_of_the_parents_environment_is_seen_beyond_what_is_inherited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R12: libcni hands on everything."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("CNI_NETNS_OVERRIDE", "1")
    environment = _request(
        '{"type":"a"}', parameters=_parameters(inherited={"PATH": "/bin", "LANG": "C"})
    ).environment
    assert set(environment) == _SIX | {"PATH", "LANG"}
    assert "hunter2" not in environment.values()
    assert "AWS_SECRET_ACCESS_KEY" in os.environ


@pytest.mark.rule("R12")
def test_what_is_inherited_never_replaces_a_parameter() -> None:
    """R12: acni may itself run inside a plugin."""
    inherited = dict.fromkeys(_SIX, "stale")
    environment = _request('{"type":"a"}', parameters=_parameters(inherited=inherited)).environment
    assert "stale" not in environment.values()


@pytest.mark.rule("R49")
@pytest.mark.parametrize("command", ON_ATTACHMENTS)
def test_every_plugin_of_a_chain_gets_the_same_environment(command: Command) -> None:
    network = _network('{"type":"a"}', '{"type":"b"}', '{"type":"c"}')
    environments = [
        build_request(step, network, _parameters(), previous="{}").environment
        for step in plan(command, network)
    ]
    assert environments == environments[:1] * 3


@pytest.mark.rule("R37")
def test_the_request_begins_with_version_and_name_of_the_list() -> None:
    """R37: over the plugin's own."""
    text = '{"x":1,"cniVersion":"0.1.0","type":"a","name":"mine"}'
    assert _stdin(text) == '{"cniVersion":"1.0.0","name":"net","x":1,"type":"a"}'


@pytest.mark.rule("R6")
def test_the_lists_other_members_are_not_sent() -> None:
    """R6: plugin configurations pass; the list's own members are the runtime's."""
    assert "top" not in json.loads(_stdin('{"type":"a"}'))


@pytest.mark.rule("R6")
def test_values_survive_the_way_from_configuration_to_request() -> None:
    """R6: 30-digit integers, ``1e2``, escapes, white space and key order, byte for byte."""
    stdin = _stdin(f'{{ "zz" : {_ODD} ,\n"type":"a", "aa":{_ODD}, "n":12345678901234567890123 }}')
    members = object_members(stdin)
    assert list(members) == ["cniVersion", "name", "zz", "type", "aa", "n"]
    assert members["zz"].text == members["aa"].text == _ODD
    assert members["n"].text == "12345678901234567890123"


@pytest.mark.rule("R6", "R32")
def test_values_survive_the_way_from_result_to_previous_result() -> None:
    """R6, R32: the version is stamped, nothing else changes."""
    printed = f' {{"zz":{_ODD},"ips":[ {{"address":"10.0.0.2/24"}} ],"aa":1e2}}\n'
    result = parse_result(printed.encode(), "1.0.0")
    previous = object_members(_stdin('{"type":"a"}', previous=result.raw))["prevResult"]
    assert previous.text == result.raw
    members = object_members(previous.text)
    assert list(members) == ["cniVersion", "zz", "ips", "aa"]
    assert members["zz"].text == _ODD
    assert members["ips"].text == '[ {"address":"10.0.0.2/24"} ]'
    assert members["aa"].text == "1e2"


@pytest.mark.rule("R17", "R19", "R32", "R57")
@pytest.mark.parametrize(
    ("command", "version", "is_sent"),
    [
        pytest.param("ADD", "1.0.0", True, id="R32 add"),
        pytest.param("ADD", "0.3.1", True, id="R32 older add"),
        pytest.param("DEL", "1.0.0", True, id="R17 delete"),
        pytest.param("DEL", "0.3.1", False, id="R57 older delete"),
        pytest.param("CHECK", "0.4.0", True, id="R19 check"),
    ],
)
def test_the_previous_result_is_sent_where_the_plan_says_so(
    command: str, version: str, is_sent: bool
) -> None:
    request = json.loads(
        _stdin('{"type":"a"}', Command(command), previous='{"a":1}', version=version)
    )
    assert request.get("prevResult") == ({"a": 1} if is_sent else None)


@pytest.mark.rule("R39")
def test_the_first_plugin_of_an_add_never_gets_a_previous_result() -> None:
    """R39: neither the runtime's nor one from its configuration."""
    network = _network('{"type":"a","prevResult":{"evil":1}}')
    (step,) = plan(Command.ADD, network)
    request = build_request(step, network, _parameters(), previous='{"x":1}')
    assert request.stdin == b'{"cniVersion":"1.0.0","name":"net","type":"a"}'


@pytest.mark.rule("R17")
@pytest.mark.parametrize("command", [Command.DEL, Command.CHECK])
def test_without_a_result_there_is_no_previous_result(command: Command) -> None:
    assert "prevResult" not in json.loads(_stdin('{"type":"a"}', command))


@pytest.mark.rule("R38")
@pytest.mark.parametrize(
    ("declared", "given_texts", "sent"),
    [
        pytest.param({"mac": True}, {"mac": '"x"'}, {"mac": "x"}, id="R38 declared and given"),
        pytest.param({"mac": True}, {}, None, id="R38 not given"),
        pytest.param({}, {"mac": '"x"'}, None, id="R38 not declared"),
        pytest.param({"mac": False}, {"mac": '"x"'}, None, id="R38 declared false"),
        pytest.param({"ips": True}, {"mac": '"x"'}, None, id="R38 another one"),
        pytest.param({"mac": True}, {"mac": "null"}, {"mac": None}, id="R38 null"),
        pytest.param({"mac": True}, {"mac": "[]"}, {"mac": []}, id="R38 an empty list"),
        pytest.param(
            {"mac": True, "ips": True, "dns": True},
            {"ips": "[1]", "bandwidth": "{}", "mac": '"x"'},
            {"ips": [1], "mac": "x"},
            id="R38 two of three",
        ),
    ],
)
@pytest.mark.parametrize("command", ON_ATTACHMENTS)
def test_runtime_config_has_the_declared_capabilities_that_were_given(
    command: Command,
    declared: dict[str, bool],
    given_texts: dict[str, str],
    sent: dict[str, object] | None,
) -> None:
    """R38: absent rather than empty."""
    plugin = json.dumps({"type": "a", "capabilities": declared})
    parameters = _parameters(capability_texts=given_texts)
    request = json.loads(_request(plugin, command, parameters=parameters).stdin)
    assert request.get("runtimeConfig", ...) == (... if sent is None else sent)
    assert "capabilities" not in request


@pytest.mark.rule("R38")
def test_each_plugin_gets_its_own_capabilities_only() -> None:
    network = _network(
        '{"type":"a","capabilities":{"mac":true}}',
        '{"type":"b","capabilities":{"ips":true}}',
        '{"type":"c"}',
    )
    parameters = _parameters(capability_texts={"mac": "1", "ips": "2"})
    sent = [
        json.loads(build_request(step, network, parameters).stdin).get("runtimeConfig")
        for step in plan(Command.ADD, network)
    ]
    assert sent == [{"mac": 1}, {"ips": 2}, None]


@pytest.mark.rule("R6", "R38")
def test_the_texts_of_capability_arguments_are_sent_as_they_are() -> None:
    """R6, R38: those of a record are another runtime's."""
    parameters = _parameters(capability_texts={"x": _ODD})
    request = _request('{"type":"a","capabilities":{"x":true}}', parameters=parameters)
    runtime_config = object_members(request.stdin.decode())["runtimeConfig"]
    assert object_members(runtime_config.text)["x"].text == _ODD


@pytest.mark.rule("R8", "R39", "R40")
def test_a_configurations_own_reserved_keys_never_reach_the_plugin() -> None:
    plugin = (
        '{"type":"a","runtimeConfig":{"mac":"evil"},"prevResult":{"evil":1},'
        '"cni.dev/valid-attachments":[],"capabilities":{"mac":true},'
        '"ipam":{"type":"b","capabilities":{"ips":true}},"args":{"cni":{}}}'
    )
    assert _stdin(plugin) == (
        '{"cniVersion":"1.0.0","name":"net","type":"a",'
        '"ipam":{"type":"b","capabilities":{"ips":true}},"args":{"cni":{}}}'
    )


def test_a_request_shows_no_secret() -> None:
    """CNI_ARGS, capability arguments, the environment and the configuration may hold some."""
    parameters = _parameters(
        cni_args={"TOKEN": "hunter2"},
        capability_texts={"x": '"hunter2"'},
        inherited={"TOKEN": "hunter2"},
    )
    request = _request(
        '{"type":"a","password":"hunter2","capabilities":{"x":true}}', parameters=parameters
    )
    assert b"hunter2" in request.stdin
    assert "hunter2" not in repr(request)
    assert "hunter2" not in repr(parameters)


def test_the_parameters_are_written_with_the_names_of_their_members() -> None:
    parameters = inspect.signature(Parameters).parameters.values()
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.rule("R6", "R32", "R37", "R38")
def test_what_the_runtime_adds_stands_around_the_configuration_as_it_was_written() -> None:
    parameters = _parameters(capability_texts={"mac": '"x"'})
    plugin = '{"type":"a","z":1e2,"capabilities":{"mac":true}}'
    request = _request(plugin, parameters=parameters, previous='{"x":1}')
    assert request.stdin == (
        b'{"cniVersion":"1.0.0","name":"net","type":"a","z":1e2,'
        b'"runtimeConfig":{"mac":"x"},"prevResult":{"x":1}}'
    )


_KEYS = st.text(max_size=8)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.rule("R6", "R8", "R37", "R38")
@given(
    st.dictionaries(
        _KEYS.filter(lambda key: key not in {"type", "ipam", "capabilities"}), _VALUES, max_size=4
    ),
    st.dictionaries(_KEYS, _VALUES, max_size=3),
    st.sampled_from(ON_ATTACHMENTS),
    st.booleans(),
)
def test_a_request_is_one_json_object_of_known_parts(
    fields: dict[str, object],
    capability_args: dict[str, object],
    command: Command,
    ascii_only: bool,
) -> None:
    """R6, R8, R37, R38: whatever the fields and the arguments are."""
    plugin = json.dumps(
        {**fields, "capabilities": dict.fromkeys(capability_args, True), "type": "a"},
        ensure_ascii=ascii_only,
    )
    attachment = Attachment(
        container_id=ContainerId("c1"),
        netns=NetnsPath("/run/netns/blue"),
        capability_args=capability_args,
    )
    parameters = _parameters(capability_texts=attachment.capability_texts)
    request = _request(plugin, command, parameters=parameters, previous='{"x":1}')
    members = object_members(request.stdin.decode())
    generated = {"cniVersion", "name", "runtimeConfig", "prevResult"}
    folded = {key.casefold() for key in generated} | {"capabilities"}
    kept = {
        key: Member(json.dumps(value, ensure_ascii=ascii_only), value)
        for key, value in fields.items()
        if key.casefold() not in folded and not key.startswith("cni.dev/")
    }
    passed = {key: member for key, member in members.items() if key not in generated}
    assert list(passed.items()) == [*kept.items(), ("type", Member('"a"', "a"))]
    assert ("runtimeConfig" in members) == bool(capability_args)
    if capability_args:
        assert members["runtimeConfig"].value == capability_args
    assert members["prevResult"].text == '{"x":1}'
    assert set(request.environment) == _SIX
    assert all(isinstance(value, str) for value in request.environment.values())


def _gc(*valid: AttachmentId, plugin: str = '{"type":"a"}') -> Request:
    network = _network(plugin, version="1.1.0")
    (step,) = plan(Command.GC, network)
    parameters = network_parameters(["/opt/cni/bin"], {"PATH": "/bin"})
    return build_request(step, network, parameters, valid=valid)


@pytest.mark.rule("R24")
def test_gc_says_which_attachments_are_valid_under_both_names() -> None:
    request = _gc(AttachmentId("c1", "eth0"), AttachmentId("c2", "net1"))
    said = [{"containerID": "c1", "ifname": "eth0"}, {"containerID": "c2", "ifname": "net1"}]
    document = json.loads(request.stdin)
    assert document["cni.dev/valid-attachments"] == document["cni.dev/attachments"] == said
    assert request.environment == {
        "PATH": "/bin",
        "CNI_COMMAND": "GC",
        "CNI_CONTAINERID": "",
        "CNI_NETNS": "",
        "CNI_IFNAME": "",
        "CNI_ARGS": "",
        "CNI_PATH": "/opt/cni/bin",
    }


@pytest.mark.rule("R24")
def test_gc_says_an_empty_list_where_nothing_is_valid() -> None:
    """R24: libcni says null, which plugins take for "not told"."""
    assert b'"cni.dev/valid-attachments":[]' in _gc().stdin


@pytest.mark.rule("R8", "R40")
def test_what_the_configuration_says_of_valid_attachments_is_never_sent() -> None:
    """R8, R40: capabilities pass, for GC is about no attachment."""
    plugin = '{"type":"a","cni.dev/valid-attachments":7,"cni.dev/x":1,"capabilities":{"mac":true}}'
    document = json.loads(_gc(plugin=plugin).stdin)
    assert document["cni.dev/valid-attachments"] == []
    assert "cni.dev/x" not in document
    assert document["capabilities"] == {"mac": True}
    assert "runtimeConfig" not in document


@pytest.mark.parametrize("command", Command)
def test_the_valid_attachments_go_with_gc_and_only_with_gc(command: Command) -> None:
    network = _network('{"type":"a"}', version="1.1.0")
    (step,) = plan(command, network)
    wrong = None if command is Command.GC else [AttachmentId("c1")]
    with pytest.raises(ValueError, match="only with GC"):
        build_request(step, network, _parameters(), valid=wrong)
