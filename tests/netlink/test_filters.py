"""Filters, made by us and seen by ``tc``, and the other way round."""

from __future__ import annotations

import errno
import json
import struct
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.netlink.errors import Malformed, NetlinkError
from acni.netlink.filters import Filter, list_filters, read_filter, redirect
from acni.netlink.links import change, new_ifb
from acni.netlink.lookup import index_of
from acni.netlink.messages import Answer, attribute, nested, text
from acni.netlink.qdiscs import add_ingress, remove_ingress
from acni.netlink.sockets import Netlink
from acni.netns import Namespace
from tests.netlink.oracle import link_of
from tests.netlink.scripted import INTERRUPTED, datagram, raw, scripted

pytestmark = pytest.mark.netns


@pytest.fixture
def pair(on_host: Netlink) -> tuple[int, int]:
    on_host.request(new_ifb("in0", mtu=1500), new_ifb("out0", mtu=1400))
    on_host.request(change("in0", up=True), change("out0", up=True))
    return index_of(on_host, "in0"), index_of(on_host, "out0")


def tc(host: Namespace, *words: str) -> Any:
    run = host.call(
        lambda: subprocess.run(["tc", *words], capture_output=True, check=True, timeout=20)
    )
    return json.loads(run.stdout) if "-j" in words else None


def test_an_ifb_is_made_as_it_was_asked_for(
    host: Namespace, on_host: Netlink, pair: tuple[int, int]
) -> None:
    link = link_of(host, "out0")
    assert link.get(("linkinfo", "kind")) == "ifb"
    assert (link["index"], link.get("mtu"), link.get("txqlen")) == (pair[1], 1400, 0)


def test_all_that_arrives_is_redirected(
    host: Namespace, on_host: Netlink, pair: tuple[int, int]
) -> None:
    index, to = pair
    on_host.request(add_ingress(index))
    assert list_filters(on_host, index) == ()
    on_host.request(redirect(index, to))
    assert {target for one in list_filters(on_host, index) for target in one.targets} == {to}
    (options,) = (
        one["options"]
        for one in tc(host, "-j", "filter", "show", "dev", "in0", "ingress")
        if "match" in one.get("options", {})
    )
    assert (options["match"]["value"], options["match"]["mask"]) == ("0", "0")
    (action,) = options["actions"]
    assert action["kind"] == "mirred"
    assert (action["mirred_action"], action["direction"]) == ("redirect", "egress")
    assert (action["to_dev"], action["control_action"]["type"]) == ("out0", "stolen")
    on_host.request(remove_ingress(index))
    assert list_filters(on_host, index) == ()


def test_what_somebody_else_redirects_is_seen_and_what_is_no_redirection_as_well(
    host: Namespace, on_host: Netlink, pair: tuple[int, int]
) -> None:
    index, to = pair
    on_host.request(add_ingress(index))
    add = ("filter", "add", "dev", "in0", "parent", "ffff:", "protocol", "all")
    everything = ("u32", "match", "u32", "0", "0")
    tc(host, *add, "prio", "3", *everything, "flowid", "1:2")
    assert [one.targets for one in list_filters(on_host, index) if one.targets] == []
    assert list_filters(on_host, index) != ()
    tc(host, *add, "prio", "2", *everything, "action", "mirred", "egress", "mirror", "dev", "out0")
    assert [one.targets for one in list_filters(on_host, index) if one.targets] == []
    tc(
        host,
        *add,
        "prio",
        "1",
        *everything,
        "action",
        "mirred",
        "egress",
        "redirect",
        "dev",
        "out0",
    )
    assert [one.targets for one in list_filters(on_host, index) if one.targets] == [(to,)]


def test_without_anything_to_hang_on_a_filter_is_refused(
    on_host: Netlink, pair: tuple[int, int]
) -> None:
    index, to = pair
    for message in (redirect(index, to), redirect(9999, to)):
        with pytest.raises(NetlinkError) as raised:
            on_host.request(message)
        assert raised.value.errno in (errno.EINVAL, errno.ENODEV)
    assert list_filters(on_host, index) == ()
    assert list_filters(on_host, 9999) == ()


HEAD = struct.Struct("=BxxxiIII")
MIRRED = struct.Struct("=IIiiiiI")


def described(*inner: bytes, kind: int = 44) -> Answer:
    return Answer(kind, 0, 1, 1, HEAD.pack(0, 7, 0, 0xFFFF0000, 0) + b"".join(inner))


def of_action(kind: str, numbers: bytes) -> Answer:
    action = nested(1, text(1, kind), nested(2, attribute(2, numbers)))
    return described(text(1, "u32"), nested(2, nested(7, action)))


def test_only_a_redirection_has_a_target() -> None:
    numbers = MIRRED.pack(0, 0, 4, 0, 0, 1, 9)
    assert read_filter(of_action("mirred", numbers)) == Filter(kind="u32", targets=(9,))
    assert read_filter(of_action("gact", numbers)).targets == ()
    assert read_filter(described(text(1, "matchall"), attribute(2, numbers))).targets == ()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(described(text(1, "u32"), kind=45), id="another message"),
        pytest.param(Answer(44, 0, 1, 1, bytes(19)), id="no header"),
        pytest.param(of_action("mirred", bytes(27)), id="an action that is too short"),
    ],
)
def test_what_describes_no_filter_is_malformed(answer: Answer) -> None:
    with pytest.raises(Malformed):
        read_filter(answer)


@given(st.binary(max_size=100))
def test_no_bytes_are_read_as_a_filter_but_with_one_error(data: bytes) -> None:
    for answer in (Answer(44, 0, 1, 1, data), described(text(1, "u32"), data)):
        try:
            read_filter(answer)
        except Malformed:
            continue


def test_a_list_that_changed_while_it_was_read_is_read_again() -> None:
    """The reference's DEL fails of it: "interrupted system call"."""
    body = of_action("mirred", MIRRED.pack(0, 0, 4, 0, 0, 1, 9)).body
    netlink, wire = scripted(
        lambda n, _: [datagram(raw(44, n, body, flags=INTERRUPTED)), datagram(raw(3, n, b""))],
        lambda n, _: [datagram(raw(44, n, body)), datagram(raw(3, n, b""))],
    )
    assert [one.targets for one in list_filters(netlink, 7)] == [(9,)]
    assert len(wire.sent) == 2
