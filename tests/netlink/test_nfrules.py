"""Chains and rules that nft made, read by us."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.netlink.errors import Malformed
from acni.netlink.messages import attribute, be32, nested
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import (
    BRIDGE,
    INET,
    NF_ACCEPT,
    NF_DROP,
    NFT_JUMP,
    NFT_RETURN,
    counts,
    is_link,
    verdict,
)
from acni.netlink.nfrules import (
    Chain,
    Expression,
    append_rule,
    delete_rule,
    find_table,
    is_dormant,
    list_chains,
    list_rules_of,
)
from acni.netlink.nftables import PREROUTING
from acni.netns import Namespace
from tests.netlink.nft import listed, nft
from tests.netlink.scripted import datagram, done, raw, scripted

pytestmark = pytest.mark.netns

SLEEPS = "{ flags dormant; }"
RULES = """
table ip nat {
  chain PREROUTING { type nat hook prerouting priority dstnat; tcp dport 8080 return; jump X; }
  chain X { udp dport 53 accept; }
}
table inet other { chain plain { drop; }; }
"""


def test_a_table_that_is_made_again_has_another_number(
    host: Namespace, firewall: Netfilter
) -> None:
    seen: list[int | None] = []
    for command in ("add", "add", "delete", "add"):
        nft(host, command, "table", "inet", "acni")
        found = find_table(firewall, "acni", family=INET)
        seen.append(None if found is None else found.handle)
    assert seen[0] == seen[1] != seen[3]
    assert seen[2] is None
    assert seen[3] is not None
    assert find_table(firewall, "acni", family=BRIDGE) is None


def test_chains_are_read_with_where_the_kernel_leads_to_them(
    host: Namespace, firewall: Netfilter
) -> None:
    nft(host, "-f", "-", given=RULES)
    assert list_chains(firewall) == [
        Chain(
            family=2,
            table="nat",
            name="PREROUTING",
            kind="nat",
            hook=PREROUTING,
            priority=-100,
            policy=NF_ACCEPT,
        ),
        Chain(family=2, table="nat", name="X"),
        Chain(family=1, table="other", name="plain"),
    ]


def test_rules_of_a_table_are_read_in_order_with_where_they_lead(
    host: Namespace, firewall: Netfilter
) -> None:
    nft(host, "-f", "-", given=RULES)
    chains = [Chain(family=2, table="nat", name=name) for name in ("PREROUTING", "X")]
    rules = [rule for chain in chains for rule in list_rules_of(firewall, chain)]
    theirs = [one["handle"] for one in listed(host, "rule") if one["table"] == "nat"]
    assert sorted(rule.handle for rule in rules) == sorted(theirs)
    led = {
        (rule.chain, verdict)
        for rule in rules
        for one in rule.expressions
        if (verdict := one.verdict()) is not None
    }
    assert led == {
        ("PREROUTING", (NFT_RETURN, None)),
        ("PREROUTING", (NFT_JUMP, "X")),
        ("X", (NF_ACCEPT, None)),
    }
    (first, *_) = rules
    assert [one.name for one in first.expressions] == ["meta", "cmp", "payload", "cmp", "immediate"]
    assert [first.expressions[2].number(kind) for kind in (2, 3, 4)] == [2, 2, 2]


def test_a_table_sleeps_where_it_says_so_or_is_gone(host: Namespace, firewall: Netfilter) -> None:
    nft(host, "-f", "-", given=RULES)
    for chain in list_chains(firewall):
        assert not is_dormant(firewall, chain)
        nft(host, f"add table {'ip' if chain.family == 2 else 'inet'} {chain.table}", SLEEPS)
        assert is_dormant(firewall, chain)
        nft(host, f"add table {'ip' if chain.family == 2 else 'inet'} {chain.table}")
    assert is_dormant(firewall, Chain(family=2, table="none", name="c"))


def test_a_policy_is_read(host: Namespace, firewall: Netfilter) -> None:
    nft(host, "add table ip t")
    nft(host, "add chain ip t c { type filter hook forward priority 0; policy drop; }")
    assert [chain.policy for chain in list_chains(firewall)] == [NF_DROP]


def test_a_rule_is_appended_to_somebodys_chain_and_only_that_one_deleted(
    host: Namespace, firewall: Netfilter
) -> None:
    nft(host, "-f", "-", given=RULES)
    chain = Chain(family=2, table="nat", name="PREROUTING")
    before = list_rules_of(firewall, chain)
    firewall.transact([append_rule(chain, is_link("cni0"), counts(), verdict(NF_ACCEPT))])
    *rest, last = list_rules_of(firewall, chain)
    assert rest == before
    told = listed(host, "rule")
    (theirs,) = (one for one in told if one["handle"] == last.handle)
    assert theirs["expr"][0]["match"]["right"] == "cni0"
    firewall.transact([delete_rule(last)])
    assert list_rules_of(firewall, chain) == before
    assert len(listed(host, "rule")) == len(told) - 1


def test_chains_of_a_kind_are_read_alone(host: Namespace, firewall: Netfilter) -> None:
    nft(host, "-f", "-", given=RULES)
    nft(host, "add chain inet other nat { type filter hook input priority 0; }")
    assert [chain.name for chain in list_chains(firewall, kind="nat")] == ["PREROUTING"]
    assert [chain.name for chain in list_chains(firewall, kind="filter")] == ["nat"]


def test_where_there_are_no_rules_none_are_read(firewall: Netfilter) -> None:
    assert list_chains(firewall) == []
    assert list_rules_of(firewall, Chain(family=2, table="nat", name="X")) == []
    assert list_rules_of(firewall, Chain(family=2, table="nat", name="PREROUTING")) == []


@pytest.mark.parametrize(
    "expression",
    [
        Expression(name="cmp", said={}),
        Expression(name="immediate", said={1: b"\0\0\0\x08"}),
        Expression(name="immediate", said={1: bytes(4), 2: nested(1, b"")}),
    ],
    ids=["no step of a verdict", "a value", "nothing"],
)
def test_what_leads_nowhere_goes_on(expression: Expression) -> None:
    assert expression.verdict() is None
    assert expression.number(9) is None


def test_a_verdict_that_is_no_number_is_malformed() -> None:
    broken = nested(2, attribute(1, b"\0"))
    with pytest.raises(Malformed):
        Expression(name="immediate", said={1: bytes(4), 2: broken}).verdict()


@given(st.binary(max_size=60))
def test_no_bytes_are_read_as_a_rule_but_with_one_error(data: bytes) -> None:
    body = b"\2\0\0\0" + be32(9, 1) + data
    netlink, _ = scripted(lambda n, _: [datagram(raw(0xA06, n, body), done(n))])
    chain = Chain(family=2, table="t", name="c")
    readers: tuple[Callable[[Netfilter], object], ...] = (
        list_chains,
        lambda one: list_rules_of(one, chain),
    )
    for read in readers:
        try:
            read(Netfilter(netlink))
        except Malformed:
            continue
