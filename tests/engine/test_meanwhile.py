"""Somebody else changes links while a built-in plugin is at work: at each message that it sends to
the kernel. What comes of it is success or a typed error, and after a DEL nothing of ours is left.

Each case has a host of its own, a network namespace, and a thread in it that runs the loop.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import pytest
from attrs import define

import acni
from acni import AcniError, Attachment, NetworkConfig, Runtime
from acni.host import netns
from acni.host.netns import Namespace
from acni.plugins.bandwidth_links import references_name
from acni.plugins.owners import Owner
from tests.crash.scenarios import TUNED_CHAIN
from tests.engine.builtin_world import (
    BuiltInWorld,
    Messages,
    backups_beside,
    backups_in,
    interfering,
    leases_in,
    limits,
    links,
    make_network,
)
from tests.engine.strikes import C1

pytestmark = [pytest.mark.netns, pytest.mark.timeout(900), pytest.mark.deep]

_PORT: Final = Owner("net", C1).link_name
_POD: Final = "meanwhile"
_MOST_MESSAGES: Final = 100


# Each a row of steps: on the "host" or in the "pod", and what ``ip`` is told; or none.
Steps = Sequence[tuple[str, str]]
_LOSES_POD: Final = ("pod", "")
_RENAMED: Final = (("pod", "link set eth0 down"), ("pod", "link set eth0 name other0"))
CHANGES: Final[Mapping[str, Steps]] = {
    "the bridge goes": [("host", "link del cni0")],
    "the bridge is down": [("host", "link set cni0 down")],
    "the bridge's addresses go": [("host", "addr flush dev cni0")],
    "the host's end goes": [("host", f"link del {_PORT}")],
    "the host's end has another name": [("host", f"link set {_PORT} name other0")],
    "the host's end leaves the bridge": [("host", f"link set {_PORT} nomaster")],
    "the container's end goes": [("pod", "link del eth0")],
    "the container's end has another name": _RENAMED,
    "the container's end is moved": [("pod", "link set eth0 netns HOST")],
    "the namespace goes": [_LOSES_POD],
}
# The same of a chain with tuning and bandwidth.
_QUEUE: Final = references_name(Owner("net", C1))
TUNED: Final[Mapping[str, Steps]] = {
    "the link that queues goes": [("host", f"link del {_QUEUE}")],
    "the link that queues is down": [("host", f"link set {_QUEUE} down")],
    "the link that queues has another name": [
        ("host", f"link set {_QUEUE} down"),
        ("host", f"link set {_QUEUE} name other0"),
    ],
    "the limited end goes": [("host", f"link del {_PORT}")],
    "the tuned end has another name": _RENAMED,
    "the tuned namespace goes": [_LOSES_POD],
}
# What leaves DEL no proof whose the link is but its mark, by which GC goes: DEL lists no links, or
# a container would cost more on a host that has many.
UNPROVED: Final[Mapping[str, Steps]] = {
    "both ends have other names": [("host", f"link set {_PORT} name other0"), *_RENAMED],
    "the host's end has another name, and the namespace goes": [
        ("host", f"link set {_PORT} name other0"),
        _LOSES_POD,
    ],
}


# On a chain that begins with another plugin, as far as there is such a thing. ptp looks for its
# mark among all links in the end, so nothing is left unproved.
OF_OTHERS: Final[Mapping[str, Mapping[str, Steps]]] = {
    "ptp": {
        **{
            change: CHANGES[change]
            for change in (
                "the host's end goes",
                "the host's end has another name",
                "the container's end goes",
                "the container's end has another name",
                "the container's end is moved",
                "the namespace goes",
            )
        },
        **UNPROVED,
        "the host's addresses go": [("host", f"addr flush dev {_PORT}")],
    },
    "macvlan": {
        **{
            change: CHANGES[change]
            for change in (
                "the container's end goes",
                "the container's end has another name",
                "the namespace goes",
            )
        },
        "the link below goes": [("host", "link del low0")],
    },
}


@define(eq=False)
class Machine:
    """A host and a container's namespace.

    Attributes:
        host: The host.
        pod: The container's.
    """

    host: Namespace
    pod: Namespace

    def change(self, steps: Steps) -> None:
        """Change something, as far as it is there."""
        for where, words in steps:
            command = ["ip", *words.replace("HOST", self.host.path).split()]
            run = partial(subprocess.run, command, capture_output=True, check=False, timeout=20)
            if (where, words) == _LOSES_POD:
                _lose_pod()
            else:
                (self.host if where == "host" else self.pod).call(run)


def _lose_pod() -> None:
    with contextlib.suppress(acni.InvalidName):
        netns.delete(_POD)


Call = Callable[[Runtime], Awaitable[object]]


def _calls(network: NetworkConfig, netns_path: str) -> Mapping[str, Call]:
    attachment = Attachment(container_id="c1", netns=netns_path)
    return {
        "add": lambda runtime: runtime.add(network, attachment),
        "check": lambda runtime: runtime.check(C1),
        "delete": lambda runtime: runtime.delete(C1),
    }


@pytest.mark.parametrize("verb", ["add", "check", "delete"])
@pytest.mark.parametrize("change", [*CHANGES, *TUNED])
def test_whatever_is_changed_meanwhile_nothing_of_ours_is_left(
    change: str,
    verb: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
    count: Callable[[object], None],
) -> None:
    # Of an ADD, which sends most, every fifth message where not all are asked for.
    is_whole = verb != "add" or pytestconfig.getoption("--crash") == "whole"
    first = 1 if is_whole else 1 + [*CHANGES, *TUNED].index(change) % 5
    met = 0
    with interfering(monkeypatch) as messages:
        for at in range(first, _MOST_MESSAGES, 1 if is_whole else 5):
            loop = ("asyncio", "trio")[at % 2]
            if not _try_once(change, verb, at, tmp_path / str(at), messages, loop):
                count(f"changed at {met} messages")
                assert met > 0
                return
            met += 1
    pytest.fail("it never came to an end")


@pytest.mark.parametrize("verb", ["check", "delete"])
@pytest.mark.parametrize("change", UNPROVED)
def test_what_a_delete_cannot_know_for_its_own_gc_takes(
    change: str, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with interfering(monkeypatch) as messages:
        for at in range(1, _MOST_MESSAGES):
            loop = ("asyncio", "trio")[at % 2]
            if not _try_once(change, verb, at, tmp_path / str(at), messages, loop):
                assert at > 1
                return
    pytest.fail("it never came to an end")


@pytest.mark.parametrize("verb", ["add", "delete"])
@pytest.mark.parametrize(
    ("first", "change"), [(first, change) for first in OF_OTHERS for change in OF_OTHERS[first]]
)
def test_whatever_is_changed_meanwhile_nothing_of_other_plugins_is_left(
    first: str,
    change: str,
    verb: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
) -> None:
    is_whole = verb != "add" or pytestconfig.getoption("--crash") == "whole"
    begin = 1 if is_whole else 1 + list(OF_OTHERS[first]).index(change) % 5
    with interfering(monkeypatch) as messages:
        for at in range(begin, _MOST_MESSAGES, 1 if is_whole else 5):
            loop = ("asyncio", "trio")[at % 2]
            if not _try_once(change, verb, at, tmp_path / str(at), messages, loop, first):
                assert at > 1
                return
    pytest.fail("it never came to an end")


def _try_once(
    change: str,
    verb: str,
    at: int,
    directory: Path,
    messages: Messages,
    loop: str,
    first: str = "bridge",
) -> bool:
    """Run a verb, and then everything that cleans up; tell whether anything was changed."""
    directory.mkdir()
    leases, has_happened = directory / "leases", False
    is_tuned = first == "bridge" and change in TUNED
    network = make_network(leases, TUNED_CHAIN if is_tuned else f"{first} loopback")
    steps = (
        OF_OTHERS[first][change] if first in OF_OTHERS else {**CHANGES, **TUNED, **UNPROVED}[change]
    )

    async def main(machine: Machine) -> None:
        nonlocal has_happened
        call = _calls(network, machine.pod.path)
        with BuiltInWorld.make(leases) as world:
            async with acni.open_runtime(
                state_dir=directory / "state", plugin_dirs=["/plugins"], runner=world
            ) as runtime:
                if verb != "add":
                    await call["add"](runtime)
                messages.arm(at, lambda: machine.change(steps))
                try:
                    with contextlib.suppress(AcniError):
                        await call[verb](runtime)
                finally:
                    has_happened = messages.disarm()
                if await runtime.attachments():
                    await runtime.delete(C1, missing_ok=True)
                await runtime.recover()
                if change in UNPROVED and first == "bridge":
                    await runtime.gc(network, keep=[])
                assert await runtime.attachments() == ()
                assert await runtime.debts() == ()

    with netns.anonymous() as host:
        pod = netns.create(_POD)
        try:
            machine = Machine(host, pod)
            machine.change([("host", "link add low0 up type bridge")])
            host.call(lambda: anyio.run(main, machine, backend=loop))
            paths = [pod.path] if Path(pod.path).exists() else []
            files = leases_in(leases) | backups_in(backups_beside(leases))
            left = host.call(lambda: links(paths)) | host.call(limits) | files
            assert left == set(), f"{change} at message {at} of {verb}"
        finally:
            pod.close()
            _lose_pod()
    return has_happened
