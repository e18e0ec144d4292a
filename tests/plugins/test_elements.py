"""What pods have in the table: put in, compared before it is taken out, and made anew."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from acni import netns
from acni.netlink.errors import NetlinkError
from acni.netlink.messages import Message
from acni.netlink.netfilter import Netfilter
from acni.netlink.wire import KernelWire
from acni.netns import Namespace
from acni.plugins.elements import (
    Taken,
    entries_of,
    entries_of_owner,
    missing,
    netfilter_of,
    put,
    require_writable,
    take_out,
)
from acni.plugins.firewall_elements import collect_apart
from acni.plugins.owners import Owner, network_mark
from acni.plugins.podelements import Port, apart, guarding, masquerading, publishing, way
from acni.plugins.tables import Entry, comment_of
from acni.skel import PluginError
from acni.spec.attachment import AttachmentId
from tests.netlink.nft import all_elements, listed, nft, rules_of
from tests.plugins.calling import make_call

pytestmark = pytest.mark.netns

OURS, THEIRS = (Owner("net", AttachmentId(name)) for name in ("c1", "c2"))
V4, NEXT, V6 = (ip_address(text) for text in ("10.9.0.2", "10.9.0.3", "fd00:9::2"))
PUBLISHED = ("owners4", "published4", "returning4", "selves4", "hostports4")


def port(number: int, pod_port: int = 80) -> Port:
    return Port(protocol=6, host_port=number, pod_port=pod_port)


def ours(*numbers: int) -> list[Entry]:
    return [publishing(OURS, one, [port(number) for number in numbers]) for one in (V4, V6)]


def there(bare_host: Namespace) -> dict[str, int]:
    """How many elements each set has, where it has some."""
    counts = {name: len(elements) for name, elements in all_elements(bare_host).items()}
    return {name: count for name, count in counts.items() if count}


def test_what_is_put_in_is_there_and_what_is_taken_out_is_not(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    for _ in range(2):
        put(firewall, ours(8080, 8081), shared=[way(7)])
        assert missing(firewall, ours(8080, 8081)) is None
        once: dict[str, int] = dict.fromkeys(("owners", "published", "returning", "selves"), 1)
        once["hostports"] = 2
        assert there(bare_host) == {
            **{name + family: count for family in "46" for name, count in once.items()},
            "ways": 1,
        }
    for _ in range(2):
        take_out(firewall, ours(8080, 8081))
        assert there(bare_host) == {"ways": 1}


def test_what_is_missing_or_another_ones_is_told(bare_host: Namespace, firewall: Netfilter) -> None:
    put(firewall, ours(8080))
    gone = missing(firewall, ours(8080, 8081))
    assert gone is not None
    assert gone.name == "hostports4"
    nft(bare_host, "delete element inet acni owners6 { fd00:9::2 }")
    gone = missing(firewall, ours(8080))
    assert gone is not None
    assert gone.name == "owners6"


def test_a_port_that_is_taken_is_refused_whole_and_says_whose_it_is(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    put(firewall, [publishing(THEIRS, NEXT, [port(8081)])])
    before = there(bare_host)
    with pytest.raises(Taken) as raised:
        put(firewall, ours(8080, 8081))
    assert raised.value.owner == "acni net c2 eth0"
    assert raised.value.element.name == "hostports4"
    assert there(bare_host) == before


def test_what_is_the_next_ones_is_not_taken_out(bare_host: Namespace, firewall: Netfilter) -> None:
    """A DEL that comes again, after the address and the port were given to another."""
    put(firewall, ours(8080))
    take_out(firewall, ours(8080))
    put(firewall, [publishing(THEIRS, V4, [port(8080)])])
    before = there(bare_host)
    take_out(firewall, ours(8080))
    assert there(bare_host) == before


def test_a_port_that_leads_elsewhere_stays_and_the_rest_goes(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    put(firewall, ours(8080))
    put(firewall, [publishing(THEIRS, NEXT, [port(8081)])])
    take_out(firewall, ours(8080, 8081))
    assert there(bare_host) == dict.fromkeys(PUBLISHED, 1)


def test_what_somebody_took_is_no_reason_to_leave_the_rest(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    """Nor to leave what is there already as it is: its owner is written beside it."""
    put(firewall, ours(8080))
    nft(bare_host, "delete element inet acni published4 { 10.9.0.2 }")
    nft(bare_host, "delete element inet acni selves6 { fd00:9::2 . fd00:9::2 }")
    nft(bare_host, "add element inet acni published4 { 10.9.0.2 }")
    assert missing(firewall, ours(8080)) is not None
    put(firewall, ours(8080))
    assert missing(firewall, ours(8080)) is None
    nft(bare_host, "delete element inet acni returning4 { 10.9.0.2 }")
    nft(bare_host, "delete element inet acni owners6 { fd00:9::2 }")
    take_out(firewall, ours(8080))
    assert there(bare_host) == {}


def test_mostly_nothing_is_there_and_then_each_element_is_one_message(
    firewall: Netfilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(firewall, [masquerading(THEIRS, NEXT)])
    sent: list[int] = []
    real = Netfilter.transact

    def counted(netfilter: Netfilter, messages: Sequence[Message], **rest: Any) -> None:
        sent.append(len(messages))
        real(netfilter, messages, **rest)

    monkeypatch.setattr(Netfilter, "transact", counted)
    (entry, _) = ours(8080)
    put(firewall, [entry])  # the layout, whose it is, and four more
    take_out(firewall, [entry])  # whose it is, twice, four more, and where the port leads
    assert sent == [6, 7]


def test_an_address_is_taken_over_with_all_that_was_said_of_it(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    put(firewall, [publishing(THEIRS, V4, [port(8080), port(9090)])])
    put(firewall, [masquerading(THEIRS, V4), masquerading(THEIRS, NEXT)])
    put(firewall, ours(8080)[:1])
    assert missing(firewall, ours(8080)[:1]) is None
    assert there(bare_host) == {**dict.fromkeys(PUBLISHED, 1), "owners4": 2, "masquerade4": 1}


def test_an_address_is_taken_over_however_often_rules_change_meanwhile(
    bare_host: Namespace, firewall: Netfilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a crowd somebody always changes some rule; of whom nobody need wait for the others."""
    put(firewall, [publishing(THEIRS, V4, [port(8080)])])
    other = bare_host.call(Netfilter.open)
    real = KernelWire.send

    def send(wire: KernelWire, data: bytes) -> None:
        real(wire, data)
        if wire.fileno() == firewall.netlink.fileno():
            monkeypatch.setattr(KernelWire, "send", real)
            put(other, [masquerading(THEIRS, NEXT)])
            monkeypatch.setattr(KernelWire, "send", send)

    monkeypatch.setattr(KernelWire, "send", send)
    put(firewall, ours(8080)[:1])
    monkeypatch.setattr(KernelWire, "send", real)
    other.close()
    assert missing(firewall, ours(8080)[:1]) is None
    assert there(bare_host) == {**dict.fromkeys(PUBLISHED, 1), "owners4": 2, "masquerade4": 1}


