"""What a chained plugin passes on: all of the result as it came, and in it what it changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acni.plugins.passing import require_previous, with_changes, with_interface, with_previous
from acni.skel import PluginError
from acni.spec.result import Interface, Result, parse_result
from tests.plugins.calling import make_call

IFB = Interface(name="bwp1", mac="0a:00:00:00:00:01", sandbox=None)
TOLD = {"name": "bwp1", "mac": "0a:00:00:00:00:01"}
RAW = (
    '{"cniVersion": "1.1.0", "unknown": 1e2, "Interfaces": [{"name": "veth0", "mac": "x"},'
    ' {"Name": "eth0", "MAC": "0e:00:00:00:00:01", "sandbox": "/run/netns/c1", "mtu": 1500,'
    ' "more": [1]}, {"name": "eth0", "mac": "y"}], "ips": [{"address": "10.9.0.2/24"}]}'
)


def result(raw: str = RAW, version: str = "1.1.0") -> Result:
    return parse_result(raw, version)


def said(changed: Result) -> Any:
    return json.loads(changed.raw)


@pytest.mark.rule("P2")
def test_an_interface_comes_behind_the_others_and_the_rest_stays_as_it_is_written() -> None:
    changed = with_interface(result(), IFB)
    assert '"unknown":1e2' in changed.raw.replace(" ", "")
    assert said(changed)["Interfaces"] == [*said(result())["Interfaces"], TOLD]
    assert changed.ips == result().ips


def test_an_interface_is_told_where_there_were_none() -> None:
    for raw in ('{"ips": []}', '{"interfaces": null}'):
        assert said(with_interface(result(raw), IFB))["interfaces"] == [TOLD]


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_version_without_interfaces_tells_none(version: str) -> None:
    old = result('{"ip4": {"ip": "10.9.0.2/24"}}', version)
    assert with_interface(old, IFB) is old
    assert with_changes(old, "eth0", {"mac": "z"}) is old


@pytest.mark.rule("P2")
def test_the_containers_interface_is_told_as_it_is_now_and_no_other() -> None:
    before = said(result())["Interfaces"]
    changed = said(with_changes(result(), "eth0", {"mac": "z", "mtu": 1400}))["Interfaces"]
    assert changed[0] == before[0]
    assert changed[2] == before[2]
    assert changed[1] == {
        "Name": "eth0",
        "sandbox": "/run/netns/c1",
        "more": [1],
        "mac": "z",
        "mtu": 1400,
    }


def test_an_mtu_is_told_only_where_it_was() -> None:
    raw = '{"interfaces": [{"name": "eth0", "sandbox": "/x"}]}'
    changed = said(with_changes(result(raw), "eth0", {"mac": "z", "mtu": 1400}))
    assert changed["interfaces"] == [{"name": "eth0", "sandbox": "/x", "mac": "z"}]


@pytest.mark.rule("P2", "P12")
def test_what_others_made_comes_behind_with_its_addresses_at_their_interfaces() -> None:
    ours = result('{"interfaces": [{"name": "a"}, {"name": "b"}], "ips": [{"address": "::1/64"}]}')
    theirs = result(
        '{"interfaces": [{"name": "eth0", "sandbox": "/x"}], "x-more": [1.5],'
        ' "ips": [{"address": "10.9.0.2/24", "Interface": 0}, {"address": "10.9.0.3/24"}]}'
    )
    both = said(with_previous(ours, theirs))
    assert [one["name"] for one in both["interfaces"]] == ["a", "b", "eth0"]
    assert both["ips"] == [
        {"address": "::1/64"},
        {"address": "10.9.0.2/24", "interface": 2},
        {"address": "10.9.0.3/24"},
    ]
    assert both["x-more"] == [1.5]


def test_with_nothing_before_it_a_result_is_passed_on_as_it_is() -> None:
    ours = result()
    assert with_previous(ours, None) is ours


def test_what_did_not_change_is_the_same_result() -> None:
    one = result()
    assert with_changes(one, "eth0", {}) is one
    assert with_changes(one, "net1", {"mac": "z"}) is one


def test_without_a_previous_result_it_is_not_chained() -> None:
    with pytest.raises(PluginError) as raised:
        require_previous(make_call({}))
    assert (raised.value.code, raised.value.reason) == (7, "not-chained")
