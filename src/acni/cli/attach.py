"""``acni add``, ``acni check``, ``acni del``."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from acni.cli.report import report_error, step_printer
from acni.cli.signals import run_cancellable
from acni.engine.runtime import Runtime, open_runtime
from acni.engine.settings import Timeouts
from acni.errors import AcniError, AttachmentNotFound, ConfigError, InvalidName
from acni.spec.attachment import Attachment, AttachmentId
from acni.spec.configuration import NetworkConfig
from acni.spec.jsontext import is_object
from acni.spec.names import (
    parse_cni_args,
    parse_cni_args_text,
    parse_netns_path,
    parse_network_name,
)


def add(arguments: argparse.Namespace) -> int:
    """Attach, and print the result."""

    async def verb() -> None:
        attachment = _attachment(arguments)
        name = parse_network_name(arguments.network)
        async with _open(arguments) as runtime:
            result = await runtime.add(await runtime.network(name), attachment)
        print(result.raw)

    return _run(arguments, verb)


def check(arguments: argparse.Namespace) -> int:
    """Check an attachment."""

    async def verb() -> None:
        identity = _identity(arguments)
        name = parse_network_name(arguments.network) if arguments.network else None
        async with _open(arguments) as runtime:
            await runtime.check(identity, network=name)

    return _run(arguments, verb)


def delete(arguments: argparse.Namespace) -> int:
    """Detach; the record knows the rest, the configuration is the fallback."""

    async def verb() -> None:
        target = _attachment(arguments) if arguments.netns else _identity(arguments)
        name = parse_network_name(arguments.network) if arguments.network else None
        async with _open(arguments) as runtime:
            await _delete(runtime, target, name)

    return _run(arguments, verb)


async def _delete(runtime: Runtime, target: Attachment | AttachmentId, name: str | None) -> None:
    network: NetworkConfig | str | None = name
    trouble: AcniError | None = None
    if name is not None:
        try:
            network = await runtime.network(name)
        except AcniError as error:  # the record may know better
            trouble = error
    try:
        await runtime.delete(target, network=network)
    except AttachmentNotFound:
        if trouble is not None:
            raise trouble from None
        raise


def _run(arguments: argparse.Namespace, verb: Callable[[], Awaitable[None]]) -> int:
    async def reported() -> int:
        try:
            await verb()
        except AcniError as error:
            return report_error(
                error, output=arguments.output, quiet=arguments.quiet, verbose=arguments.verbose
            )
        return 0

    return run_cancellable(reported)


def _open(arguments: argparse.Namespace) -> AbstractAsyncContextManager[Runtime]:
    seconds = arguments.timeout
    timeouts = Timeouts(add=seconds, delete=seconds, check=seconds) if seconds else Timeouts()
    return open_runtime(
        state_dir=arguments.state_dir,
        conf_dir=getattr(arguments, "conf_dir", ""),
        plugin_dirs=arguments.plugin_dirs or arguments.plugin_dirs_default,
        timeouts=timeouts,
        observers=(step_printer(lambda line: print(line, file=sys.stderr)),)
        if arguments.verbose
        else (),
    )


def _identity(arguments: argparse.Namespace) -> AttachmentId:
    return AttachmentId(_container_id(arguments), arguments.ifname)


def _attachment(arguments: argparse.Namespace) -> Attachment:
    return Attachment(
        container_id=_container_id(arguments),
        netns=parse_netns_path(os.path.abspath(arguments.netns)),
        ifname=arguments.ifname,
        cni_args=_cni_args(arguments.arg),
        capability_args=_capability_args(arguments.cap),
    )


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
