"""Requests to plugins of this process, and what they answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, define

from acni.skel import Bounds, Call, Verbs, make_result
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from acni.spec.plugin import Request, Response
from acni.spec.result import IpConfig, Result

SECONDS = 20.0


def bounds(seconds: float = SECONDS) -> Bounds:
    return Bounds(time.monotonic() + seconds)


def request(command: str, config: Mapping[str, object] | bytes = {}, **variables: str) -> Request:
    """Make a request; variables without their prefix, empty ones left out."""
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/opt/cni/bin",
    }
    environment |= {f"CNI_{name}": value for name, value in variables.items()}
    if isinstance(config, bytes):
        return Request(environment=environment, stdin=config)
    written = {"cniVersion": "1.1.0", "name": "net", "type": "probe", **config}
    return Request(environment=environment, stdin=json.dumps(written).encode())


def said(response: Response) -> Any:
    """Read what a response says."""
    return json.loads(response.stdout)


@define(eq=False)
class Probe:
    """A plugin that keeps its calls, and does what it is told."""

    does: Callable[[Call], Result | None] = lambda _: None
    calls: list[Call] = Factory(list[Call])
    built_in: dict[str, Verbs] = Factory(dict[str, Verbs])

    def add(self, call: Call) -> Result:
        self.calls.append(call)
        return self.does(call) or make_result()

    def note(self, call: Call) -> None:
        self.calls.append(call)
        self.does(call)

    def verbs(self, **others: Any) -> Verbs:
        verbs = {"delete": self.note, "check": self.note, "gc": self.note, "status": self.note}
        return Verbs(add=self.add, **{**verbs, **others})

    def answer(self, asked: Request, verbs: Verbs | None = None) -> Response:
        delegates = Delegates(built_in=self.built_in)
        return respond(verbs or self.verbs(), asked, bounds=bounds(), delegates=delegates)


def one_address(address: str = "10.88.0.2/16") -> Result:
    return make_result(ips=[IpConfig(address=address, gateway=None, interface=None)])


def script(directory: Path, name: str, text: str) -> str:
    """Write an executable, and return the directory."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return str(directory)
