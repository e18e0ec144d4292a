"""Every text of the corpus through every reader: a valid value or that reader's own error."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from acni.errors import (
    AcniError,
    CheckFailed,
    ConfigError,
    InvalidName,
    PluginError,
    PluginFailed,
    PluginProtocolError,
    StoreError,
    VersionUnsupported,
)
from acni.spec import (
    Command,
    Ending,
    NetworkConfig,
    PluginConfig,
    Response,
    Result,
    ResultError,
    parse_network,
    parse_plugin,
    parse_result,
    parse_single,
    plan,
    read_response,
)
from acni.spec.jsontext import JsonError, decode, objects_in
from acni.spec.names import ContainerId, IfName, PluginType
from acni.spec.versionreply import read_versions
from acni.store.record import Record, read_record, recorded_result, write_record
from tests.spec.corpus import CORPUS, NAMED, Text
from tests.spec.outcome import Reader, outcome_of, request_of, require_sound

_INLINED = b'{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"first"},{"type":"second"}]}'
_NETWORK = parse_network(_INLINED)
_RECORD = Record(
    container_id=ContainerId("c1"),
    ifname=IfName("eth0"),
    network=_NETWORK,
    netns="/run/netns/c1",
    cni_args={},
    capability_texts={},
    result='{"cniVersion":"1.1.0","ips":[]}',
    provenance=None,
)


def _exited(status: int, stdout: bytes, stderr: bytes = b"") -> Response:
    return Response(ending=Ending.EXITED, status=status, stdout=stdout, stderr=stderr)


def _respond(command: Command, status: int, stdout: bytes, stderr: bytes = b"") -> Result | None:
    step = next(step for step in plan(command, _NETWORK) if step.index == 1)
    return read_response(step, _exited(status, stdout, stderr), _NETWORK.cni_version)


def _versions(status: int, stdout: bytes, stderr: bytes = b"") -> tuple[str, ...]:
    return read_versions(PluginType("first"), _exited(status, stdout, stderr))


def _record(raw: bytes) -> Record:
    return read_record(_RECORD.name, raw)


def _failures(production: str, judge: Callable[[Text], None]) -> dict[str, str]:
    """Judge each text of a production: what failed, by the text's name."""
    failures: dict[str, str] = {}
    for text in CORPUS[production]:
        try:
            judge(text)
        except Exception as error:  # noqa: BLE001 - any exception is the finding
            failures[text.name] = f"{type(error).__name__}: {ascii(str(error))[:300]}"
    return failures


each_production = pytest.mark.parametrize("production", CORPUS)


def test_the_corpus_has_over_300_texts_and_none_twice() -> None:
    texts = [text for production in CORPUS.values() for text in production]
    assert len({text.raw for text in texts}) == len(texts)
    assert len(texts) >= 600
    for judgement in ("valid", "invalid", "free"):
        assert sum(text.rfc == judgement for text in texts) >= 80
    assert all(text.is_taken for text in texts if text.rfc == "valid")
    assert not any(text.is_taken for text in texts if text.rfc == "invalid")


def test_another_reader_of_json_agrees_about_the_corpus() -> None:
    """A text that the corpus calls valid or invalid by mistake would prove nothing."""
    mistaken = [
        text.name
        for production in CORPUS.values()
        for text in production
        if text.rfc != "free" and _is_json(text.raw) != (text.rfc == "valid")
    ]
    # Python's own reader knows these three names, and all of its strings are JSON's.
    assert [name for name in mistaken if "NaN" not in name and "Infinity" not in name] == []


def _is_json(raw: bytes) -> bool:
    try:
        json.loads(raw.decode())
    except (ValueError, RecursionError):
        return False
    return True


# --- as the whole document ---------------------------------------------------

_CONFIGURATION_ERRORS = (ConfigError, InvalidName, VersionUnsupported)

