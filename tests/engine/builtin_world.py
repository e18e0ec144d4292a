"""A chain of built-in plugins on the links of this process's host, and somebody who interferes: at
a message to the kernel, while a plugin's thread sends it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import pytest
from attrs import Factory, define, field

from acni import BuiltIns, NetworkConfig, netns, parse_network
from acni.netlink.wire import KernelWire
from acni.plugins.catalog import BUILT_IN
from acni.skel import Call, PluginError, Verbs
from acni.spec.plugin import Caps, Plugin, Request, Response
from acni.spec.result import Result
from acni.testing import Behaviour
from tests.crash.rules import elements
from tests.crash.scenarios import BRIDGE_CHAIN, built_in

# What each attachment has: a link, a lease, and what the last plugin holds.
KINDS: Final = ("link", "lease", "second")
# The same of a chain with tuning and bandwidth: what queues, and what says how it was before.
TUNED_KINDS: Final = (*KINDS, "limit", "backup")
# And of one with ports: an element in each of these sets of the firewall, several in "hostports".
_OF_ADDRESSES: Final = (
    *("owners", "masquerade", "published", "returning", "selves", "hostports"),
    *("guarded", "homes", "isolated"),
)
_OF_PORTS: Final = ("owners", "checked", "senders")
RULES: Final = (
    *_OF_PORTS,
    "hostaddresses4",
    *(f"{name}{family}" for name in _OF_ADDRESSES for family in "46"),
)
PORTS_KINDS: Final = (*KINDS, *RULES)
SECONDS: Final = 20.0


def make_network(leases: Path, chain: str = BRIDGE_CHAIN) -> NetworkConfig:
    """Make a chain of built-in plugins of these types, and one that does as it is told."""
    backups = str(backups_beside(leases))
    built_ins = (built_in(plugin, leases=str(leases), backups=backups) for plugin in chain.split())
    plugins = [*built_ins, {"type": "second"}]
    document = {"cniVersion": "1.1.0", "name": "net", "plugins": plugins}
    return parse_network(json.dumps(document).encode())


def backups_beside(leases: Path) -> Path:
    """Return where it is written down what tuning changed."""
    return leases.with_name("tuning")


def ip(*words: str) -> Any:
    """Run ``ip`` in the calling thread's namespace."""
    run = subprocess.run(["ip", *words], capture_output=True, check=True, timeout=SECONDS)
    return json.loads(run.stdout) if "-j" in words else None


def links(pods: Iterable[str] = ()) -> set[str]:
    """Return whose links there are in the calling thread's namespace, and in those of containers;
    "?" of one of the first without a mark.
    """
    marks = {link.get("ifalias", "?") for link in ip("-j", "link") if "link_index" in link}
    for path in pods:
        with netns.open(path) as pod:
            inside = pod.call(lambda: ip("-j", "link"))
        marks |= {link["ifalias"] for link in inside if "ifalias" in link}
    return {mark.removeprefix("acni net ").replace(" ", "/") for mark in marks}


def limits() -> set[str]:
    """Return whose links there are that queue what is sent; "?" of one without a mark."""
    found = (link for link in ip("-j", "link", "show", "type", "ifb") if link)
    marks = (link.get("ifalias", "?") for link in found)
    return {mark.removeprefix("acni net ").replace(" ", "/") for mark in marks}


def rules() -> set[str]:
    """Return which sets of the firewall have elements, and whose they are: "owners4/c1/eth0"."""
    found = (each.partition(": ") for each in elements())
    return {f"{name}/{mark.removeprefix('acni net ').replace(' ', '/')}" for mark, _, name in found}


def backups_in(directory: Path) -> set[str]:
    """Return of whom it is written down how it was before."""
    return {path.name.removesuffix(".json").replace("_", "/") for path in directory.glob("*")}


def leases_in(directory: Path) -> set[str]:
    """Return whose leases there are, and the names of files that are of nobody."""
    found: set[str] = set()
    for path in directory.glob("*/*"):
        if path.name != "lock" and not path.name.startswith("last_reserved_ip."):
            found.add("/".join(path.read_text().split()) or path.name)
    return found


