"""Configurations: what is understood, what travels, and where an error says it stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from acni.errors import AcniError, ConfigError, InvalidName, VersionUnsupported
from acni.spec import NetworkConfig, parse_network, parse_plugin, parse_single
from acni.spec.configuration import parse_recorded_network
from acni.spec.jsontext import array_elements, object_members

Parse = Callable[[bytes], object]


def _network(**members: Any) -> bytes:
    document = {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge"}], **members}
    return json.dumps({key: value for key, value in document.items() if value is not ...}).encode()


def _chain(*plugins: Any, **members: Any) -> bytes:
    return _network(plugins=list(plugins), **members)


@pytest.mark.rule("R37")
def test_a_list_is_read() -> None:
    network = parse_network(
        b'{"cniVersion":"1.0.0","name":"net","x-note":[1],"plugins":'
        b'[{"type":"bridge","bridge":"br0"},{"type":"portmap"}]}',
        source="/etc/cni/net.d/10-net.conflist",
    )
    assert network.name == "net"
    assert network.cni_version == "1.0.0"
    assert network.disable_check is False
    assert [plugin.type for plugin in network.plugins] == ["bridge", "portmap"]
    assert network.plugins[0].text == '{"type":"bridge","bridge":"br0"}'
    assert network.plugins[0].request == '"type":"bridge","bridge":"br0"'
    assert network.members == {"x-note": "[1]"}
    assert network.source == "/etc/cni/net.d/10-net.conflist"


@pytest.mark.rule("R37")
def test_a_configuration_of_one_plugin_becomes_a_list() -> None:
    """R37: the request's name and version are generated."""
    text = '{"cniVersion":"0.4.0","name":"net","type":"bridge","x":1e2}'
    network = parse_single(text.encode(), source="10-net.conf")
    assert (network.name, network.cni_version) == ("net", "0.4.0")
    assert [plugin.type for plugin in network.plugins] == ["bridge"]
    assert network.plugins[0].text == text
    assert network.plugins[0].request == '"type":"bridge","x":1e2'
    assert network.plugins[0].source == network.source == "10-net.conf"
    assert parse_network(network.effective().encode()).plugins[0].request == (
        network.plugins[0].request
    )


def test_a_configuration_of_one_plugin_needs_a_name_and_a_type() -> None:
    with pytest.raises(ConfigError, match="no name"):
        parse_single(b'{"type":"bridge"}')
    with pytest.raises(ConfigError, match="no type"):
        parse_single(b'{"name":"net"}')


@pytest.mark.rule("R4", "R5")
def test_drop_ins_are_appended_in_their_order() -> None:
    network = parse_network(
        _network(),
        drop_ins=[("net/10.conf", b' {"type":"tuning"}\n'), ("net/20.conf", b'{"type":"sbr"}')],
    )
    assert [plugin.type for plugin in network.plugins] == ["bridge", "tuning", "sbr"]
    assert [plugin.source for plugin in network.plugins] == [None, "net/10.conf", "net/20.conf"]


@pytest.mark.rule("R4")
@pytest.mark.parametrize("plugins", [[], None, ...], ids=["empty", "null", "absent"])
def test_drop_ins_alone_are_a_chain(plugins: object) -> None:
    network = parse_network(_network(plugins=plugins), drop_ins=[("a.conf", b'{"type":"tuning"}')])
    assert [plugin.type for plugin in network.plugins] == ["tuning"]


@pytest.mark.rule("R4")
@pytest.mark.parametrize("flag", [True, "true", "TRUE"])
def test_a_list_can_forbid_drop_ins(flag: object) -> None:
    """R4: not even their syntax matters then."""
    network = parse_network(_network(loadOnlyInlinedPlugins=flag), drop_ins=[("a.conf", b"broken")])
    assert [plugin.type for plugin in network.plugins] == ["bridge"]


@pytest.mark.rule("R4")
@pytest.mark.parametrize("plugins", [[], None, ...], ids=["empty", "null", "absent"])
def test_a_list_that_forbids_drop_ins_needs_plugins(plugins: object) -> None:
    with pytest.raises(ConfigError, match="no others may be loaded") as caught:
        parse_network(
            _network(plugins=plugins, loadOnlyInlinedPlugins=True),
            drop_ins=[("a.conf", b'{"type":"tuning"}')],
        )
    assert caught.value.place == "$.plugins"


