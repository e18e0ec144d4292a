"""A whole chain by traffic: whom Debian's plugins let reach whom, and ours, is one table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from acni.netns import Namespace
from tests.plugins.answering import Ask, ask_ours, ask_reference
from tests.plugins.hosts import Host, host_of
from tests.plugins.outside import add_outside, look_for_no_duplicates
from tests.plugins.publishing import (
    BOTH,
    BRIDGE,
    OTHER,
    let_bridges_alone,
    portmap,
    reaches_localhost,
)
from tests.plugins.reaching import WAYS, Seen, Way
from tests.plugins.traffic import BRIEFLY, TCP, UDP, seen_from

pytestmark = [pytest.mark.deep, pytest.mark.netns]

ON_ONE, ON_ANOTHER = {**BRIDGE, "ipMasq": True}, {**OTHER, "ipMasq": True}
FIREWALL: Final = {"cniVersion": "1.0.0", "name": "net", "type": "firewall", "backend": "iptables"}


SIDES: Final[Mapping[str, Ask]] = {"ours": ask_ours, "reference": ask_reference}


@pytest.mark.parametrize("side", SIDES)
def test_who_reaches_whom_and_as_whom(tmp_path: Path, side: str) -> None:
    found: dict[str, tuple[Seen, Seen]] = {}
    expected = {
        name: (way.seen_beside_ours if side == "ours" else way.seen,) * 2
        for name, way in WAYS.items()
    }
    with host_of(SIDES[side], tmp_path / "leases") as host:
        look_for_no_duplicates(host, "c1", "c2", "c3")
        add_outside(host, knows_the_way=True)
        let_bridges_alone(host)
        attach(host, "c1", ON_ONE, portmap(BOTH), FIREWALL)
        attach(host, "c2", ON_ONE, FIREWALL)
        attach(host, "c3", ON_ANOTHER, FIREWALL)
        host.settle()
        for name, way in WAYS.items():
            is_refused = expected[name][0] is None
            tcp, udp = (try_it(host, way, kind, is_refused=is_refused) for kind in (TCP, UDP))
            found[name] = (tcp, udp)
    assert found == expected


def attach(host: Host, container: str, *configs: Mapping[str, Any]) -> None:
    for config in configs:
        answer = host.run("ADD", config, container=container, previous=True)
        assert answer.status == 0, answer


def try_it(host: Host, way: Way, kind: int, *, is_refused: bool) -> Seen:
    return seen_from(
        place(host, way.client),
        place(host, way.server),
        way.address,
        port=8080 if way.is_by_port else 7000,
        listens=7000 if way.is_by_port else None,
        kind=kind,
        is_refused=is_refused,
        refused_seconds=BRIEFLY,
    )


def place(host: Host, name: str) -> Namespace:
    return host.namespace if name == "host" else host.container(name)


@pytest.mark.parametrize("side", SIDES)
def test_what_listens_at_127_0_0_1_is_open_to_containers_beside_the_reference_alone(
    tmp_path: Path, side: str
) -> None:
    """CVE-2020-8558: both let 127.0.0.1 lead to the container, which opens the way back."""
    with host_of(SIDES[side], tmp_path / "leases") as host:
        attach(host, "c1", ON_ONE, portmap(BOTH))
        host.ip("route", "add", "127.0.0.2/32", "via", "10.9.0.1", inside="c1")
        assert reaches_localhost(host) == (side == "reference")


def test_what_differs_has_a_reason() -> None:
    for way in WAYS.values():
        assert (way.seen != way.seen_beside_ours) == bool(way.reason)
