"""Hostile strings in every named field: what is allowed is written here, not computed.

Each row has the letters of the fields that take the string; everything else refuses it, before
anything is read, written or run.

==  ===========================================  ==  ==========================================
C   container ID                                 A   name in CNI_ARGS
N   network name                                 V   value in CNI_ARGS
I   interface name                               P   path of the namespace, the whole of it
T   plugin type                                  Q   the same, below ``/run/netns/``
M   type of the address management               K   name of a capability
==  ===========================================  ==  ==========================================

(specification, section 1, "name", "type"; section 2, "Parameters"; rules R1, R7, R14, R53, R55,
R56)
"""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from attrs import evolve

from acni import (
    AcniError,
    Attachment,
    AttachmentId,
    AttachmentNotFound,
    ConfigError,
    InvalidName,
    NetworkNotFound,
    Runtime,
    StoreError,
    networks,
    open_runtime,
    parse_network,
)
from acni.events import Debt
from acni.spec import Command, Parameters, build_request, parse_plugin, parse_single, plan
from acni.spec.names import ContainerId, IfName, NetworkName, record_name
from acni.store.record import Record, read_record, write_record
from acni.testing import ScriptedRunner

HOSTILE = {
    "empty": ("", "MVQK"),
    "here": (".", "AVQK"),
    "parent": ("..", "AVQK"),
    "three dots": ("...", "ITMAVQK"),
    "traversal": ("../x", "AVQK"),
    "traversal to a program": ("../../bin/reboot", "AVQK"),
    "traversal in the middle": ("x/../y", "AVQK"),
    "traversal with backslashes": ("..\\x", "ITMAVQK"),
    "traversal, percent-encoded": ("..%2fx", "TMAVQK"),
    "traversal, fullwidth": ("\uff0e\uff0e\uff0fx", "ITMAVQK"),
    "two dots inside": ("a..b", "CNITMAVQK"),
    "root": ("/", "AVPQK"),
    "absolute": ("/etc/passwd", "AVPQK"),
    "two slashes": ("//x", "AVPQK"),
    "trailing slash": ("x/", "AVQK"),
    "backslash": ("\\", "ITMAVQK"),
    "hidden": (".x", "ITMAVQK"),
    "underscore first": ("_x", "ITMAVQK"),
    "hyphen last": ("x-", "CNITMAVQK"),
    "hyphen": ("-", "IAVQK"),
    "an option": ("-x", "IAVQK"),
    "a long option": ("--help", "IAVQK"),
    "NUL": ("\0", "K"),
    "NUL at the end": ("x\0", "K"),
    "NUL inside": ("x\0y", "K"),
    "newline": ("\n", "TMQK"),
    "newline at the end": ("x\n", "TMQK"),
    "newline first": ("\nx", "TMQK"),
    "carriage return": ("x\r", "TMQK"),
    "tab": ("x\ty", "TMQK"),
    "vertical tab": ("x\vy", "TMQK"),
    "form feed": ("x\f", "TMQK"),
    "space": (" ", "TMAVQK"),
    "space at the end": ("x ", "TMAVQK"),
    "space first": (" x", "TMAVQK"),
    "file separator": ("x\x1c", "TMQK"),
    "group separator": ("x\x1d", "TMQK"),
    "record separator": ("x\x1e", "TMQK"),
    "unit separator": ("x\x1f", "TMQK"),
    "escape sequence": ("\x1b[31m", "TMQK"),
    "bell": ("x\a", "TMQK"),
    "backspace": ("x\b", "TMQK"),
    "delete": ("x\x7f", "TMQK"),
    "a C1 control": ("x\x9b", "ITMQK"),
    "next line": ("x\x85", "TMQK"),
    "no-break space": ("x\xa0", "TMQK"),
    "a letter with a no-break space's byte": ("x\xe0", "TMAVQK"),
    "soft hyphen": ("x\xad", "ITMQK"),
    "line separator": ("x\u2028", "TMQK"),
    "paragraph separator": ("x\u2029", "TMQK"),
    "ideographic space": ("x\u3000", "TMQK"),
    "zero-width space": ("x\u200b", "ITMQK"),
    "right-to-left mark": ("x\u200f", "ITMQK"),
    "right-to-left override": ("\u202egpj", "ITMQK"),
    "byte order mark": ("\ufeffx", "ITMQK"),
    "a letter with an accent": ("\xe9", "ITMAVQK"),
    "a combining accent": ("e\u0301", "ITMAVQK"),
    "a Cyrillic letter": ("\u0430", "ITMAVQK"),
    "a Kelvin sign": ("\u212a", "ITMAVQK"),
    "an Arabic digit": ("\u0660", "TMAVQK"),
    "a fullwidth digit": ("\uff11", "ITMAVQK"),
    "a fullwidth letter": ("\uff21", "ITMAVQK"),
    "a superscript digit": ("x\xb2", "ITMAVQK"),
    "no character": ("\uffff", "ITMQK"),
    "emoji": ("\U0001f600", "ITMAVQK"),
    "lone high surrogate": ("\ud800", "K"),
    "lone low surrogate": ("x\udfff", "K"),
    "a stray byte as Python decodes it": ("x\udcff", "K"),
    "15 bytes": ("a" * 15, "CNITMAVQK"),
    "16 bytes": ("a" * 16, "CNTMAVQK"),
    "15 bytes in 8 characters": ("\xe9" * 7 + "a", "ITMAVQK"),
    "16 bytes in 8 characters": ("\xe9" * 8, "TMAVQK"),
    "255 bytes": ("a" * 255, "CNTMAVQK"),
    "256 bytes": ("a" * 256, "CNAVQK"),
    "256 bytes in 128 characters": ("\xe9" * 128, "AVQK"),
    "4,096 bytes": ("a" * 4096, "CNAVK"),
    "131,072 bytes": ("a" * 131_072, "CNK"),
    "the kernel's template": ("eth%d", "TMAVQK"),
    "a format": ("%s%n", "TMAVQK"),
    "a pair": ("a=b", "ITMQK"),
    "equals": ("=", "ITMQK"),
    "two pairs": ("a;b", "ITMQK"),
    "semicolon": (";", "ITMQK"),
    "a command": ("$(x)", "ITMAVQK"),
    "a command in backquotes": ("`x`", "ITMAVQK"),
    "a variable": ("${HOME}", "ITMAVQK"),
    "a pipe": ("x|y", "ITMAVQK"),
    "two commands": ("x&y", "ITMAVQK"),
    "a redirection": (">x", "ITMAVQK"),
    "a pattern": ("*", "ITMAVQK"),
    "a home": ("~", "ITMAVQK"),
    "single quote": ("'", "ITMAVQK"),
    "double quote": ('"', "ITMAVQK"),
    "an end of JSON": ('"}', "ITMAVQK"),
    "colon": ("a:b", "TMAVQK"),
    "comma": ("a,b", "ITMAVQK"),
    "at sign": ("eth0@if2", "ITMAVQK"),
    "sysctl's all": ("all", "CNTMAVQK"),
    "sysctl's default": ("default", "CNTMAVQK"),
    "loopback": ("lo", "CNITMAVQK"),
    "a number": ("0", "CNITMAVQK"),
    "null as text": ("null", "CNITMAVQK"),
    "a key of Python": ("__proto__", "ITMAVQK"),
    "what the environment has": ("CNI_PATH", "CNITMAVQK"),
    "what IgnoreUnknown has": ("IgnoreUnknown", "CNITMAVQK"),
}