def test_an_address_is_taken_over_from_who_is_none_of_ours(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    put(firewall, [masquerading(THEIRS, V4)])
    for command in (
        "delete element inet acni owners4 { 10.9.0.2 }",
        "add element inet acni owners4 { 10.9.0.2 : 7 }",
        "add element inet acni published4 { 10.9.0.2 }",
    ):
        nft(bare_host, command)
    put(firewall, ours(8080)[:1])
    assert missing(firewall, ours(8080)[:1]) is None
    assert there(bare_host) == dict.fromkeys(PUBLISHED, 1)


def test_a_table_that_is_gone_is_made_anew_by_who_puts_in(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    take_out(firewall, ours(8080))
    assert listed(bare_host, "table") == []
    for _ in range(2):
        put(firewall, ours(8080))
        assert missing(firewall, ours(8080)) is None
        nft(bare_host, "flush ruleset")
        assert missing(firewall, ours(8080)) is not None
        assert entries_of(firewall, lambda _: True) == []


def test_a_table_of_an_older_layout_is_brought_to_ours_by_who_puts_in(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    """What is in it stays, and so do the administrator's rules."""
    put(firewall, [masquerading(THEIRS, NEXT)])
    nft(bare_host, "add rule inet acni admin_ports tcp dport 22 accept")
    ours_now = rules(bare_host)
    nft(bare_host, "delete chain inet acni layout_1")
    nft(bare_host, "flush chain inet acni postrouting")
    put(firewall, [masquerading(OURS, V4)])
    assert rules(bare_host) == ours_now
    assert missing(firewall, [masquerading(THEIRS, NEXT), masquerading(OURS, V4)]) is None


@pytest.mark.parametrize("flush", ["flush table inet acni", "flush chain inet acni forward"])
def test_rules_that_were_flushed_are_made_again_by_who_puts_in(
    bare_host: Namespace, firewall: Netfilter, flush: str
) -> None:
    put(firewall, ours(8080))
    nft(bare_host, "add rule inet acni admin_ports tcp dport 22 accept")
    before = rules_of(bare_host)
    mine = "" if "chain" in flush else "tcp dport 22 accept"
    for _ in range(2):
        nft(bare_host, flush)
        put(firewall, ours(8080))
        assert rules_of(bare_host).split() == before.replace(mine, "").split()


def test_a_table_of_a_later_layout_that_we_can_work_with_is_left_alone(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    put(firewall, [masquerading(THEIRS, NEXT)])
    nft(bare_host, "add chain inet acni layout_2")
    nft(bare_host, "add rule inet acni postrouting counter")
    theirs = rules(bare_host)
    put(firewall, [masquerading(OURS, V4)])
    assert rules(bare_host) == theirs


def rules(bare_host: Namespace) -> list[Any]:
    """The rules by their chains, whatever their handles."""
    return [(one["chain"], one["expr"]) for one in listed(bare_host, "rule")]


def test_what_is_put_back_takes_nothing_that_is_anothers_by_now(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    put(firewall, [publishing(THEIRS, V4, [port(9090)])])
    before = there(bare_host)
    with pytest.raises(Taken) as raised:
        put(firewall, ours(8080), takes_over=False)
    assert (raised.value.element.name, raised.value.owner) == ("owners4", "acni net c2 eth0")
    assert there(bare_host) == before
    take_out(firewall, [publishing(THEIRS, V4, [port(9090)])])
    for _ in range(2):
        put(firewall, ours(8080), takes_over=False)
        assert missing(firewall, ours(8080)) is None


def test_entries_are_found_by_their_owner(firewall: Netfilter) -> None:
    put(firewall, [*ours(8080), masquerading(OURS, V4)])
    put(firewall, [masquerading(THEIRS, NEXT)])
    put(firewall, [masquerading(Owner("other", AttachmentId("c1")), ip_address("10.9.0.9"))])
    found = entries_of(firewall, lambda comment: comment.startswith(network_mark("net")))
    assert {(entry.comment, str(entry.address), len(entry.elements)) for entry in found} == {
        ("acni net c1 eth0", "10.9.0.2", 5),
        ("acni net c1 eth0", "fd00:9::2", 4),
        ("acni net c2 eth0", "10.9.0.3", 1),
    }
    take_out(firewall, found)
    assert [entry.comment for entry in entries_of(firewall, lambda _: True)] == [
        "acni other c1 eth0"
    ]


def test_what_is_of_one_owner_is_found_among_what_is_others(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    """Some of whose names have that one's in them."""
    names = ["c1", "c10", *(f"c1-{number}" for number in range(200))]
    owners = [
        *(Owner("net", AttachmentId(name)) for name in names),
        Owner("net", AttachmentId("c1", "eth00")),
        Owner("net c1", AttachmentId("x")),
    ]
    for number, owner in enumerate(owners):
        address = V4 + number
        put(firewall, [publishing(owner, address, [port(8000 + number)])])
        put(firewall, [masquerading(owner, address)])
    for owner in (owners[0], owners[1], owners[-2]):
        theirs = comment_of(owner)
        (found,) = entries_of_owner(firewall, theirs)
        assert [found] == entries_of(firewall, theirs.__eq__)
        assert {one.name for one in found.elements} == {*PUBLISHED, "masquerade4"} - {"owners4"}
    assert entries_of_owner(firewall, comment_of(Owner("net", AttachmentId("c")))) == []
    nft(bare_host, "flush ruleset")
    assert entries_of_owner(firewall, comment_of(OURS)) == []


def test_more_ports_than_fit_into_a_batch_come_and_go(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    many = [publishing(OURS, V4, [port(number) for number in range(1000, 2000)])]
    put(firewall, many)
    assert there(bare_host)["hostports4"] == 1000
    take_out(firewall, many)
    assert there(bare_host) == {}


def test_whether_the_table_can_be_written_is_found_out_and_nothing_is_made(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    require_writable(firewall)
    assert listed(bare_host, "table") == []
    nft(bare_host, "add table inet acni")
    nft(bare_host, "add chain inet acni prerouting { type filter hook input priority 0; }")
    with pytest.raises(PluginError, match="the chain prerouting of the table inet acni"):
        require_writable(firewall)


def test_pods_that_come_and_go_at_once_lose_nothing(bare_host: Namespace) -> None:
    """Each with a socket of its own, as threads and processes have."""

    def pod(number: int) -> None:
        entries = [
            publishing(
                Owner("net", AttachmentId(f"c{number}")),
                ip_address(f"10.9.0.{number}"),
                [port(8000 + number)],
            )
        ]
        firewall = bare_host.call(Netfilter.open)
        for _ in range(5):
            put(firewall, entries)
            assert missing(firewall, entries) is None
            take_out(firewall, entries)
            assert missing(firewall, entries) is not None
        put(firewall, entries)
        firewall.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(pod, range(1, 25)))
    assert there(bare_host) == dict.fromkeys(PUBLISHED, 24)


def test_whatever_the_kernel_does_not_take_is_an_error_and_can_be_done_again(
    bare_host: Namespace, firewall: Netfilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each send fails, once unheeded and once heeded."""
    real = KernelWire.send
    for after in (False, True):
        for function in (put, take_out):
            for number in range(4):
                nft(bare_host, "flush ruleset")
                if function is take_out:
                    put(firewall, ours(8080))
                failing = _Failing(number, real, is_heeded=after)
                monkeypatch.setattr(KernelWire, "send", failing.send_of())
                try:
                    function(firewall, ours(8080))
                except NetlinkError as error:
                    assert error.errno == errno.ENOBUFS  # noqa: PT017 (it may succeed)
                monkeypatch.setattr(KernelWire, "send", real)
                function(firewall, ours(8080))
                is_there = missing(firewall, ours(8080)) is None
                assert is_there == (function is put), (function, number, after)


class _Failing:
    def __init__(self, number: int, real: Any, *, is_heeded: bool) -> None:
        self.left = number
        self.real = real
        self.is_heeded = is_heeded

    def send_of(self) -> Any:
        def send(wire: KernelWire, data: bytes) -> None:
            self.left -= 1
            if self.left != -1:
                self.real(wire, data)
                return
            if self.is_heeded:
                self.real(wire, data)
            raise OSError(errno.ENOBUFS, "as the test wants it")

        return send


def test_a_bridge_is_apart_as_long_as_somebody_is_guarded_at_it(
    bare_host: Namespace, firewall: Netfilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that one comes while it is decided."""
    entries = [guarding(OURS, address, ["cni0"]) for address in (V4, V6)]
    collect_apart(firewall)
    put(firewall, entries, shared=[apart("cni0"), apart("cni1")])
    collect_apart(firewall)
    assert all_elements(bare_host)["apart"] == ["cni0"]
    take_out(firewall, entries[:1])
    collect_apart(firewall)
    assert all_elements(bare_host)["apart"] == ["cni0"]
    take_out(firewall, entries[1:])

    other, transact = bare_host.call(Netfilter.open), Netfilter.transact

    def comes_meanwhile(
        self: Netfilter, messages: Sequence[Message], *, generation: int | None = None
    ) -> None:
        monkeypatch.setattr(Netfilter, "transact", transact)
        put(other, entries, shared=[apart("cni0")])
        transact(self, messages, generation=generation)

    monkeypatch.setattr(Netfilter, "transact", comes_meanwhile)
    collect_apart(firewall)
    assert all_elements(bare_host)["apart"] == ["cni0"]
    take_out(other, entries)
    other.close()
    collect_apart(firewall)
    assert all_elements(bare_host)["apart"] == []


def test_a_socket_is_kept_for_the_calls_of_a_namespace(bare_host: Namespace) -> None:
    call = make_call({})

    def lent() -> Netfilter:
        with netfilter_of(call) as firewall:
            return firewall

    with netns.anonymous() as other:
        assert bare_host.call(lent) is bare_host.call(lent)
        assert other.call(lent) is not bare_host.call(lent)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    call.kept.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors - 2