READERS: dict[str, tuple[Reader, tuple[type[Exception], ...]]] = {
    "parse_network": (parse_network, _CONFIGURATION_ERRORS),
    "parse_single": (parse_single, _CONFIGURATION_ERRORS),
    "parse_plugin": (parse_plugin, _CONFIGURATION_ERRORS),
    "a drop-in": (
        lambda raw: parse_network(_INLINED, drop_ins=[("x.conf", raw)]),
        _CONFIGURATION_ERRORS,
    ),
    "read_record": (_record, (StoreError,)),
    "a record kept aside": (lambda raw: read_record(None, raw), (StoreError,)),
    "parse_result": (lambda raw: parse_result(raw, "1.1.0"), (ResultError,)),
    "parse_result of the oldest": (lambda raw: parse_result(raw, "0.2.0"), (ResultError,)),
    "ADD": (lambda raw: _respond(Command.ADD, 0, raw), (PluginProtocolError,)),
    "VERSION": (lambda raw: _versions(0, raw), (PluginProtocolError,)),
    "VERSION failing": (lambda raw: _versions(1, raw), (PluginProtocolError,)),
    "ADD failing": (lambda raw: _respond(Command.ADD, 1, raw), (PluginProtocolError,)),
    "DEL failing": (lambda raw: _respond(Command.DEL, 1, raw), (PluginProtocolError,)),
    "CHECK failing": (lambda raw: _respond(Command.CHECK, 1, raw), (PluginProtocolError,)),
    "STATUS failing": (lambda raw: _respond(Command.STATUS, 1, raw), (PluginProtocolError,)),
    "GC failing": (lambda raw: _respond(Command.GC, 1, raw), (PluginProtocolError,)),
}


@pytest.mark.rule("R6", "R13")
@each_production
@pytest.mark.parametrize("reader", READERS)
def test_any_text_as_the_whole_document_is_a_value_or_that_readers_error(
    production: str, reader: str
) -> None:
    read, errors = READERS[reader]

    def judge(text: Text) -> None:
        outcome = outcome_of(read, text.raw, *errors)
        if reader.endswith("failing"):
            assert isinstance(outcome, PluginError)
        if not text.is_taken or not text.core.startswith(b"{"):
            assert isinstance(outcome, errors)

    assert _failures(production, judge) == {}


@each_production
def test_an_object_without_a_known_key_is_a_result_and_comes_back_untouched(
    production: str,
) -> None:
    """Nothing that a result must have is missing; it may be empty."""

    def judge(text: Text) -> None:
        if not text.is_taken or not text.core.startswith(b"{"):
            return
        result = _respond(Command.ADD, 0, text.raw)
        assert result is not None
        assert json.loads(result.raw) == json.loads(text.raw) | {"cniVersion": "1.1.0"}
        assert text.core.decode()[1:] in result.raw

    assert _failures(production, judge) == {}


# --- as the value of a field that nobody knows --------------------------------

_PLUGIN = b'{"type":"first","x":%b}'
_LIST = b'{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"first","x":%b}]}'
_LIST_LEVEL = b'{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"first"}],"x":%b}'
_SINGLE = b'{"cniVersion":"1.1.0","name":"net","type":"first","x":%b}'
_RESULT = b'{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.2/24"}],"x":%b}'


def _requests_of(network: NetworkConfig) -> Iterator[bytes]:
    for command in Command:
        for step in plan(command, network):
            yield request_of(step, network)


def _single_texts(raw: bytes) -> Iterator[bytes]:
    network = parse_single(raw)
    yield network.effective().encode()
    yield from _requests_of(network)


def _list_texts(raw: bytes) -> Iterator[bytes]:
    network = parse_network(raw)
    yield network.effective().encode()
    yield parse_network(network.effective().encode()).plugins[0].text.encode()
    yield from _requests_of(network)
    yield from _requests_of(network.with_args({"cni": {"labels": []}}))


def _list_level_texts(raw: bytes) -> Iterator[bytes]:
    network = parse_network(raw)
    yield b'"x":' + network.members["x"].encode()
    yield network.effective().encode()


