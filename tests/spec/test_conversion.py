"""Results converted between the two shapes that have ``ips``."""

from __future__ import annotations

import json

import pytest

from acni.spec import ResultError, parse_result

OLDER = (
    '{"cniVersion":"0.4.0","interfaces":[{"name":"eth0","x":1e2}],'
    '"ips":[{"version":"4","address":"192.0.2.7/24","interface":0,"y":1e2},'
    '{"version":"6","address":"2001:db8::7/64"}],"routes":[{"dst":"0.0.0.0/0"}],"z":1e2}'
)
NEWER = (
    '{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","x":1e2}],'
    '"ips":[{"address":"192.0.2.7/24","interface":0,"y":1e2},'
    '{"address":"2001:db8::7/64"}],"routes":[{"dst":"0.0.0.0/0"}],"z":1e2}'
)


@pytest.mark.rule("R42")
def test_an_older_result_becomes_a_newer_one_and_everything_else_stays_as_written() -> None:
    result = parse_result(OLDER, "1.1.0")
    assert result.raw == NEWER
    assert [ip.address for ip in result.ips] == ["192.0.2.7/24", "2001:db8::7/64"]


@pytest.mark.rule("R42")
def test_a_newer_result_becomes_an_older_one_and_back() -> None:
    """R42: the family is looked up in the address."""
    assert parse_result(NEWER, "0.4.0").raw == OLDER
    assert parse_result(parse_result(NEWER, "0.3.1").raw, "1.1.0").raw == NEWER


def test_what_an_older_version_has_no_word_for_is_dropped() -> None:
    interface = {"name": "eth0", "mtu": 1500, "socketPath": "/s", "pciID": "p", "mac": "m"}
    newer = json.dumps({"cniVersion": "1.1.0", "interfaces": [interface]})
    older = json.loads(parse_result(newer, "0.4.0").raw)
    assert older["interfaces"] == [{"name": "eth0", "mac": "m"}]


@pytest.mark.parametrize("key", ["ips", "interfaces"])
def test_an_element_that_is_no_object_is_no_result(key: str) -> None:
    with pytest.raises(ResultError):
        parse_result(json.dumps({"cniVersion": "1.0.0", key: [7]}), "0.4.0")


@pytest.mark.parametrize("key", ["ips", "interfaces"])
def test_null_stays_null(key: str) -> None:
    converted = parse_result(json.dumps({"cniVersion": "1.0.0", key: None}), "0.4.0")
    assert json.loads(converted.raw)[key] is None
