"""What bridge is configured with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from acni.plugins.bridge_settings import parse_bridge, parse_settings
from acni.skel import PluginError
from acni.spec.result import Dns
from tests.plugins.calling import make_call

MAC = bytes.fromhex("c21122334455")


def test_what_is_not_configured_is_as_the_reference_has_it() -> None:
    settings = parse_settings(make_call({}))
    assert settings.bridge == "cni0"
    assert settings.sets_up
    assert not (settings.is_gateway)
    assert not (settings.is_default_gateway)
    assert not (settings.forces_address)
    assert not (settings.hairpin)
    assert not (settings.promiscuous)
    assert not (settings.isolated)
    assert (settings.mtu, settings.mac, settings.dns, settings.vlan) == (None, None, None, None)
    assert not (settings.filters_vlans)
    assert not (settings.keeps_default_vlan)
    assert not (settings.has_ipam)


def test_each_key_is_read() -> None:
    config = {
        "bridge": "br7",
        "isGateway": True,
        "forceAddress": True,
        "mtu": 1400,
        "hairpinMode": True,
        "portIsolation": True,
        "enabledad": True,
        "preserveDefaultVlan": True,
        "dns": {"nameservers": ["192.0.2.53"]},
        "ipMasq": True,
        "ipMasqBackend": "nftables",
        "macspoofchk": True,
        "disableContainerInterface": True,
    }
    settings = parse_settings(make_call(config))
    assert (settings.bridge, settings.mtu) == ("br7", 1400)
    assert settings.is_gateway
    assert settings.forces_address
    assert settings.hairpin
    assert settings.isolated
    assert settings.detects_duplicates
    assert settings.keeps_default_vlan
    assert not settings.sets_up
    assert settings.checks_senders
    assert settings.dns == Dns(nameservers=("192.0.2.53",), domain=None, search=(), options=())


def test_a_default_gateway_is_a_gateway() -> None:
    settings = parse_settings(make_call({"isDefaultGateway": True}))
    assert settings.is_gateway
    assert settings.is_default_gateway


@pytest.mark.parametrize("zero", ["mtu", "vlan"])
def test_zero_says_nothing(zero: str) -> None:
    settings = parse_settings(make_call({zero: 0}))
    assert (settings.mtu, settings.vlan) == (None, None)


def test_a_trunk_is_all_that_it_names_each_once() -> None:
    trunk = [{"minID": 5, "maxID": 7}, {"id": 6}, {"id": 100, "minID": 1, "maxID": 1}]
    settings = parse_settings(make_call({"vlanTrunk": trunk}))
    assert settings.trunk == (1, 5, 6, 7, 100)
    assert settings.filters_vlans
    assert parse_settings(make_call({"vlan": 7})).filters_vlans


def test_a_trunk_that_names_all_over_and_over_is_read_in_time() -> None:
    """Counted one by one they are some 80 million."""
    trunk = [{"minID": 1, "maxID": 4094}] * 20_000
    assert parse_settings(make_call({"vlanTrunk": trunk})).trunk == tuple(range(1, 4095))


@pytest.mark.rule("P11")
@pytest.mark.parametrize(
    ("config", "args", "mac"),
    [
        pytest.param({}, {"MAC": "c2:11:22:33:44:55"}, MAC, id="CNI_ARGS"),
        pytest.param({"args": {"cni": {"mac": "C2-11-22-33-44-55"}}}, {}, MAC, id="args"),
        pytest.param(
            {"args": {"cni": {"mac": "c2:11:22:33:44:55"}}},
            {"MAC": "c2:00:00:00:00:01"},
            MAC,
            id="args before CNI_ARGS",
        ),
        pytest.param(
            {
                "args": {"cni": {"mac": "c2:00:00:00:00:01"}},
                "runtimeConfig": {"mac": "c2:11:22:33:44:55"},
            },
            {"MAC": "c2:00:00:00:00:02"},
            MAC,
            id="the runtime's before all",
        ),
        pytest.param({"runtimeConfig": {"mac": ""}}, {"MAC": ""}, None, id="empty"),
        pytest.param({"args": {"org": 1, "cni": {"labels": []}}}, {"K8S": "x"}, None, id="others"),
    ],
)
def test_a_hardware_address_is_asked_for_in_three_places(
    config: Mapping[str, Any], args: Mapping[str, str], mac: bytes | None
) -> None:
    assert parse_settings(make_call(config, args=args)).mac == mac


def test_a_gateway_in_a_vlan_is_refused() -> None:
    with pytest.raises(PluginError, match=r'"vlan": 7 is not supported at \$\.vlan'):
        parse_settings(make_call({"vlan": 7, "isGateway": True}))


@pytest.mark.parametrize(
    ("config", "place"),
    [
        pytest.param({"bridge": "a/b"}, "$.bridge", id="bridge with a slash"),
        pytest.param({"bridge": "a" * 16}, "$.bridge", id="bridge too long"),
        pytest.param({"bridge": 1}, "$.bridge", id="bridge no text"),
        pytest.param({"mtu": 67}, "$.mtu", id="mtu too small"),
        pytest.param({"mtu": 65536}, "$.mtu", id="mtu too large"),
        pytest.param({"mtu": True}, "$.mtu", id="mtu no number"),
        pytest.param({"vlan": 4095}, "$.vlan", id="vlan too large"),
        pytest.param({"vlan": -1}, "$.vlan", id="vlan below 0"),
        pytest.param({"vlanTrunk": [{"id": 0}]}, "$.vlanTrunk[0].id", id="trunk of 0"),
        pytest.param({"vlanTrunk": [{"minID": 3}]}, "$.vlanTrunk[0].maxID", id="trunk, no end"),
        pytest.param({"vlanTrunk": [{"maxID": 3}]}, "$.vlanTrunk[0].minID", id="trunk, no begin"),
        pytest.param(
            {"vlanTrunk": [{"minID": 3, "maxID": 2}]}, "$.vlanTrunk[0].maxID", id="trunk backwards"
        ),
        pytest.param({"runtimeConfig": {"mac": "x"}}, "$.runtimeConfig.mac", id="mac none"),
        pytest.param(
            {"args": {"cni": {"mac": "c3:00:00:00:00:01"}}}, "$.args.cni.mac", id="mac of a group"
        ),
        pytest.param(
            {"args": {"cni": {"mac": "00:00:00:00:00:00"}}}, "$.args.cni.mac", id="mac of nobody"
        ),
        pytest.param(
            {"args": {"cni": {"mac": "c2:00-00:00:00:00"}}}, "$.args.cni.mac", id="mac mixed"
        ),
        pytest.param({"hairpinMode": True, "promiscMode": True}, "$.promiscMode", id="both modes"),
        pytest.param(
            {"disableContainerInterface": True, "ipam": {"type": "static"}},
            "$.disableContainerInterface",
            id="addresses, and down",
        ),
        pytest.param({"dns": {"search": "x"}}, "$.dns.search", id="dns"),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_place(
    config: Mapping[str, Any], place: str
) -> None:
    with pytest.raises(PluginError) as raised:
        parse_settings(make_call(config))
    assert raised.value.code == 7
    assert place in raised.value.msg


def test_a_mac_of_cni_args_that_is_none_is_refused() -> None:
    with pytest.raises(PluginError, match="MAC") as raised:
        parse_settings(make_call({}, args={"MAC": "x"}))
    assert raised.value.code == 4


def test_the_oldest_versions_have_no_result_without_addresses() -> None:
    with pytest.raises(PluginError) as raised:
        parse_settings(make_call({}, version="0.2.0"))
    assert raised.value.code == 1
    parse_settings(make_call({"ipam": {"type": "static"}}, version="0.2.0"))


@pytest.mark.rule("P3")
@pytest.mark.parametrize(
    ("config", "bridge"),
    [({"bridge": "br7", "mtu": "x", "ipMasq": True}, "br7"), ({"bridge": 5}, "cni0"), ({}, "cni0")],
)
def test_a_delete_needs_the_bridges_name_alone(config: Mapping[str, Any], bridge: str) -> None:
    assert parse_bridge(make_call(config)) == bridge


def test_what_a_caller_gave_as_args_is_in_no_message() -> None:
    with pytest.raises(PluginError) as caught:
        parse_settings(make_call({"args": {"cni": {"mac": "s3cret"}}}))
    assert "s3cret" not in f"{caught.value.msg} {caught.value.details}"
    assert "$.args.cni.mac" in caught.value.msg