@pytest.mark.parametrize("plugins", [[], None, ...], ids=["empty", "null", "absent"])
def test_a_list_without_any_plugin_is_refused(plugins: object) -> None:
    with pytest.raises(ConfigError, match="no plugins"):
        parse_network(_network(plugins=plugins))


@pytest.mark.rule("R5")
@pytest.mark.parametrize(
    ("drop_in", "place"),
    [
        pytest.param(b"", "net/10.conf: $", id="empty"),
        pytest.param(b"[]", "net/10.conf: $", id="list"),
        pytest.param(b'{"name":"x"}', "net/10.conf: $.type", id="no type"),
        pytest.param(b'{"type":"../x"}', "net/10.conf: $.type", id="climbing type"),
        pytest.param(b'{"type":"a","ipam":[]}', "net/10.conf: $.ipam", id="ipam is a list"),
    ],
)
def test_a_bad_drop_in_refuses_the_network_and_names_the_file(drop_in: bytes, place: str) -> None:
    with pytest.raises(AcniError) as caught:
        parse_network(_network(), source="net.conflist", drop_ins=[("net/10.conf", drop_in)])
    assert caught.value.place == place


@pytest.mark.rule("R2", "R50")
@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param(True, True, id="true"),
        pytest.param(False, False, id="false"),
        pytest.param("true", True, id="R50 text"),
        pytest.param("True", True, id="R50 text with a capital"),
        pytest.param("FALSE", False, id="R50 capitals"),
        pytest.param(..., False, id="absent"),
    ],
)
def test_disable_check_is_a_flag_or_text(written: object, read: bool) -> None:
    assert parse_network(_network(disableCheck=written)).disable_check is read


@pytest.mark.rule("R50")
@pytest.mark.parametrize("written", [1, 0, "yes", "", " true", [], {}, None])
def test_disable_check_is_nothing_else(written: object) -> None:
    with pytest.raises(ConfigError, match="expected true or false") as caught:
        parse_network(_network(disableCheck=written))
    assert caught.value.place == "$.disableCheck"


@pytest.mark.rule("R9")
@pytest.mark.parametrize(
    ("members", "selected"),
    [
        pytest.param({"cniVersion": ...}, "0.1.0", id="R9 none"),
        pytest.param({"cniVersion": ""}, "0.1.0", id="R9 empty"),
        pytest.param({"cniVersion": None}, "0.1.0", id="R9 null"),
        pytest.param({"cniVersion": ..., "cniVersions": []}, "0.1.0", id="R9 empty list"),
        pytest.param({"cniVersions": ["0.4.0", "1.1.0"]}, "1.1.0", id="R9 the list is higher"),
        pytest.param({"cniVersions": ["0.4.0"]}, "1.0.0", id="R9 cniVersion is higher"),
        pytest.param({"cniVersion": ..., "cniVersions": ["0.3.1"]}, "0.3.1", id="R9 only the list"),
        pytest.param({"cniVersions": ["1.2.0", ""]}, "1.0.0", id="R9 a newer one is skipped"),
    ],
)
def test_a_version_is_selected(members: dict[str, object], selected: str) -> None:
    network = parse_network(_network(**members))
    assert network.cni_version == selected
    assert parse_network(network.effective().encode()).versions == network.versions
    only = json.loads(network.at_version(selected).effective())
    assert only["cniVersion"] == selected
    assert "cniVersions" not in only


def test_a_network_takes_only_a_version_that_it_offers() -> None:
    network = parse_network(_network(cniVersions=["0.4.0"]))
    assert network.at_version("0.4.0").versions == ("0.4.0",)
    with pytest.raises(
        VersionUnsupported, match=r"it offers 0\.4\.0, 1\.0\.0, not '1\.1\.0'"
    ) as caught:
        network.at_version("1.1.0")
    assert caught.value.network == "net"


@pytest.mark.rule("R3")
@pytest.mark.parametrize("written", [True, "TRUE"])
def test_gc_can_be_disabled(written: object) -> None:
    assert parse_network(_network(disableGC=written)).disable_gc is True
    assert parse_network(_network()).disable_gc is False


