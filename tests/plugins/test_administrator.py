"""The administrator's rules beside ours, made by each of his tools, and at each time: what he drops
is dropped, what he translates goes where he says, and what cannot hold is told. Likewise beside the
reference's plugins, for who compares.

The rules share a host, and each is taken back. A pod that is attached for one of them has an
address and a port of its own, so that nothing has to be deleted.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

from tests.netlink.nft import nft
from tests.plugins.administrator import (
    ANOTHER,
    HOST,
    HOST6,
    OUTSIDE6,
    POD,
    RULES,
    TIMES,
    TOOLS,
    Outcome,
    Rule,
    in_ipv6,
    rule_in_ipv6,
)
from tests.plugins.answering import Ask, ask_ours, ask_reference
from tests.plugins.hosts import Host, host_of
from tests.plugins.laid import lay
from tests.plugins.outside import OUTSIDE, OUTSIDE4, add_outside, look_for_no_duplicates
from tests.plugins.publishing import OTHER, port, portmap
from tests.plugins.traffic import BRIEFLY, seen_from

pytestmark = [pytest.mark.deep, pytest.mark.netns]

BEFORE, _, AFTER_THE_POD = TIMES


@frozen
class Pod:
    """A container, its address and its port of the host."""

    name: str
    address: str
    port: int

    @property
    def is_v6(self) -> bool:
        return ":" in self.address

    def asked_for(self) -> Mapping[str, Any]:
        """Return what ``portmap`` is asked for."""
        return portmap([port(self.port)])


FIRST: Final = Pod("c1", POD, 8080)
FIRST6: Final = Pod("c1", in_ipv6(POD), 8080)


@frozen
class Beside:
    """What the rules are tried beside.

    Attributes:
        column: Where what is expected stands.
        ask: Who is asked.
        attach: Attaches a container; returns what became of a rule, if that is known by then.
        first: The container that is there first.
        has_check: Whether CHECK and STATUS tell of rules.
    """

    column: str
    ask: Ask
    attach: Callable[[Host, Pod], Outcome | None]
    first: Pod = FIRST
    has_check: bool = False

    def rules(self) -> Mapping[str, Rule]:
        """Return the rules, as they are said of what the container has."""
        if not self.first.is_v6:
            return RULES
        return {letter: rule_in_ipv6(rule) for letter, rule in RULES.items()}


FIREWALL: Final = {"cniVersion": "1.0.0", "name": "net", "type": "firewall", "backend": "iptables"}


def attach_by_ours(host: Host, pod: Pod) -> Outcome | None:
    for config in (bridge(pod), pod.asked_for(), FIREWALL):
        answer = host.run("ADD", config, container=pod.name, previous=True)
        if answer.printed.get("reason") in {"nat-rule", "policy-drops", "rule-drops"}:
            return Outcome.REFUSED
        assert answer.status == 0, answer
    return None


def attach_by_reference(host: Host, pod: Pod) -> None:
    for config in (bridge(pod), pod.asked_for(), FIREWALL):
        answer = host.run("ADD", config, container=pod.name, previous=True)
        assert answer.status == 0, answer


def attach_by_laid(host: Host, pod: Pod) -> None:
    host.run("ADD", bridge(pod, masquerades=False), container=pod.name)
    lay(host, pod.name, f"{pod.address}/24", port=pod.port, leads_to=7000)


def bridge(pod: Pod, *, masquerades: bool = True) -> Mapping[str, Any]:
    length = 64 if pod.is_v6 else 24
    ipam = {"type": "static", "addresses": [{"address": f"{pod.address}/{length}"}]}
    members = {"isDefaultGateway": True, "ipMasq": masquerades}
    return {"cniVersion": "1.0.0", "name": "net", "type": "bridge", **members, "ipam": ipam}


BESIDE: Final[Mapping[str, Beside]] = {
    "acni": Beside("acni", ask_ours, attach_by_ours, has_check=True),
    "acni, IPv6": Beside("acni", ask_ours, attach_by_ours, FIRST6, has_check=True),
    "reference": Beside("reference", ask_reference, attach_by_reference),
    "laid": Beside("laid", ask_ours, attach_by_laid),
}


@pytest.mark.parametrize("when", TIMES)
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("name", BESIDE)
def test_the_administrator_comes_first(tmp_path: Path, name: str, tool: str, when: str) -> None:
    beside = BESIDE[name]
    rules = beside.rules()
    expected = {
        letter: getattr(rule, beside.column)[tool][TIMES.index(when)]
        for letter, rule in rules.items()
    }
    found: dict[str, Outcome | str | None] = {}
    with host_with_a_neighbour(beside.ask, tmp_path) as host:
        if when != BEFORE:
            assert beside.attach(host, beside.first) is None
        for number, (letter, rule) in enumerate(rules.items(), 10):
            pod = beside.first
            if when == BEFORE:
                nft(host.namespace, "flush ruleset")
            if when != AFTER_THE_POD:
                network = pod.address[:-1]
                pod = Pod(f"pod{number}", f"{network}{number}", 9000 + number)
            with made(host, rule, tool, pod):
                became = None if pod is beside.first else beside.attach(host, pod)
                found[letter] = became or outcome_of(host, beside, rule, pod, expected[letter])
    assert found == expected


@contextmanager
def host_with_a_neighbour(ask: Ask, tmp_path: Path) -> Iterator[Host]:
    """Make a host with an outside and a container on another bridge."""
    with host_of(ask, tmp_path / "leases") as host:
        look_for_no_duplicates(host, "c1", "c2")
        add_outside(host, knows_the_way=True)
        host.ip("address", "add", f"{ANOTHER}/24", "dev", "up0")
        # Of two, the kernel would masquerade with the one that was given last.
        another = f"{in_ipv6(ANOTHER)}/64"
        host.ip("address", "add", another, "dev", "up0", "preferred_lft", "0")
        host.run("ADD", OTHER, container="c2")
        yield host


ACCEPTED: Final = (
    "-P FORWARD DROP",
    "-A FORWARD -i cni0 -j ACCEPT",
    "-A FORWARD -o cni0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    "-A FORWARD -o cni0 -m conntrack --ctstate DNAT -j ACCEPT",
)


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
def test_behind_a_policy_of_drop_the_administrator_accepts_what_he_likes(
    tmp_path: Path, tool: str
) -> None:
    with host_with_a_neighbour(ask_ours, tmp_path) as host:
        attach_by_ours(host, FIRST)
        for words in ACCEPTED:
            iptables(host, tool, words)
        assert try_it(host, RULES["D"], FIRST, is_refused=False) == HOST
        assert try_it(host, RULES["D, in"], FIRST, is_refused=False) == OUTSIDE4
        iptables(host, tool, ACCEPTED[-1].replace("-A", "-D"))
        assert try_it(host, RULES["D, in"], FIRST, is_refused=True) is None


OURS_MADE_BY_HIM: Final = """
add table inet acni
add chain inet acni admin_ports
add rule inet acni admin_ports tcp dport 8080 accept
add chain inet acni admin_masquerade
add rule inet acni admin_masquerade ip saddr 10.9.0.0/24 accept
"""


def test_the_chains_for_the_administrator_may_be_made_before_the_table(tmp_path: Path) -> None:
    with host_with_a_neighbour(ask_ours, tmp_path) as host:
        nft(host.namespace, "-f", "-", given=OURS_MADE_BY_HIM)
        assert attach_by_ours(host, FIRST) is None
        assert try_it(host, RULES["J"], FIRST, is_refused=False) == POD
        assert try_it(host, RULES["E"], FIRST, is_refused=True) is None
        nft(host.namespace, "flush chain inet acni admin_ports")
        nft(host.namespace, "flush chain inet acni admin_masquerade")
        assert try_it(host, RULES["J"], FIRST, is_refused=False) == HOST
        assert try_it(host, RULES["E"], FIRST, is_refused=False) == OUTSIDE4


@contextmanager
def made(host: Host, rule: Rule, tool: str, pod: Pod) -> Iterator[None]:
    """Make a rule, and take it back."""
    if tool == "nft":
        chain, what = rule.nft
        commands = ["add table inet adm", f"add chain inet adm rules {{ type {chain}; }}"]
        commands += [f"add rule inet adm rules {what.format(port=pod.port)}"] if what else []
        nft(host.namespace, "-f", "-", given="\n".join(commands))
        yield
        nft(host.namespace, "delete table inet adm")
        return
    words = rule.iptables.format(port=pod.port)
    tool = tool.replace("ip", "ip6", 1) if pod.is_v6 else tool
    iptables(host, tool, words)
    yield
    back = "-P FORWARD ACCEPT" if words.startswith("-P") else words.replace("-A ", "-D ")
    iptables(host, tool, back)


def iptables(host: Host, tool: str, words: str) -> None:
    """Run iptables, whose lock would be root's."""
    command = [tool, *words.split()]
    environment = {**os.environ, "XTABLES_LOCKFILE": str(host.data_dir.with_name("lock"))}
    host.namespace.call(lambda: subprocess.run(command, env=environment, check=True, timeout=30))


