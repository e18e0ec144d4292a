"""A conversation with the kernel's firewall: whole or not at all, and errors by message."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from acni import netns
from acni.netlink.errors import AnswerLost, Malformed, NetlinkError, NetlinkTimeout
from acni.netlink.generations import Ledger
from acni.netlink.messages import Message, be32
from acni.netlink.netfilter import MOST_ELEMENTS, Netfilter
from acni.netlink.nftables import (
    IPV6_ADDRESS,
    PORT,
    PROTOCOL,
    Element,
    add_element,
    delete_element,
    new_set,
    new_table,
)
from acni.netns import Namespace
from tests.netlink.nft import elements_of, listed, nft
from tests.netlink.scripted import Said, Script, agrees, datagram, overrun, raw, scripted, verdict

pytestmark = pytest.mark.netns

MAP = new_set("t", "ports", 1, key=PROTOCOL.then(PORT), data=IPV6_ADDRESS.then(PORT))


def port(number: int, *, target: int = 1) -> Element:
    key = b"\x06\0\0\0" + number.to_bytes(2, "big") + b"\0\0"
    return Element("ports", key, target.to_bytes(16, "big") + b"\0\x50\0\0")


@pytest.fixture
def rules(firewall: Netfilter) -> Netfilter:
    firewall.transact([new_table("t"), MAP])
    return firewall


def test_each_refusal_is_told_by_message_and_nothing_was_done(
    host: Namespace, rules: Netfilter
) -> None:
    rules.transact([add_element("t", port(1)), add_element("t", port(3))])
    with pytest.raises(NetlinkError) as raised:
        rules.transact(
            [
                add_element("t", port(0)),
                add_element("t", port(1, target=2)),
                add_element("t", port(2)),
                delete_element("t", port(9)),
                add_element("t", port(3), is_new=True),
            ]
        )
    error = raised.value
    assert (error.index, error.errno in (errno.EEXIST, errno.EBUSY)) == (1, True)
    refused = [index for index, one in enumerate(error.verdicts) if one.code]
    assert refused == [1, 3, 4]
    assert len(elements_of(host, "ports")) == 2


def test_what_is_there_with_the_same_data_may_be_added_again(rules: Netfilter) -> None:
    for _ in range(2):
        rules.transact([add_element("t", port(1))])
    assert rules.elements("t", "ports") == [port(1)]


def test_nothing_is_sent_where_there_is_nothing_to_do() -> None:
    netlink, wire = scripted(agrees)
    Netfilter(netlink).transact([])
    assert wire.sent == []


def test_a_batch_has_a_begin_and_an_end_and_one_acknowledgement() -> None:
    netlink, wire = scripted(lambda n, count: [verdict(n + count - 2)])
    Netfilter(netlink).transact([Message(10, 0, b"")] * 3)
    assert wire.sent == [(1, 5)]
    assert wire.waits == []


def test_a_batch_that_is_refused_as_a_whole_says_no_message() -> None:
    netlink, _ = scripted(lambda n, _: [verdict(n, errno.EPERM)])
    with pytest.raises(NetlinkError) as raised:
        Netfilter(netlink).transact([Message(10, 0, b"")])
    assert (raised.value.errno, raised.value.index) == (errno.EPERM, None)


def test_an_answer_that_is_lost_is_no_success() -> None:
    netlink, _ = scripted(lambda n, _: [overrun()])
    with pytest.raises(AnswerLost):
        Netfilter(netlink).transact([Message(10, 0, b"")])


def test_of_a_flood_of_refusals_the_first_is_told(rules: Netfilter) -> None:
    """They are more than a socket holds."""
    with pytest.raises(NetlinkError) as raised:
        rules.transact([delete_element("t", port(number)) for number in range(700)])
    assert (raised.value.errno, raised.value.index) == (errno.ENOENT, 0)
    rules.transact([add_element("t", port(1))])


def test_no_answer_is_a_timeout() -> None:
    netlink, _ = scripted(lambda n, _: [], seconds=0.01)
    with pytest.raises(NetlinkTimeout):
        Netfilter(netlink).transact([Message(10, 0, b"")])


def test_as_many_elements_as_are_said_to_fit_into_a_batch_do(rules: Netfilter) -> None:
    """The longest that there are, each with a comment."""
    some = [
        Element("ports", port(number).key, port(number).data, "x" * 300)
        for number in range(MOST_ELEMENTS)
    ]
    rules.transact([add_element("t", one) for one in some])
    assert len(rules.elements("t", "ports")) == MOST_ELEMENTS


def test_what_does_not_fit_the_socket_is_an_error_and_changes_nothing(
    host: Namespace, rules: Netfilter
) -> None:
    many = [add_element("t", port(number)) for number in range(3000)]
    with pytest.raises(NetlinkError) as raised:
        rules.transact(many)
    assert raised.value.errno == errno.EMSGSIZE
    assert elements_of(host, "ports") == []


def test_any_change_of_any_rule_is_another_generation(host: Namespace, rules: Netfilter) -> None:
    before = rules.generation()
    assert rules.generation() == before
    nft(host, "add table ip other")
    with pytest.raises(NetlinkError) as raised:
        rules.transact([add_element("t", port(1))], generation=before)
    assert (raised.value.errno, raised.value.index) == (errno.ERESTART, None)
    rules.transact([add_element("t", port(1))], generation=rules.generation())


def test_who_decides_by_what_is_there_looks_again_where_it_changed(
    host: Namespace, rules: Netfilter
) -> None:
    seen: list[int] = []

    def decide() -> tuple[list[Message], int]:
        there = len(rules.elements("t", "ports"))
        seen.append(there)
        if len(seen) < 3:
            nft(host, "add element inet t ports", f"{{ tcp . {len(seen)} : ::1 . 80 }}")
        return [add_element("t", port(80 + there))], there

    assert rules.decide(decide) == 2
    assert seen == [0, 1, 2]
    assert port(82) in rules.elements("t", "ports")


def test_rules_that_change_each_time_are_an_error(rules: Netfilter) -> None:
    def decide() -> tuple[list[Message], None]:
        rules.transact([add_element("t", port(1)), delete_element("t", port(1))])
        return [add_element("t", port(2))], None

    with pytest.raises(NetlinkError, match="changed 64 times") as raised:
        rules.decide(decide)
    assert raised.value.errno == errno.ERESTART


def test_whatever_cannot_be_sent_or_read_is_an_error_and_the_next_one_goes_on() -> None:
    for code in (errno.ENOBUFS, errno.ENOMEM, errno.EPERM):

        def refuse(n: int, _: int, code: int = code) -> list[Said]:
            return [OSError(code, "as the test wants it")]

        netlink, _ = scripted(refuse, lambda n, count: [verdict(n + count - 2)])
        with pytest.raises(NetlinkError) as raised:
            Netfilter(netlink).transact([Message(10, 0, b"")])
        assert raised.value.errno == code
        Netfilter(netlink).transact([Message(10, 0, b"")])


@pytest.mark.parametrize("said", [[], [bytes(4)], [b"\1\0\0\0" + bytes(2)], [bytes(4)] * 2])
def test_a_generation_that_is_none_is_malformed(said: list[bytes]) -> None:
    def answer(n: int, _: int) -> list[Said]:
        return [datagram(*(raw(0xA0F, n, body) for body in said)), verdict(n)]

    netlink, _ = scripted(answer)
    with pytest.raises(Malformed):
        Netfilter(netlink).generation()


def test_a_socket_is_closed_and_leaves_no_descriptor() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with netns.anonymous() as box:
        one = box.call(Netfilter.open)
        one.transact([new_table("t")])
        one.close()
        one.close()
        assert [table["name"] for table in listed(box, "table")] == ["t"]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


class Notes(list[str]):
    """What was read of others' rules."""


