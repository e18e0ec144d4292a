"""Making results, and writing them in the version that was asked for."""

from __future__ import annotations

import json

import pytest

from acni.skel import PluginError, make_result
from acni.skel.results import result_text
from acni.spec.result import Dns, Interface, IpConfig, Route, parse_result

RESULT = make_result(
    interfaces=[
        Interface(name="cni0", mac="02:00:00:00:00:01", sandbox=None, mtu=1500),
        Interface(name="eth0", mac="02:00:00:00:00:02", sandbox="/run/netns/c1"),
    ],
    ips=[IpConfig(address="10.88.0.2/16", gateway="10.88.0.1", interface=1)],
    routes=[Route(dst="0.0.0.0/0", gw="10.88.0.1"), Route(dst="10.1.0.0/16", scope=0, mtu=1400)],
    dns=Dns(nameservers=("10.88.0.1",), domain=None, search=(), options=()),
)


def test_it_says_what_was_given_and_nothing_else() -> None:
    assert json.loads(RESULT.raw) == {
        "cniVersion": "1.1.0",
        "interfaces": [
            {"name": "cni0", "mac": "02:00:00:00:00:01", "mtu": 1500},
            {"name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/c1"},
        ],
        "ips": [{"interface": 1, "address": "10.88.0.2/16", "gateway": "10.88.0.1"}],
        "routes": [
            {"dst": "0.0.0.0/0", "gw": "10.88.0.1"},
            {"dst": "10.1.0.0/16", "mtu": 1400, "scope": 0},
        ],
        "dns": {"nameservers": ["10.88.0.1"]},
    }
    assert RESULT.routes[1].mtu == 1400


def test_an_interface_at_place_zero_is_named() -> None:
    result = make_result(
        interfaces=[Interface(name="lo", mac=None, sandbox="/n")],
        ips=[IpConfig(address="127.0.0.1/8", gateway=None, interface=0)],
    )
    assert json.loads(result.raw)["ips"] == [{"interface": 0, "address": "127.0.0.1/8"}]


@pytest.mark.parametrize("version", ["0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_it_is_written_in_the_version_that_was_asked_for(version: str) -> None:
    written = result_text(RESULT, version)
    assert json.loads(written)["cniVersion"] == version
    assert [ip.address for ip in parse_result(written, version).ips] == ["10.88.0.2/16"]


def test_what_passes_through_stays_as_it_came() -> None:
    raw = '{"cniVersion":"0.4.0",  "ips":[], "unknown": 1e2}'
    assert result_text(parse_result(raw, "0.4.0"), "0.4.0") == raw


def test_a_version_without_words_for_it_is_a_refusal() -> None:
    with pytest.raises(PluginError, match=r"0\.2\.0") as caught:
        result_text(make_result(), "0.2.0")
    assert caught.value.code == 1
