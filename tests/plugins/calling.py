"""Calls as the skeleton makes them, for what is decided without a kernel."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import define, frozen

from acni.skel import Bounds, Call, Fields, OpenNetns
from acni.spec.commands import Command
from acni.spec.result import Result, parse_result

NONE: Final[Mapping[str, str]] = MappingProxyType({})


@define(eq=False)
class NoDelegate:
    """A delegate that nobody asks."""

    type: str | None = None

    def add(self) -> Result:
        raise AssertionError

    def delete(self) -> None:
        raise AssertionError

    def check(self) -> None:
        raise AssertionError

    def gc(self) -> None:
        raise AssertionError

    def status(self) -> None:
        raise AssertionError


@frozen
class Names:
    """Whose a call is."""

    container_id: str = "c1"
    ifname: str = "eth0"
    network: str = "net"


def make_call(
    config: Mapping[str, Any],
    *,
    args: Mapping[str, str] = NONE,
    version: str = "1.0.0",
    command: Command = Command.ADD,
    netns: OpenNetns | None = None,
    previous: Mapping[str, Any] | None = None,
    names: Names = Names(),
) -> Call:
    """Make a call."""
    ipam = config.get("ipam")
    return Call(
        command=command,
        container_id=names.container_id,
        ifname=names.ifname,
        netns=netns,
        args=args,
        plugin_dirs=(),
        cni_version=version,
        network=names.network,
        fields=Fields(config),
        previous=None if previous is None else parse_result(json.dumps(previous), version),
        valid=None,
        bounds=Bounds(time.monotonic() + 60),
        ipam=NoDelegate(ipam.get("type") if isinstance(ipam, Mapping) else None),
    )
