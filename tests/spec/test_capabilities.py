"""Typed capability arguments: refused when they are made, written as CONVENTIONS.md has them."""

from __future__ import annotations

import inspect
import ipaddress
import json
import pickle
import traceback
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from acni.errors import ConfigError
from acni.spec import Bandwidth, PortMapping
from acni.spec.capabilities import capability_text
from acni.spec.jsontext import JsonError


def _mapping(**members: Any) -> PortMapping:
    return PortMapping(**{"host": 8080, "container": 80, **members})


def _shortly(value: object) -> str:
    return f"{type(value).__name__} {value}"[:20] if value != 10**5000 else "10**5000"


@pytest.mark.parametrize(
    ("members", "written"),
    [
        ({}, "8080:80/tcp"),
        ({"host": 0, "protocol": "udp"}, "0:80/udp"),
        ({"host_ip": "127.0.0.1"}, "127.0.0.1:8080:80/tcp"),
        ({"host_ip": "fd00::1"}, "[fd00::1]:8080:80/tcp"),
    ],
)
def test_a_port_is_told_as_the_command_takes_it(members: dict[str, Any], written: str) -> None:
    assert str(_mapping(**members)) == written


@pytest.mark.rule("R51")
def test_the_examples_of_the_conventions_are_written() -> None:
    ports = [
        PortMapping(host=8080, container=80),
        PortMapping(host=8000, container=8001, protocol="udp"),
    ]
    assert json.loads(capability_text(ports)) == [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 8000, "containerPort": 8001, "protocol": "udp"},
    ]
    bandwidth = Bandwidth(
        ingress_rate=2048, ingress_burst=1600, egress_rate=4096, egress_burst=1600
    )
    assert json.loads(capability_text(bandwidth)) == {
        "ingressRate": 2048,
        "ingressBurst": 1600,
        "egressRate": 4096,
        "egressBurst": 1600,
    }


def test_what_is_not_given_is_not_written() -> None:
    assert json.loads(capability_text(Bandwidth())) == {}
    assert json.loads(capability_text(Bandwidth(egress_rate=1))) == {"egressRate": 1}


@pytest.mark.parametrize("value", [None, True, 1.5, "x", [], {"a": [None, {"b": (1,)}]}], ids=repr)
def test_what_is_json_already_stays(value: object) -> None:
    assert json.loads(capability_text(value)) == json.loads(json.dumps(value))


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(JsonError, match="set has no JSON form"):
        capability_text({"a": {1}})


