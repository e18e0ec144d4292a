"""The rule that lets nothing past it, as each tool writes it."""

from __future__ import annotations

import subprocess
from functools import partial

import pytest

from acni.netlink.netfilter import Netfilter
from acni.netlink.nfrules import list_chains
from acni.netlink.nftables import FORWARD
from acni.netns import Namespace
from acni.plugins.closingrules import find_closing_rule
from tests.netlink.nft import nft

pytestmark = pytest.mark.netns

BY_NFT = {
    "drop": "drops",
    "counter drop": "drops",
    'log prefix "gone " counter drop comment "the rest"': "drops",
    "reject": "rejects",
    "reject with icmpx admin-prohibited": "rejects",
    "accept ; drop": None,
    "return ; drop": None,
    "continue ; drop": "drops",
    "goto other ; drop": None,
    "jump other ; drop": "drops",
    "counter ; tcp dport 22 accept ; drop": "drops",
    "tcp dport 22 drop": None,
    "iifname eth0 reject": None,
    "ct state invalid drop": None,
    "meta nfproto ipv4 drop": None,
    "limit rate 5/second drop": None,
    "counter": None,
    "": None,
}
BY_IPTABLES = {
    "-j DROP": "drops",
    "-j REJECT --reject-with icmp-host-prohibited": "rejects",
    "-m comment --comment closed -j REJECT": "rejects",
    "-m comment --comment closed -j DROP": "drops",
    "-i eth0 -j DROP": None,
    "-p tcp -j REJECT --reject-with tcp-reset": None,
    "-m mark --mark 1 -j DROP": None,
    "-m conntrack --ctstate INVALID -j DROP": None,
    "-j LOG": None,
    "-j ACCEPT": None,
    "-j NFQUEUE --queue-num 0 ; -j DROP": None,
}


def ends(firewall: Netfilter) -> tuple[str | None, int]:
    """How the only chain that is asked about what is forwarded ends, and by which rule."""
    (chain,) = (one for one in list_chains(firewall) if one.hook == FORWARD)
    found = find_closing_rule(firewall, chain)
    return (None, 0) if found is None else (found.ends, found.handle)


@pytest.mark.parametrize(("rules", "said"), BY_NFT.items())
def test_a_rule_of_nft_is_about_everything_where_it_compares_nothing(
    bare_host: Namespace, firewall: Netfilter, rules: str, said: str | None
) -> None:
    nft(bare_host, "add table inet mine")
    nft(bare_host, "add chain inet mine other")
    nft(bare_host, "add chain inet mine ward { type filter hook forward priority 0; }")
    for rule in filter(None, rules.split(" ; ")):
        nft(bare_host, f"add rule inet mine ward {rule}")
    found, handle = ends(firewall)
    assert found == said
    last = nft(bare_host, "-a", "list chain inet mine ward").splitlines()[-3]
    assert found is None or last.endswith(f"# handle {handle}")


@pytest.mark.parametrize(("rules", "said"), BY_IPTABLES.items())
def test_a_rule_of_iptables_is_about_everything_where_it_compares_nothing(
    bare_host: Namespace, firewall: Netfilter, rules: str, said: str | None
) -> None:
    for rule in rules.split(" ; "):
        command = ["iptables-nft", "-A", "FORWARD", *rule.split()]
        bare_host.call(partial(subprocess.run, command, check=True, timeout=30))
    assert ends(firewall)[0] == said
