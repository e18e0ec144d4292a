"""A conversation with a kernel that may answer anything, and with the real one."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import threading
import time

import pytest
from attrs import evolve

from acni import NotPermitted, netns
from acni.host.visits import Stranded
from acni.netlink.errors import (
    DONE,
    AnswerLost,
    DumpInterrupted,
    Malformed,
    NetlinkError,
    NetlinkTimeout,
    Verdict,
)
from acni.netlink.links import change, list_links
from acni.netlink.messages import ACK, Message, pack, question
from acni.netlink.sockets import open_here, open_inside
from tests.netlink.scripted import (
    INTERRUPTED,
    MULTI,
    PORT,
    Said,
    agrees,
    datagram,
    done,
    keeps_silent,
    overrun,
    raw,
    scripted,
    some,
    verdict,
)

LIST = Message(18, 0, bytes(16))


def test_what_was_asked_for_is_returned_without_the_acknowledgement() -> None:
    netlink, wire = scripted(lambda n, _: [datagram(raw(16, n, b"data")), verdict(n)])
    (answer,) = netlink.request(*some(1))
    assert (answer.kind, answer.body) == (16, b"data")
    assert wire.waits == []  # it lay there


def test_a_question_is_over_with_its_answer_or_its_refusal() -> None:
    def asked(n: int, _: int) -> list[Said]:
        return [datagram(raw(16, n, b"data")), verdict(n + 1, errno.ENODEV)]

    netlink, wire = scripted(asked)
    exchange = netlink.exchange([question(one) for one in some(2)])
    assert [one.body for one in exchange.answers] == [b"data"]
    assert [one.code for one in exchange.verdicts] == [0, errno.ENODEV]
    assert wire.reads == 2


def test_the_kernel_acknowledges_what_is_no_question() -> None:
    flags = [struct.unpack_from("=IHH", pack([one], first=1))[2] for one in (LIST, question(LIST))]
    assert [bool(one & ACK) for one in flags] == [True, False]


def test_nothing_is_read_behind_the_last_answer() -> None:
    """Each reading is a system call."""
    netlink, wire = scripted(agrees)
    netlink.request(*some(3))
    netlink.request(*some(2))
    assert wire.reads == 5


def test_the_first_refusal_is_raised_and_all_verdicts_are_told() -> None:
    def refuse_two(n: int, _: int) -> list[Said]:
        refused = verdict(n + 1, errno.EEXIST, words="it is there", offset=36)
        return [verdict(n), refused, verdict(n + 2, errno.ENODEV), verdict(n + 3)]

    netlink, wire = scripted(refuse_two, agrees)
    with pytest.raises(NetlinkError) as raised:
        netlink.request(*some(4))
    error = raised.value
    assert (error.errno, error.words, error.index, error.offset) == (17, "it is there", 1, 36)
    assert [each.code for each in error.verdicts] == [0, errno.EEXIST, errno.ENODEV, 0]
    assert netlink.request(*some(1)) == ()
    assert wire.sent == [(1, 4), (5, 1)]


def test_an_exchange_raises_no_refusal() -> None:
    netlink, _ = scripted(lambda n, _: [verdict(n, errno.EEXIST), verdict(n + 1)])
    exchange = netlink.exchange(some(2))
    assert exchange.verdicts == (Verdict(code=errno.EEXIST), DONE)


def test_nothing_is_sent_where_there_is_nothing_to_say() -> None:
    netlink, wire = scripted(agrees)
    assert netlink.request() == ()
    assert wire.sent == []


def test_many_messages_are_sent_in_parts_whose_answers_fit_and_counted_through() -> None:
    netlink, wire = scripted(
        agrees, lambda n, count: [verdict(n + i, 17 if i == 5 else 0) for i in range(count)], agrees
    )
    with pytest.raises(NetlinkError) as raised:
        netlink.request(*some(300))
    assert raised.value.index == 128 + 5
    assert len(raised.value.verdicts) == 300
    assert wire.sent == [(1, 128), (129, 128), (257, 44)]


def test_large_messages_are_sent_in_parts_that_fit_the_socket() -> None:
    netlink, wire = scripted(agrees)
    netlink.request(*some(5, size=30_000), *some(1, size=100_000), *some(1))
    assert [count for _, count in wire.sent] == [2, 2, 1, 1, 1]


def test_what_answers_nothing_of_ours_is_skipped() -> None:
    def among_others(n: int, _: int) -> list[Said]:
        spoofed = verdict(n, errno.EPERM)
        return [
            verdict(n - 1, errno.EPERM),
            verdict(n + 1, errno.EPERM),
            verdict(n, errno.EPERM, port=PORT + 1),
            evolve(spoofed, sender=815),
            datagram(raw(16, 0, b"news", port=0)),
            datagram(raw(1, n, b"")),
            datagram(raw(16, n, b"data"), verdict(n).data),
        ]

    netlink, _ = scripted(among_others)
    assert [answer.body for answer in netlink.request(*some(1))] == [b"data"]


def test_numbers_go_on_behind_the_last_one() -> None:
    netlink, wire = scripted(agrees)
    netlink._sequence = 0xFFFFFFFE
    assert netlink.exchange(some(3)).verdicts == (DONE,) * 3
    netlink.request(*some(1))
    assert [first for first, _ in wire.sent] == [0xFFFFFFFF, 2]


def test_an_answer_that_is_late_is_waited_for() -> None:
    netlink, wire = scripted(keeps_silent)
    wire.on_wait = lambda: wire.said.append(verdict(1))
    assert netlink.request(*some(1)) == ()
    assert 0 < wire.waits[0] <= 30


def test_an_answer_that_does_not_come_is_a_timeout_that_says_of_which_message() -> None:
    netlink, _ = scripted(
        agrees, lambda n, _: [verdict(n), verdict(n + 1, errno.EEXIST)], seconds=0.0
    )
    with pytest.raises(NetlinkTimeout) as raised:
        netlink.request(*some(128 + 4))
    error = raised.value
    assert (error.errno, error.index) == (errno.ETIMEDOUT, 130)
    assert [each.code for each in error.verdicts[127:]] == [0, 0, errno.EEXIST, 105, 105]


def test_what_comes_after_a_timeout_disturbs_nobody() -> None:
    netlink, wire = scripted(keeps_silent, agrees, seconds=0.01)
    with pytest.raises(NetlinkTimeout):
        netlink.request(*some(1))
    wire.said.append(verdict(1, errno.EPERM))
    netlink.seconds = 30
    assert netlink.request(*some(1)) == ()


def test_somebody_who_talks_without_end_is_listened_to_until_the_deadline() -> None:
    netlink, wire = scripted(keeps_silent, seconds=0.05)
    wire.on_wait = lambda: wire.said.extend([datagram(raw(16, 0, b"news", port=0))] * 100_000)
    with pytest.raises(NetlinkTimeout):
        netlink.request(*some(1))


def test_an_answer_that_was_lost_is_known_to_be_lost() -> None:
    netlink, wire = scripted(lambda n, _: [verdict(n), overrun(), verdict(n + 2)], agrees)
    with pytest.raises(AnswerLost) as raised:
        netlink.request(*some(3))
    assert raised.value.index == 1
    assert [each.is_lost for each in raised.value.verdicts] == [False, True, False]
    assert wire.waits == []
    assert netlink.request(*some(1)) == ()


def test_an_overrun_that_lost_nothing_of_ours_is_no_error() -> None:
    netlink, _ = scripted(lambda n, _: [overrun(), verdict(n)])
    assert netlink.request(*some(1)) == ()


@pytest.mark.parametrize("code", [errno.EBADF, errno.EIO], ids=errno.errorcode.get)
def test_a_socket_that_cannot_be_read_is_an_error(code: int) -> None:
    netlink, _ = scripted(lambda n, _: [OSError(code, os.strerror(code))])
    with pytest.raises(NetlinkError) as raised:
        netlink.request(*some(1))
    assert raised.value.errno == code


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(datagram(b"\1\2\3"), id="no message"),
        pytest.param(datagram(raw(16, 1, bytes(16))[:20]), id="cut off"),
        pytest.param(evolve(verdict(1), is_truncated=True), id="larger than the buffer"),
        pytest.param(datagram(raw(2, 1, b"")), id="a verdict without a number"),
    ],
)
def test_what_is_no_netlink_message_is_an_error_and_the_next_request_is_answered(
    said: Said,
) -> None:
    netlink, _ = scripted(lambda n, _: [said, verdict(n, errno.EPERM)], agrees)
    with pytest.raises(Malformed):
        netlink.request(*some(1))
    assert netlink.request(*some(1)) == ()


def part(n: int, *bodies: bytes, flags: int = 0) -> Said:
    return datagram(*(raw(16, n, body, flags=MULTI | flags) for body in bodies))


def test_a_list_is_whole_when_its_end_has_come() -> None:
    netlink, wire = scripted(lambda n, _: [part(n, b"1", b"2"), part(n, b"3"), datagram(done(n))])
    assert [answer.body for answer in netlink.dump(LIST)] == [b"1", b"2", b"3"]
    assert len(wire.sent) == 1


@pytest.mark.parametrize("where", ["a message", "the end", "lost", "lost at the end"])
def test_a_list_that_changed_while_it_was_read_is_read_again(where: str) -> None:
    def changing(n: int, _: int) -> list[Said]:
        match where:
            case "a message":
                return [part(n, b"old", flags=INTERRUPTED), datagram(done(n))]
            case "the end":
                return [part(n, b"old"), datagram(done(n, flags=INTERRUPTED))]
            case "lost":
                return [part(n, b"old"), overrun(), datagram(done(n))]
            case _:
                return [part(n, b"old"), overrun()]

    netlink, wire = scripted(changing, changing, lambda n, _: [part(n, b"new"), datagram(done(n))])
    assert [answer.body for answer in netlink.dump(LIST)] == [b"new"]
    assert len(wire.sent) == 3


def test_a_list_that_changes_each_time_is_an_error_after_some_times() -> None:
    netlink, wire = scripted(lambda n, _: [part(n, flags=0), datagram(done(n, flags=INTERRUPTED))])
    with pytest.raises(DumpInterrupted) as raised:
        netlink.dump(LIST)
    assert raised.value.errno == errno.EAGAIN
    assert len(wire.sent) == 16


@pytest.mark.parametrize("is_at_end", [False, True])
def test_a_list_that_is_refused_is_an_error(is_at_end: bool) -> None:
    netlink, _ = scripted(
        lambda n, _: [datagram(done(n, errno.ENODEV)) if is_at_end else verdict(n, errno.ENODEV)]
    )
    with pytest.raises(NetlinkError) as raised:
        netlink.dump(LIST)
    assert (raised.value.errno, raised.value.index) == (errno.ENODEV, 0)


def test_what_was_left_unread_is_read_to_its_end_first() -> None:
    netlink, wire = scripted(lambda n, _: [part(n, b"old"), datagram(b"\1")], agrees)
    with pytest.raises(Malformed):
        netlink.dump(LIST)
    wire.said.extend([part(1, b"older"), overrun(), datagram(done(1))])
    assert netlink.request(*some(1)) == ()
    assert not wire.said


def test_what_was_left_unread_and_has_no_end_is_an_error() -> None:
    netlink, wire = scripted(keeps_silent, seconds=0.01)
    with pytest.raises(NetlinkTimeout):
        netlink.request(*some(1))
    wire.said.extend([part(1, b"old")] * 1_000_000)
    with pytest.raises(NetlinkTimeout, match="no end"):
        netlink.request(*some(1))


def test_what_cannot_be_sent_is_an_error_of_ours() -> None:
    with open_here() as netlink, pytest.raises(NetlinkError) as raised:
        netlink.request(*some(1, size=1 << 20))
    assert raised.value.errno == errno.EMSGSIZE


def test_it_is_closed_with_its_block() -> None:
    netlink, wire = scripted(agrees)
    with netlink:
        pass
    assert wire.is_closed


# --- the kernel ------------------------------------------------------------------


@pytest.mark.netns
def test_the_kernel_says_in_words_and_by_attribute_what_it_does_not_like() -> None:
    with netns.anonymous() as box, open_inside(box.fd, path=box.path) as netlink:
        with pytest.raises(NetlinkError) as raised:
            netlink.request(change(1, up=True), change(1, mac=bytes(3)), change(1, up=False))
        error = raised.value
        assert (error.errno, error.index) == (errno.EINVAL, 1)
        assert [bool(each.code) for each in error.verdicts] == [False, True, False]
        with pytest.raises(NetlinkError) as raised:
            netlink.request(Message(18, 0, bytes(16) + b"\x08\0\x1b\0\1\0\0\0"))
        assert raised.value.words
        assert raised.value.offset == 32 or raised.value.offset is None


@pytest.mark.netns
def test_a_thousand_refusals_in_one_call_are_all_told() -> None:
    """An acknowledgement of each is more than a socket holds."""
    with netns.anonymous() as box, open_inside(box.fd, path=box.path) as netlink:
        exchange = netlink.exchange([change(99, up=True)] * 1000)
    assert [each.code for each in exchange.verdicts] == [errno.ENODEV] * 1000


@pytest.mark.netns
def test_answers_that_a_small_socket_cannot_hold_are_known_to_be_lost() -> None:
    with netns.anonymous() as box, open_inside(box.fd, path=box.path) as netlink:
        with socket.socket(fileno=os.dup(netlink.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        exchange = netlink.exchange([change(99, up=True)] * 128)
        lost = [each.is_lost for each in exchange.verdicts]
        assert not lost[0]
        assert lost[-1]
        assert {each.code for each in exchange.verdicts} == {errno.ENODEV, errno.ENOBUFS}
        assert netlink.exchange([change(1, up=True)]).verdicts == (DONE,)


@pytest.mark.netns
def test_a_signal_disturbs_neither_a_wait_nor_a_request() -> None:
    """The system call it interrupts goes on for what is left of the time (PEP 475)."""
    struck: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: struck.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        with netns.anonymous() as box, open_inside(box.fd, path=box.path) as netlink:
            began = time.monotonic()
            assert not netlink._wire.wait(0.05)
            assert time.monotonic() - began >= 0.05
            until = time.monotonic() + 30
            while len(struck) < 50 and time.monotonic() < until:
                assert len(list_links(netlink)) == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(struck) >= 50


@pytest.mark.netns
def test_a_socket_stays_in_the_namespace_it_was_made_in_and_the_thread_does_not() -> None:
    home = netns.identity("/proc/thread-self/ns/net")
    with netns.anonymous() as box:
        netlink = open_inside(box.fd, path=box.path)
        assert netns.identity("/proc/thread-self/ns/net") == home
        with netlink:
            netlink.request(change("lo", up=True))
            assert box.call(socket.if_nameindex) == [(1, "lo")]
            assert [link.is_up for link in list_links(netlink)] == [True]


@pytest.mark.netns
def test_what_is_no_namespace_is_not_entered() -> None:
    home = netns.identity("/proc/thread-self/ns/net")
    with open("/proc/self/ns/mnt") as other, pytest.raises(NotPermitted):  # noqa: PTH123
        open_inside(other.fileno(), path="/proc/self/ns/mnt")
    assert netns.identity("/proc/thread-self/ns/net") == home


@pytest.mark.netns
def test_a_thread_that_cannot_come_back_opens_nothing() -> None:
    raised: list[BaseException] = []
    with netns.anonymous() as box, netns.anonymous() as lost:
        lost_home = evolve(lost, fd=-1)

        def leave() -> None:
            try:
                open_inside(box.fd, path=box.path, home=lost_home)
            except Stranded as error:
                raised.append(error)

        thread = threading.Thread(target=leave)
        thread.start()
        thread.join(30)
    assert len(raised) == 1


def test_a_batch_is_over_with_the_verdict_of_the_last_one_within_it() -> None:
    """Or with the first one's, where it is refused as a whole."""
    netlink, wire = scripted(
        lambda n, _: [verdict(n + 1, errno.EEXIST), verdict(n + 2)], lambda n, _: [verdict(n, 1)]
    )
    told = netlink.batch(some(4)).verdicts
    assert [(one.code, one.is_lost) for one in told] == [
        (errno.ENOBUFS, True),
        (errno.EEXIST, False),
        (0, False),
        (errno.ENOBUFS, True),
    ]
    assert netlink.batch(some(3)).verdicts[0].code == errno.EPERM
    assert wire.sent == [(1, 4), (5, 3)]
    assert wire.waits == []
