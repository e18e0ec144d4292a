"""An attachment is parsed when it is made: behind it nobody checks again."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from acni.errors import AcniError, ConfigError, InvalidName
from acni.spec import Attachment, AttachmentId, Bandwidth, PortMapping
from acni.spec.names import ContainerId, IfName, NetnsPath

_CYCLE: list[object] = []
_CYCLE.append(_CYCLE)


def _attachment(**members: Any) -> Attachment:
    return Attachment(**{"container_id": "c1", "netns": "/run/netns/blue", **members})


def test_an_attachment_needs_a_container_and_a_namespace() -> None:
    attachment = _attachment(netns=Path("/run/netns/blue"))
    assert attachment.container_id == "c1"
    assert attachment.netns == "/run/netns/blue"
    assert attachment.ifname == "eth0"
    assert attachment.cni_args == attachment.capability_args == attachment.args == {}
    assert attachment.capability_texts == {}
    assert attachment.existing == "refuse"


@pytest.mark.rule("R14", "R53", "R56")
@pytest.mark.parametrize(
    ("members", "place"),
    [
        pytest.param({"container_id": "abc\n"}, "container ID", id="R14"),
        pytest.param({"container_id": ""}, "container ID", id="R14 empty"),
        pytest.param({"ifname": "eth%d"}, "interface name", id="R56"),
        pytest.param({"ifname": ""}, "interface name", id="R56 empty"),
        pytest.param({"netns": "blue"}, "netns", id="a name for the path"),
        pytest.param({"netns": ""}, "netns", id="no namespace"),
        pytest.param({"netns": True}, "netns", id="true is no process"),
        pytest.param({"cni_args": {"A": "x;B=y"}}, "CNI_ARGS", id="R53"),
        pytest.param({"cni_args": None}, "CNI_ARGS", id="R53 None"),
    ],
)
def test_bad_names_are_refused_when_it_is_made(members: dict[str, object], place: str) -> None:
    with pytest.raises(InvalidName) as caught:
        _attachment(**members)
    assert caught.value.place == place


@pytest.mark.rule("R38")
@pytest.mark.parametrize(
    ("capability_args", "place"),
    [
        pytest.param({"mac": {1, 2}}, "capability_args['mac']", id="set"),
        pytest.param({"mac": float("nan")}, "capability_args['mac']", id="NaN"),
        pytest.param({"mac": Path("/x")}, "capability_args['mac']", id="path"),
        pytest.param({"é": b"x"}, "capability_args['\\xe9']", id="bytes"),
        pytest.param({"mac": [_CYCLE]}, "capability_args['mac']", id="cycle"),
        pytest.param({"mac": {"x": _CYCLE}}, "capability_args['mac']", id="cycle in an object"),
        pytest.param({1: "x"}, "capability_args[1]", id="number as a name"),
        pytest.param({None: "x"}, "capability_args[None]", id="null as a name"),
        pytest.param([("mac", "x")], "capability_args", id="pairs"),
        pytest.param(None, "capability_args", id="None"),
    ],
)
def test_bad_capability_arguments_are_refused_when_it_is_made(
    capability_args: object, place: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        _attachment(capability_args=capability_args)
    assert caught.value.place == place


@pytest.mark.rule("R38")
def test_capability_arguments_are_written_once() -> None:
    """R38: what is changed afterwards neither is sent nor breaks the request."""
    ports = [{"hostPort": 8080, "containerPort": 80}]
    arguments = {"portMappings": ports, "mac": "é"}
    attachment = _attachment(capability_args=arguments)
    ports.append({})
    arguments["ips"] = "x"
    assert attachment.capability_texts == {
        "portMappings": '[{"hostPort":8080,"containerPort":80}]',
        "mac": '"\\u00e9"',
    }


def test_a_changed_copy_has_its_own_capability_texts() -> None:
    changed = evolve(_attachment(capability_args={"mac": 1}), capability_args={"ips": []})
    assert changed.capability_texts == {"ips": "[]"}


def test_capability_arguments_may_be_any_json_values() -> None:
    class Protocol(StrEnum):
        TCP = "tcp"

    values: Mapping[str, object] = {"a": None, "b": 10**30, "c": (1, Protocol.TCP), "": {}}
    assert _attachment(capability_args=values).capability_texts == {
        "a": "null",
        "b": "1" + "0" * 30,
        "c": '[1,"tcp"]',
        "": "{}",
    }


@pytest.mark.rule("R51")
@pytest.mark.parametrize(
    ("argument", "text"),
    [
        pytest.param(
            [PortMapping(host=8080, container=80), {"hostPort": 1, "containerPort": 2}],
            '[{"hostPort":8080,"containerPort":80,"protocol":"tcp"},'
            '{"hostPort":1,"containerPort":2}]',
            id="in a list, beside JSON",
        ),
        pytest.param(
            (PortMapping(host=53, container=53, protocol="udp"),),
            '[{"hostPort":53,"containerPort":53,"protocol":"udp"}]',
            id="in a tuple",
        ),
        pytest.param(
            PortMapping(host=8080, container=80),
            '[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}]',
            id="alone: a list of one",
        ),
        pytest.param(
            {"x": [Bandwidth(egress_rate=1)], "y": PortMapping(host=1, container=2)},
            '{"x":[{"egressRate":1}],"y":{"hostPort":1,"containerPort":2,"protocol":"tcp"}}',
            id="deep",
        ),
        pytest.param(
            Bandwidth(ingress_rate=1, ingress_burst=2, egress_rate=3, egress_burst=4),
            '{"ingressRate":1,"ingressBurst":2,"egressRate":3,"egressBurst":4}',
            id="bandwidth",
        ),
    ],
)
def test_typed_capability_arguments_are_written_in_the_shapes_of_the_conventions(
    argument: object, text: str
) -> None:
    attachment = _attachment(capability_args={"x": argument})
    assert attachment.capability_texts == {"x": text}
    assert attachment.capability_args == {"x": argument}


@pytest.mark.rule("R52", "R63")
def test_args_are_copied_when_it_is_made() -> None:
    labels = [{"key": "app", "value": "web"}]
    args = {"cni": {"labels": labels, "ips": ("10.0.0.2",)}}
    attachment = _attachment(args=args)
    labels.append({})
    args["x"] = {}
    assert attachment.args == {
        "cni": {"labels": [{"key": "app", "value": "web"}], "ips": ["10.0.0.2"]}
    }


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(None, id="None"),
        pytest.param("x", id="text"),
        pytest.param([("cni", {})], id="pairs"),
        pytest.param({1: {}}, id="number as a name"),
        pytest.param({"cni": {1, 2}}, id="set"),
        pytest.param({"cni": float("inf")}, id="infinity"),
        pytest.param({"cni": _CYCLE}, id="cycle"),
        pytest.param({"cni": PortMapping(host=1, container=1)}, id="port mapping"),
    ],
)
def test_bad_args_are_refused_when_it_is_made(args: object) -> None:
    with pytest.raises(ConfigError) as caught:
        _attachment(args=args)
    assert caught.value.place == "args"


def test_no_argument_is_shown() -> None:
    """CNI_ARGS, args and capability arguments may be secrets."""
    secret = {"x": "secret"}
    shown = repr(_attachment(args=secret, cni_args=secret, capability_args=secret))
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("netns", "path"),
    [
        pytest.param(4711, "/proc/4711/ns/net", id="process"),
        pytest.param(SimpleNamespace(path="/run/netns/c1"), "/run/netns/c1", id="opened"),
    ],
)
def test_a_namespace_may_be_given_by_process_or_opened(netns: object, path: str) -> None:
    assert _attachment(netns=netns).netns == path


@pytest.mark.rule("R15")
def test_an_attachment_is_identified_by_container_and_interface() -> None:
    """R15: over all networks, so neither namespace nor arguments count."""
    one = _attachment(ifname="net1", netns="/run/netns/blue")
    other = _attachment(ifname="net1", netns="/run/netns/red", cni_args={"A": "1"})
    assert one.id == other.id == AttachmentId(ContainerId("c1"), IfName("net1"))
    assert len({one.id, other.id, AttachmentId(ContainerId("c1"))}) == 2
    assert str(one.id) == "c1/net1"


@pytest.mark.rule("R14", "R56")
@pytest.mark.parametrize(("container_id", "ifname"), [("a/b", "eth0"), ("c1", "eth0\n")])
def test_an_identity_is_parsed_too(container_id: str, ifname: str) -> None:
    with pytest.raises(InvalidName):
        AttachmentId(ContainerId(container_id), IfName(ifname))


def test_an_attachment_cannot_be_changed() -> None:
    attachment = _attachment()
    with pytest.raises(FrozenInstanceError):
        attachment.netns = NetnsPath("/run/netns/red")  # type: ignore[misc]  # what is tested
    assert attachment.netns == "/run/netns/blue"


def test_an_attachment_pickles() -> None:
    ports = [PortMapping(host=8080, container=80, host_ip="127.0.0.1")]
    attachment = _attachment(
        cni_args={"A": "1"}, args={"cni": {}}, capability_args={"portMappings": ports}
    )
    again = pickle.loads(pickle.dumps(attachment))  # noqa: S301 - our own bytes
    assert again == attachment
    assert again.capability_texts == attachment.capability_texts


def test_every_refusal_is_an_error_of_ours() -> None:
    for members in ({"container_id": object()}, {"netns": 0}, {"ifname": b"x"}, {"cni_args": 1}):
        with pytest.raises(AcniError):
            _attachment(**members)


@pytest.mark.parametrize(
    "capability_args",
    [
        pytest.param({"x": "a" * (1 << 20)}, id="long"),
        pytest.param({"x": [0] * 40_000, "y": [0] * 40_000}, id="wide together"),
        pytest.param({"x": json.loads("[" * 100 + "]" * 100)}, id="deep"),
    ],
)
def test_arguments_that_a_record_could_not_keep_are_refused(
    capability_args: dict[str, object],
) -> None:
    with pytest.raises(ConfigError) as caught:
        Attachment(container_id="c1", netns="/run/netns/x", capability_args=capability_args)
    assert caught.value.place == "capability_args"


def test_an_argument_that_is_nested_without_end_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ConfigError, match="no JSON value") as caught:
        Attachment(container_id="c1", netns="/n", capability_args={"x": endless})
    assert caught.value.place == "capability_args['x']"


@pytest.mark.parametrize("existing", ["replace", "", None, 1, True])
def test_an_interface_that_exists_is_refused_or_adjusted_and_nothing_else(existing: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Attachment(container_id="c1", netns="/n", existing=existing)
    assert (caught.value.place, caught.value.expected) == ("existing", "'refuse' or 'adjust'")