@pytest.mark.rule("R9")
@pytest.mark.parametrize(
    ("members", "error"),
    [
        pytest.param({"cniVersion": "1"}, ConfigError, id="no version"),
        pytest.param({"cniVersion": 1.0}, ConfigError, id="number"),
        pytest.param({"cniVersions": "1.0.0"}, ConfigError, id="text for the list"),
        pytest.param({"cniVersions": [1]}, ConfigError, id="number in the list"),
        pytest.param({"cniVersions": [None]}, ConfigError, id="null in the list"),
        pytest.param({"cniVersions": [["1.0.0"]]}, ConfigError, id="list in the list"),
        pytest.param({"cniVersion": "2.0.0"}, VersionUnsupported, id="none that we know"),
    ],
)
def test_versions_that_cannot_be_used_are_refused(
    members: dict[str, object], error: type[AcniError]
) -> None:
    with pytest.raises(error) as caught:
        parse_network(_network(**members), source="net.conflist")
    assert caught.value.place is not None
    assert caught.value.place.startswith("net.conflist: $.cniVersion")


@pytest.mark.rule("R38")
def test_the_capabilities_declared_true_are_known() -> None:
    plugin = parse_plugin(
        b'{"type":"a","capabilities":{"portMappings":true,"mac":false,"ips":"true"}}'
    )
    assert plugin.capabilities == {"portMappings", "ips"}


@pytest.mark.rule("R38")
@pytest.mark.parametrize(
    ("capabilities", "place"),
    [
        pytest.param([], "$.capabilities", id="list"),
        pytest.param("all", "$.capabilities", id="text"),
        pytest.param({"mac": 1}, "$.capabilities.mac", id="number"),
    ],
)
def test_bad_capabilities_are_refused(capabilities: object, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_plugin(json.dumps({"type": "a", "capabilities": capabilities}).encode())
    assert caught.value.place == place


@pytest.mark.rule("R8", "R37", "R39", "R40")
@pytest.mark.parametrize(
    "key",
    [
        "capabilities",
        "prevResult",
        "runtimeConfig",
        "name",
        "cniVersion",
        "cni.dev/valid-attachments",
        "cni.dev/",
        "cni.dev/x",
    ],
)
@pytest.mark.parametrize("escaped", [False, True], ids=["plain", "escaped"])
def test_what_the_runtime_generates_is_dropped_from_the_request(key: str, escaped: bool) -> None:
    """R8, R37, R39, R40; the text itself keeps them."""
    written = f"\\u{ord(key[0]):04x}{key[1:]}" if escaped else key
    text = f'{{"x":1,"{written}":{{}},"type":"a"}}'
    plugin = parse_plugin(text.encode())
    assert plugin.request == '"x":1,"type":"a"'
    assert plugin.text == text


@pytest.mark.rule("R6", "R8")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param('"ipam":{"type":"b","capabilities":{"ips":true}}', id="R8 ipam.capabilities"),
        pytest.param('"ipam":{"type":"b","prevResult":{}}', id="R8 ipam.prevResult"),
        pytest.param('"delegate":{"capabilities":{"mac":true}}', id="R8 a delegate's own"),
        pytest.param('"args":{"cni":{"ips":["10.0.0.1"]}}', id="R8 args"),
        pytest.param('"cniVersions":["1.0.0"]', id="R6 cniVersions"),
        pytest.param('"cni.development":1', id="R8 another prefix"),
        pytest.param('"dns":null', id="R6 null"),
    ],
)
def test_what_is_not_generated_stays_in_the_request(text: str) -> None:
    assert parse_plugin(f'{{"type":"a",{text}}}'.encode()).request == f'"type":"a",{text}'


def test_a_plugin_of_nothing_but_a_type_is_enough() -> None:
    assert parse_plugin(b' \n{"type":"a"}\t').text == '{"type":"a"}'


def test_the_file_may_end_with_the_white_space_of_json_only() -> None:
    for raw in (b'{"type":"a"}\x0c', '{"type":"a"}\u00a0'.encode(), b'{"type":"a"}\0'):
        with pytest.raises(ConfigError, match="text after the JSON object"):
            parse_plugin(raw)


@pytest.mark.rule("R1")
@pytest.mark.parametrize("name", ["net\n", "", "../etc", "-a", "a/b", "é", None, 5, []])
def test_a_bad_network_name_is_refused_at_its_place(name: object) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_network(_network(name=name), source="x.conflist")
    assert caught.value.place == "x.conflist: $.name"


def test_a_list_that_its_drop_ins_make_too_large_to_read_back_is_refused() -> None:
    half = json.dumps({"type": "tuning", "x": [0] * 40_000}).encode()
    with pytest.raises(ConfigError, match="as a record"):
        parse_network(_network(), drop_ins=[("a.conf", half), ("b.conf", half)])