FIELDS = "CNITMAVPQK"
Refusal = TypeVar("Refusal", bound=AcniError)

each_string = pytest.mark.parametrize(("text", "allowed"), HOSTILE.values(), ids=HOSTILE)


def _plugin(**members: object) -> bytes:
    return json.dumps({"type": "first"} | members).encode()


def _list(name: str = "net", version: str = "1.1.0", **members: object) -> bytes:
    plugins = [{"type": "first"} | members]
    return json.dumps({"cniVersion": version, "name": name, "plugins": plugins}).encode()


def _single(name: str = "net", **members: object) -> bytes:
    return json.dumps({"cniVersion": "1.1.0", "name": name, "type": "first"} | members).encode()


def _attachment(**members: Any) -> Attachment:
    return Attachment(**({"container_id": "c1", "netns": "/run/netns/c1"} | members))


def _runtime_config(text: str) -> object:
    """What a plugin that declares the capability gets for it."""
    attachment = _attachment(capability_args={text: 1})
    network = parse_network(_list(capabilities={text: True}))
    parameters = Parameters(
        container_id=attachment.container_id,
        netns=attachment.netns,
        ifname=attachment.ifname,
        cni_args={},
        capability_texts=attachment.capability_texts,
        plugin_dirs=["/plugins"],
        inherited={},
    )
    request = build_request(plan(Command.ADD, network)[0], network, parameters)
    (name,) = json.loads(request.stdin)["runtimeConfig"]
    return name