def test_what_was_read_is_had_again_while_nobody_else_changes_a_rule(
    host: Namespace, rules: Netfilter
) -> None:
    first = rules.remembered(Notes)
    rules.transact([add_element("t", port(1)), delete_element("t", port(1))])
    rules.transact([add_element("t", port(1))])
    assert rules.remembered(Notes) is first
    # One that changes nothing makes no generation, so it stands for nobody else's.
    rules.transact([add_element("t", port(1))])
    nft(host, "add table ip theirs")
    assert rules.remembered(Notes) is not first


def test_a_batch_knows_whether_anybody_changed_a_rule_since_what_is_there_was_asked(
    host: Namespace, rules: Netfilter
) -> None:
    def put(number: int) -> bool:
        rules.transact([add_element("t", port(number))])
        return rules.was_next

    assert not put(1)
    rules.remembered(Notes)
    assert put(2)
    # After a batch nobody is asked; so much the less is it known.
    rules.remembered(Notes, is_after_batch=True)
    assert not put(3)
    rules.remembered(Notes)
    nft(host, "add table ip theirs")
    assert not put(4)
    rules.remembered(Notes)
    with pytest.raises(NetlinkError):
        rules.transact([delete_element("t", port(9))])
    assert not rules.was_next
    assert put(5)
    rules.close()
    with pytest.raises(NetlinkError):
        put(6)
    assert not rules.was_next


@pytest.mark.parametrize("is_ours", [True, False])
def test_sockets_that_have_a_ledger_in_common_are_nobody_else(
    host: Namespace, is_ours: bool
) -> None:
    ledger = Ledger()
    one = host.call(lambda: Netfilter.open(ledger))
    other = host.call(lambda: Netfilter.open(ledger if is_ours else None))
    one.transact([new_table("t"), MAP])
    first = one.remembered(Notes)
    other.transact([add_element("t", port(2))])
    one.transact([add_element("t", port(3))])
    assert (one.remembered(Notes) is first) == is_ours
    assert (other.remembered(Notes) is one.remembered(Notes)) == is_ours
    for each in (one, other):
        each.close()


@pytest.mark.parametrize(("told", "is_kept"), [(8, True), (9, False), (None, False)])
def test_a_batch_counts_as_ours_by_the_generation_that_it_is_told(
    told: int | None, is_kept: bool
) -> None:
    """Somebody was faster, or the kernel's word was lost."""

    def saying(number: int) -> Script:
        return lambda n, _: [generation(n, number), verdict(n)]

    def batch(n: int, _: int) -> list[Said]:
        return [verdict(n + 1)] if told is None else [generation(n + 1, told), verdict(n + 1)]

    def nothing(n: int, _: int) -> list[Said]:
        return [verdict(n)]

    now = saying(8 if told is None else told)
    netlink, wire = scripted(saying(7), nothing, batch, now, nothing)
    firewall = Netfilter(netlink)
    first = firewall.remembered(Notes)
    firewall.transact([new_table("t")])
    assert (firewall.remembered(Notes) is first) == is_kept
    # Before anything is read anew, a batch of nothing waits for whoever is changing a rule.
    assert [count for _, count in wire.sent] == [1, 2, 3, 1, *([] if is_kept else [2])]


def generation(sequence: int, number: int) -> Said:
    return datagram(raw(0xA0F, sequence, bytes(4) + be32(1, number)))
