"""Whether somebody took the rules of a table of ours away, and left the rest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from acni import netns
from acni.netlink.netfilter import Netfilter
from acni.netns import Namespace
from acni.plugins.framerules import OF_FRAMES
from acni.plugins.ruleset import OF_PACKETS
from acni.plugins.tablerules import flushed, forget_flushed
from acni.plugins.tables import TableLayout
from tests.netlink.nft import nft

pytestmark = pytest.mark.netns


@pytest.fixture
def host() -> Iterator[Namespace]:
    with netns.anonymous() as made:
        yield made


@pytest.fixture
def firewall(host: Namespace) -> Iterator[Netfilter]:
    made = host.call(Netfilter.open)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("layout", "family", "chain"),
    [
        (OF_PACKETS, "inet", "prerouting"),
        (OF_PACKETS, "inet", "martians"),
        (OF_PACKETS, "inet", "to_pods"),
        (OF_FRAMES, "bridge", "prerouting"),
    ],
)
def test_a_chain_without_its_rules_is_named(
    host: Namespace, firewall: Netfilter, layout: TableLayout, family: str, chain: str
) -> None:
    assert flushed(firewall, layout) is None, "there is no table"
    firewall.transact(layout.messages())
    forget_flushed(firewall, layout)
    assert flushed(firewall, layout) is None
    nft(host, f"flush chain {family} acni {chain}")
    assert flushed(firewall, layout) == chain
    firewall.transact(layout.messages())
    forget_flushed(firewall, layout)
    assert flushed(firewall, layout) is None


def test_rules_of_a_later_layout_are_not_missed(host: Namespace, firewall: Netfilter) -> None:
    firewall.transact(OF_PACKETS.messages())
    nft(host, "add chain inet acni layout_2")
    nft(host, "flush chain inet acni martians")
    assert flushed(firewall, OF_PACKETS) is None
    nft(host, "delete chain inet acni layout_2")
    assert flushed(firewall, OF_PACKETS) == "martians"


def test_what_the_administrator_has_in_his_chains_does_not_matter(
    host: Namespace, firewall: Netfilter
) -> None:
    firewall.transact(OF_PACKETS.messages())
    nft(host, "add rule inet acni admin_ports tcp dport 22 accept")
    nft(host, "flush chain inet acni admin_ports")
    assert flushed(firewall, OF_PACKETS) is None