def _plugin_texts(raw: bytes) -> Iterator[bytes]:
    plugin = parse_plugin(raw)
    yield plugin.request.encode()
    yield plugin.text.encode()


def _drop_in_texts(raw: bytes) -> Iterator[bytes]:
    network = parse_network(_INLINED, drop_ins=[("x.conf", raw)])
    yield network.effective().encode()
    yield network.plugins[2].request.encode()


def _result_texts(raw: bytes) -> Iterator[bytes]:
    result = _respond(Command.ADD, 0, raw)
    assert result is not None
    yield result.raw.encode()
    step = next(step for step in plan(Command.ADD, _NETWORK) if step.takes_previous)
    yield request_of(step, _NETWORK, result.raw)


def _recorded_texts(raw: bytes) -> Iterator[bytes]:
    """The configuration and the result of a record that was written and read."""
    value = raw[len(_LIST.partition(b"%b")[0]) : -len(b"}]}")]
    record = attrs.evolve(_RECORD, network=parse_network(raw), result=decode(_RESULT % value))
    written = write_record(record)
    read = read_record(record.name, written)
    result = recorded_result(read)
    assert result is not None
    yield read.network.effective().encode()
    yield base64.b64decode(json.loads(written)["config"])
    yield written
    yield result.encode()


def _record_texts(raw: bytes) -> Iterator[bytes]:
    """A key of a record that nobody knows goes with the record: it is not ours to keep."""
    assert _record(raw) == _record(write_record(_RECORD))
    yield raw


FIELDS: dict[str, tuple[bytes, Callable[[bytes], Iterator[bytes]], tuple[type[Exception], ...]]] = {
    "a plugin": (_PLUGIN, _plugin_texts, (ConfigError,)),
    "a plugin of a list": (_LIST, _list_texts, (ConfigError,)),
    "a list": (_LIST_LEVEL, _list_level_texts, (ConfigError,)),
    "one plugin's file": (_SINGLE, _single_texts, (ConfigError,)),
    "a drop-in": (_PLUGIN, _drop_in_texts, (ConfigError,)),
    "a result": (_RESULT, _result_texts, (PluginProtocolError,)),
    "a record": (write_record(_RECORD)[:-1] + b',"x":%b}', _record_texts, (StoreError,)),
    "what a record holds": (_LIST, _recorded_texts, (ConfigError,)),
}


@pytest.mark.rule("R6")
@each_production
@pytest.mark.parametrize("home", FIELDS)
def test_the_value_of_an_unknown_field_travels_as_it_was_written_or_is_refused(
    production: str, home: str
) -> None:
    """What JSON is travels, what none is does not; of what the RFC leaves open each has its
    place in the corpus.
    """
    template, texts_of, errors = FIELDS[home]

    def judge(text: Text) -> None:
        raw = template % text.raw
        if not text.is_taken:
            with pytest.raises(errors) as caught:
                list(texts_of(raw))
            require_sound(caught.value)
            return
        for written in texts_of(raw):
            assert b'"x":' + text.core in written.replace(b'"x":' + text.raw, b'"x":' + text.core)

    assert _failures(production, judge) == {}


# --- as the value of a field that we know -------------------------------------

_OF_EACH_SHAPE: tuple[Reader, ...] = (
    lambda raw: parse_result(raw, "0.2.0"),
    lambda raw: parse_result(raw, "0.4.0"),
    lambda raw: parse_result(raw, "1.1.0"),
)

