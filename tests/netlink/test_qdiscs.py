"""Queueing disciplines, made by us and seen by pyroute2, and the other way round."""

from __future__ import annotations

import errno
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.netlink.bridges import new_bridge
from acni.netlink.errors import Malformed, NetlinkError
from acni.netlink.links import change
from acni.netlink.lookup import index_of
from acni.netlink.messages import Answer, attribute, nested, text
from acni.netlink.qdiscs import (
    MOST,
    Bucket,
    Qdisc,
    add_bucket,
    add_ingress,
    find_ingress,
    find_root,
    read_qdisc,
    remove_ingress,
    remove_root,
)
from acni.netlink.sockets import Netlink
from acni.netns import Namespace
from tests.netlink.oracle import asked
from tests.netlink.scripted import datagram, raw, scripted, verdict

pytestmark = pytest.mark.netns

# 8 Mbit/s, 100,000 bytes at once, 25 ms.
BUCKET = Bucket(rate=1_000_000, buffer=1_562_500, limit=125_000)


@pytest.fixture
def index(on_host: Netlink) -> int:
    on_host.request(new_bridge("br0"), change("br0", up=True))
    return index_of(on_host, "br0")


def qdiscs_of(host: Namespace, index: int) -> dict[str, Any]:
    told = asked(host, lambda oracle: oracle.get_qdiscs(index=index))
    return {one.get_attr("TCA_KIND"): one for one in told}


@pytest.mark.parametrize("rate", [BUCKET.rate, MOST, MOST + 1, 50_000_000_000])
def test_a_bucket_is_made_as_it_was_asked_for(
    host: Namespace, on_host: Netlink, index: int, rate: int
) -> None:
    bucket = Bucket(rate=rate, buffer=BUCKET.buffer, limit=BUCKET.limit)
    assert find_root(on_host, index) is None
    on_host.request(add_bucket(index, bucket))
    made = Qdisc(kind="tbf", index=index, handle=1 << 16, bucket=bucket)
    assert find_root(on_host, index) == made
    theirs = qdiscs_of(host, index)["tbf"]
    numbers = theirs.get("TCA_OPTIONS").get_attr("TCA_TBF_PARMS")
    assert (theirs["handle"], numbers["rate"]) == (made.handle, min(rate, MOST))
    assert (numbers["limit"], numbers["buffer"]) == (bucket.limit, bucket.buffer)
    with pytest.raises(NetlinkError) as raised:
        on_host.request(add_bucket(index, BUCKET))
    assert raised.value.errno == errno.EEXIST
    on_host.request(remove_root(index))
    assert find_root(on_host, index) is None
    assert "tbf" not in qdiscs_of(host, index)


def test_one_that_somebody_else_made_is_read(host: Namespace, on_host: Netlink, index: int) -> None:
    def make(oracle: Any) -> list[Any]:
        numbers = {"rate": "8mbit", "burst": 100_000, "latency": "25ms"}
        return list(oracle.tc("add", "tbf", index, 0x10000, parent=0xFFFFFFFF, **numbers) or ())

    asked(host, make)
    root = find_root(on_host, index)
    assert root is not None
    assert root.bucket is not None
    assert (root.kind, root.bucket.rate, root.bucket.buffer) == ("tbf", 1_000_000, 1_562_500)


def test_what_filters_hang_on_is_made_and_removed(
    host: Namespace, on_host: Netlink, index: int
) -> None:
    assert find_ingress(on_host, index) is None
    on_host.request(add_ingress(index))
    found = find_ingress(on_host, index)
    assert found == Qdisc(kind="ingress", index=index, handle=0xFFFF0000)
    assert "ingress" in qdiscs_of(host, index)
    with pytest.raises(NetlinkError) as raised:
        on_host.request(add_ingress(index))
    assert raised.value.errno == errno.EEXIST
    on_host.request(remove_ingress(index))
    assert find_ingress(on_host, index) is None


def test_what_is_not_there_is_told_from_what_cannot_be_asked(on_host: Netlink, index: int) -> None:
    for message in (remove_root(index), remove_ingress(index)):
        with pytest.raises(NetlinkError) as raised:
            on_host.request(message)
        assert raised.value.errno == errno.ENOENT
    for find in (find_root, find_ingress):
        with pytest.raises(NetlinkError) as raised:
            find(on_host, 9999)
        assert raised.value.errno == errno.ENODEV


@pytest.mark.parametrize(
    "bucket",
    [
        Bucket(rate=1, buffer=MOST + 1, limit=1),
        Bucket(rate=1, buffer=1, limit=-1),
        Bucket(rate=1 << 64, buffer=1, limit=1),
    ],
)
def test_a_number_that_no_bucket_holds_is_refused(bucket: Bucket) -> None:
    with pytest.raises(NetlinkError) as raised:
        add_bucket(1, bucket)
    assert raised.value.errno == errno.ERANGE


HEAD = struct.Struct("=BxxxiIII")


def described(*inner: bytes, kind: int = 36) -> Answer:
    return Answer(kind, 0, 1, 1, HEAD.pack(0, 7, 1 << 16, 0xFFFFFFFF, 0) + b"".join(inner))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(described(text(1, "tbf"), kind=37), id="another message"),
        pytest.param(Answer(36, 0, 1, 1, bytes(19)), id="no header"),
        pytest.param(described(), id="no kind"),
        pytest.param(described(text(1, "tbf")), id="a bucket without numbers"),
        pytest.param(described(text(1, "tbf"), nested(2, attribute(1, b"\1"))), id="too few"),
    ],
)
def test_what_describes_no_queueing_discipline_is_malformed(answer: Answer) -> None:
    with pytest.raises(Malformed):
        read_qdisc(answer)


@given(st.integers(36, 37), st.binary(max_size=100))
def test_no_bytes_are_read_as_one_but_with_one_error(kind: int, data: bytes) -> None:
    for answer in (Answer(kind, 0, 1, 1, data), described(text(1, "tbf"), data)):
        try:
            read_qdisc(answer)
        except Malformed:
            continue


def test_two_answers_about_one_are_malformed() -> None:
    body = described(text(1, "ingress")).body
    netlink, _ = scripted(lambda n, _: [datagram(raw(36, n, body), raw(36, n, body)), verdict(n)])
    with pytest.raises(Malformed):
        find_ingress(netlink, 7)