@pytest.mark.rule("R1")
def test_a_network_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="no name") as caught:
        parse_network(_network(name=...))
    assert caught.value.place == "$.name"


@pytest.mark.rule("R7")
@pytest.mark.parametrize("kind", ["../../bin/reboot", "", "..", "-a", "a\0b", None, 1, {}])
def test_a_bad_plugin_type_is_refused_at_its_place(kind: object) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_network(_chain({"type": "bridge"}, {"type": kind}))
    assert caught.value.place == "$.plugins[1].type"


@pytest.mark.rule("R55")
@pytest.mark.parametrize("kind", ["../../bin/reboot", "..", "-a", "a/b", 1, []])
def test_a_bad_ipam_type_is_refused_at_its_place(kind: object) -> None:
    with pytest.raises((InvalidName, ConfigError)) as caught:
        parse_network(_chain({"type": "bridge", "ipam": {"type": kind}}))
    assert caught.value.place == "$.plugins[0].ipam.type"


@pytest.mark.rule("R55")
@pytest.mark.parametrize(
    "ipam", [{}, None, {"type": "host-local"}, {"type": ""}, {"type": None}, {"x": 1}]
)
def test_ipam_may_be_empty_or_have_no_type(ipam: object) -> None:
    assert parse_network(_chain({"type": "bridge", "ipam": ipam})).plugins[0].type == "bridge"


