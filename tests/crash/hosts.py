"""Hosts with links, on which a chain of built-in plugins is struck: what is there before and after.

A lane's host is a network namespace that is made anew for each run, and so is the containers'
namespace. What is compared is what ``ip`` and ``/proc/sys/net`` tell of both (tests/plugins/hosts),
what ``nft`` tells of the host (:mod:`tests.crash.rules`), and what lies in the directory of the
leases.

Rule: afterwards each fact is as it was before, or as one ADD and DEL that nothing disturbs leave
    it, or as where the bridge was just made. That is what stays on purpose: the bridge with its
    addresses and settings, that the host forwards, the table without elements but the one that
    names the bridge, which address was given last. Whatever else stays is a leak.

Somebody sends to the ports of UDP all the while: connections that lead to a container do not
outlive its ports.

Not compared is what an unhurt run leaves this way or another: see tests/plugins/hosts.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import Factory, define, frozen

from acni import InvalidName
from acni.host import netns
from acni.host.netns import Namespace
from tests.crash.rules import elements, flows, look_at_rules, talk
from tests.crash.scenarios import Ground
from tests.crash.sweeps import ALL_CASES, Lane, about_an_unhurt_run
from tests.crash.world import ATTACHMENT, Seen, copy_ground, let_succeed, look, tell
from tests.plugins.hosts import look_here

Facts = Mapping[str, Any]

_BRIDGE: Final = "cni0"
_LOW: Final = "low0"
# What is left of all addresses that were leased.
_OF_NOBODY: Final = frozenset({"lock", "last_reserved_ip.0", "last_reserved_ip.1"})
_ORPHAN_SECONDS: Final = 2.0
_SECONDS: Final = 20.0


@frozen
class Host:
    """A lane's host.

    Attributes:
        name: The name of its network namespace; the containers' follows from it.
    """

    name: str

    @property
    def pod(self) -> str:
        """The name of the containers' namespace."""
        return f"{self.name}-pod"

    def renew(self) -> None:
        """Make both anew."""
        self.remove()
        self.restore()

    def restore(self) -> None:
        """Make what is gone of both; the host has a link that others may lie on."""
        for name in (self.name, self.pod):
            with contextlib.suppress(InvalidName):
                made = netns.create(name)
                netns.set_up(made, "lo")
                made.close()
                if name == self.name:
                    self.ip("link", "add", _LOW, "up", "type", "bridge")

    def remove(self) -> None:
        """Let both be gone."""
        self.lose_pod()
        with contextlib.suppress(InvalidName):
            netns.delete(self.name)

    def lose_pod(self) -> None:
        """Let the containers' namespace be gone."""
        with contextlib.suppress(InvalidName):
            netns.delete(self.pod)

    def look(self) -> Facts:
        """Return what is there, fact by fact."""
        facts: dict[str, Any] = {}
        for name, told in ((self.name, "host"), (self.pod, "pod")):
            with contextlib.suppress(InvalidName), _opened(name) as there:
                facts |= {f"{told}/{key}": value for key, value in there.call(look_here).items()}
                facts |= there.call(look_at_rules) if told == "host" else {}
        return facts

    def elements(self) -> list[str]:
        """Return whose elements the firewall has, and where: "acni net c1 eth0: owners4"."""
        with _opened(self.name) as there:
            return there.call(elements)

    def flows(self) -> list[str]:
        """Return the connections of UDP that lead to containers."""
        with _opened(self.name) as there:
            return there.call(flows)

    def talk(self) -> None:
        """Send to each port that may lead to a container."""
        with _opened(self.name) as there:
            there.call(talk)

    def ports(self) -> list[str]:
        """Return the marks of the links that lead to containers, on the host or there; "?" of one
        of the host without.
        """
        links = json.loads(self.ip("-j", "link"))
        marks = [link.get("ifalias", "?") for link in links if "link_index" in link]
        with contextlib.suppress(InvalidName):
            inside = json.loads(self.ip("-j", "link", of=self.pod))
            marks += [link["ifalias"] for link in inside if "ifalias" in link]
        return sorted(marks)

    def limits(self) -> list[str]:
        """Return the marks of the links that queue what containers send; "?" of one without."""
        links = json.loads(self.ip("-j", "link", "show", "type", "ifb"))
        return sorted(link.get("ifalias", "?") for link in links if link)

    def ip(self, *words: str, of: str | None = None) -> bytes:
        """Run ``ip`` there, or in another namespace."""
        command = ["ip", *words]
        with _opened(of or self.name) as there:
            run = there.call(
                lambda: subprocess.run(command, capture_output=True, check=True, timeout=_SECONDS)
            )
        return run.stdout