def outcome_of(
    host: Host, beside: Beside, rule: Rule, pod: Pod, expected: Outcome
) -> Outcome | str | None:
    """Find out what becomes of a rule; whom the listener saw, if that is neither of both."""
    is_refused = (rule.holds if expected == Outcome.HOLDS else rule.bypassed) is None
    seen = try_it(host, rule, pod, is_refused=is_refused)
    outcome = rule.outcome(beside.first.address if seen == pod.address else seen)
    if not beside.has_check or outcome is None:
        return outcome or seen
    told = host.run("CHECK", pod.asked_for(), container=pod.name, previous=True).printed
    of_network = host.run("STATUS", {**portmap(()), "cniVersion": "1.1.0"}).printed
    assert told.get("reason") == of_network.get("reason")
    if told.get("reason") == "nat-rule":
        assert outcome is Outcome.BYPASSED
        return Outcome.TOLD
    return outcome


def try_it(host: Host, rule: Rule, pod: Pod, *, is_refused: bool) -> str | None:
    """Try the way of a rule; return whom the listener sees."""
    outside, container = host.container(OUTSIDE), host.container(pod.name)
    host_address, outer_address = (HOST6, OUTSIDE6) if pod.is_v6 else (HOST, OUTSIDE4)
    client, listener, address, listens = {
        "in": (outside, container, host_address, 7000),
        "elsewhere": (outside, host.container("c2"), host_address, 7000),
        "to the host": (outside, host.namespace, host_address, 6000),
        "from the host": (host.namespace, host.namespace, host_address, 6000),
        "out": (container, outside, outer_address, pod.port),
    }[rule.way]
    return seen_from(
        client,
        listener,
        address,
        port=pod.port,
        listens=listens,
        is_refused=is_refused,
        refused_seconds=BRIEFLY,
    )