def _ipam_type(plugin: str) -> object:
    return json.loads(plugin)["ipam"]["type"]


# What each way into each field keeps of the string.
ENTRANCES: dict[str, dict[str, Callable[[str], object]]] = {
    "C": {
        "an identity": lambda text: AttachmentId(text).container_id,
        "an attachment": lambda text: _attachment(container_id=text).container_id,
        "a changed identity": lambda text: (
            evolve(AttachmentId("c1"), container_id=ContainerId(text)).container_id
        ),
    },
    "N": {
        "a list": lambda text: parse_network(_list(text)).name,
        "one plugin's file": lambda text: parse_single(_single(text)).name,
        "no file": lambda text: networks.from_plugins(text, {"type": "first"}).name,
        "a bridge": lambda text: networks.bridge(text, "10.0.0.0/24").name,
    },
    "I": {
        "an identity": lambda text: AttachmentId("c1", text).ifname,
        "an attachment": lambda text: _attachment(ifname=text).ifname,
        "a changed attachment": lambda text: evolve(_attachment(), ifname=IfName(text)).ifname,
    },
    "T": {
        "a plugin": lambda text: parse_plugin(_plugin(type=text)).type,
        "a list": lambda text: parse_network(_list(type=text)).plugins[0].type,
        "one plugin's file": lambda text: parse_single(_single(type=text)).plugins[0].type,
        "a drop-in": lambda text: (
            parse_network(_list(), drop_ins=[("x.conf", _plugin(type=text))]).plugins[1].type
        ),
        "no file": lambda text: networks.from_plugins("net", {"type": text}).plugins[0].type,
    },
    "M": {
        "a plugin": lambda text: _ipam_type(parse_plugin(_plugin(ipam={"type": text})).text),
        "a list": lambda text: _ipam_type(
            parse_network(_list(ipam={"type": text})).plugins[0].text
        ),
        "one plugin's file": lambda text: _ipam_type(
            parse_single(_single(ipam={"type": text})).plugins[0].text
        ),
    },
    "A": {"an attachment": lambda text: next(iter(_attachment(cni_args={text: ""}).cni_args))},
    "V": {"an attachment": lambda text: _attachment(cni_args={"A": text}).cni_args["A"]},
    "P": {"an attachment": lambda text: _attachment(netns=text).netns},
    "Q": {
        "an attachment": lambda text: _attachment(netns=f"/run/netns/{text}").netns.removeprefix(
            "/run/netns/"
        ),
    },
    "K": {
        "an attachment": lambda text: next(
            iter(_attachment(capability_args={text: 1}).capability_args)
        ),
        "a plugin": lambda text: next(
            iter(parse_plugin(_plugin(capabilities={text: True})).capabilities)
        ),
        "a request": _runtime_config,
    },
}
PLACES = {
    "C": ("container ID",),
    "N": ("$.name", "network name"),
    "I": ("interface name",),
    "T": ("$.type", "$.plugins[0].type", "x.conf: $.type"),
    "M": ("$.ipam.type", "$.plugins[0].ipam.type"),
    "A": ("CNI_ARGS",),
    "V": ("CNI_ARGS",),
    "P": ("netns",),
    "Q": ("netns",),
}