@pytest.mark.parametrize(
    ("raw", "place", "message"),
    [
        pytest.param(_network(plugins={}), "$.plugins", "a list, got an object", id="plugins"),
        pytest.param(_network(plugins="x"), "$.plugins", "a list, got text", id="plugins as text"),
        pytest.param(
            _chain({"type": "a"}, []), "$.plugins[1]", "an object, got a list", id="plugin"
        ),
        pytest.param(_chain(None), "$.plugins[0]", "an object, got null", id="null as a plugin"),
        pytest.param(_chain({}), "$.plugins[0].type", "no type", id="plugin without type"),
        pytest.param(
            _chain({"type": "a", "ipam": "b"}),
            "$.plugins[0].ipam",
            "an object, got text",
            id="ipam as text",
        ),
        pytest.param(
            _chain({"type": "a", "capabilities": {"mac": 1}}),
            "$.plugins[0].capabilities.mac",
            "true or false, got a number",
            id="capability",
        ),
        pytest.param(
            _network(loadOnlyInlinedPlugins=1.5),
            "$.loadOnlyInlinedPlugins",
            "true or false, got a number",
            id="flag",
        ),
        pytest.param(
            _network(loadOnlyInlinedPlugins="maybe"),
            "$.loadOnlyInlinedPlugins",
            "true or false, got text",
            id="flag as another text",
        ),
        pytest.param(
            _network(cniVersion=True), "$.cniVersion", "text, got true or false", id="version"
        ),
    ],
)
def test_a_wrong_type_names_its_json_path(raw: bytes, place: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_network(raw)
    assert caught.value.place == place
    with pytest.raises(ConfigError) as caught:
        parse_network(raw, source="10-net.conflist")
    assert caught.value.place == f"10-net.conflist: {place}"
    assert str(caught.value).startswith(f"10-net.conflist: {place}: ")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'{"name":"net"', id="cut off"),
        pytest.param(b"\xef\xbb\xbf" + _network(), id="BOM"),
        pytest.param(_network().decode().encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"name":"n\xe9t"}', id="Latin-1"),
        pytest.param(_network()[:-1] + b',"x":NaN}', id="NaN"),
        pytest.param(_network()[:-1] + b',"x":1e999}', id="1e999"),
        pytest.param(_network()[:-1] + b',"x":' + b"9" * 5000 + b"}", id="5,000 digits"),
        pytest.param(_network()[:-1] + b',"x":' + b"[" * 60_000, id="nested"),
        pytest.param(_network()[:-1] + b',"x":' + b"[" * 9000 + b"]" * 9000 + b"}", id="deep"),
        pytest.param(b'{"x":[' + b"[],[]," * 174_763, id="1 MiB of lists"),
    ],
)
@pytest.mark.parametrize("parse", [parse_network, parse_single, parse_plugin])
def test_broken_text_is_a_configuration_error(parse: Parse, raw: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(raw)
    assert caught.value.place == "$"
    assert caught.value.expected == "a JSON object"
    assert len(str(caught.value)) < 200


def test_of_duplicate_keys_the_last_one_counts_for_us_and_for_the_plugin() -> None:
    """A checked type and another one run would be a hole."""
    network = parse_network(
        b'{"name":"a","name":"b","plugins":[{"type":"../x"}],'
        b'"plugins":[{"type":"../x","mtu":1,"type":"bridge","mtu":2}]}'
    )
    assert network.name == "b"
    assert network.plugins[0].type == "bridge"
    assert network.plugins[0].request == '"type":"bridge","mtu":2'
    assert parse_network(network.effective().encode()).plugins == network.plugins


@pytest.mark.rule("R7")
def test_a_hidden_duplicate_type_is_checked() -> None:
    """R7: the last one is what a Go plugin reads."""
    with pytest.raises(InvalidName):
        parse_plugin(b'{"type":"bridge","t\\u0079pe":"../x"}')


_ODD = '{"n":123456789012345678901234567890,"f":1e2,"w":1.0,"s":"\\u00e9\\/é","z":[ ],"a":{"b":-0}}'


@pytest.mark.rule("R6")
def test_values_survive_the_effective_configuration_and_a_second_parse() -> None:
    """R6: 30-digit integers, ``1e2``, escapes, white space and key order."""
    text = f'{{"z":{_ODD},"type":"bridge","a":{_ODD}}}'
    raw = f'{{"name":"net","zz":{_ODD},"plugins":[{text}],"cniVersion":"1.0.0","aa":{_ODD}}}'
    network = parse_network(raw.encode())
    effective = object_members(network.effective())
    assert list(effective) == [
        "cniVersion",
        "name",
        "zz",
        "aa",
        "loadOnlyInlinedPlugins",
        "plugins",
    ]
    assert effective["zz"].text == effective["aa"].text == _ODD
    assert [element.text for element in array_elements(effective["plugins"].text)] == [text]
    assert parse_network(network.effective().encode()) == network


@pytest.mark.rule("R4")
def test_the_effective_configuration_is_complete_by_itself() -> None:
    """R4: drop-ins are inlined, and no others are loaded later."""
    network = parse_network(
        _network(disableCheck="true", cniVersions=["1.1.0"], note="x"),
        drop_ins=[("10.conf", b'{"type":"tuning"}')],
    )
    document = json.loads(network.effective())
    assert document == {
        "cniVersion": "1.0.0",
        "cniVersions": ["1.0.0", "1.1.0"],
        "name": "net",
        "disableCheck": "true",
        "note": "x",
        "loadOnlyInlinedPlugins": True,
        "plugins": [{"type": "bridge"}, {"type": "tuning"}],
    }
    again = parse_network(network.effective().encode(), drop_ins=[("11.conf", b'{"type":"sbr"}')])
    assert [plugin.type for plugin in again.plugins] == ["bridge", "tuning"]
    assert again.disable_check is True


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
_PLUGINS = st.builds(
    lambda others, kind: {**others, "type": kind},
    st.dictionaries(
        st.text(max_size=6).filter(lambda key: key not in ("ipam", "capabilities")), _JSON
    ),
    st.from_regex(r"[a-z][a-z0-9.-]{0,8}", fullmatch=True),
)


@pytest.mark.rule("R6")
@given(
    st.dictionaries(st.text(max_size=6), _JSON, max_size=3),
    st.lists(_PLUGINS, min_size=1, max_size=3),
    st.lists(_PLUGINS, max_size=2),
    st.sampled_from([..., "", "0.1.0", "0.4.0", "1.1.0"]),
)
def test_the_effective_configuration_is_stable(
    others: dict[str, object],
    plugins: list[dict[str, object]],
    drop_ins: list[dict[str, object]],
    version: object,
) -> None:
    """R6: parsed again, it is the same network, and writes the same text."""
    network = parse_network(
        _network(**{**others, "plugins": plugins, "cniVersion": version, "name": "net"}),
        drop_ins=[("x.conf", json.dumps(drop_in).encode()) for drop_in in drop_ins],
    )
    again = parse_network(network.effective().encode())
    assert again.effective() == network.effective()
    assert _without_sources(again) == _without_sources(network)


def _without_sources(network: NetworkConfig) -> object:
    plugins = [(plugin.type, plugin.capabilities, plugin.request) for plugin in network.plugins]
    return network.name, network.cni_version, network.disable_check, plugins, network.members


@pytest.mark.rule("R34")
def test_a_debt_keeps_the_chain_up_to_the_plugin_that_is_owed() -> None:
    network = parse_network(_chain({"type": "a"}, {"type": "b"}, {"type": "c"}))
    assert network.up_to(1).plugins == network.plugins[:2]
    assert network.up_to(2) == network
    assert json.loads(network.up_to(0).effective())["plugins"] == [{"type": "a"}]


_ANYTHING = st.sampled_from(
    [
        "cniVersion",
        "cniVersions",
        "name",
        "plugins",
        "disableCheck",
        "loadOnlyInlinedPlugins",
        "type",
        "ipam",
        "capabilities",
        "prevResult",
    ]
) | st.text(max_size=3)


@given(
    st.dictionaries(
        _ANYTHING,
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.sampled_from(["a", "", "1.0.0", "../x"]),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(_ANYTHING, inner, max_size=4)
            ),
        ),
    ).map(lambda document: json.dumps(document).encode())
    | st.binary()
)
def test_any_bytes_are_a_configuration_or_a_typed_error(raw: bytes) -> None:
    parses: list[Parse] = [parse_network, parse_single, parse_plugin]
    for parse in parses:
        with suppress(ConfigError, InvalidName, VersionUnsupported):
            parse(raw)


