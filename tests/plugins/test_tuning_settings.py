"""What tuning is configured with, and whose word counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from acni.plugins.tuning_settings import DEFAULT_DATA_DIR, parse_data_dir, parse_settings
from acni.plugins.tuning_traits import Traits
from acni.skel import PluginError
from tests.plugins.calling import make_call

ONE, TWO, THREE, FOUR = (f"02:00:00:00:00:0{number}" for number in range(1, 5))


def test_nothing_is_changed_that_is_not_configured() -> None:
    settings = parse_settings(make_call({}))
    assert settings.change_nothing
    assert settings.traits == Traits()
    assert settings.data_dir == DEFAULT_DATA_DIR


def test_args_come_before_the_runtime_that_before_cni_args_that_before_the_configuration() -> None:
    places: list[Mapping[str, Any]] = [
        {"args": {"cni": {"mac": ONE}}},
        {"runtimeConfig": {"mac": TWO}},
        {},
        {"mac": FOUR},
    ]
    for first, expected in enumerate((ONE, TWO, THREE, FOUR)):
        config: dict[str, Any] = {}
        for place in places[first:]:
            config |= place
        args = {"MAC": THREE} if first <= 2 else {}
        mac = parse_settings(make_call(config, args=args)).traits.mac
        assert mac is not None
        assert mac.hex(":") == expected


def test_each_member_is_taken_where_it_is_said_first() -> None:
    configured = {"promisc": True, "mtu": 1300, "allmulti": True, "txQLen": 5}
    asked = {"promisc": False, "mtu": 1400, "allmulti": False, "txQLen": 0}
    settings = parse_settings(make_call({**configured, "args": {"cni": asked}}))
    assert settings.traits == Traits(mtu=1400, all_multicast=False, queue_length=0)
    settings = parse_settings(make_call(configured))
    assert settings.traits == Traits(promiscuous=True, mtu=1300, all_multicast=True, queue_length=5)


def test_settings_by_args_replace_those_of_the_same_name() -> None:
    config = {
        "sysctl": {"net.core.somaxconn": "1", "net.ipv4.conf.IFNAME.arp_ignore": "2"},
        "args": {"cni": {"sysctl": {"net.core.somaxconn": "3"}}},
    }
    sysctls = parse_settings(make_call(config)).sysctls
    assert {one.path: one.value for one in sysctls} == {
        "core/somaxconn": "3",
        "ipv4/conf/eth0/arp_ignore": "2",
    }


def test_two_spellings_are_one_setting() -> None:
    config = {
        "sysctl": {"net.core.somaxconn": "1", "net.ipv4.conf.IFNAME.arp_ignore": "1"},
        "args": {
            "cni": {"sysctl": {"net/core/somaxconn": "2", "net/ipv4/conf/eth0/arp_ignore": "2"}}
        },
    }
    sysctls = parse_settings(make_call(config)).sysctls
    assert [(one.path, one.value) for one in sysctls] == [
        ("core/somaxconn", "2"),
        ("ipv4/conf/eth0/arp_ignore", "2"),
    ]


@pytest.mark.rule("P11")
@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"mac": "02:00:00:00:00"}, "$.mac"),
        ({"mac": "02:00:00:00:00:01:02"}, "$.mac"),
        ({"mac": "02 00 00 00 00 01"}, "$.mac"),
        ({"mac": "020000000001"}, "$.mac"),
        ({"mac": "03:00:00:00:00:01"}, "$.mac"),
        ({"mac": "00:00:00:00:00:00"}, "$.mac"),
        ({"mac": "x"}, "$.mac"),
        ({"runtimeConfig": {"mac": 5}}, "$.runtimeConfig.mac"),
        ({"mtu": -1}, "$.mtu"),
        ({"mtu": "1400"}, "$.mtu"),
        ({"txQLen": 1 << 32}, "$.txQLen"),
        ({"promisc": 1}, "$.promisc"),
        ({"allmulti": "yes"}, "$.allmulti"),
        ({"sysctl": []}, "$.sysctl"),
        ({"sysctl": {"net.core.somaxconn": 5}}, "$.sysctl.net.core.somaxconn"),
        *(
            ({"sysctl": {"net.core.somaxconn": value}}, "$.sysctl.net.core.somaxconn")
            for value in ("", " ", "1\n2", "1\n", "1\0", "\ud800")
        ),
        ({"sysctl": {"net.core.\ud800": "1"}}, r"$.sysctl.net.core.\ud800"),
        ({"sysctl": {"net.core.a\nb": "1"}}, r"$.sysctl.net.core.a\nb"),
        ({"dataDir": "a\0b"}, "$.dataDir"),
    ],
)
def test_what_cannot_be_done_is_refused_and_named(config: Mapping[str, Any], place: str) -> None:
    with pytest.raises(PluginError) as raised:
        parse_settings(make_call(config))
    assert raised.value.code == 7
    assert raised.value.msg.endswith(f"at {place}")


def test_what_a_caller_asks_for_as_args_is_not_told() -> None:
    for asked in ({"mac": "secret"}, {"sysctl": {"secret": "secret"}}):
        with pytest.raises(PluginError) as raised:
            parse_settings(make_call({"args": {"cni": asked}}))
        assert "'secret'" not in str(raised.value)


def test_an_argument_is_refused_by_its_name() -> None:
    with pytest.raises(PluginError, match="'MAC' of CNI_ARGS"):
        parse_settings(make_call({}, args={"MAC": "x"}))
    with pytest.raises(PluginError, match="OTHER"):
        parse_settings(make_call({}, args={"OTHER": "x"}))
    assert parse_settings(make_call({}, args={"OTHER": "x", "IgnoreUnknown": "1"})).change_nothing


def test_a_delete_finds_its_place_in_any_configuration() -> None:
    assert parse_data_dir(make_call({"dataDir": "there", "mtu": "x"})) == "/there"
    assert parse_data_dir(make_call({"dataDir": 5})) == DEFAULT_DATA_DIR
