"""Reading a plugin's configuration."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import pytest

from acni.skel import Fields, PluginError

CONFIG = Fields(
    {
        "bridge": "cni0",
        "mtu": 1450,
        "isGateway": True,
        "nothing": None,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}, {}], []]},
        "addresses": [{"address": "10.88.0.2/16"}],
        "search": ["a", "b"],
    }
)


def test_what_is_there_is_typed_and_what_is_not_is_the_default() -> None:
    assert CONFIG.text("bridge") == "cni0"
    assert CONFIG.text("other") is None
    assert CONFIG.text("other", "cni1") == "cni1"
    assert CONFIG.flag("isGateway") is True
    assert CONFIG.flag("ipMasq") is False
    assert CONFIG.number("mtu", least=0, most=65536) == 1450
    assert CONFIG.number("vlan", 0, least=0, most=4094) == 0
    assert CONFIG.texts("search") == ("a", "b")
    assert CONFIG.texts("other") == ()


def test_null_counts_as_absent() -> None:
    assert CONFIG.text("nothing", "x") == "x"
    assert CONFIG.flag("nothing", True) is True
    assert CONFIG.number("nothing", least=0, most=1) is None
    assert CONFIG.objects("nothing") == ()
    assert not CONFIG.has("nothing")
    assert CONFIG.inner("nothing").value == {}


def test_keys_are_folded_as_go_folds_them() -> None:
    fields = Fields({"ISGATEWAY": True, "isdefaultgateway": False, "isDefaultGateway": True})
    assert fields.flag("isGateway") is True
    assert fields.flag("isDefaultGateway") is True


def test_an_inner_object_knows_where_it_stands() -> None:
    (first, second), empty = CONFIG.inner("ipam").object_lists("ranges")
    assert first.text("subnet") == "10.88.0.0/16"
    assert second.place == "$.ipam.ranges[0][1]"
    assert empty == ()
    assert CONFIG.objects("addresses")[0].at("address") == "$.addresses[0].address"


def test_a_text_becomes_something_else() -> None:
    subnet = CONFIG.inner("ipam").object_lists("ranges")[0][0]
    network = subnet.parsed("subnet", ipaddress.ip_network, "a subnet")
    assert network == ipaddress.ip_network("10.88.0.0/16")
    assert subnet.parsed("gateway", ipaddress.ip_address, "an address") is None


@pytest.mark.parametrize(
    ("value", "read", "place", "expected"),
    [
        ({"mtu": "1450"}, lambda f: f.number("mtu", least=0, most=9), "$.mtu", "a whole number"),
        ({"mtu": 1450.5}, lambda f: f.number("mtu", least=0, most=9), "$.mtu", "a whole number"),
        ({"mtu": True}, lambda f: f.number("mtu", least=0, most=9), "$.mtu", "a whole number"),
        ({"mtu": 10}, lambda f: f.number("mtu", least=0, most=9), "$.mtu", "from 0 to 9"),
        ({"mtu": 10**4000}, lambda f: f.number("mtu", least=0, most=9), "$.mtu", "from 0 to 9"),
        ({"a": 1}, lambda f: f.text("a"), "$.a", "text"),
        ({"a": ""}, lambda f: f.required_text("a"), "$.a", "text"),
        ({}, lambda f: f.required_text("a"), "$.a", "text"),
        ({"a": "true"}, lambda f: f.flag("a"), "$.a", "true or false"),
        ({"a": {}}, lambda f: f.objects("a"), "$.a", "a list"),
        ({"a": [1]}, lambda f: f.objects("a"), "$.a[0]", "an object"),
        ({"a": ["x", 1]}, lambda f: f.texts("a"), "$.a[1]", "text"),
        ({"a": [{}]}, lambda f: f.object_lists("a"), "$.a[0]", "a list"),
        ({"a": [[1]]}, lambda f: f.object_lists("a"), "$.a[0][0]", "an object"),
        ({"a": []}, lambda f: f.inner("a"), "$.a", "an object"),
        ({"a": "x"}, lambda f: f.parsed("a", ipaddress.ip_address, "an IP"), "$.a", "an IP"),
    ],
)
def test_what_is_wrong_names_the_place_and_what_was_expected(
    value: dict[str, object], read: Callable[[Fields], object], place: str, expected: str
) -> None:
    with pytest.raises(PluginError) as caught:
        read(Fields(value))
    assert caught.value.code == 7
    assert caught.value.msg.endswith(f"at {place}")
    assert expected in caught.value.details
