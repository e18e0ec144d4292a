"""Host ports that nobody named: picked, and found again."""

from __future__ import annotations

import json
from collections.abc import Collection
from ipaddress import ip_address

import pytest

from acni.netlink.families import IpAddress
from acni.plugins.freeports import PortSettings
from acni.plugins.owners import Owner
from acni.plugins.pickedports import Led, led_by, pick, recognise, with_ports
from acni.plugins.portmap_settings import Settings, Wanted
from acni.skel.errors import PluginError
from acni.spec.attachment import AttachmentId
from acni.spec.result import parse_result

OWNER = Owner("net", AttachmentId("c1", "eth0"))
V4, V6 = ip_address("10.9.0.2"), ip_address("fd00:9::2")
BOTH = (V4, V6)
AT4, ANY4 = ip_address("192.0.2.1"), ip_address(0)
# Of the better ones there are three.
HOST = PortSettings(local=range(32768, 65533), reserved=())
LAST = range(65533, 65536)


def wanted(host_port: int = 0, pod_port: int = 80, at: IpAddress | None = None) -> Wanted:
    return Wanted(protocol=6, host_port=host_port, pod_port=pod_port, host_address=at)


def settings(*ports: Wanted) -> Settings:
    return Settings(wanted=ports, is_returning=True, for_anyone=False, overrides=False)


def numbers(one: Settings) -> list[int]:
    return [port.host_port for port in one.wanted]


def picked(*ports: Wanted, taken: Collection[int] = (), refused: Collection[int] = ()) -> list[int]:
    def is_free(one: Wanted) -> bool:
        return one.host_port not in taken

    return numbers(pick(settings(*ports), HOST, "web", is_free, refused=refused))


def test_each_gets_another_port_and_who_named_one_keeps_it() -> None:
    first, named, second = picked(wanted(), wanted(65533), wanted(pod_port=81))
    assert named == 65533
    assert {first, second} == {65534, 65535}


def test_what_is_taken_or_was_refused_is_not_picked() -> None:
    assert picked(wanted(), taken=[65533, 65534]) == [65535]
    assert picked(wanted(), taken=[65533], refused=[65535]) == [65534]
    assert picked(wanted(), taken=LAST)[0] in range(49152, 65533)


def test_where_none_is_free_it_says_for_what() -> None:
    with pytest.raises(PluginError, match="no port of the host is free for 80/tcp") as caught:
        picked(wanted(), taken=range(65536))
    assert (caught.value.code, caught.value.reason) == (113, "no-port-free")


def test_a_port_that_was_picked_is_found_in_the_table() -> None:
    asked = settings(wanted(), wanted(8080), wanted(at=AT4), wanted(pod_port=81, at=ANY4))
    made = pick(asked, HOST, "web", lambda _: True)
    assert recognise(asked, led_by(made.entries(OWNER, BOTH))) == made


@pytest.mark.parametrize("is_turned", [False, True])
def test_what_leads_to_both_families_is_not_taken_for_what_leads_to_one(is_turned: bool) -> None:
    ports = [wanted(at=ANY4), wanted()]
    found = {ANY4: 61000, None: 61001}
    if is_turned:
        ports, found = ports[::-1], {ANY4: 61001, None: 61000}
    made = settings(*(wanted(found[one.host_address], at=one.host_address) for one in ports))
    assert recognise(settings(*ports), led_by(made.entries(OWNER, BOTH))) == made


def test_a_port_that_does_not_lead_to_all_it_is_to_is_none() -> None:
    entries = settings(wanted(61000)).entries(OWNER, [V4])
    led: Led = {**led_by(entries), V6: ()}
    assert numbers(recognise(settings(wanted()), led)) == [0]
    assert numbers(recognise(settings(wanted()), {})) == [0]
    assert numbers(recognise(settings(wanted()), led_by(entries))) == [61000]


def test_a_port_that_was_named_is_none_that_was_picked() -> None:
    entries = settings(wanted(8080)).entries(OWNER, BOTH)
    assert numbers(recognise(settings(wanted(8080), wanted()), led_by(entries))) == [8080, 0]


@pytest.mark.rule("P2")
def test_a_result_says_what_was_picked() -> None:
    before = parse_result('{"unknown": 1e2, "PortMappings": 5}', "1.1.0")
    asked = settings(wanted(), wanted(8080, at=AT4))
    made = pick(asked, HOST, "web", lambda _: True)
    told = with_ports(before, made)
    said = json.loads(told.raw)
    assert (said["unknown"], said["cniVersion"]) == (100, "1.1.0")
    assert [one.host for one in told.port_mappings] == numbers(made)
    assert told.port_mappings[1].host_ip == AT4
