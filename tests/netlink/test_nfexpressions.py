"""Rules, made by us of expressions and read by nft as sentences."""

from __future__ import annotations

import pytest

from acni.netlink import nfexpressions as nf
from acni.netlink.netfilter import Netfilter
from acni.netlink.nftables import (
    IPV4_ADDRESS,
    LINK_INDEX,
    LINK_NAME,
    PORT,
    POSTROUTING,
    PREROUTING,
    PROTOCOL,
    new_base_chain,
    new_chain,
    new_rule,
    new_set,
    new_table,
)
from acni.netns import Namespace
from tests.netlink.nft import rules_of

pytestmark = pytest.mark.netns

FOUR = nf.is_family(nf.IPV4)
SOURCE = nf.load_address(12, 4)
BY_ADDRESS = (nf.load_address(16, 4), nf.load_protocol(9), nf.load_port(10))


@pytest.fixture
def rules(firewall: Netfilter) -> Netfilter:
    endpoint = IPV4_ADDRESS.then(PORT)
    firewall.transact(
        [
            new_table("t"),
            new_set("t", "pods", 1, key=IPV4_ADDRESS),
            new_set("t", "ports", 2, key=PROTOCOL.then(PORT), data=endpoint),
            new_set("t", "places", 3, key=IPV4_ADDRESS.then(PROTOCOL).then(PORT), data=endpoint),
            new_set("t", "ways", 4, key=LINK_INDEX.then(LINK_INDEX)),
            new_set("t", "names", 5, key=LINK_NAME),
            new_set("t", "homes", 6, key=IPV4_ADDRESS.then(LINK_NAME)),
            new_chain("t", "elsewhere"),
            new_base_chain("t", "in", kind="nat", hook=PREROUTING, priority=0),
            new_base_chain("t", "out", kind="nat", hook=POSTROUTING, priority=0),
        ]
    )
    return firewall


SENTENCES = {
    "fib daddr type local jump elsewhere": (
        nf.is_to_this_host(),
        nf.verdict(nf.NFT_JUMP, "elsewhere"),
    ),
    "iifname @names ip daddr . iifname != @homes drop": (
        FOUR,
        nf.load_link_name(),
        nf.is_in("names"),
        nf.load_address(16, 4),
        nf.load_link_name(9),
        nf.is_in("homes", is_negated=True),
        nf.verdict(nf.NF_DROP),
    ),
    'iifname "cni0" oifname "bridge-15-bytes" counter packets 0 bytes 0 accept': (
        nf.is_link("cni0"),
        nf.is_link("bridge-15-bytes", is_outgoing=True),
        nf.counts(),
        nf.verdict(nf.NF_ACCEPT),
    ),
    'iif != "lo" ip daddr 127.0.0.0/8 drop': (
        nf.is_not_from_lo(),
        FOUR,
        nf.is_within(16, b"\xff\0\0\0", b"\x7f\0\0\0"),
        nf.verdict(nf.NF_DROP),
    ),
    "ip daddr != 224.0.0.0/4 accept": (
        FOUR,
        nf.is_within(16, b"\xf0\0\0\0", b"\xe0\0\0\0", is_negated=True),
        nf.verdict(nf.NF_ACCEPT),
    ),
    "ct status dnat ip saddr @pods masquerade": (
        nf.is_translated(),
        FOUR,
        SOURCE,
        nf.is_in("pods"),
        nf.masquerade(),
    ),
    "ip saddr != @pods masquerade": (
        FOUR,
        SOURCE,
        nf.is_in("pods", is_negated=True),
        nf.masquerade(),
    ),
    "iif . oif @ways return": (nf.load_ways(), nf.is_in("ways"), nf.verdict(nf.NFT_RETURN)),
    "meta nfproto ipv4 dnat ip to meta l4proto . th dport map @ports": (
        FOUR,
        nf.load_protocol(),
        nf.load_port(9),
        nf.translate_by("ports", family=nf.IPV4, size=4),
    ),
    "dnat ip to ip daddr . meta l4proto . th dport map @places": (
        FOUR,
        *BY_ADDRESS,
        nf.translate_by("places", family=nf.IPV4, size=4),
    ),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_rule_is_read_as_it_is_meant(host: Namespace, rules: Netfilter, sentence: str) -> None:
    chain = "out" if "masquerade" in sentence else "in"
    rules.transact([new_rule("t", chain, *SENTENCES[sentence])])
    read = [line.strip() for line in rules_of(host, "t").splitlines()]
    assert sentence in read