@pytest.mark.parametrize(
    ("host_ip", "written"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("2001:DB8::0:1", "2001:db8::1"),
        (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
        (ipaddress.ip_address("::1"), "::1"),
        ("0.0.0.0", "0.0.0.0"),  # noqa: S104 (nothing is bound)
    ],
    ids=str,
)
def test_the_hosts_address_is_text_or_an_object(host_ip: object, written: str) -> None:
    mapping = _mapping(host_ip=host_ip)
    assert mapping.host_ip == ipaddress.ip_address(written)
    assert json.loads(capability_text([mapping])) == [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": written}
    ]


def test_enumerations_may_stand_for_ports_and_protocols() -> None:
    class Protocol(StrEnum):
        SCTP = "sctp"

    class Port(IntEnum):
        HTTP = 80

    written = capability_text(_mapping(container=Port.HTTP, protocol=Protocol.SCTP))
    assert written == '[{"hostPort":8080,"containerPort":80,"protocol":"sctp"}]'


@pytest.mark.parametrize("port", [-1, 65_536, 10**5000, True, "80", 80.0, None], ids=_shortly)
@pytest.mark.parametrize(("name", "least"), [("host", 0), ("container", 1)])
def test_what_is_no_port_is_refused(name: str, least: int, port: object) -> None:
    with pytest.raises(ConfigError) as caught:
        _mapping(**{name: port})
    assert caught.value.place == f"PortMapping.{name}"
    assert caught.value.expected == f"a port from {least} to 65535"
    assert len(str(caught.value)) < 100


def test_an_error_says_what_was_given_and_what_is_expected() -> None:
    with pytest.raises(ConfigError) as caught:
        _mapping(host=70_000)
    assert str(caught.value) == (
        "PortMapping.host: 70000 is not allowed; expected a port from 0 to 65535"
    )


def test_any_port_of_the_host_may_be_asked_for_and_none_of_the_container() -> None:
    assert json.loads(capability_text(_mapping(host=0)))[0]["hostPort"] == 0
    with pytest.raises(ConfigError, match="expected a port from 1 to 65535"):
        _mapping(container=0)


@pytest.mark.parametrize(
    ("port", "shown"),
    [
        pytest.param(2**64 - 1, "18446744073709551615", id="64 bits"),
        pytest.param(2**64, "int", id="65 bits"),
        pytest.param(True, "bool", id="true"),
        pytest.param("é" * 100, ascii("é" * 100)[:80], id="a long text"),
    ],
)
def test_an_error_shows_a_long_number_or_text_shortened(port: Any, shown: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _mapping(host=port)
    assert caught.value.message == f"{shown} is not allowed; expected a port from 0 to 65535"


@pytest.mark.parametrize("port", [1, 65_535])
def test_the_first_and_the_last_port_are_taken(port: int) -> None:
    assert _mapping(host=port, container=port).host == port


@pytest.mark.parametrize("protocol", ["TCP", "icmp", "", "tcp\n", None, 6, ["tcp"]], ids=ascii)
def test_another_protocol_is_refused(protocol: object) -> None:
    with pytest.raises(ConfigError) as caught:
        _mapping(protocol=protocol)
    assert caught.value.place == "PortMapping.protocol"


@pytest.mark.parametrize(
    "host_ip",
    [
        "",
        "host",
        "10.0.0.1/24",
        "10.0.0.01",
        " 10.0.0.1",
        "fe80::1%eth0",
        167772161,
        b"1234",
        True,
        ipaddress.ip_address("fe80::1%eth0"),
        ipaddress.ip_interface("10.0.0.1/24"),
    ],
    ids=ascii,
)
def test_what_is_no_address_of_the_host_is_refused(host_ip: object) -> None:
    with pytest.raises(ConfigError) as caught:
        _mapping(host_ip=host_ip)
    assert caught.value.place == "PortMapping.host_ip"
    assert caught.value.expected == "an address of the host without a zone, or None"
    assert "ValueError" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("number", [0, -1, True, 1.5, 1e9, "1M"], ids=ascii)
@pytest.mark.parametrize("name", ["ingress_rate", "ingress_burst", "egress_rate", "egress_burst"])
def test_what_is_no_rate_or_burst_is_refused(name: str, number: object) -> None:
    given: dict[str, Any] = {name: number}
    with pytest.raises(ConfigError) as caught:
        Bandwidth(**given)
    assert caught.value.place == f"Bandwidth.{name}"


@pytest.mark.parametrize("kind", [PortMapping, Bandwidth])
def test_they_are_written_with_the_names_of_their_members(kind: type) -> None:
    parameters = inspect.signature(kind).parameters.values()
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}


def test_they_are_values() -> None:
    mapping = _mapping(host_ip="10.0.0.1")
    assert evolve(mapping, host=9090) == _mapping(host=9090, host_ip="10.0.0.1")
    assert len({mapping, _mapping(host_ip="10.0.0.1"), Bandwidth(), Bandwidth()}) == 2
    assert pickle.loads(pickle.dumps(mapping)) == mapping  # noqa: S301 - our own bytes
    with pytest.raises(FrozenInstanceError):
        mapping.host = 1  # type: ignore[misc]  # what is tested
    with pytest.raises(ConfigError):
        evolve(mapping, container=0)
