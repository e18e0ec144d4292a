"""The table as nft reads it, and what becomes of an element that is put in and taken out."""

from __future__ import annotations

import hashlib
from contextlib import closing
from ipaddress import ip_address

import pytest

from acni import netns
from acni.netlink.netfilter import Netfilter
from acni.netlink.nftables import add_element
from acni.netns import Namespace
from acni.plugins.owners import Owner, network_mark
from acni.plugins.podelements import (
    Port,
    apart,
    guarding,
    masquerading,
    publishing,
    set_names,
)
from acni.plugins.ruleset import ADMIN_PORTS, table_messages
from acni.plugins.tables import LAYOUT, Entry, comment_of
from acni.spec.attachment import AttachmentId
from tests.netlink.nft import elements_of, listed, nft, rules_of

pytestmark = pytest.mark.netns

OWNER = Owner("net", AttachmentId("c1"))
V4, V6 = ip_address("10.9.0.2"), ip_address("fd00:9::2")
TCP = 6
LONGEST = "bridge-15-bytes"


@pytest.fixture(autouse=True)
def table(firewall: Netfilter) -> None:
    firewall.transact(table_messages())


def put_in(firewall: Netfilter, entry: Entry) -> None:
    firewall.transact(entry.adding()[0])


def test_the_table_says_what_it_does(bare_host: Namespace, firewall: Netfilter) -> None:
    """As an administrator reads it."""
    sentences = [line.strip() for line in rules_of(bare_host).splitlines()]
    begin = sentences.index("chain to_pods {")
    assert [line for line in sentences[begin:] if line] == [
        "chain to_pods {",
        "jump admin_ports",
        "dnat ip to ip daddr . meta l4proto . th dport map @hostaddresses4",
        "meta nfproto ipv4 dnat ip to meta l4proto . th dport map @hostports4",
        "dnat ip6 to ip6 daddr . meta l4proto . th dport map @hostaddresses6",
        "meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @hostports6",
        "}",
        "chain admin_ports {",
        "}",
        "chain admin_masquerade {",
        "}",
        "chain admin_forward {",
        "}",
        "chain prerouting {",
        "type nat hook prerouting priority 2147483647; policy accept;",
        "fib daddr type local jump to_pods",
        "}",
        "chain output {",
        "type nat hook output priority 2147483647; policy accept;",
        "fib daddr type local jump to_pods",
        "}",
        "chain postrouting {",
        "type nat hook postrouting priority 2147483647; policy accept;",
        "jump admin_masquerade",
        "ct status dnat ip daddr @returning4 ip saddr 127.0.0.0/8 masquerade",
        "ct status dnat ip daddr @returning4 iif . oif @ways masquerade",
        "ct status dnat ip saddr . ip daddr @selves4 masquerade",
        "ct status dnat ip daddr @anyone4 masquerade",
        "ip saddr @masquerade4 ip daddr != @masquerade4 ip daddr != 224.0.0.0/4 masquerade",
        "ct status dnat ip6 daddr @returning6 iif . oif @ways masquerade",
        "ct status dnat ip6 saddr . ip6 daddr @selves6 masquerade",
        "ct status dnat ip6 daddr @anyone6 masquerade",
        "ip6 saddr @masquerade6 ip6 daddr != @masquerade6 ip6 daddr != ff00::/8 masquerade",
        "}",
        "chain martians {",
        "type filter hook prerouting priority raw; policy accept;",
        'iif != "lo" ip daddr 127.0.0.0/8 drop',
        "}",
        "chain forward {",
        "type filter hook forward priority 2147483647; policy accept;",
        "jump admin_forward",
        "iifname @apart ip daddr @guarded4 ip daddr . iifname != @homes4 drop",
        "ip daddr @isolated4 ip daddr . iifname @homes4 drop",
        "iifname @apart ip6 daddr @guarded6 ip6 daddr . iifname != @homes6 drop",
        "ip6 daddr @isolated6 ip6 daddr . iifname @homes6 drop",
        "}",
        "}",
    ]