@pytest.mark.rule("R1", "R7", "R14", "R53", "R55", "R56")
def test_the_table_has_over_60_strings_and_knows_every_field() -> None:
    assert len(HOSTILE) >= 100
    assert len({text for text, _ in HOSTILE.values()}) == len(HOSTILE)
    assert set(FIELDS) == set(ENTRANCES)
    for _, allowed in HOSTILE.values():
        assert sorted(allowed, key=FIELDS.index) == list(allowed)
    for field in FIELDS:
        assert any(field in allowed for _, allowed in HOSTILE.values())


def _entrances() -> Iterator[tuple[str, Callable[[str], object]]]:
    for field, entrances in ENTRANCES.items():
        for entrance in entrances.values():
            yield field, entrance


@each_string
def test_a_string_is_allowed_or_refused_in_every_field_as_the_table_says(
    text: str, allowed: str
) -> None:
    """By every way in alike; what is allowed is kept as it is."""
    for field, entrance in _entrances():
        if field in allowed:
            assert entrance(text) == text, field
            continue
        error = _refusal(partial(entrance, text), InvalidName, field)
        assert error.place in PLACES[field], field
        _require_presentable(error)


def _refusal(call: Callable[[], object], kind: type[Refusal], where: str) -> Refusal:
    try:
        kept = call()
    except kind as error:
        return error
    pytest.fail(f"{where} took it: {kept!a}")


def _require_presentable(error: AcniError) -> None:
    """The string is shown without doing to a terminal or a log what it was made for."""
    assert str(error).isascii()
    assert str(error).isprintable()
    assert len(str(error)) < 400
    assert error.exit_status == 2
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert vars(copy) == vars(error)


@pytest.mark.rule("R53")
@pytest.mark.parametrize(
    "text",
    [text for text, allowed in HOSTILE.values() if "V" not in allowed],
    ids=lambda t: ascii(t)[:30],
)
def test_an_error_about_an_argument_does_not_show_its_value(text: str) -> None:
    """It may be a secret."""
    with pytest.raises(InvalidName) as caught:
        _attachment(cni_args={"TOKEN": f"hunter2{text}"})
    assert "hunter2" not in str(caught.value) + str(vars(caught.value))


@pytest.mark.rule("R14", "R53", "R56")
@pytest.mark.parametrize("text", [None, 1, True, b"c1", ["c1"], {"c1": 1}, 1.5], ids=repr)
def test_what_is_no_text_is_refused_in_every_field(text: Any) -> None:
    for field, entrances in ENTRANCES.items():
        if field in "PQKM" or isinstance(text, bytes):
            continue
        for name, entrance in entrances.items():
            if isinstance(text, (list, dict)) and field == "A":
                continue
            _refusal(partial(entrance, text), InvalidName, f"{field}, {name}")
    for names in ({text: 1}, {text: True}) if not isinstance(text, (list, dict)) else ():
        with pytest.raises(ConfigError):
            _attachment(capability_args=names)


# --- in a record ----------------------------------------------------------------


_RECORD = Record(
    container_id=ContainerId("c1"),
    ifname=IfName("eth0"),
    network=parse_network(_list()),
    netns="/run/netns/c1",
    cni_args={"A": "1"},
    capability_texts={"mac": "1"},
    result=None,
    provenance=None,
)
# A record is written by other runtimes too: an argument's value may have an equals sign there.
_ALSO_RECORDED = {"a=b": "V", "=": "V"}


def _recorded(text: str) -> dict[str, tuple[dict[str, object], Callable[[Record], object]]]:
    return {
        "C": ({"containerId": text}, lambda record: record.container_id),
        "I": ({"ifName": text}, lambda record: record.ifname),
        "A": ({"cniArgs": [[text, "1"]]}, lambda record: next(iter(record.cni_args))),
        "V": ({"cniArgs": [["A", text]]}, lambda record: record.cni_args["A"]),
        "K": ({"capabilityArgs": {text: 1}}, lambda record: next(iter(record.capability_texts))),
    }


