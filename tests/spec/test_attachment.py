"""An attachment is parsed when it is made: behind it nobody checks again."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from acni.errors import AcniError, ConfigError, InvalidName
from acni.spec import Attachment, AttachmentId
from acni.spec.names import ContainerId, IfName, NetnsPath


def _attachment(**members: Any) -> Attachment:
    return Attachment(**{"container_id": "c1", "netns": "/run/netns/blue", **members})


def test_an_attachment_needs_a_container_and_a_namespace() -> None:
    attachment = _attachment(netns=Path("/run/netns/blue"))
    assert attachment.container_id == "c1"
    assert attachment.netns == "/run/netns/blue"
    assert attachment.ifname == "eth0"
    assert attachment.cni_args == attachment.capability_args == {}
    assert attachment.capability_texts == {}
    assert attachment.existing == "refuse"


@pytest.mark.parametrize(
    ("members", "place"),
    [
        pytest.param({"container_id": "abc\n"}, "container ID", id="R14"),
        pytest.param({"container_id": ""}, "container ID", id="R14 empty"),
        pytest.param({"ifname": "eth%d"}, "interface name", id="R56"),
        pytest.param({"ifname": ""}, "interface name", id="R56 empty"),
        pytest.param({"netns": "blue"}, "netns", id="a name for the path"),
        pytest.param({"netns": ""}, "netns", id="no namespace"),
        pytest.param({"cni_args": {"A": "x;B=y"}}, "CNI_ARGS", id="R53"),
        pytest.param({"cni_args": None}, "CNI_ARGS", id="R53 None"),
    ],
)
def test_bad_names_are_refused_when_it_is_made(members: dict[str, object], place: str) -> None:
    with pytest.raises(InvalidName) as caught:
        _attachment(**members)
    assert caught.value.place == place


@pytest.mark.parametrize(
    ("capability_args", "place"),
    [
        pytest.param({"mac": {1, 2}}, "capability_args['mac']", id="set"),
        pytest.param({"mac": float("nan")}, "capability_args['mac']", id="NaN"),
        pytest.param({"mac": Path("/x")}, "capability_args['mac']", id="path"),
        pytest.param({"é": b"x"}, "capability_args['\\xe9']", id="bytes"),
        pytest.param({1: "x"}, "capability_args[1]", id="number as a name"),
        pytest.param({None: "x"}, "capability_args[None]", id="null as a name"),
        pytest.param([("mac", "x")], "capability_args", id="pairs"),
        pytest.param(None, "capability_args", id="None"),
    ],
)
def test_bad_capability_arguments_are_refused_when_it_is_made(
    capability_args: object, place: str
) -> None:
    """R38."""
    with pytest.raises(ConfigError) as caught:
        _attachment(capability_args=capability_args)
    assert caught.value.place == place


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


def test_an_attachment_is_identified_by_container_and_interface() -> None:
    """R15: over all networks, so neither namespace nor arguments count."""
    one = _attachment(ifname="net1", netns="/run/netns/blue")
    other = _attachment(ifname="net1", netns="/run/netns/red", cni_args={"A": "1"})
    assert one.id == other.id == AttachmentId(ContainerId("c1"), IfName("net1"))
    assert len({one.id, other.id, AttachmentId(ContainerId("c1"))}) == 2
    assert str(one.id) == "c1/net1"


@pytest.mark.parametrize(("container_id", "ifname"), [("a/b", "eth0"), ("c1", "eth0\n")])
def test_an_identity_is_parsed_too(container_id: str, ifname: str) -> None:
    """R14, R56."""
    with pytest.raises(InvalidName):
        AttachmentId(ContainerId(container_id), IfName(ifname))


def test_an_attachment_cannot_be_changed() -> None:
    attachment = _attachment()
    with pytest.raises(FrozenInstanceError):
        attachment.netns = NetnsPath("/run/netns/red")  # type: ignore[misc]  # what is tested
    assert attachment.netns == "/run/netns/blue"


def test_an_attachment_pickles() -> None:
    attachment = _attachment(cni_args={"A": "1"}, capability_args={"mac": "x"})
    again = pickle.loads(pickle.dumps(attachment))  # noqa: S301 - our own bytes
    assert again == attachment
    assert again.capability_texts == attachment.capability_texts


def test_every_refusal_is_an_error_of_ours() -> None:
    for members in ({"container_id": object()}, {"netns": 7}, {"ifname": b"x"}, {"cni_args": 1}):
        with pytest.raises(AcniError):
            _attachment(**members)
