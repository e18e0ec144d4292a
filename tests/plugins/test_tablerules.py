"""Whether a table of ours is in force: whether it has its rules, and whether it sleeps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from threading import Thread, current_thread

import pytest
from attrs import define, evolve

from acni.netlink import nfexpressions as nf
from acni.netlink.generations import Ledger
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import family_name
from acni.netlink.wire import KernelWire
from acni.netns import Namespace
from acni.plugins.framerules import OF_FRAMES
from acni.plugins.ruleset import OF_PACKETS
from acni.plugins.tablerules import IN_FORCE, TableState, forget_state, state_of
from acni.plugins.tables import TableLayout
from tests.netlink.nft import listed, nft

pytestmark = pytest.mark.netns


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
    bare_host: Namespace, firewall: Netfilter, layout: TableLayout, family: str, chain: str
) -> None:
    assert state_of(firewall, layout) == IN_FORCE, "there is no table"
    firewall.transact(layout.messages())
    forget_state(firewall, layout)
    assert state_of(firewall, layout) == IN_FORCE
    nft(bare_host, f"flush chain {family} acni {chain}")
    assert state_of(firewall, layout) == TableState(lacking=chain)
    firewall.transact(layout.messages())
    forget_state(firewall, layout)
    assert state_of(firewall, layout) == IN_FORCE


def test_rules_of_a_later_layout_are_not_missed(bare_host: Namespace, firewall: Netfilter) -> None:
    firewall.transact(OF_PACKETS.messages())
    nft(bare_host, "add chain inet acni layout_2")
    nft(bare_host, "flush chain inet acni martians")
    assert state_of(firewall, OF_PACKETS) == IN_FORCE
    nft(bare_host, "delete chain inet acni layout_2")
    assert state_of(firewall, OF_PACKETS) == TableState(lacking="martians")


def test_what_the_administrator_has_in_his_chains_does_not_matter(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    firewall.transact(OF_PACKETS.messages())
    nft(bare_host, "add rule inet acni admin_ports tcp dport 22 accept")
    nft(bare_host, "flush chain inet acni admin_ports")
    assert state_of(firewall, OF_PACKETS) == IN_FORCE


@pytest.mark.parametrize("layout", [OF_PACKETS, OF_FRAMES], ids=["packets", "frames"])
def test_each_rule_that_is_deleted_alone_is_missed(
    bare_host: Namespace, firewall: Netfilter, layout: TableLayout
) -> None:
    firewall.transact(layout.messages())
    ours = [rule for rule in listed(bare_host, "rule") if rule["table"] == "acni"]
    assert len(ours) == sum(layout.rules.values()) > 0
    for one in ours:
        place = [one["family"], "acni", one["chain"]]
        there = nft(bare_host, "-a", "list", "chain", *place)
        nft(bare_host, "insert", "rule", *place, "counter")
        handles = [r["handle"] for r in listed(bare_host, "rule") if r["chain"] == one["chain"]]
        index = [r["handle"] for r in ours if r["chain"] == one["chain"]].index(one["handle"])
        assert state_of(firewall, layout) == IN_FORCE, "what is beside ours does not matter"
        nft(bare_host, "delete", "rule", *place, "handle", str(handles[index + 1]))
        assert state_of(firewall, layout) == TableState(lacking=one["chain"]), there
        firewall.transact(layout.messages())
        forget_state(firewall, layout)
        assert state_of(firewall, layout) == IN_FORCE


@pytest.mark.parametrize(
    ("chain", "before", "after"),
    [
        ("martians", nf.verdict(nf.NF_DROP), nf.verdict(nf.NF_ACCEPT)),
        ("forward", nf.verdict(nf.NFT_JUMP, "admin_forward"), nf.verdict(nf.NFT_JUMP, "to_pods")),
        ("postrouting", nf.is_in("returning6"), nf.is_in("returning4")),
    ],
    ids=["a verdict", "another chain", "a set"],
)
def test_a_rule_of_ours_that_leads_elsewhere_by_now_is_missed(
    firewall: Netfilter, chain: str, before: bytes, after: bytes
) -> None:
    messages = OF_PACKETS.messages()
    at = f"{chain}\0".encode()
    (number,) = (n for n, one in enumerate(messages) if at in one.body and before in one.body)
    changed = messages[number].body.replace(before, after)
    messages[number] = evolve(messages[number], body=changed)
    firewall.transact(messages)
    assert state_of(firewall, OF_PACKETS) == TableState(lacking=chain)


@pytest.mark.parametrize("layout", [OF_PACKETS, OF_FRAMES], ids=["packets", "frames"])
def test_a_table_that_sleeps_is_known_until_somebody_wakes_it(
    bare_host: Namespace, firewall: Netfilter, layout: TableLayout
) -> None:
    name = f"{family_name(layout.family)} acni"
    firewall.transact(layout.messages())
    nft(bare_host, f"add table {name} {{ flags dormant; }}")
    assert state_of(firewall, layout) == TableState(is_asleep=True)
    firewall.transact(layout.messages())
    forget_state(firewall, layout)
    assert state_of(firewall, layout) == TableState(is_asleep=True), "we wake nothing"
    nft(bare_host, f"add table {name}")
    assert state_of(firewall, layout) == IN_FORCE


def test_rules_that_are_made_while_somebody_reads_are_not_missed_afterwards(
    bare_host: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are made before each message that the reader sends; by a thread that may have to wait
    for the reader, which gives it some time.
    """
    ledger = Ledger()
    with ExitStack() as opened:
        one, other = (
            opened.enter_context(closing(bare_host.call(lambda: Netfilter.open(ledger))))
            for _ in range(2)
        )

        def make() -> None:
            other.transact(OF_PACKETS.messages())
            forget_state(other, OF_PACKETS)

        for number in range(1, 20):
            make()
            nft(bare_host, "flush chain inet acni martians")
            meanwhile = InAnotherThread(number, make)
            with monkeypatch.context() as patch:
                patch.setattr(KernelWire, "send", meanwhile.of(KernelWire.send))
                state_of(one, OF_PACKETS)
            if meanwhile.thread is None:
                assert number > 3
                return
            meanwhile.thread.join(60)
            assert state_of(one, OF_PACKETS) == IN_FORCE, number
    pytest.fail("it never came to an end")


@define
class InAnotherThread:
    """What is begun in another thread before a message of this one.

    Attributes:
        at: Before which, from 1.
        do: What is begun, and waited for shortly.
        thread: Where it was.
    """

    at: int
    do: Callable[[], object]
    thread: Thread | None = None
    count: int = 0

    def of(self, send: Callable[[KernelWire, bytes], None]) -> Callable[[KernelWire, bytes], None]:
        ours = current_thread()

        def sending(wire: KernelWire, data: bytes) -> None:
            if current_thread() is ours:
                self.count += 1
                if self.count == self.at:
                    self.thread = Thread(target=self.do)
                    self.thread.start()
                    self.thread.join(0.5)
            send(wire, data)

        return sending