@each_string
def test_a_string_is_allowed_or_refused_in_a_record_as_in_a_callers_hand(
    text: str, allowed: str
) -> None:
    """A record read back is input."""
    document = json.loads(write_record(_RECORD))
    allowed += _ALSO_RECORDED.get(text, "")
    for field, (members, kept) in _recorded(text).items():
        raw = json.dumps(document | members).encode()
        if field in allowed:
            assert kept(read_record(None, raw)) == text, field
            continue
        error = _refusal(partial(read_record, None, raw), StoreError, field)
        assert str(error).isascii()
        assert error.place == "acni/debts"


@pytest.mark.rule("R1", "R7", "R55")
@each_string
def test_a_recorded_configuration_is_parsed_as_a_callers_is(text: str, allowed: str) -> None:
    written = json.loads(write_record(_RECORD))
    for field, config in {
        "N": _list(text),
        "T": _list(type=text),
        "M": _list(ipam={"type": text}),
    }.items():
        document = written | {"config": base64.b64encode(config).decode()}
        document |= {"networkName": text} if field == "N" else {}
        raw = json.dumps(document).encode()
        if field in allowed:
            assert read_record(None, raw).container_id == "c1"
            continue
        error = _refusal(partial(read_record, None, raw), StoreError, field)
        assert str(error).isascii()


@each_string
def test_no_string_but_its_own_is_the_file_name_of_a_record(text: str, allowed: str) -> None:
    raw = write_record(_RECORD)
    assert read_record("net-c1-eth0", raw).id == AttachmentId("c1")
    for name in (text, f"net-c1-eth0{text}", f"{text}net-c1-eth0", f"net-{text}-eth0"):
        if name == "net-c1-eth0":
            continue
        with pytest.raises(StoreError) as caught:
            read_record(name, raw)
        assert caught.value.place == f"results/{name}"


# --- the whole name of a record ---------------------------------------------------


@pytest.mark.parametrize(
    ("network", "container", "ifname", "is_allowed"),
    [
        pytest.param("n" * 124, "c" * 125, "eth0", True, id="255 bytes"),
        pytest.param("n" * 125, "c" * 125, "eth0", False, id="256 bytes"),
        pytest.param("n", "c" * 248, "eth0", True, id="255 bytes, a long container ID"),
        pytest.param("n", "c" * 249, "eth0", False, id="256 bytes, a long container ID"),
        pytest.param("n" * 248, "c", "eth0", True, id="255 bytes, a long network name"),
        pytest.param("n" * 255, "c", "eth0", False, id="a network name that is a file name"),
        pytest.param("n", "c" * 255, "eth0", False, id="a container ID that is a file name"),
        pytest.param("n" * 120, "c" * 118, "\xe9" * 7 + "a", True, id="255 bytes, 248 characters"),
        pytest.param("n" * 120, "c" * 119, "\xe9" * 7 + "a", False, id="256 bytes, 249 characters"),
        pytest.param("n", "c" * 131_072, "eth0", False, id="131,072 bytes"),
    ],
)
def test_the_names_together_are_a_file_name_of_at_most_255_bytes(
    network: str, container: str, ifname: str, is_allowed: bool
) -> None:
    names = (NetworkName(network), ContainerId(container), IfName(ifname))
    if is_allowed:
        assert len(record_name(*names).encode()) == 255
        return
    with pytest.raises(InvalidName, match="too long together"):
        record_name(*names)


# --- on every verb ------------------------------------------------------------------


def _tree(directory: Path) -> dict[str, bytes]:
    """Everything in a state directory: names and contents."""
    return {
        str(path): path.read_bytes() if path.is_file() else b"" for path in directory.rglob("*")
    }


def _debt(**members: str) -> Debt:
    given = {"network": "net", "container_id": "c1", "ifname": "eth0"} | members
    return Debt(plugin="first", cause="why", **given)


Call = Callable[[Runtime, str], Awaitable[object]]
NETWORK = parse_network(_list())

