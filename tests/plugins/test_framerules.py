"""The table of bridges as nft reads it."""

from __future__ import annotations

import pytest

from acni import netns
from acni.netlink.netfilter import Netfilter
from acni.netns import Namespace
from acni.plugins.elements import put
from acni.plugins.framerules import OF_FRAMES, checking, entry_of_claim
from acni.plugins.owners import Owner
from acni.plugins.senderchecks import checked_at
from acni.spec.attachment import AttachmentId
from tests.netlink.nft import listed, nft

pytestmark = pytest.mark.netns

OWNER = Owner("net", AttachmentId("c1"))
PORT = "veth0123456789a"  # as long as a name can be
MAC = bytes.fromhex("c21122334455")


def printed(bare_host: Namespace) -> str:
    return nft(bare_host, "list", "table", "bridge", "acni")


def test_the_table_says_what_it_does_and_nft_reads_what_it_prints(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    put(firewall, [checking(OWNER, PORT, MAC)])
    said = printed(bare_host)
    lines = [line.strip() for line in said.splitlines()]
    begin = lines.index("chain prerouting {")
    assert lines[begin : begin + 3] == [
        "chain prerouting {",
        "type filter hook prerouting priority dstnat; policy accept;",
        "iifname @checked iifname . ether saddr != @senders drop",
    ]
    comment = 'comment "acni net c1 eth0"'
    assert f'"{PORT}" . c2:11:22:33:44:55 {comment}' in said
    assert said.count(comment) == 3
    with netns.anonymous() as other:
        nft(other, "-f", "-", given=said)
        assert printed(other) == said


def test_a_table_that_is_made_again_keeps_its_elements(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    put(firewall, [checking(OWNER, PORT, MAC)])
    before = printed(bare_host)
    nft(bare_host, "add rule bridge acni prerouting drop")
    firewall.transact(OF_FRAMES.messages())
    assert printed(bare_host) == before


def test_all_sets_are_named(bare_host: Namespace, firewall: Netfilter) -> None:
    firewall.transact(OF_FRAMES.messages())
    there = {one["name"] for kind in ("set", "map") for one in listed(bare_host, kind)}
    assert set(OF_FRAMES.sets) == there


def test_what_says_whose_a_port_is_says_the_rest(firewall: Netfilter) -> None:
    put(firewall, [checking(OWNER, "tap0", MAC)])
    assert checked_at(firewall, "tap0", OWNER) == checking(OWNER, "tap0", MAC)
    assert checked_at(firewall, "tap0", Owner("net", AttachmentId("c2"))) is None
    assert checked_at(firewall, "tap1", OWNER) is None
    assert entry_of_claim(checking(OWNER, "tap0", MAC).claim) == checking(OWNER, "tap0", MAC)
