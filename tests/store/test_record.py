"""Records: what is written is read back, and what is read is distrusted."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from acni import StoreError, parse_network
from acni.host.netns import NetnsIdentity
from acni.spec import Plugin, parse_result
from acni.spec.jsontext import DOCUMENT
from acni.spec.names import ContainerId, IfName, PluginType
from acni.store.record import Owed, Provenance, Record, read_record, write_record

NETWORK = parse_network(
    b'{"cniVersion":"1.0.0","name":"net","x":1e2,"plugins":['
    b'{"type":"first","n":123456789012345678901234567890},{"type":"second"}]}'
)
PROVENANCE = Provenance(
    operation="0" * 32,
    boot="b",
    netns=NetnsIdentity("id", "7"),
    host_netns=NetnsIdentity("id", "1"),
    plugin_dirs=("/plugins",),
    plugins=(
        Plugin(type=PluginType("first"), path="/p/first", identity="1:2", runner="executable"),
    ),
    sequence=5,
    added_at="2026-01-01T00:00:00+00:00",
)
RECORD = Record(
    container_id=ContainerId("c1"),
    ifname=IfName("eth0"),
    network=NETWORK,
    netns="/run/netns/c1",
    cni_args={"K": "V"},
    capability_texts={"portMappings": '[{"hostPort":8080, "x":1e2}]'},
    result='{"cniVersion":"1.0.0", "ips":[], "n":1e2}',
    provenance=PROVENANCE,
)
DEBT = evolve(
    RECORD,
    network=NETWORK.up_to(0),
    provenance=evolve(PROVENANCE, owed=Owed(next=0, cause="why", origin="delete", attempts=2)),
)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(RECORD, id="attached"),
        pytest.param(DEBT, id="debt"),
        pytest.param(evolve(RECORD, provenance=None), id="foreign"),
        pytest.param(evolve(RECORD, result=None, cni_args={}, netns=""), id="unfinished"),
    ],
)
def test_a_record_comes_back_as_it_was_written(record: Record) -> None:
    read = read_record(record.name, write_record(record))
    assert evolve(read, network=record.network) == record
    assert read.network.effective() == record.network.effective()


def test_numbers_stay_as_they_were_written() -> None:
    text = write_record(RECORD).decode()
    assert '"result":{"cniVersion":"1.0.0", "ips":[], "n":1e2}' in text
    assert '[{"hostPort":8080, "x":1e2}]' in text
    config = base64.b64decode(json.loads(text)["config"]).decode()
    assert '"x":1e2' in config
    assert "123456789012345678901234567890" in config


def test_a_debt_says_what_is_owed() -> None:
    assert RECORD.debt is None
    assert DEBT.debt is not None
    assert (DEBT.debt.plugin, DEBT.debt.cause) == ("first", "why")


def changed(**members: Any) -> bytes:
    document = json.loads(write_record(DEBT)) | members
    return json.dumps({k: v for k, v in document.items() if v is not ...}).encode()


def ours(**members: Any) -> bytes:
    document = json.loads(write_record(DEBT))
    merged = document["acni"] | members
    document["acni"] = {k: v for k, v in merged.items() if v is not ...}
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 100, id="NULs"),
        pytest.param(write_record(RECORD)[:200], id="half"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="nothing in it"),
        pytest.param(b'{"cniVersion":"1.0.0"}', id="a bare result"),
        pytest.param(changed(kind="x"), id="kind"),
        pytest.param(changed(kind=...), id="no kind"),
        pytest.param(changed(containerId="../c1"), id="container ID"),
        pytest.param(changed(containerId="c2"), id="another container's"),
        pytest.param(changed(ifName=7), id="interface name"),
        pytest.param(changed(networkName="other"), id="another network's name"),
        pytest.param(changed(config="%%%"), id="config not base64"),
        pytest.param(changed(config="é"), id="config not ASCII"),
        pytest.param(changed(config="e30="), id="config empty"),
        pytest.param(changed(config="W10="), id="config a list"),
        pytest.param(changed(cniArgs=[["K"]]), id="args not pairs"),
        pytest.param(changed(cniArgs=[["K", "a;b"]]), id="args with a separator"),
        pytest.param(changed(cniArgs={"K": "V"}), id="args a mapping"),
        pytest.param(changed(capabilityArgs=[]), id="capability args"),
        pytest.param(changed(acni=7), id="our key"),
        pytest.param(ours(format=2), id="a newer format"),
        pytest.param(ours(state="x"), id="state"),
        pytest.param(ours(next=1), id="next beyond the chain"),
        pytest.param(ours(next=-1), id="next before it"),
        pytest.param(ours(next=True), id="next no number"),
        pytest.param(ours(origin="x"), id="origin"),
        pytest.param(ours(operation=...), id="no operation"),
        pytest.param(ours(netns="x"), id="namespace"),
        pytest.param(ours(host_netns=None), id="host namespace"),
        pytest.param(ours(plugins=[{"type": "../x"}]), id="plugin type"),
        pytest.param(ours(plugins=[7]), id="plugins"),
        pytest.param(ours(plugin_dirs=[7]), id="plugin directories"),
        pytest.param(ours(plugin_dirs=["relative"]), id="a relative plugin directory"),
        pytest.param(ours(plugin_dirs=["/a:/b"]), id="a separator in a plugin directory"),
        pytest.param(ours(plugin_dirs=["/a\0b"]), id="NUL in a plugin directory"),
    ],
)
def test_what_is_no_record_is_a_typed_error_that_names_the_file(raw: bytes) -> None:
    with pytest.raises(StoreError) as caught:
        read_record("net-c1-eth0", raw)
    assert caught.value.place == "results/net-c1-eth0"


@given(st.integers(0, len(write_record(DEBT)) - 1), st.integers(0, 255))
def test_a_damaged_record_is_read_or_refused_never_anything_else(at: int, byte: int) -> None:
    raw = bytearray(write_record(DEBT))
    raw[at] = byte
    for damaged in (bytes(raw), bytes(raw[:at])):
        with contextlib.suppress(StoreError):
            read_record(DEBT.name, damaged)


def test_a_record_of_one_plugin_as_libcnis_addnetwork_writes_it_is_read() -> None:
    config = base64.b64encode(b'{"cniVersion":"1.0.0","name":"net","type":"first"}').decode()
    document = json.loads(write_record(evolve(RECORD, provenance=None))) | {"config": config}
    read = read_record("net-c1-eth0", json.dumps(document).encode())
    assert [plugin.type for plugin in read.network.plugins] == ["first"]


def test_an_argument_with_an_equals_sign_as_ocicni_records_it_can_be_deleted() -> None:
    raw = changed(cniArgs=[["IgnoreUnknown", "1"], ["K8S_POD_UID", ""], ["K", "a=b"]])
    read = read_record("net-c1-eth0", raw)
    assert read.cni_args == {"IgnoreUnknown": "1", "K8S_POD_UID": "", "K": "a=b"}


def test_the_largest_result_that_an_add_takes_can_be_read_back() -> None:
    deepest = '{"cniVersion":"1.0.0","x":' + "[" * 99 + "]" * 99 + "}"
    widest = '{"cniVersion":"1.0.0","x":[' + "0," * (DOCUMENT.structure - 4) + "0]}"
    for text in (deepest, widest):
        result = parse_result(text, "1.0.0").raw
        record = evolve(RECORD, result=result, capability_texts={"x": widest})
        assert read_record(record.name, write_record(record)).result == result