# One call a field and verb; an argument that cannot be made is refused before the verb begins.
VERBS: dict[str, dict[str, Call]] = {
    "add": {
        "C": lambda r, x: r.add(NETWORK, _attachment(container_id=x)),
        "N": lambda r, x: r.add(parse_network(_list(x)), _attachment()),
        "I": lambda r, x: r.add(NETWORK, _attachment(ifname=x)),
        "T": lambda r, x: r.add(parse_network(_list(type=x)), _attachment()),
        "M": lambda r, x: r.add(parse_network(_list(ipam={"type": x})), _attachment()),
        "A": lambda r, x: r.add(NETWORK, _attachment(cni_args={x: "1"})),
        "V": lambda r, x: r.add(NETWORK, _attachment(cni_args={"A": x})),
        "P": lambda r, x: r.add(NETWORK, _attachment(netns=x)),
    },
    "delete": {
        "C": lambda r, x: r.delete(AttachmentId(x), network=NETWORK),
        "N": lambda r, x: r.delete(AttachmentId("c2"), network=parse_network(_list(x))),
        "I": lambda r, x: r.delete(AttachmentId("c1", x), network=NETWORK),
        "T": lambda r, x: r.delete(AttachmentId("c2"), network=parse_network(_list(type=x))),
        "A": lambda r, x: r.delete(_attachment(cni_args={x: "1"}), network=NETWORK),
        "V": lambda r, x: r.delete(_attachment(cni_args={"A": x}), network=NETWORK),
        "P": lambda r, x: r.delete(_attachment(netns=x), network=NETWORK),
    },
    "check": {
        "C": lambda r, x: r.check(AttachmentId(x)),
        "I": lambda r, x: r.check(AttachmentId("c1", x)),
        "P": lambda r, x: r.check(_attachment(netns=x)),
    },
    "status": {
        "N": lambda r, x: r.status(parse_network(_list(x))),
        "T": lambda r, x: r.status(parse_network(_list(type=x))),
        "M": lambda r, x: r.status(parse_network(_list(ipam={"type": x}))),
    },
    "validate": {
        "N": lambda r, x: r.validate(parse_single(_single(x))),
        "T": lambda r, x: r.validate(parse_single(_single(type=x))),
        "M": lambda r, x: r.validate(parse_single(_single(ipam={"type": x}))),
    },
    "version": {"T": lambda r, x: r.version(x)},
    "settle": {
        "C": lambda r, x: r.settle(_debt(container_id=x)),
        "I": lambda r, x: r.settle(_debt(ifname=x)),
    },
    "forget": {
        "C": lambda r, x: r.forget(_debt(container_id=x), reason="x"),
        "I": lambda r, x: r.forget(_debt(ifname=x), reason="x"),
    },
}


@pytest.mark.rule("R1", "R7", "R14", "R53", "R55", "R56")
@pytest.mark.anyio
@pytest.mark.parametrize("verb", VERBS)
async def test_a_refused_string_runs_no_plugin_and_writes_nothing_on_any_verb(
    verb: str, state_dir: Path, scripted: ScriptedRunner
) -> None:
    """Not on ADD alone."""
    async with open_runtime(
        state_dir=state_dir, plugin_dirs=["/plugins"], runner=scripted
    ) as runtime:
        (state_dir / "results" / "net-c1-eth0").write_bytes(write_record(_RECORD))
        before = _tree(state_dir)
        refusals: list[InvalidName] = []
        for field, call in VERBS[verb].items():
            for name, (text, allowed) in HOSTILE.items():
                if field in allowed:
                    continue
                refusals.append(await _refusal_of(partial(call, runtime, text), f"{field}: {name}"))
        assert len(refusals) > 20
        assert scripted.calls == []
        assert _tree(state_dir) == before