_DOCUMENTS: dict[str, tuple[bytes, Reader, tuple[type[Exception], ...]]] = {
    "a list": (
        b'{"cniVersion":"1.1.0","cniVersions":["1.0.0"],"name":"net","disableCheck":false,'
        b'"disableGC":false,"loadOnlyInlinedPlugins":false,"plugins":[{"type":"first",'
        b'"capabilities":{"mac":true},"ipam":{"type":"host-local"},"args":{"cni":{}},'
        b'"runtimeConfig":{},"prevResult":{},"cni.dev/valid-attachments":[]}]}',
        parse_network,
        _CONFIGURATION_ERRORS,
    ),
    "one plugin's file": (
        b'{"cniVersion":"1.1.0","name":"net","type":"first","capabilities":{"mac":true},'
        b'"ipam":{"type":"host-local"},"args":{"cni":{}},"plugins":[]}',
        parse_single,
        _CONFIGURATION_ERRORS,
    ),
    "a result": (
        b'{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01","mtu":1500,'
        b'"sandbox":"/n","socketPath":"/s","pciID":"0"}],"ips":[{"address":"10.0.0.2/24",'
        b'"gateway":"10.0.0.1","interface":0},{"address":"fd00::2/64"}],"routes":[{"dst":"::/0",'
        b'"gw":"fd00::1","mtu":1,"advmss":2,"priority":3,"table":4,"scope":5}],"dns":{'
        b'"nameservers":["10.0.0.1"],"domain":"d","search":["s"],"options":["o"]}}',
        lambda raw: [outcome_of(read, raw, ResultError) for read in _OF_EACH_SHAPE],
        (),
    ),
    "a result of the oldest": (
        b'{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24","gateway":"10.0.0.1","routes":[{"dst":'
        b'"0.0.0.0/0","gw":"10.0.0.1"}]},"ip6":{"ip":"fd00::2/64"},"dns":{"nameservers":[]}}',
        lambda raw: [outcome_of(read, raw, ResultError) for read in _OF_EACH_SHAPE],
        (),
    ),
    "a record": (
        write_record(attrs.evolve(_RECORD, cni_args={"A": "1"}, capability_texts={"mac": "1"})),
        _record,
        (StoreError,),
    ),
    "an answer to VERSION": (
        b'{"cniVersion":"1.1.0","supportedVersions":["1.0.0","1.1.0"]}',
        lambda raw: _versions(0, raw),
        (PluginProtocolError,),
    ),
}