def _opened(name: str) -> Namespace:
    return netns.open(f"/run/netns/{name}")


@define(eq=False)
class Kept:
    """What three looks at a host found.

    Attributes:
        before: What is there before anything was done.
        half: And when the bridge was just made.
        after: And after an ADD and a DEL that nothing disturbed.
        sets: Where in the firewall something of each attachment is.
    """

    before: Facts = Factory(dict[str, Any])
    half: Facts = Factory(dict[str, Any])
    after: Facts = Factory(dict[str, Any])
    sets: Sequence[str] = ()

    def complaints(self, facts: Facts) -> Iterator[str]:
        """Complain of each fact that was at none of these looks."""
        looks = (self.before, self.half, self.after)
        for key in sorted(facts.keys() | self.before.keys() | self.after.keys()):
            fact = facts.get(key)
            if fact not in [one.get(key) for one in looks]:
                yield f"{key} is {fact!r}, and was {self.before.get(key)!r}"


@frozen
class HostLane(Lane):
    """Where one run goes after another, each on a new host.

    Attributes:
        kept: What stays of a host.
    """

    kept: Kept = Factory(Kept)

    @property
    def host(self) -> Host:
        """Its host."""
        return Host(self.ground.host)

    def prepare(self, case: str, loop: str) -> None:
        """See what an ADD and a DEL leave, once for all lanes."""
        if self.kept.after:
            return
        self._begin()
        self.kept.before = self.host.look()
        self.host.ip("link", "add", _BRIDGE, "type", "bridge")
        self.kept.half = self.host.look()
        self._begin()
        for scenario in ("add", "delete"):
            run = self.server.run(scenario, loop, self.ground)
            assert run.error is None, run.traceback
            if scenario == "add":
                self.kept.sets = [each.partition(": ")[2] for each in self.host.elements()]
                assert bool(self.kept.sets) == self._has_ports
        self.kept.after = self.host.look()

    def renew(self, case: str, loop: str) -> None:
        """Make a new host, and do there what was before a case: links cannot be copied."""
        self._begin()
        for scenario, fault in ALL_CASES[case].before:
            run = self.server.run(scenario, loop, self.ground, fault)
            assert (run.signal != 0) == (fault is not None), f"not met before: {fault} {run}"
            self.server.wait(_ORPHAN_SECONDS)
        self._talk()

    def about_what_was_said(self) -> Iterator[str]:
        """Complain of what a caller was told and is not so."""
        seen = look(self.ground)
        is_to_last = "attached" in seen.said and "detaching" not in seen.said
        if is_to_last and ATTACHMENT not in seen.attached:
            yield "the caller was told that it is attached"
        if "detached" in seen.said:
            links = (*self.host.ports(), *self.host.limits())
            rules = (*self.host.elements(), *self.host.flows())
            files = (*_leases(self.ground), *_backups(self.ground))
            left = (*seen.held, *seen.states, *links, *rules, *files)
            yield from (f"the caller was told that it is detached: {what}" for what in left)
        if "collected" in seen.said and seen.states.keys() != {f"net-{ATTACHMENT}"}:
            yield f"the caller was told that the rest is collected: {sorted(seen.states)}"

    def about_recovery(
        self, case: str, loop: str, *, is_same_boot: bool, may_be_less: bool = False
    ) -> Iterator[str]:
        """Recover, look, delete what is attached, look, and try whether all can be done there."""
        is_lost = ALL_CASES[case].loses_netns
        self._talk()
        if not is_same_boot:
            self.host.renew()
        elif is_lost:
            self.host.lose_pod()
        let_succeed(self.ground)
        yield from self._unhurt("recover", loop)
        seen = look(self.ground)
        if is_same_boot:
            yield from self.about_what_was_said()
        if not is_lost:
            yield from self._about_what_is_held(seen, may_be_less=may_be_less)
        yield from self._unhurt("clear", loop)
        self.host.restore()
        yield from self._about_the_end(look(self.ground), is_same_boot=is_same_boot)
        yield from self._unhurt("add_and_delete", loop)

    def _begin(self) -> None:
        copy_ground(self.prepared, self.ground)
        for place in (self.ground.leases, self.ground.backups):
            shutil.rmtree(place, ignore_errors=True)
        tell(self.ground, {})
        self.host.renew()

    @property
    def _has_ports(self) -> bool:
        return "portmap" in self.ground.chain.split()

    def _talk(self) -> None:
        if self._has_ports:
            self.host.talk()

    def _unhurt(self, scenario: str, loop: str) -> Iterator[str]:
        run = self.server.run(scenario, loop, self.ground)
        yield from about_an_unhurt_run(run, f"{scenario} after it")

    def _about_what_is_held(self, seen: Seen, *, may_be_less: bool) -> Iterator[str]:
        """Complain where what there is and what is known differ."""
        if owed := sorted(name for name, state in seen.states.items() if state != "attached"):
            yield f"still owed or bad: {owed}"
        attached = sorted(seen.attached)
        marks = [f"acni net {one.replace('-', ' ')}" for one in attached]
        is_tuned = "tuning" in self.ground.chain
        tuned = attached if is_tuned else []
        for what, there, known in (
            ("links", self.host.ports(), marks),
            ("limits", self.host.limits(), marks if is_tuned else []),
            (
                "elements",
                self.host.elements(),
                sorted(f"{mark}: {name}" for mark in marks for name in self.kept.sets),
            ),
            ("backups", _backups(self.ground), [f"{one.replace('-', '_')}.json" for one in tuned]),
            ("leases", sorted(set(_leases(self.ground).values())), attached),
            ("held", sorted(seen.held), [f"third/{one}" for one in attached]),
        ):
            if there != known and not (may_be_less and set(there) < set(known)):
                yield f"{what}: {there}, and known: {known}"

    def _about_the_end(self, seen: Seen, *, is_same_boot: bool) -> Iterator[str]:
        """Complain of what is there when nothing is attached any more."""
        if seen.held or seen.states:
            yield f"not cleared: {', '.join((*seen.held, *seen.states))}"
        yield from self.kept.complaints(self.host.look())
        yield from (f"a connection is led to nobody: {flow}" for flow in self.host.flows())
        for path in self.ground.leases.glob("*/*"):
            # An address whose lease lost its content with the power is free.
            is_free = not is_same_boot and path.stat().st_size == 0
            if path.name not in _OF_NOBODY and not is_free:
                yield f"a lease is left: {path.name} {path.read_bytes()!r}"
        yield from (f"a backup is left: {name}" for name in _backups(self.ground))
        yield from seen.about_the_plugins()
        yield from seen.about_litter(keeps=not is_same_boot)


def _leases(ground: Ground) -> Mapping[str, str]:
    """Return the addresses that are leased, and to whom: "c1-eth0"."""
    paths = (path for path in ground.leases.glob("*/*") if path.name[0].isalnum())
    return {
        path.name: path.read_text().replace("\n", "-").replace("\r", "")
        for path in paths
        if path.name not in _OF_NOBODY
    }


def _backups(ground: Ground) -> list[str]:
    """Return the names of the files that say what was before."""
    return sorted(path.name for path in ground.backups.glob("*"))