@pytest.mark.rule("R1")
@pytest.mark.anyio
@pytest.mark.parametrize("verb", ["delete", "check", "settle", "forget", "network"])
async def test_a_network_that_is_named_by_a_hostile_string_is_refused_or_not_found(
    verb: str, state_dir: Path, tmp_path: Path, scripted: ScriptedRunner
) -> None:
    """An empty one is none: it does not stand for every network."""
    conf_dir = tmp_path / "net.d"
    conf_dir.mkdir()
    (conf_dir / "net.conflist").write_bytes(_list())
    (conf_dir / "x").mkdir()
    async with open_runtime(
        state_dir=state_dir, conf_dir=conf_dir, plugin_dirs=["/plugins"], runner=scripted
    ) as runtime:
        (state_dir / "results" / "net-c1-eth0").write_bytes(write_record(_RECORD))
        before = _tree(state_dir)
        for text, fields in HOSTILE.values():
            if verb == "settle" and "N" in fields:  # nothing is owed there
                await runtime.settle(_debt(network=text))
                continue
            missing = (AttachmentNotFound, NetworkNotFound)
            with pytest.raises(missing if "N" in fields else InvalidName) as caught:
                await _NAMED[verb](runtime, text)
            assert str(caught.value).encode()
        assert scripted.calls == []
        assert _tree(state_dir) == before


async def _refusal_of(call: Callable[[], Awaitable[object]], where: str) -> InvalidName:
    try:
        await call()
    except InvalidName as error:
        return error
    pytest.fail(f"{where} was taken")


_NAMED: dict[str, Call] = {
    "settle": lambda r, x: r.settle(_debt(network=x)),
    "delete": lambda r, x: r.delete(AttachmentId("c1"), network=x),
    "check": lambda r, x: r.check(AttachmentId("c1"), network=x),
    "forget": lambda r, x: r.forget(_debt(network=x), reason="x"),
    "network": lambda r, x: r.network(x),
}


@pytest.mark.anyio
async def test_names_that_are_too_long_together_run_no_plugin_and_write_nothing(
    state_dir: Path, scripted: ScriptedRunner
) -> None:
    """Also where each is allowed alone: the file name is checked as a whole, and first."""
    attachments = [
        _attachment(container_id=text)
        for text, allowed in HOSTILE.values()
        if "C" in allowed and len(text) >= 250
    ]
    async with open_runtime(
        state_dir=state_dir, plugin_dirs=["/plugins"], runner=scripted
    ) as runtime:
        before = _tree(state_dir)
        for attachment in attachments:
            for call in (
                runtime.add(NETWORK, attachment),
                runtime.delete(attachment, network=NETWORK),
                runtime.delete(attachment.id, network=NETWORK),
            ):
                with pytest.raises(InvalidName, match="too long together"):
                    await call
            with pytest.raises(AttachmentNotFound):
                await runtime.delete(attachment.id)
            with pytest.raises(AttachmentNotFound):
                await runtime.check(attachment.id)
        assert len(attachments) == 4
        assert scripted.calls == []
        assert _tree(state_dir) == before


@pytest.mark.anyio
async def test_a_file_of_a_hostile_name_beside_the_records_is_nobodys_record(
    state_dir: Path, scripted: ScriptedRunner
) -> None:
    """It is another attachment's, or torn, or anything: no verb takes it for its own."""
    async with open_runtime(
        state_dir=state_dir, plugin_dirs=["/plugins"], runner=scripted
    ) as runtime:
        for text, _ in HOSTILE.values():
            for name in (text, f"net-{text}-eth0", f"net-c1-{text}"):
                if _is_file_name(name):
                    (state_dir / "results" / name).write_bytes(write_record(_RECORD))
        before = _tree(state_dir)
        assert len(before) > 200
        for identity in (AttachmentId("c1"), AttachmentId("c2"), AttachmentId("web")):
            with pytest.raises(AttachmentNotFound):
                await runtime.delete(identity)
            with pytest.raises(AttachmentNotFound):
                await runtime.check(identity)
        assert await runtime.debts() == ()
        assert not any(found.state == "attached" for found in await runtime.attachments())
        assert scripted.calls == []
        assert _tree(state_dir) == before


def _is_file_name(name: str) -> bool:
    try:
        octets = name.encode()
    except UnicodeEncodeError:
        return False
    return 0 < len(octets) <= 255 and name not in (".", "..") and not set("/\0") & set(name)
