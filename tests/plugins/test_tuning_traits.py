"""What of an interface is changed, and what it was."""

from __future__ import annotations

from acni.plugins.tuning_traits import Traits, changes

MAC = bytes.fromhex("020000000001")
ALL = Traits(mac=MAC, promiscuous=False, mtu=1400, all_multicast=True, queue_length=0)


def test_only_what_is_asked_for_is_remembered() -> None:
    asked = Traits(mtu=1500, all_multicast=False)
    assert ALL.of_those(asked) == Traits(mtu=1400, all_multicast=True)
    assert ALL.of_those(Traits()).are_none


def test_what_was_before_the_first_change_stays() -> None:
    first = Traits(mtu=1500, promiscuous=False)
    assert first.over(ALL) == Traits(
        mac=MAC, promiscuous=False, mtu=1500, all_multicast=True, queue_length=0
    )


def test_each_that_is_said_is_one_change() -> None:
    assert [what for what, _ in changes("eth0", ALL)] == [
        "the hardware address of eth0",
        "promisc of eth0",
        "the mtu of eth0",
        "allmulti of eth0",
        "txQLen of eth0",
    ]
    assert list(changes("eth0", Traits())) == []


def test_a_difference_says_how_it_is_and_how_it_should_be() -> None:
    present = Traits(mac=MAC, promiscuous=True, mtu=1400, all_multicast=True, queue_length=7)
    assert list(present.differences(ALL)) == [
        ("promiscuous", "true", "false"),
        ("queue length", "7", "0"),
    ]
    assert list(present.differences(Traits(mac=bytes(6)))) == [
        ("mac", "02:00:00:00:00:01", "00:00:00:00:00:00")
    ]


def test_a_result_tells_of_address_and_size() -> None:
    assert ALL.told() == {"mac": "02:00:00:00:00:01", "mtu": 1400}
    assert Traits(promiscuous=True).told() == {}