@pytest.mark.rule("R52", "R63")
@pytest.mark.parametrize(
    ("written", "args", "merged"),
    [
        pytest.param("", {"a": 1}, '{"a":1}', id="none there"),
        pytest.param('"args":null,', {"a": 1}, '{"a":1}', id="null"),
        pytest.param('"args":[1],', {"a": 1}, '{"a":1}', id="a list gives way"),
        pytest.param('"args":{"a":1e2},', {"b": 2}, '{"a":1e2,"b":2}', id="a number as written"),
        pytest.param('"args":{"a":1e2},', {"a": 2}, '{"a":2}', id="the caller's wins"),
        pytest.param(
            '"args":{"cni":{"ips":[ "10.0.0.2" ],"n":1.0},"x":{ }},',
            {"cni": {"labels": [{"key": "k"}], "n": None}},
            '{"cni":{"ips":[ "10.0.0.2" ],"n":null,"labels":[{"key":"k"}]},"x":{ }}',
            id="objects are merged",
        ),
        pytest.param('"args":{"a":[1,2]},', {"a": [3]}, '{"a":[3]}', id="lists are not merged"),
        pytest.param('"args":{"a":{"b":1}},', {"a": 5}, '{"a":5}', id="an object gives way"),
        pytest.param(
            '"args":{"a":5},', {"a": {"b": {}}}, '{"a":{"b":{}}}', id="a number gives way"
        ),
        pytest.param(
            '"args":{"n":123456789012345678901234567890,"a":{"b":{"c":1E+2}}},',
            {"a": {"b": {"é": "ü"}}},
            '{"n":123456789012345678901234567890,"a":{"b":{"c":1E+2,"\\u00e9":"\\u00fc"}}}',
            id="three deep",
        ),
    ],
)
def test_args_are_merged_into_what_every_plugin_has(
    written: str, args: dict[str, Any], merged: str
) -> None:
    """R52, R63: what is not named stays as it was written."""
    plugin = f'{{"type":"a",{written}"f":1e2,"capabilities":{{"mac":true}}}}'
    network = parse_network(
        f'{{"cniVersion":"1.0.0","name":"net","plugins":[{plugin},{{"type":"b"}}]}}'.encode()
    ).with_args(args)
    first, second = network.plugins
    assert object_members(first.text)["args"].text == merged
    assert object_members("{" + first.request + "}")["args"].text == merged
    assert object_members(first.text)["f"].text == "1e2"
    assert "capabilities" not in first.request
    assert json.loads(second.text) == {"type": "b", "args": args}
    assert parse_network(network.effective().encode()) == network


def test_without_args_a_network_is_the_same() -> None:
    network = parse_network(_network())
    assert network.with_args({}) is network


def test_args_leave_the_network_alone_that_they_are_merged_into() -> None:
    network = parse_network(_network())
    again = parse_network(_network())
    network.with_args({"cni": {}})
    assert network == again


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(None, id="None"),
        pytest.param([], id="list"),
        pytest.param("{}", id="text"),
        pytest.param({1: 2}, id="number as a name"),
        pytest.param({"a": float("nan")}, id="NaN"),
        pytest.param({"a": b"x"}, id="bytes"),
        pytest.param({"a": [0] * 70_000}, id="too large by itself"),
        pytest.param({"a": [0] * 40_000}, id="too large for two plugins"),
        pytest.param({"a": json.loads("[" * 98 + "]" * 98)}, id="too deep below the plugin"),
    ],
)
def test_args_that_cannot_be_sent_are_refused(args: Any) -> None:
    network = parse_network(_chain({"type": "a"}, {"type": "b"}))
    with pytest.raises(ConfigError) as caught:
        network.with_args(args)
    assert caught.value.place == "args"
    assert caught.value.expected


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


