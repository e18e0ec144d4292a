"""What portmap is configured with, and what the table is to have of it."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest

from acni.plugins.attaching import owner_of
from acni.plugins.podelements import Port, ports_of
from acni.plugins.portmap_settings import (
    Settings,
    Wanted,
    addresses_of,
    describe,
    parse_settings,
)
from acni.skel.errors import PluginError
from acni.spec.commands import Command
from acni.spec.result import parse_result
from tests.plugins.calling import make_call

V4, V6 = ip_address("10.9.0.2"), ip_address("fd00:9::2")
AT4, AT6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
ANY4, ANY6 = ip_address(0), ip_address("::")


def parsed(*ports: Any, **members: Any) -> Settings:
    return parse_settings(make_call({"runtimeConfig": {"portMappings": list(ports)}, **members}))


def test_nothing_is_asked_for_unless_it_is() -> None:
    settings = parse_settings(make_call({}))
    assert settings.wanted == ()
    assert settings.is_returning
    assert not settings.for_anyone
    assert not settings.overrides
    assert settings.entries(owner_of(make_call({})), [V4, V6]) == []


def test_each_key_is_read() -> None:
    members = {"snat": False, "masqAll": True, "overrideNatRules": True, "markMasqBit": 5}
    settings = parsed(**members, backend="nftables", conditionsV4=[], conditionsV6=None)
    assert not settings.is_returning
    assert settings.for_anyone
    assert settings.overrides


def test_ports_are_read_however_their_keys_are_spelt() -> None:
    """containerd's records have them with capitals."""
    theirs = {"HostPort": 8080, "ContainerPort": 80, "Protocol": "UDP", "HostIP": ""}
    ours = {"hostPort": 53, "containerPort": 5353, "hostIP": "192.0.2.1"}
    assert parsed(theirs, ours, ours).wanted == (
        Wanted(protocol=17, host_port=8080, pod_port=80),
        Wanted(protocol=6, host_port=53, pod_port=5353, host_address=AT4),
    )


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (None, AT4, True),
        (None, AT6, True),
        (None, ANY4, True),
        (ANY4, AT4, True),
        (ANY4, ANY6, False),
        (ANY4, AT6, False),
        (AT4, AT6, False),
        (AT4, ip_address("192.0.2.2"), False),
    ],
    ids=str,
)
def test_a_port_is_the_same_where_one_address_would_have_both(
    one: object, other: object, is_same: bool
) -> None:
    ports = [
        {"hostPort": 80, "containerPort": to, "hostIP": "" if at is None else str(at)}
        for to, at in ((80, one), (81, other))
    ]
    for pair in (ports, ports[::-1]):
        if is_same:
            with pytest.raises(PluginError, match="80 is there twice"):
                parsed(*pair)
        else:
            assert len(parsed(*pair).wanted) == 2
    assert len(parsed(ports[0], {**ports[1], "protocol": "udp"}).wanted) == 2


@pytest.mark.parametrize(
    ("at", "address", "there"),
    [
        (None, V4, True),
        (None, V6, True),
        (ANY4, V4, True),
        (ANY4, V6, False),
        (AT6, V6, True),
        (AT6, V4, False),
    ],
    ids=str,
)
def test_a_port_leads_to_the_address_of_its_family(at: Any, address: Any, there: bool) -> None:
    port = Wanted(protocol=6, host_port=80, pod_port=8080, host_address=at).port_for(address)
    assert (port is not None) == there
    if port is not None:
        assert port.host_address == (at if at == AT6 else None)


def test_of_each_family_the_first_address_in_the_container_is_led_to() -> None:
    interfaces = [{"name": "cni0"}, {"name": "eth0", "sandbox": "/run/netns/web"}]
    ips = [
        {"address": "192.0.2.7/24", "interface": 0},
        {"address": "10.9.0.2/24", "interface": 1},
        {"address": "10.9.0.3/24", "interface": 1},
        {"address": "fd00:9::2/64"},
    ]
    result = parse_result(json.dumps({"interfaces": interfaces, "ips": ips}), "1.0.0")
    assert addresses_of(result) == [V4, V6]


@pytest.mark.parametrize(
    ("at", "words"),
    [(None, "80/tcp"), (AT4, "192.0.2.1:80/tcp"), (AT6, "[2001:db8::1]:80/tcp")],
    ids=str,
)
def test_a_port_is_written_as_people_write_it(at: Any, words: str) -> None:
    assert describe(Port(protocol=6, host_port=80, pod_port=1, host_address=at)) == words


def test_a_port_that_was_picked_is_the_one_that_the_result_says() -> None:
    asked: list[dict[str, Any]] = [
        {"hostPort": 0, "containerPort": 80},
        {"hostPort": 0, "containerPort": 80, "hostIP": "192.0.2.1"},
        {"hostPort": 0, "containerPort": 80, "protocol": "udp"},
        {"hostPort": 8080, "containerPort": 81},
        {"hostPort": 0, "containerPort": 81},
    ]
    picked = (61003, 61002, 61001, 8080, 0)
    said = [{**one, "hostPort": number} for one, number in zip(asked, picked, strict=True)]
    config = {"runtimeConfig": {"portMappings": asked}}
    result = {"cniVersion": "1.0.0", "portMappings": said}
    unknown = (0, 0, 0, 8080, 0)
    cases: list[tuple[Command, Any, tuple[int, ...]]] = [
        (Command.DEL, result, picked),
        (Command.CHECK, result, picked),
        (Command.DEL, {"cniVersion": "1.0.0"}, unknown),
        (Command.DEL, None, unknown),
        # The result before an ADD is others'.
        (Command.ADD, result, unknown),
    ]
    for command, previous, found in cases:
        settings = parse_settings(make_call(config, previous=previous, command=command))
        assert tuple(one.host_port for one in settings.wanted) == found
        assert [one.host_port for one in settings.to_pick] == [0] * found.count(0)
        # One that is not known leads nowhere.
        (entry,) = settings.entries(owner_of(make_call({})), [V4])
        assert {port.host_port for port in ports_of(entry)} == set(found) - {0}


def test_the_same_that_is_asked_for_twice_is_one_port_and_others_are_more() -> None:
    one, other = {"hostPort": 0, "containerPort": 80}, {"hostPort": 0, "containerPort": 81}
    assert len(parsed(one, other, one).to_pick) == 2


def test_what_leads_to_no_address_is_not_asked_for() -> None:
    settings = parsed(
        {"hostPort": 0, "containerPort": 80, "hostIP": "::"}, {"hostPort": 0, "containerPort": 81}
    )
    assert [one.pod_port for one in settings.leading_to([V4]).wanted] == [81]
    assert settings.leading_to([V4, V6]) == settings