def test_the_layout_has_a_number_that_changes_with_it() -> None:
    """Once a release has this layout, a change of it is another one: LAYOUT says which."""
    told = b"".join(message.body for message in table_messages())
    digest = hashlib.blake2b(told, digest_size=8).hexdigest()
    assert (LAYOUT, digest) == ("layout_1", "9c191b895730a6bb")


def test_nft_reads_what_it_prints_elements_included(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    for address, host_address in ((V4, "192.0.2.1"), (V6, "2001:db8::1")):
        at = ip_address(host_address)
        ports = [
            Port(protocol=TCP, host_port=8080, pod_port=80),
            Port(protocol=17, host_port=53, pod_port=53, host_address=at),
        ]
        put_in(firewall, publishing(OWNER, address, ports, for_anyone=True))
        put_in(firewall, masquerading(OWNER, address))
        put_in(firewall, guarding(OWNER, address, [LONGEST], is_isolated=True))
    firewall.transact([add_element("acni", apart(LONGEST))])
    printed = rules_of(bare_host)
    assert printed.count('comment "acni net c1 eth0"') == 2 * 11
    assert printed.count(f'"{LONGEST}"') == 3
    with netns.anonymous() as other:
        nft(other, "-f", "-", given=printed)
        assert rules_of(other) == printed
        with closing(other.call(Netfilter.open)) as read:
            for name in set_names():
                assert read.elements("acni", name) == firewall.elements("acni", name), name


@pytest.mark.parametrize("ifname", ['a"b', '"}}#', 'a\\"', "ü;$x", "\\"])
def test_nft_reads_what_it_prints_whatever_an_interface_is_called(
    bare_host: Namespace, firewall: Netfilter, ifname: str
) -> None:
    owner = Owner("net", AttachmentId("c1", ifname))
    put_in(firewall, masquerading(owner, V4))
    said = rules_of(bare_host)

    nft(bare_host, "flush", "ruleset")
    nft(bare_host, "-f", "-", given=said)

    assert comment_of(owner) in rules_of(bare_host)
    assert comment_of(owner).startswith(network_mark("net"))


def test_a_table_that_is_made_again_keeps_elements_and_the_administrators_chains(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    put_in(firewall, masquerading(OWNER, V4))
    nft(bare_host, "add rule inet acni", ADMIN_PORTS, "tcp dport 22 accept")
    before = listed(bare_host, "rule")
    nft(bare_host, "add rule inet acni to_pods drop")
    nft(bare_host, "flush chain inet acni martians")
    firewall.transact(table_messages())
    after = listed(bare_host, "rule")
    assert [one["expr"] for one in after] == [one["expr"] for one in before]
    assert len(elements_of(bare_host, "masquerade4")) == 1


def test_an_element_says_whose_it_is_though_another_was_there(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    put_in(firewall, masquerading(Owner("net", AttachmentId("gone")), V4))
    nft(bare_host, "flush map inet acni owners4")
    put_in(firewall, masquerading(OWNER, V4))
    (there,) = elements_of(bare_host, "masquerade4")
    assert there["elem"]["comment"] == "acni net c1 eth0"


def test_all_sets_are_named(bare_host: Namespace, firewall: Netfilter) -> None:
    there = {one["name"] for kind in ("set", "map") for one in listed(bare_host, kind)}
    assert set(set_names()) | {"ways", "apart"} == there


def test_words_beside_an_element_are_read_back_as_they_were_however_many_bytes_a_letter_has(
    firewall: Netfilter,
) -> None:
    owner = Owner("n" * 90, AttachmentId("c" * 23, "ü" * 7))
    entry = masquerading(owner, V4)
    put_in(firewall, entry)
    assert firewall.elements_like("acni", entry.elements) == list(entry.elements)