def _places(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    members = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in members:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from _places(value, (*path, key))


def _templates(raw: bytes) -> Iterator[bytes]:
    """A document once for each value in it, with a hole in that value's place."""
    document = json.loads(raw)
    for path in _places(document):
        copy = json.loads(raw)
        inner = copy
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = "HOLE"
        yield json.dumps(copy).replace("%", "%%").replace('"HOLE"', "%b").encode()


# A number is read as any other, a text as any other: with each in every place, some will do.
_SAMPLE = {
    name: tuple(text.raw for text in texts if len(text.raw) < 10_000)[:: 1 + len(texts) // 20]
    for name, texts in CORPUS.items()
}
_TAKEN = {text.raw for texts in CORPUS.values() for text in texts if text.is_taken}


@pytest.mark.rule("R42")
@pytest.mark.parametrize("home", _DOCUMENTS)
@each_production
def test_any_text_in_the_place_of_a_known_value_is_a_value_or_a_typed_error(
    production: str, home: str
) -> None:
    raw, read, errors = _DOCUMENTS[home]
    failures: dict[str, str] = {}
    for template in _templates(raw):
        for text in _SAMPLE[production]:
            document = template % text
            is_json = text in _TAKEN or not text.strip()  # a list may be empty
            try:
                outcome = outcome_of(read, document, *errors)
                assert is_json or isinstance(outcome, (Exception, list)), "it was taken"
            except Exception as error:  # noqa: BLE001 - any exception is the finding
                failures[ascii(document)[:400]] = f"{type(error).__name__}: {error!a}"[:300]
    assert failures == {}


def test_the_holes_are_where_the_values_were() -> None:
    templates = list(_templates(b'{"a":{"b":1},"c":[2]}'))
    assert templates == [
        b'{"a": %b, "c": [2]}',
        b'{"a": {"b": %b}, "c": [2]}',
        b'{"a": {"b": 1}, "c": %b}',
        b'{"a": {"b": 1}, "c": [%b]}',
    ]
    assert all(list(_templates(raw)) for raw, _, _ in _DOCUMENTS.values())


# What Go's ParseCIDR takes, and what it does not.
_ADDRESSES = [
    "10.0.0.2/24",
    "fd00::2/64",
    "::ffff:10.0.0.2/120",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.2/024",
    "10.0.0.2/" + "0" * 3000 + "8",
    "fd00::10.0.0.2/96",
]
_NO_ADDRESSES = [
    "",
    "/",
    "/24",
    "10.0.0.2",
    "10.0.0.2/",
    "10.0.0.2/33",
    "10.0.0.2/-1",
    "10.0.0.2/+1",
    "10.0.0.2/ 24",
    "10.0.0.2/24/24",
    "10.0.0.2/255.255.255.0",
    "10.0.0.2/0.0.0.255",
    "10.0.0.2/\u0662",
    "10.0.0.2/\xb2",
    "10.0.0.2/" + "9" * 5000,
    "010.0.0.2/24",
    "10.0.2/24",
    "10.0.0.2.3/24",
    "10.0.0.256/24",
    "0x0a.0.0.2/24",
    "1\u0660.0.0.2/24",
    " 10.0.0.2/24",
    "10.0.0.2/24\n",
    "10.0.0.2\0/24",
    "fd00::2/129",
    "fd00::1::2/64",
    "fd00:::2/64",
    "::/64/",
    ":/64",
    "fe80::1%eth0/64",
    "fe80::1%/64",
    "fe80::1%eth0",
    "fe80::1%\u2028",
    "[fd00::2]/64",
    "1:2:3:4:5:6:7:8:9/64",
    "g::/64",
    "fd00::10.0.0.256/96",
    "167772162/24",
    ":" * 5000 + "/64",
]
each_address = pytest.mark.parametrize(
    "address", _ADDRESSES + _NO_ADDRESSES, ids=lambda address: ascii(address)[:40]
)


@pytest.mark.parametrize("home", ["a result", "a result of the oldest"])
@each_address
def test_any_text_as_an_address_is_one_or_a_typed_error(address: str, home: str) -> None:
    """In every version, whatever is asked of the result afterwards."""
    raw, read, _ = _DOCUMENTS[home]
    for template in _templates(raw):
        outcome_of(read, template % json.dumps(address).encode())


@pytest.mark.rule("R42")
@each_address
def test_an_address_is_taken_as_written_or_refused_as_a_plugin_in_go_would(address: str) -> None:
    """In ``ips`` and ``ip4``; a route without one is left out."""
    text = json.dumps(address)
    results = {
        "1.1.0": f'{{"ips":[{{"address":{text}}}]}}',
        "0.4.0": f'{{"ips":[{{"version":"4","address":{text}}}]}}',
        "0.1.0": f'{{"ip4":{{"ip":{text}}}}}',
    }
    for version, raw in results.items():
        if address in _ADDRESSES:
            assert [ip.address for ip in parse_result(raw, version).ips] == [address]
        else:
            with pytest.raises(ResultError):
                parse_result(raw, version)
    routes = parse_result(f'{{"routes":[{{"dst":{text}}}]}}', "1.1.0").routes
    assert [route.dst for route in routes] == [address] * (address in _ADDRESSES)


# --- in a plugin's error ------------------------------------------------------


@pytest.mark.rule("R13", "R43")
@each_production
@pytest.mark.parametrize("command", Command, ids=str)
def test_any_text_beside_a_plugins_code_leaves_the_code_or_breaks_the_whole_error(
    production: str, command: Command
) -> None:

    def judge(text: Text) -> None:
        raw = b'{"cniVersion":"1.1.0","code":7,"msg":"no","x":%b}' % text.raw
        outcome = outcome_of(lambda raw: _respond(command, 1, raw), raw, PluginError)
        assert isinstance(outcome, PluginError)
        # Errors are read loosely: bytes that are no UTF-8 are replaced, depth has no fixed bound.
        if text.is_taken:
            assert isinstance(outcome, PluginFailed)
            assert (outcome.code, outcome.msg) == (7, "no")
            assert isinstance(outcome, CheckFailed) == (command is Command.CHECK)

    assert _failures(production, judge) == {}


@pytest.mark.rule("R13", "R43")
@each_production
@pytest.mark.parametrize("key", ["code", "msg", "details"])
def test_any_text_in_a_plugins_error_makes_an_error_that_can_be_shown(
    production: str, key: str
) -> None:

    def judge(text: Text) -> None:
        raw = b'{"code":7,"msg":"no","%b":%b}' % (key.encode(), text.raw)
        outcome = outcome_of(lambda raw: _respond(Command.DEL, 1, raw), raw, PluginError)
        assert isinstance(outcome, PluginError)

    assert _failures(production, judge) == {}


# --- what real plugins and real accidents printed ------------------------------


@pytest.mark.rule("R13")
@pytest.mark.parametrize("name", NAMED)
def test_with_exit_status_0_add_and_version_read_what_was_printed_and_nothing_else_does(
    name: str,
) -> None:
    printed = NAMED[name]
    started = time.thread_time()
    add = outcome_of(
        lambda raw: _respond(Command.ADD, 0, raw, printed.stderr),
        printed.stdout,
        PluginProtocolError,
    )
    version = outcome_of(
        lambda raw: _versions(0, raw, printed.stderr), printed.stdout, PluginProtocolError
    )
    for command in set(Command) - {Command.ADD}:
        assert _respond(command, 0, printed.stdout, printed.stderr) is None
    assert time.thread_time() - started < 1
    if printed.is_taken is not None:
        assert isinstance(add, Result) == printed.is_taken
        assert isinstance(version, tuple) == printed.is_taken
    if printed.is_taken:
        assert isinstance(add, Result)
        assert (str(add.ipv4), str(add.gateway)) == ("10.0.0.2", "10.0.0.1")
        assert version == ("1.0.0",)


@pytest.mark.rule("R13", "R43")
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("command", Command, ids=str)
def test_with_another_exit_status_the_last_error_object_is_what_the_plugin_said(
    name: str, command: Command
) -> None:
    printed = NAMED[name]
    started = time.thread_time()
    error = outcome_of(
        lambda raw: _respond(command, 1, raw, printed.stderr), printed.stdout, PluginError
    )
    assert time.thread_time() - started < 1
    assert isinstance(error, PluginError)
    assert (error.plugin, error.index) == ("second", 1)
    if printed.code is not False:
        assert isinstance(error, PluginFailed) == (printed.code is not None)
        assert error.code == printed.code


@pytest.mark.rule("R60")
@pytest.mark.parametrize("name", NAMED)
def test_version_that_fails_is_a_broken_response(name: str) -> None:
    """Only a plugin that says it does not know VERSION is an old one."""
    printed = NAMED[name]
    outcome = outcome_of(
        lambda raw: _versions(1, raw, printed.stderr), printed.stdout, PluginProtocolError
    )
    assert isinstance(outcome, PluginProtocolError)
    unknown = b'{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}'
    assert _versions(1, printed.stdout + unknown) == ("0.1.0",)


@pytest.mark.parametrize("name", NAMED)
def test_what_a_plugin_printed_is_no_record_and_no_configuration(name: str) -> None:
    raw = NAMED[name].stdout
    for read, errors in READERS.values():
        outcome = outcome_of(read, raw, *errors, PluginFailed)
        assert not isinstance(outcome, (Record, NetworkConfig, PluginConfig))


@each_production
def test_only_json_errors_come_out_of_the_reader_of_mixed_text(production: str) -> None:
    def judge(text: Text) -> None:
        try:
            found = list(objects_in(decode(b'log { "x":' + text.raw + b'} log {"code":7}')))
        except JsonError:
            found = []
        assert all(isinstance(value, dict) for value in found)

    assert _failures(production, judge) == {}


def test_every_reader_has_an_error_of_its_own() -> None:
    """The errors that the tests above allow are the documented ones: no bare ValueError."""
    allowed = {error for _, errors in READERS.values() for error in errors}
    assert all(issubclass(error, (AcniError, ResultError)) for error in allowed)
