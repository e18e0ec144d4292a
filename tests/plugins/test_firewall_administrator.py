"""The administrator's rules beside a firewall of ours: what he drops is dropped, by a rule and by a
policy, whatever ``openForwarding`` says; and what cannot hold is told.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

from tests.netlink.nft import nft
from tests.plugins.answering import Ask, ask_ours, ask_reference
from tests.plugins.hosts import Host, host_of
from tests.plugins.outside import HOST4, OUTSIDE, OUTSIDE4, add_outside
from tests.plugins.publishing import BRIDGE, port, portmap
from tests.plugins.traffic import seen_from

pytestmark = [pytest.mark.deep, pytest.mark.netns]

PORTS: Final = [port(8080)]
WARD: Final = "add chain inet mine ward { type filter hook forward priority 0; policy drop; }"
# What an administrator does, by his tool.
DOES: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "C": {
        "iptables-nft": ["iptables-nft -A FORWARD -o up0 -j DROP"],
        "nft": [
            "add table inet mine",
            WARD.replace("policy drop", "policy accept"),
            "add rule inet mine ward oifname up0 drop",
        ],
    },
    "D": {
        "iptables-nft": ["iptables-nft -P FORWARD DROP"],
        "iptables-legacy": ["iptables-legacy -P FORWARD DROP"],
        "nft": ["add table inet mine", WARD],
    },
    "O": {
        "iptables-nft": ["iptables-nft -A FORWARD -j REJECT"],
        "nft": [
            "add table inet mine",
            WARD.replace("policy drop", "policy accept"),
            "add rule inet mine ward counter drop",
        ],
    },
}
OPENS: Final[Mapping[str, Mapping[str, Any]]] = {
    "absent": {},
    "true": {"openForwarding": True},
    "false": {"openForwarding": False},
}


@frozen
class Expected:
    """What becomes of a container.

    Attributes:
        added: The code that its ADD is refused with; None, it is not.
        checked: The code of its CHECK; None, it is content.
        is_led: Whether it reaches the outside, and a port of the host leads to it from there.
    """

    added: int | None = None
    checked: int | None = None
    is_led: bool = False


def expected(row: str, tool: str, opens: str, when: str) -> Expected:
    """Say what is meant to be."""
    if row == "C" or opens == "false" or tool == "iptables-legacy":  # that one cannot be seen
        return Expected()
    if opens == "true" and tool == "iptables-nft" and row == "D":
        # Rules that are missing, behind a policy that was made later.
        return Expected(is_led=True) if when == "before" else Expected(checked=105)
    return Expected(added=112) if when == "before" else Expected(checked=112)


def do(host: Host, commands: Sequence[str]) -> None:
    # The lock of iptables-legacy is root's by default.
    environment = {**os.environ, "XTABLES_LOCKFILE": f"{host.data_dir}.lock"}
    run = partial(subprocess.run, check=True, timeout=30, env=environment)
    for command in commands:
        if command.startswith("iptables"):
            host.namespace.call(partial(run, command.split()))
        else:
            nft(host.namespace, command)


def attach(host: Host, **members: Any) -> int | None:
    """Attach a container with a port of the host and a firewall; return its code."""
    host.run("ADD", {**BRIDGE, "ipMasq": True})
    assert host.run("ADD", portmap(PORTS), previous=True).status == 0
    return host.run("ADD", firewall(**members), previous=True).printed.get("code")


def firewall(**members: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": "net", "type": "firewall", **members}


def gets_out(host: Host, *, is_refused: bool = True) -> bool:
    outside = host.container(OUTSIDE)
    return seen_from(host.container("c1"), outside, OUTSIDE4, is_refused=is_refused) is not None


def gets_in(host: Host, *, is_refused: bool = True) -> bool:
    ends = host.container(OUTSIDE), host.container("c1")
    return seen_from(*ends, HOST4, port=8080, listens=7000, is_refused=is_refused) is not None


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("opens", OPENS)
@pytest.mark.parametrize(
    ("row", "tool"), [(row, tool) for row, does in DOES.items() for tool in does]
)
def test_the_administrator_comes_first(
    tmp_path: Path, row: str, tool: str, opens: str, when: str
) -> None:
    there = expected(row, tool, opens, when)
    with host_of(ask_ours, tmp_path / "leases") as host:
        add_outside(host)
        if when == "before":
            do(host, DOES[row][tool])
        assert attach(host, **OPENS[opens]) == there.added
        if there.added is not None:
            return
        if when == "after":
            assert gets_out(host, is_refused=False)
            do(host, DOES[row][tool])
        assert gets_out(host, is_refused=not there.is_led) == there.is_led
        assert gets_in(host, is_refused=not there.is_led) == there.is_led
        checked = host.run("CHECK", firewall(**OPENS[opens]), previous=True)
        assert checked.printed.get("code") == there.checked


@pytest.mark.parametrize(
    ("rule", "is_before", "holds"),
    [
        ("-A FORWARD -o up0 -j DROP", True, True),
        ("-I FORWARD -o up0 -j DROP", False, True),
        # Behind rules that accept nothing is asked any more, whoever made them.
        ("-A FORWARD -o up0 -j DROP", False, False),
    ],
    ids=["before", "inserted", "appended"],
)
@pytest.mark.parametrize(
    "ask", [pytest.param(ask_ours, id="ours"), pytest.param(ask_reference, id="reference")]
)
def test_what_he_drops_is_dropped_also_where_he_has_his_policy_opened(
    tmp_path: Path, ask: Ask, rule: str, is_before: bool, holds: bool
) -> None:
    """The reference opens it unasked, and before what he drops."""
    with host_of(ask, tmp_path / "leases") as host:
        add_outside(host)
        do(host, ["iptables-nft -P FORWARD DROP"])
        if is_before:
            do(host, [f"iptables-nft {rule}"])
        assert attach(host, openForwarding=True) is None
        if not is_before:
            do(host, [f"iptables-nft {rule}"])
        is_dropped = holds and (ask is ask_ours or not is_before)
        assert gets_out(host, is_refused=is_dropped) == (not is_dropped)


@pytest.mark.parametrize(
    "ask", [pytest.param(ask_ours, id="ours"), pytest.param(ask_reference, id="reference")]
)
def test_a_policy_that_is_opened_is_opened_for_ports_of_the_host_as_well(
    tmp_path: Path, ask: Ask
) -> None:
    with host_of(ask, tmp_path / "leases") as host:
        add_outside(host)
        do(host, ["iptables-nft -P FORWARD DROP"])
        assert attach(host, openForwarding=True) is None
        is_led = ask is ask_ours
        assert (gets_out(host), gets_in(host, is_refused=not is_led)) == (True, is_led)