def _merge(written: object, args: object) -> object:
    if not (isinstance(written, dict) and isinstance(args, dict)):
        return args
    return {**written, **{key: _merge(written.get(key), args[key]) for key in args}}


@given(_JSON, st.dictionaries(st.text(max_size=2), _JSON, max_size=3))
def test_args_are_merged_as_values_would_be(written: object, args: dict[str, Any]) -> None:
    (plugin,) = parse_network(_chain({"type": "a", "args": written})).with_args(args).plugins
    expected = _merge(written, args) if args else written
    assert json.loads(plugin.text)["args"] == expected
    assert json.loads("{" + plugin.request + "}")["args"] == expected


@pytest.mark.rule("R8", "R37", "R38", "R39", "R40")
@pytest.mark.parametrize(
    "key", ["NAME", "CNIVersion", "PrevResult", "runtimeconfig", "Capabilities"]
)
def test_what_the_runtime_generates_is_dropped_in_any_case_of_its_letters(key: str) -> None:
    """R8, R37 to R40: encoding/json in Go, which the plugins use, takes `NAME` for `name`."""
    network = parse_network(_chain({"type": "bridge", key: {}}))
    assert network.plugins[0].request == '"type":"bridge"'


@pytest.mark.rule("R38")
def test_a_capability_that_is_null_is_not_declared() -> None:
    """R38: Go reads it as false."""
    plugin = parse_plugin(b'{"type":"a","capabilities":{"mac":null,"ips":true}}')
    assert plugin.capabilities == {"ips"}


@pytest.mark.rule("R8")
def test_the_keys_that_never_reach_a_plugin_are_named() -> None:
    plugin = parse_plugin(
        b'{"type":"a","name":"n","cniVersion":"1.0.0","capabilities":{},"prevResult":1,'
        b'"RuntimeConfig":{},"cni.dev/x":1,"Cni.dev/y":1}'
    )
    assert plugin.dropped == ("prevResult", "RuntimeConfig", "cni.dev/x", "Cni.dev/y")
    assert plugin.declared == "{}"
    assert parse_plugin(b'{"type":"a"}').declared is None


@pytest.mark.rule("R33")
def test_a_single_plugin_that_a_record_could_not_hold_is_refused() -> None:
    """In a record it stands two levels deeper."""
    deep = b'{"name":"n","type":"t","x":' + b"[" * 99 + b"]" * 99 + b"}"
    with pytest.raises(ConfigError, match="as a record: nested deeper than 100"):
        parse_single(deep)
    network = parse_single(deep.replace(b"[" * 99, b"[" * 97).replace(b"]" * 99, b"]" * 97))
    assert parse_network(network.effective().encode()).effective() == network.effective()


@pytest.mark.rule("R1", "R7")
def test_a_changed_copy_has_its_names_checked_too() -> None:
    network = parse_network(_network())
    with pytest.raises(InvalidName):
        evolve(network, name="../../up")
    with pytest.raises(InvalidName):
        evolve(network.plugins[0], type="../bin/first")


def test_what_is_offered_is_shown_within_bounds() -> None:
    long = "1.0.0-" + "a" * 100_000
    with pytest.raises(VersionUnsupported) as caught:
        parse_network(_network(cniVersion=long, cniVersions=[long] * 5))
    assert len(str(caught.value)) < 1000


def test_a_recorded_configuration_is_a_list_if_it_has_plugins() -> None:
    single = parse_recorded_network(b'{"name":"n","type":"t","x":"plugins"}')
    assert [plugin.type for plugin in single.plugins] == ["t"]
    spelled = parse_recorded_network(b'{"name":"n","plugin\\u0073":[{"type":"t"}]}')
    assert [plugin.type for plugin in spelled.plugins] == ["t"]


