"""static: what is told and kept of the addresses that a configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.answering import Node, valid

ADDRESSES = {"addresses": [{"address": "10.10.0.1/24", "gateway": "10.10.0.254"}]}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path, "static")


def test_the_addresses_are_given_and_nothing_is_kept(node: Node, tmp_path: Path) -> None:
    assert node.run("ADD", ADDRESSES, version="1.1.0").printed == {
        "cniVersion": "1.1.0",
        "ips": [{"address": "10.10.0.1/24", "gateway": "10.10.0.254"}],
    }
    assert list(tmp_path.iterdir()) == []


@pytest.mark.rule("P11")
def test_args_take_the_place_of_cni_args_that_say_the_same(node: Node) -> None:
    others = {"args": {"cni": {"ips": ["10.12.0.1/24"]}}}
    answer = node.run("ADD", {}, args="IP=10.12.0.1/24", others=others)
    assert answer.addresses == ["10.12.0.1"]


@pytest.mark.rule("P4")
def test_check_misses_another_gateway(node: Node) -> None:
    node.run("ADD", ADDRESSES)
    other = {"addresses": [{"address": "10.10.0.1/24", "gateway": "10.10.0.3"}]}
    answer = node.run("CHECK", other, previous=True)
    assert (answer.status, answer.printed["reason"]) == (1, "gateway-differs")


@pytest.mark.rule("P5")
def test_status_refuses_a_configuration_that_add_would_refuse(node: Node) -> None:
    assert node.run("STATUS", ADDRESSES, version="1.1.0").status == 0
    answer = node.run("STATUS", {"addresses": [{"address": "x"}]}, version="1.1.0")
    assert answer.printed["code"] == 7
    assert answer.printed["msg"] == "'x' is not allowed at $.ipam.addresses[0].address"


def test_gc_has_nothing_to_do(node: Node) -> None:
    answer = node.run("GC", ADDRESSES, version="1.1.0", others=valid())
    assert (answer.status, answer.printed) == (0, {})


@pytest.mark.rule("P11")
@pytest.mark.parametrize(
    ("ipam", "place"),
    [
        ({"addresses": {}}, "$.ipam.addresses"),
        ({"addresses": ["10.1.2.3/24"]}, "$.ipam.addresses[0]"),
        ({"addresses": [{"address": 5}]}, "$.ipam.addresses[0].address"),
        ({"routes": [{"dst": "0.0.0.0/0"}, {"dst": "x"}]}, "$.ipam.routes[1].dst"),
        ({"routes": [{"dst": "0.0.0.0/0", "mtu": "big"}]}, "$.ipam.routes[0].mtu"),
        ({"routes": [{"dst": "0.0.0.0/0", "scope": 256}]}, "$.ipam.routes[0].scope"),
        ({"dns": {"search": "x"}}, "$.ipam.dns.search"),
    ],
    ids=["addresses", "address", "number", "dst", "mtu", "scope", "search"],
)
def test_what_is_refused_names_its_place(node: Node, ipam: dict[str, object], place: str) -> None:
    answer = node.run("ADD", ipam)
    assert answer.printed["code"] == 7
    assert answer.printed["msg"].endswith(f" at {place}")
    assert answer.printed["details"].startswith("expected ")


def test_an_error_of_cni_args_names_no_value(node: Node) -> None:
    for args in ("IP=s3cret", "GATEWAY=s3cret", "TOKEN=s3cret"):
        answer = node.run("ADD", ADDRESSES, args=args)
        assert answer.printed["code"] == 4
        assert "s3cret" not in str(answer.printed)
