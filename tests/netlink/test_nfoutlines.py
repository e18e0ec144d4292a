"""Rules that nft made, looked at by us without reading them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.netlink.errors import Malformed
from acni.netlink.messages import Answer, attributes, be32, nested
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import NF_ACCEPT, NFT_GOTO, NFT_RETURN
from acni.netlink.nfoutlines import Branch, list_branches, outline_of
from acni.netlink.nfrules import Chain, dump_rules, list_rules_of
from acni.netns import Namespace
from tests.netlink.nft import nft
from tests.netlink.scripted import Said, datagram, done, raw, scripted

pytestmark = pytest.mark.netns

RULES = """
table ip nat {
  map alone { type inet_service : verdict; elements = { 22 : accept, 80 : goto X }; }
  map ranges { type inet_service : verdict; flags interval; elements = { 80-90 : return }; }
  chain PREROUTING { type nat hook prerouting priority dstnat; tcp dport 8080 return; jump X; }
  chain X { udp dport 53 accept; }
}
"""


def test_what_a_rule_consists_of_is_had_unread(host: Namespace, firewall: Netfilter) -> None:
    nft(host, "-f", "-", given=RULES)
    there = dump_rules(firewall, family=2, table="nat", chain="PREROUTING")
    rules = list_rules_of(firewall, Chain(family=2, table="nat", name="PREROUTING"))
    for answer, rule in zip(there, rules, strict=True):
        handle, told = outline_of(answer)
        steps = [(name, attributes(said)) for name, said in told]
        assert handle == rule.handle
        assert steps == [(one.name.encode() + b"\0", one.said) for one in rule.expressions]
    assert dump_rules(firewall, family=2, table="nat", chain="Y") == ()
    assert dump_rules(firewall, family=2, table="tan", chain="X") == ()


def test_maps_of_verdicts_are_read_with_the_keys_that_stand_alone(
    host: Namespace, firewall: Netfilter
) -> None:
    nft(host, "-f", "-", given=RULES)
    alone = list_branches(firewall, family=2, table="nat", name="alone")
    assert sorted(alone) == [
        Branch(key(22), NF_ACCEPT, None),
        Branch(key(80), NFT_GOTO, "X"),
    ]
    ranges = list_branches(firewall, family=2, table="nat", name="ranges")
    assert ranges == [Branch(None, NFT_RETURN, None)]


def key(port: int) -> bytes:
    return port.to_bytes(2, "big")


@given(st.binary(max_size=60))
def test_no_bytes_are_taken_apart_but_with_one_error(data: bytes) -> None:
    for body in (b"\2\0\0\0" + data, b"\2\0\0\0" + nested(4, data), nested(4, nested(1, data))):
        try:
            outline_of(Answer(kind=0xA06, flags=0, sequence=1, port=1, body=body))
        except Malformed:
            continue


@given(st.binary(max_size=60))
def test_no_bytes_are_read_as_a_map_but_with_one_error(data: bytes) -> None:
    for said in (data, nested(1, data), nested(1, nested(2, data))):
        body = b"\2\0\0\0" + be32(9, 1) + nested(3, said)
        answered = [datagram(raw(0xA0C, 1, body), done(1))]
        netlink, _ = scripted(partial(_answer, answered))
        try:
            list_branches(Netfilter(netlink), family=2, table="t", name="m")
        except Malformed:
            continue


def _answer(answered: Iterable[Said], first: int, count: int) -> Iterable[Said]:
    return answered