def test_a_place_shows_a_hostile_key_within_bounds_and_escaped() -> None:
    capabilities = {"\ud800\n" + "k" * 100_000: 1}
    with pytest.raises(ConfigError) as caught:
        parse_network(_chain({"type": "a", "capabilities": capabilities}))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_whatever_a_plugin_configuration_says_can_be_read_beside_its_text() -> None:
    text = b'{"type":"a","ipam":{"type":"host-local"},"dns":{"domain":"d"},"n":1e2,"n":1e3}'
    plugin = parse_plugin(text)
    assert plugin.values == {
        "type": "a",
        "ipam": {"type": "host-local"},
        "dns": {"domain": "d"},
        "n": 1000.0,
    }
    assert plugin.text.encode() == text


@pytest.mark.rule("R55")
@pytest.mark.parametrize(
    "text",
    [
        '{"type":"bridge","IPAM":{"type":"../../x"}}',
        '{"type":"bridge","ipam":{"Type":"../../x"}}',
        '{"type":"bridge","\\u0049pam":{"type":"../../x"}}',
        '{"type":"bridge","note":"\u00e9","iPAM":{"tYPE":"../../x"}}',
    ],
)
@pytest.mark.parametrize("parse", [parse_single, parse_network], ids=["single", "list"])
def test_what_a_plugin_would_read_in_another_spelling_is_checked_too(
    text: str, parse: Callable[[bytes], NetworkConfig]
) -> None:
    """Go folds keys."""
    document = (
        f'{{"name":"n","plugins":[{text}]}}'
        if parse is parse_network
        else (text.replace("{", '{"name":"n",', 1))
    )
    with pytest.raises(InvalidName) as caught:
        parse(document.encode())
    assert (caught.value.place or "").endswith("ipam.type")


@pytest.mark.rule("R38")
def test_capabilities_are_declared_in_any_spelling() -> None:
    plugin = parse_plugin(b'{"Type":"a","Capabilities":{"mac":true}}')
    assert (plugin.type, sorted(plugin.capabilities)) == ("a", ["mac"])
    assert plugin.declared == '{"mac":true}'
    assert plugin.request == '"Type":"a"'


@pytest.mark.rule("R55")
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"type":"a","ipam":{"type":"../../x"},"IPAM":{"routes":[]}}', "ipam"),
        ('{"type":"a","ipam":{"type":"../../x"},"ipam":{}}', "ipam"),
        ('{"type":"a","ipam":{"type":"../../x"},"IPAM":null}', "ipam"),
        ('{"type":"a","ipam":{"type":"../../x","TYPE":null}}', "ipam.type"),
        ('{"type":"a","ipam":{"type":"../../x","type":"host-local"}}', "ipam.type"),
        ('{"type":"a","ipam":{"type":"../../x","TYPE":""}}', "ipam.type"),
    ],
)
@pytest.mark.parametrize("parse", [parse_single, parse_network], ids=["single", "list"])
def test_two_of_what_go_would_merge_are_refused(
    text: str, place: str, parse: Callable[[bytes], NetworkConfig]
) -> None:
    """What was checked would not be what is run."""
    single = text.replace("{", '{"name":"n",', 1)
    document = f'{{"name":"n","plugins":[{text}]}}' if parse is parse_network else single
    with pytest.raises(ConfigError, match="it is there twice") as caught:
        parse(document.encode())
    assert (caught.value.place or "").endswith(f".{place}")


def test_the_same_keys_elsewhere_are_nobodys_business() -> None:
    """multus keeps whole plugin configurations inside its own."""
    inner = '{"type":"bridge","ipam":{"type":"host-local"}}'
    text = f'{{"type":"multus","ipam":{{}},"delegates":[{inner},{inner}],"capabilities":{{}}}}'
    network = parse_network(f'{{"name":"n","plugins":[{text}]}}'.encode())
    assert network.plugins[0].text == text


def test_what_a_configuration_says_is_not_shown() -> None:
    """It may hold secrets, and a caller's args do."""
    network = parse_network(_chain({"type": "a", "password": "hunter2"}))
    assert "hunter2" not in repr(network)
    assert "hunter2" not in repr(parse_network(_network(password="hunter2")))  # noqa: S106


@pytest.mark.parametrize(
    ("config", "delegate"),
    [
        ({"ipam": {"type": "host-local"}}, "host-local"),
        ({"IPAM": {"TYPE": "static"}}, "static"),
        ({"ipam": {}}, None),
        ({"ipam": {"type": ""}}, None),
        ({}, None),
    ],
)
def test_the_plugin_that_one_delegates_to_is_known(
    config: dict[str, object], delegate: str | None
) -> None:
    plugin = parse_plugin(json.dumps({"type": "bridge", **config}).encode())
    assert plugin.delegate == delegate
