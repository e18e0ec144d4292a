"""Address plugins asked as a runtime asks them: the reference's executable and ours, each in a
directory of its own.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field, frozen

from acni.plugins.catalog import BUILT_IN
from acni.skel import Bounds
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from acni.spec import Request

REFERENCES: Final = Path("/usr/lib/cni")
SECONDS: Final = 20.0
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"  # where those that masquerade find iptables


@frozen
class Answer:
    """What a plugin answered.

    Attributes:
        status: Its exit status.
        printed: The object on its standard output; empty where there is none.
    """

    status: int
    printed: Mapping[str, Any]

    @property
    def addresses(self) -> list[str]:
        """The addresses of a result, without their prefix lengths."""
        return [ip["address"].partition("/")[0] for ip in self.printed["ips"]]


Ask = Callable[[str, Request], Answer]


def ask_reference(plugin: str, request: Request) -> Answer:
    """Run the reference's executable."""
    run = subprocess.run(
        [REFERENCES / plugin],
        input=request.stdin,
        env={"PATH": _PATH, **request.environment},
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return Answer(run.returncode, json.loads(run.stdout or b"{}"))


def ask_ours(plugin: str, request: Request) -> Answer:
    """Run ours, in this thread."""
    bounds = Bounds(time.monotonic() + SECONDS)
    response = respond(
        BUILT_IN[plugin], request, bounds=bounds, delegates=Delegates(built_in=BUILT_IN)
    )
    return Answer(response.status, json.loads(response.stdout or b"{}"))


def make_request(
    verb: str,
    configuration: Mapping[str, Any],
    *,
    container_id: str = "c1",
    ifname: str = "eth0",
    args: str = "",
) -> Request:
    """Make the request of a verb; for GC and STATUS it names no container."""
    is_on_attachment = verb not in ("GC", "STATUS")
    environment = {
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": container_id if is_on_attachment else "",
        "CNI_NETNS": "/proc/self/ns/net" if is_on_attachment else "",
        "CNI_IFNAME": ifname if is_on_attachment else "",
        "CNI_ARGS": args,
        "CNI_PATH": str(REFERENCES),
    }
    return Request(environment=environment, stdin=json.dumps(configuration).encode())


@define(eq=False)
class Node:
    """A directory of leases, and a plugin that works in it.

    Attributes:
        data_dir: Where it is.
        plugin: The plugin.
        ask: Asks it.
    """

    data_dir: Path
    plugin: str = "host-local"
    ask: Ask = ask_ours
    last: dict[str, Mapping[str, Any]] = field(factory=dict[str, Mapping[str, Any]], init=False)

    def run(
        self,
        verb: str,
        ipam: Mapping[str, Any],
        *,
        container_id: str = "c1",
        args: str = "",
        previous: bool = False,
        version: str = "1.0.0",
        others: Mapping[str, object] = MappingProxyType({}),
    ) -> Answer:
        """Ask for a verb.

        Args:
            verb: The verb.
            ipam: The ``ipam`` of the configuration, without its ``dataDir``.
            container_id: The container.
            args: CNI_ARGS.
            previous: With the result of this container's last ADD.
            version: The version.
            others: Further members of the configuration.
        """
        configuration: dict[str, Any] = {
            "cniVersion": version,
            "name": "net",
            "type": "bridge",
            "ipam": {"type": self.plugin, "dataDir": str(self.data_dir), **ipam},
            **others,
        }
        if previous and container_id in self.last:
            configuration["prevResult"] = self.last[container_id]
        answer = self.ask(
            self.plugin, make_request(verb, configuration, container_id=container_id, args=args)
        )
        if verb == "ADD" and answer.status == 0:
            self.last[container_id] = answer.printed
        return answer

    @property
    def directory(self) -> Path:
        """The directory of the network's leases."""
        return self.data_dir / "net"

    def leases(self) -> dict[str, bytes]:
        """Return what the reference would see: the leases and the addresses given last."""
        if not self.directory.is_dir():
            return {}
        return {
            path.name: path.read_bytes()
            for path in sorted(self.directory.iterdir())
            if path.name != "lock" and not path.name.startswith(".")
        }

    def addresses(self) -> list[str]:
        """Return the addresses that are leased."""
        return [name for name in self.leases() if not name.startswith("last_reserved_ip")]

    def names(self) -> list[str]:
        """Return the names of all its files."""
        return sorted(path.name for path in self.directory.glob("*"))


def valid(*container_ids: str) -> Mapping[str, object]:
    """Make what a GC says: the containers whose attachments are valid."""
    pairs = [{"containerID": one, "ifname": "eth0"} for one in container_ids]
    return {"cni.dev/valid-attachments": pairs}
