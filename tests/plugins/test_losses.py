"""STATUS of plugins that masquerade, where somebody took that away and no record says what was."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from tests.netlink.nft import listed, nft
from tests.plugins.hosts import Host

pytestmark = [pytest.mark.netns, pytest.mark.rule("P5")]

BRIDGE: Mapping[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "bridge",
    "isGateway": True,
    "ipMasq": True,
    "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"},
}
PTP: Mapping[str, Any] = {**BRIDGE, "type": "ptp"}
OTHER: Mapping[str, Any] = {**BRIDGE, "name": "other"}


@pytest.mark.parametrize("config", [BRIDGE, PTP], ids=["bridge", "ptp"])
def test_what_somebody_took_away_is_told(host: Host, config: Mapping[str, Any]) -> None:
    long = "c" * 120
    for container in ("c1", long):
        host.run("ADD", config, container=container)
    assert host.run("STATUS", config).status == 0
    nft(host.namespace, "delete table inet acni")
    told = lost(host, config)
    assert "acni net " in told["msg"]
    assert "and 1 more" in told["msg"]
    assert host.run("STATUS", {**config, "name": "other"}).status == 0
    assert host.run("STATUS", {**config, "ipMasq": False}).status == 0
    for container in ("c1", long):
        host.run("DEL", config, container=container, previous=True)
    assert host.run("STATUS", config).status == 0


@pytest.mark.parametrize("config", [BRIDGE, PTP], ids=["bridge", "ptp"])
def test_rules_that_were_flushed_alone_are_told(host: Host, config: Mapping[str, Any]) -> None:
    host.run("ADD", config)
    nft(host.namespace, "flush table inet acni")
    told = lost(host, config)
    assert "lacks a rule" in told["msg"]
    assert host.run("ADD", config, container="c2").status == 0
    assert host.run("STATUS", config).status == 0


def test_a_rule_that_was_deleted_alone_is_told(host: Host) -> None:
    host.run("ADD", BRIDGE)
    rules = [one for one in listed(host.namespace, "rule") if one["chain"] == "postrouting"]
    handle = str(rules[-1]["handle"])
    nft(host.namespace, "delete rule inet acni postrouting handle", handle)
    told = lost(host, BRIDGE)
    assert "the chain postrouting of the table acni lacks a rule" in told["msg"]
    assert host.run("ADD", BRIDGE, container="c2").status == 0
    assert host.run("STATUS", BRIDGE).status == 0


@pytest.mark.parametrize("config", [BRIDGE, PTP], ids=["bridge", "ptp"])
def test_a_table_that_was_put_to_sleep_is_told(host: Host, config: Mapping[str, Any]) -> None:
    host.run("ADD", config)
    nft(host.namespace, "add table inet acni { flags dormant; }")
    told = lost(host, config, reason="table-asleep")
    assert "nft add table inet acni" in told["details"]
    assert host.run("STATUS", {**config, "ipMasq": False}).status == 0
    assert host.run("DEL", config, previous=True).status == 0
    nft(host.namespace, "add table inet acni")
    assert host.run("STATUS", config).status == 0


def test_a_container_that_is_being_attached_has_lost_nothing(host: Host) -> None:
    """Its link is there before its masquerading."""
    host.run("ADD", BRIDGE)
    host.run("ADD", BRIDGE, container="c2")
    nft(host.namespace, "delete element inet acni owners4 { 10.9.0.2 }")
    element = '{ 10.9.0.2 comment "acni net c1 eth0" : 1 }'
    again = threading.Timer(
        0.2, nft, (host.namespace, "add", "element", "inet", "acni", "owners4", element)
    )
    again.start()
    assert host.run("STATUS", BRIDGE).status == 0
    again.join()


def lost(host: Host, config: Mapping[str, Any], *, reason: str = "rules-lost") -> Mapping[str, Any]:
    """Return what STATUS tells of what somebody took away."""
    told = host.run("STATUS", config).printed
    assert (told["code"], told["reason"]) == (51, reason)
    return told
