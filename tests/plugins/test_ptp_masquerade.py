"""ptp with ipMasq, by traffic; what is in the table is bridge's to test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.netlink.nft import all_elements, nft
from tests.plugins.answering import Ask, ask_ours, ask_reference
from tests.plugins.hosts import Host, host_of
from tests.plugins.outside import (
    HOST4,
    HOST6,
    OUTSIDE,
    OUTSIDE4,
    OUTSIDE6,
    add_outside,
    look_for_no_duplicates,
)
from tests.plugins.traffic import seen_from

pytestmark = pytest.mark.netns

CONFIG: Mapping[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "ptp",
    "ipMasq": True,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    },
}


def elements(host: Host) -> dict[str, int]:
    return {name: len(found) for name, found in all_elements(host.namespace).items() if found}


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(ask_ours, id="ours"),
        pytest.param(ask_reference, id="reference", marks=pytest.mark.deep),
    ],
)
def test_what_leaves_the_host_has_its_address_and_nothing_else_does(
    tmp_path: Path, ask: Ask
) -> None:
    with host_of(ask, tmp_path / "leases") as host:
        look_for_no_duplicates(host, "c1", "c2")
        add_outside(host)
        for container in ("c1", "c2"):
            assert host.run("ADD", CONFIG, container=container).status == 0
        host.settle()
        seen = [
            seen_from(host.container("c1"), host.container(server), address)
            for server, address in (
                (OUTSIDE, OUTSIDE4),
                (OUTSIDE, OUTSIDE6),
                ("c2", "10.9.0.3"),
                ("c2", "fd00:9::3"),
            )
        ]
        assert seen == [HOST4, HOST6, "10.9.0.2", "fd00:9::2"]


@pytest.mark.rule("P3", "P4")
@pytest.mark.parametrize("is_gone", [True, False])
def test_it_is_checked_and_taken_out(tmp_path: Path, is_gone: bool) -> None:
    with host_of(ask_ours, tmp_path / "leases") as host:
        host.run("ADD", CONFIG)
        assert host.run("CHECK", CONFIG, previous=True).status == 0
        assert elements(host) == dict.fromkeys(
            ("owners4", "masquerade4", "owners6", "masquerade6"), 1
        )
        nft(host.namespace, "flush set inet acni masquerade4")
        answer = host.run("CHECK", CONFIG, previous=True)
        assert answer.printed["reason"] == "rule-missing"
        assert host.run("DEL", CONFIG, previous=True, is_gone=is_gone).status == 0
        assert elements(host) == {}


@pytest.mark.rule("P1", "P5")
def test_where_no_table_can_be_written_status_says_so_and_an_add_leaves_nothing(
    tmp_path: Path,
) -> None:
    with host_of(ask_ours, tmp_path / "leases") as host:
        asked = {**CONFIG, "cniVersion": "1.1.0"}
        assert host.run("STATUS", asked).status == 0
        wrong = "add table inet acni { map owners4 { type ipv4_addr : ipv4_addr; } ; }"
        nft(host.namespace, wrong)
        assert host.run("STATUS", asked).printed["code"] == 50
        assert host.run("ADD", CONFIG).printed["reason"] == "table-foreign"
        assert (host.leases(), host.links()) == ([], ["lo"])
