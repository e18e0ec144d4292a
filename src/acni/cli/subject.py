"""What a command line is about: the attachment and the network that its arguments and cnitool's
variables name.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from acni.errors import AcniError, ConfigError, InvalidName
from acni.host.configurations import load_network
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.configuration import NetworkConfig
from acni.spec.jsontext import is_object
from acni.spec.names import (
    parse_cni_args,
    parse_cni_args_text,
    parse_netns_path,
    parse_network_name,
)


def named_attachment(arguments: argparse.Namespace) -> Attachment:
    """Make the attachment that the arguments name, with its own arguments."""
    return Attachment(
        container_id=_container_id(arguments),
        netns=parse_netns_path(os.path.abspath(arguments.netns)),
        ifname=arguments.ifname,
        cni_args=_cni_args(arguments.arg),
        capability_args=_capability_args(arguments.cap),
    )


def named_arguments(
    arguments: argparse.Namespace,
) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """Read CNI_ARGS and the capability arguments that a command line gives.

    Raises:
        InvalidName, ConfigError: one of them cannot be read.
    """
    return _cni_args(arguments.arg), _capability_args(arguments.cap)


def named_target(arguments: argparse.Namespace) -> Attachment | AttachmentId:
    """Make what the arguments name: the identity, with the namespace where one is given."""
    identity = named_identity(arguments)
    if not arguments.netns:
        return identity
    return Attachment(
        container_id=identity.container_id,
        netns=parse_netns_path(os.path.abspath(arguments.netns)),
        ifname=identity.ifname,
    )


def named_identity(arguments: argparse.Namespace) -> AttachmentId:
    """Make the identity of the attachment that the arguments name."""
    return AttachmentId(_container_id(arguments), arguments.ifname)


def named_network(arguments: argparse.Namespace) -> NetworkConfig:
    """Load the network that the arguments name.

    Raises:
        InvalidName, NetworkNotFound, ConfigError, VersionUnsupported: there is none.
    """
    return load_network(arguments.conf_dir, parse_network_name(arguments.network))


def network_to_delete(
    arguments: argparse.Namespace,
) -> tuple[NetworkConfig | str | None, AcniError | None]:
    """Load the network of a delete; where that fails its name is enough for what is recorded.

    Returns:
        The network, or its name with the error that there is no more to be had; nothing where
        none was named.
    """
    if not arguments.network:
        return None, None
    name = parse_network_name(arguments.network)
    try:
        return load_network(arguments.conf_dir, name), None
    except AcniError as error:
        return name, error


def _container_id(arguments: argparse.Namespace) -> str:
    """Return the container's ID; by default the one that cnitool makes, so that both meet in one
    state directory.
    """
    if arguments.container_id is not None:
        return str(arguments.container_id)
    if not arguments.netns:
        raise InvalidName(
            "none was given",
            place="--container-id",
            expected="a container ID, or a namespace to make one from",
        )
    path = parse_netns_path(os.path.abspath(arguments.netns))
    return "cnitool-" + hashlib.sha512(path.encode()).digest()[:10].hex()


def _cni_args(pairs: list[str]) -> Mapping[str, str]:
    merged = dict(parse_cni_args_text(os.environ.get("CNI_ARGS", "")))
    for pair in pairs:
        merged |= parse_cni_args_text(pair)
    return parse_cni_args(merged)


def _capability_args(pairs: list[str]) -> Mapping[str, Any]:
    merged = _object(os.environ.get("CAP_ARGS") or "{}", "CAP_ARGS")
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise ConfigError(f"{name!a} has no value", place="--cap", expected="NAME=JSON")
        merged[name] = _json(text, f"--cap {name}")
    return merged


def _object(text: str, place: str) -> dict[str, Any]:
    value = _json(text, place)
    if not is_object(value):
        raise ConfigError(
            "not an object", place=place, expected="a JSON object: capability name to argument"
        )
    return value


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError("not JSON", place=place, expected="a JSON value") from None
