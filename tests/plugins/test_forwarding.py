"""Whose policies drop what is forwarded, and rules of ours in iptables' chain: read and written by
iptables as its own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from acni.netlink.messages import Answer, Message
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import INET, IPV4, IPV6
from acni.netlink.nfrules import Chain, list_chains, list_rules_of
from acni.netlink.nftables import FORWARD, INPUT, new_table
from acni.netlink.sockets import Netlink
from acni.netns import Namespace
from acni.plugins.forwarding import (
    COMMENT,
    Barrier,
    asked,
    close_forwarding,
    closed,
    describe,
    find_blocking,
    is_iptables,
    open_forwarding,
    opened,
    opening_of,
    openings,
)
from tests.netlink.nft import nft

pytestmark = pytest.mark.netns

LINK = "bridge-15-bytes"
ACCEPTS = [
    f"-i {LINK} -m comment --comment '{COMMENT}' -j ACCEPT",
    f"-o {LINK} -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment '{COMMENT}'"
    " -j ACCEPT",
    f"-o {LINK} -m conntrack --ctstate DNAT -m comment --comment '{COMMENT}' -j ACCEPT",
]


def iptables(bare_host: Namespace, *arguments: str, tool: str = "iptables-nft") -> str:
    script = "\n".join(f"{tool} {one}" for one in arguments)
    return bare_host.call(
        lambda: subprocess.run(
            ["sh", "-ec", script], check=True, capture_output=True, timeout=30, text=True
        )
    ).stdout


def chain_of(firewall: Netfilter) -> Chain:
    (chain,) = (one for one in list_chains(firewall) if is_iptables(one))
    return chain


@pytest.mark.parametrize("tool", ["iptables-nft", "ip6tables-nft"])
def test_what_is_appended_is_what_iptables_would_write(
    bare_host: Namespace, firewall: Netfilter, tool: str
) -> None:
    iptables(bare_host, "-P FORWARD DROP", *(f"-A FORWARD {one}" for one in ACCEPTS), tool=tool)
    chain = chain_of(firewall)
    theirs = list_rules_of(firewall, chain)
    assert [opening_of(rule) for rule in theirs] == list(openings(LINK))
    assert open_forwarding(firewall, chain, [LINK]) == ()
    iptables(bare_host, "-F FORWARD", tool=tool)
    assert open_forwarding(firewall, chain, [LINK]) == openings(LINK)
    ours = list_rules_of(firewall, chain)
    assert [rule.expressions for rule in ours] == [rule.expressions for rule in theirs]
    iptables(bare_host, *(f"-C FORWARD {one}" for one in ACCEPTS), tool=tool)
    iptables(bare_host, *(f"-D FORWARD {one}" for one in ACCEPTS), tool=tool)
    assert list_rules_of(firewall, chain) == []


def test_what_is_missing_is_appended_and_what_is_there_is_left(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    iptables(bare_host, f"-A FORWARD {ACCEPTS[1]}", "-A FORWARD -p icmp -j DROP")
    chain = chain_of(firewall)
    first, answers, led = openings(LINK)
    assert closed(firewall, chain, [LINK]) == [first, led]
    assert open_forwarding(firewall, chain, [LINK, "other"]) == (first, led, *openings("other"))
    there = [opening_of(rule) for rule in list_rules_of(firewall, chain)]
    assert there == [answers, None, first, led, *openings("other")]


def test_only_rules_of_ours_are_taken_back_and_only_of_links_that_are_over(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    others = [
        f"-A FORWARD -i {LINK} -j ACCEPT",
        f"-A FORWARD -i {LINK} -m comment --comment mine -j ACCEPT",
        f"-A FORWARD -i {LINK} -m comment --comment '{COMMENT}' -j DROP",
        f"-A FORWARD -i {LINK} -p tcp -m comment --comment '{COMMENT}' -j ACCEPT",
        f"-A FORWARD -o {LINK} -m conntrack --ctstate NEW -m mark --mark 1 -j ACCEPT",
    ]
    iptables(bare_host, *others)
    before = iptables(bare_host, "-S FORWARD")
    chain = chain_of(firewall)
    open_forwarding(firewall, chain, [LINK, "other"])
    close_forwarding(firewall, lambda link: link == LINK)
    left = [opening_of(rule) for rule in list_rules_of(firewall, chain)]
    assert left == [*(None for _ in others), *openings("other")]
    close_forwarding(firewall, lambda _: True)
    assert iptables(bare_host, "-S FORWARD") == before


@pytest.mark.parametrize(
    "matches",
    [
        f"! -i {LINK}",
        f"-i {LINK[:-1]}+",
        f"-i {LINK} -m mark --mark 1",
        f"-o {LINK} -m conntrack ! --ctstate RELATED,ESTABLISHED",
        f"-o {LINK} -m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY",
    ],
)
def test_a_rule_that_compares_something_else_is_not_ours(
    bare_host: Namespace, firewall: Netfilter, matches: str
) -> None:
    iptables(bare_host, f"-A FORWARD {matches} -m comment --comment '{COMMENT}' -j ACCEPT")
    chain = chain_of(firewall)
    assert [opening_of(rule) for rule in list_rules_of(firewall, chain)] == [None]
    assert len(closed(firewall, chain, [LINK, LINK[:-1]])) == 6


def test_many_at_once_append_each_rule_once(bare_host: Namespace, firewall: Netfilter) -> None:
    iptables(bare_host, "-P FORWARD DROP")
    chain = chain_of(firewall)
    sockets = [bare_host.call(Netfilter.open) for _ in range(8)]

    def appends(one: Netfilter) -> int:
        return len(open_forwarding(one, chain, [LINK]))

    with ThreadPoolExecutor(8) as threads:
        appended = sorted(threads.map(appends, sockets))
    for one in sockets:
        one.close()
    assert appended == [0] * 7 + [3]
    assert [opening_of(rule) for rule in list_rules_of(firewall, chain)] == list(openings(LINK))


def base(family: int, **members: object) -> Chain:
    said = {"table": "t", "name": "c", "kind": "filter", "hook": FORWARD, "priority": 0, **members}
    return Chain(family=family, **said)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chain", "versions", "is_asked"),
    [
        (base(IPV4), {4}, True),
        (base(IPV4), {4, 6}, True),
        (base(IPV4), {6}, False),
        (base(IPV6), {6}, True),
        (base(IPV6), {4}, False),
        (base(INET), {4}, True),
        (base(INET), {6}, True),
        (base(INET), set[int](), False),
        (base(7), {4, 6}, False),
        (base(IPV4, hook=INPUT), {4}, False),
        (base(IPV4, kind="nat"), {4}, False),
        (base(INET, table="acni"), {4}, False),
        (base(IPV4, table="acni"), {4}, True),
        (Chain(family=IPV4, table="t", name="c"), {4}, False),
    ],
)
def test_a_chain_is_asked_about_what_is_forwarded_by_its_hook_and_its_family(
    chain: Chain, versions: Collection[int], is_asked: bool
) -> None:
    assert list(asked([chain], versions)) == ([chain] if is_asked else [])


def test_policies_of_each_tool_are_found_but_not_those_of_legacy(
    bare_host: Namespace, firewall: Netfilter, tmp_path: Path
) -> None:
    assert find_blocking(firewall, {4, 6}) == []
    # Its lock is root's by default.
    tool = f"XTABLES_LOCKFILE={tmp_path / 'lock'} iptables-legacy"
    iptables(bare_host, "-P FORWARD DROP", tool=tool)
    assert find_blocking(firewall, {4, 6}) == []
    iptables(bare_host, "-P FORWARD DROP")
    nft(bare_host, "add table inet mine")
    nft(bare_host, "add chain inet mine ward { type filter hook forward priority 9; policy drop; }")
    found = find_blocking(firewall, {4})
    assert {(describe(one.chain), is_iptables(one.chain)) for one in found} == {
        ("the chain FORWARD of the table ip filter", True),
        ("the chain ward of the table inet mine", False),
    }
    assert len(find_blocking(firewall, {6})) == 1
    nft(bare_host, "add table inet mine { flags dormant; }")
    assert find_blocking(firewall, {6}) == []
    nft(bare_host, "add table inet mine")
    nft(bare_host, "add chain inet mine ward { policy accept; }")
    assert find_blocking(firewall, {6}) == []


def test_a_rule_about_everything_blocks_as_a_policy_does(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    iptables(bare_host, "-A FORWARD -i other -j ACCEPT")
    assert find_blocking(firewall, {4}) == []
    iptables(bare_host, "-A FORWARD -j REJECT", "-P FORWARD DROP")
    (found,) = find_blocking(firewall, {4})
    (handle,) = (one.handle for one in list_rules_of(firewall, found.chain)[1:])
    words = f"the rule with handle {handle} in the chain FORWARD of the table ip filter rejects"
    assert str(found) == f"{words} all that comes"
    assert find_blocking(firewall, {6}) == []


def test_what_is_appended_lets_nothing_past_a_rule_that_stands_before_it(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    first, answers, led = openings(LINK)
    iptables(bare_host, f"-A FORWARD {ACCEPTS[0]}", "-A FORWARD -j DROP")
    (barrier,) = find_blocking(firewall, {4})
    assert open_forwarding(firewall, barrier.chain, [LINK]) == (answers, led)
    assert opened(firewall, barrier) == {first}
    assert opened(firewall, Barrier(chain=barrier.chain)) == {first, answers, led}


def test_what_was_found_stands_until_somebody_else_changes_a_rule(
    bare_host: Namespace, firewall: Netfilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To list the chains of a node takes long, where there are thousands."""
    iptables(bare_host, "-P FORWARD DROP")
    dumps: list[Message] = []
    numbers = count()
    dump = Netlink.dump

    def dumping(self: Netlink, message: Message, **others: Any) -> Sequence[Answer]:
        dumps.append(message)
        return dump(self, message, **others)

    monkeypatch.setattr(Netlink, "dump", dumping)
    for policy, is_blocking in (("DROP", True), ("ACCEPT", False), ("DROP", True)):
        iptables(bare_host, f"-P FORWARD {policy}")
        for version in (4, 4, 6):
            firewall.transact([new_table(f"ours{next(numbers)}")])
            found = find_blocking(firewall, {version})
            assert bool(found) == (is_blocking and version == 4)
        assert len(dumps) == 2, "the chains, and the rules of the only one"
        dumps.clear()
