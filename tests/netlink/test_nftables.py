"""Tables, chains, sets and elements, made by us and read by nft, and the other way round."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.netlink.errors import Malformed
from acni.netlink.messages import attribute, nested
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import NF_ACCEPT, NFT_JUMP, verdict
from acni.netlink.nftables import (
    IPV4_ADDRESS,
    IPV6_ADDRESS,
    MARK,
    PORT,
    POSTROUTING,
    PROTOCOL,
    Element,
    add_element,
    delete_element,
    delete_rules,
    new_base_chain,
    new_chain,
    new_rule,
    new_set,
    new_table,
    read_elements,
)
from acni.netns import Namespace
from tests.netlink.nft import elements_of, listed, nft, rules_of

pytestmark = pytest.mark.netns

# Marks, as the machine has them.
ONE, TWO = (number.to_bytes(4, sys.byteorder) for number in (1, 2))

NAMES = new_set("t", "names", 1, key=IPV4_ADDRESS, data=MARK)
PORTS = new_set("t", "ports", 2, key=PROTOCOL.then(PORT), data=IPV6_ADDRESS.then(PORT))
ADDRESSES = new_set("t", "addresses", 3, key=IPV4_ADDRESS)


@pytest.fixture
def rules(host: Namespace, firewall: Netfilter) -> Netfilter:
    firewall.transact([new_table("t"), NAMES, PORTS, ADDRESSES])
    return firewall


def test_a_chain_of_the_kernel_has_its_place_and_another_has_none(
    host: Namespace, rules: Netfilter
) -> None:
    last = 2**31 - 1
    rules.transact(
        [
            new_base_chain("t", "late", kind="nat", hook=POSTROUTING, priority=last),
            new_base_chain("t", "early", kind="filter", hook=POSTROUTING, priority=-300),
            new_chain("t", "plain"),
        ]
    )
    told = {one["name"]: (one.get("type"), one.get("prio")) for one in listed(host, "chain")}
    assert told == {"late": ("nat", last), "early": ("filter", -300), "plain": (None, None)}


def test_rules_stand_in_the_order_they_came_in_and_go_together(
    host: Namespace, rules: Netfilter
) -> None:
    rules.transact(
        [
            new_chain("t", "first"),
            new_chain("t", "second"),
            new_rule("t", "first", verdict(NFT_JUMP, "second")),
            new_rule("t", "first", verdict(NF_ACCEPT)),
        ]
    )
    assert [one["expr"] for one in listed(host, "rule")] == [
        [{"jump": {"target": "second"}}],
        [{"accept": None}],
    ]
    rules.transact([delete_rules("t", "first")])
    assert listed(host, "rule") == []


def test_elements_are_read_by_nft_with_their_comments(host: Namespace, rules: Netfilter) -> None:
    port = b"\x06\0\0\0" + b"\x1f\x90\0\0", bytes(15) + b"\x01" + b"\0\x50\0\0"
    rules.transact(
        [
            add_element("t", Element("names", bytes((10, 9, 0, 2)), ONE, "whose it is")),
            add_element("t", Element("ports", *port)),
            add_element("t", Element("addresses", bytes((10, 9, 0, 3)))),
        ]
    )
    assert elements_of(host, "names") == [
        [{"elem": {"val": "10.9.0.2", "comment": "whose it is"}}, 1]
    ]
    assert elements_of(host, "ports") == [[{"concat": ["tcp", 8080]}, {"concat": ["::1", 80]}]]
    assert elements_of(host, "addresses") == ["10.9.0.3"]
    rules.transact([delete_element("t", Element("addresses", bytes((10, 9, 0, 3))))])
    assert elements_of(host, "addresses") == []


def test_what_nft_adds_is_read(host: Namespace, rules: Netfilter) -> None:
    nft(host, 'add element inet t names { 10.9.0.2 comment "mine" : 0x1 , 10.9.0.3 : 0x2 }')
    there = {one.key[-1]: one for one in rules.elements("t", "names")}
    assert there[2] == Element("names", bytes((10, 9, 0, 2)), ONE, "mine")
    assert there[3] == Element("names", bytes((10, 9, 0, 3)), TWO)


def test_what_nft_prints_nft_reads_again(host: Namespace, pod: Namespace, rules: Netfilter) -> None:
    printed = rules_of(host, "t")
    nft(pod, "-f", "-", given=printed)
    assert rules_of(pod, "t") == printed


def test_a_long_comment_is_cut_to_what_nft_reads(host: Namespace, rules: Netfilter) -> None:
    rules.transact([add_element("t", Element("addresses", bytes(4), None, "x" * 400))])
    (there,) = rules.elements("t", "addresses")
    assert there.comment == "x" * 127
    nft(host, "-c", "-f", "-", given=rules_of(host, "t"))


@pytest.mark.parametrize("said", [b"", b"\0", b"\1\2ab", b"\0\7abc"])
def test_what_is_no_comment_is_none(said: bytes) -> None:
    one = nested(1, nested(1, attribute(1, b"key")), attribute(6, said))
    assert list(read_elements("s", one)) == [Element("s", b"key")]


def test_elements_are_read_by_what_stands_beside_them(rules: Netfilter) -> None:
    rules.transact([new_table("t"), new_set("t", "s", 1, key=PORT)])
    wanted = [Element("s", bytes((0, n)), comment=text) for n, text in enumerate(("a", "ab", "a"))]
    others = [Element("s", b"\1a"), Element("s", b"aa", comment="b")]
    rules.transact([add_element("t", one) for one in (*wanted, *others)])
    found = rules.elements("t", "s", comment="a")
    assert sorted(found, key=str) == sorted((wanted[0], wanted[2]), key=str)
    assert rules.elements("t", "s", comment="c") == []
    assert len(rules.elements("t", "s")) == 5


def test_an_element_without_a_value_is_malformed() -> None:
    with pytest.raises(Malformed):
        list(read_elements("s", nested(1, nested(1, attribute(2, b"")))))


@given(st.binary(max_size=80))
def test_no_bytes_are_read_as_elements_but_with_one_error(data: bytes) -> None:
    try:
        list(read_elements("s", data))
    except Malformed:
        return