@define(eq=False)
class Second:
    """A plugin that holds something of each attachment.

    Attributes:
        held: Of whom.
        fails_on: The verbs that it refuses, once it has taken what an ADD takes.
    """

    held: set[str] = Factory(set[str])
    fails_on: set[str] = Factory(set[str])

    def verbs(self) -> Verbs:
        """Return what a runner runs."""
        return Verbs(
            add=self._add, delete=self._delete, check=self._refuse, gc=self._collect, status=None
        )

    def _add(self, call: Call) -> Result:
        assert call.previous is not None
        self.held.add(f"{call.container_id}/{call.ifname}")
        self._refuse(call)
        return call.previous

    def _delete(self, call: Call) -> None:
        self._refuse(call)
        self.held.discard(f"{call.container_id}/{call.ifname}")

    def _collect(self, call: Call) -> None:
        self.held.intersection_update({str(one) for one in call.valid or ()})

    def _refuse(self, call: Call) -> None:
        if call.command in self.fails_on:
            raise PluginError(100, "told to fail")


@define(eq=False, kw_only=True)
class BuiltInWorld(BuiltIns):
    """Runs built-in plugins.

    Attributes:
        leases: Where addresses are leased.
        second: The last plugin.
        pods: The paths of the containers' namespaces.
        has_rules: Whether the chain tells the firewall something.
        running: How many plugins run.
    """

    leases: Path
    second: Second
    pods: Sequence[str] = ()
    has_rules: bool = False
    running: int = field(default=0, init=False)

    @classmethod
    def make(cls, leases: Path, pods: Sequence[str] = (), *, has_rules: bool = False) -> Self:
        """Make one."""
        second = Second()
        plugins = {**BUILT_IN, "second": second.verbs()}
        return cls(leases=leases, second=second, pods=pods, has_rules=has_rules, plugins=plugins)

    @property
    def held(self) -> set[str]:
        """What there is of whom."""
        found = {f"link/{one}" for one in links(self.pods)}
        found |= {f"lease/{one}" for one in leases_in(self.leases)}
        found |= {f"limit/{one}" for one in limits()}
        found |= {f"backup/{one}" for one in backups_in(backups_beside(self.leases))}
        found |= rules() if self.has_rules else set()
        return found | {f"second/{one}" for one in self.second.held}

    def tell(self, plugin_type: str, command: str, behaviour: Behaviour) -> None:
        """Let the last plugin fail, or succeed."""
        if plugin_type == "second":
            fails = self.second.fails_on
            (fails.add if behaviour.status else fails.discard)(command)

    async def run(
        self,
        plugin: Plugin,
        request: Request,
        *,
        deadline: float,
        caps: Caps,
        guard: int | None = None,
    ) -> Response:
        """Run a plugin once."""
        self.running += 1
        try:
            return await super().run(plugin, request, deadline=deadline, caps=caps, guard=guard)
        finally:
            self.running -= 1


@define(eq=False)
class Messages:
    """The messages to the kernel, one of which is interfered with.

    Attributes:
        at: Which, from 1; 0 for none.
        interfere: Called before it is sent, in the thread that sends it.
        count: How many there were.
    """

    at: int = 0
    interfere: Callable[[], object] = lambda: None
    count: int = 0

    def arm(self, at: int, interfere: Callable[[], object]) -> None:
        """Count from here on, and let it happen."""
        self.at, self.interfere, self.count = at, interfere, 0

    def disarm(self) -> bool:
        """Let all pass; tell whether it happened."""
        has_happened = 0 < self.at <= self.count
        self.at = 0
        return has_happened

    def before(self) -> None:
        """Count one."""
        self.count += 1
        if self.count == self.at:
            self.interfere()


@contextmanager
def interfering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Messages]:
    """Let messages to the kernel be interfered with."""
    messages, send = Messages(), KernelWire.send

    def sending(wire: KernelWire, data: bytes) -> None:
        messages.before()
        send(wire, data)

    with monkeypatch.context() as patch:
        patch.setattr(KernelWire, "send", sending)
        yield messages
