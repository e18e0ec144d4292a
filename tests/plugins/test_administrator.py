"""The administrator's rules beside ours, made by each of his tools, and at each time: what he drops
is dropped, what he translates goes where he says, and what cannot hold is told.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from tests.plugins.answering import ask_ours
from tests.plugins.hosts import Host, host_of
from tests.plugins.outside import HOST4, OUTSIDE, OUTSIDE4, add_outside
from tests.plugins.test_portmap import BRIDGE, OTHER, port, portmap
from tests.plugins.traffic import seen_from

pytestmark = [pytest.mark.deep, pytest.mark.netns]

PORTS = [port(8080)]
Way = Callable[[Host, bool], str | None]


def to_the_port(host: Host, is_refused: bool) -> str | None:
    """From outside to the port, and whom the container sees."""
    return seen_from(
        host.container(OUTSIDE),
        host.container("c1"),
        HOST4,
        port=8080,
        listens=7000,
        is_refused=is_refused,
    )


def out(host: Host, is_refused: bool) -> str | None:
    """From the container to the outside, and whom that sees."""
    return seen_from(host.container("c1"), host.container(OUTSIDE), OUTSIDE4, is_refused=is_refused)


def to_the_other(host: Host, is_refused: bool) -> str | None:
    """From outside to the port, where another container listens."""
    return seen_from(
        host.container(OUTSIDE),
        host.container("c2"),
        HOST4,
        port=8080,
        listens=7000,
        is_refused=is_refused,
    )


def to_the_host(host: Host, is_refused: bool) -> str | None:
    """From outside to the port, where a program of the host listens, on another one."""
    return seen_from(
        host.container(OUTSIDE),
        host.namespace,
        HOST4,
        port=8080,
        listens=6000,
        is_refused=is_refused,
    )


def from_the_host(host: Host, is_refused: bool) -> str | None:
    """The same from the host itself."""
    return seen_from(
        host.namespace, host.namespace, HOST4, port=8080, listens=6000, is_refused=is_refused
    )


@frozen
class Cell:
    """A rule, and what is seen beside it.

    Attributes:
        rule: The arguments of iptables.
        way: What is tried.
        seen: What is seen; None, nobody answers.
        is_refused_before: Whether the port is refused where it was made before the pod, and CHECK
            tells of it where it was made after: if it can be seen.
    """

    rule: str
    way: Way
    seen: str | None
    is_refused_before: bool = False


ANOTHER: Final = "192.0.2.77"
HTTP: Final = "-p tcp --dport 8080"
CELLS: Final[Mapping[str, Cell]] = {
    "B, FORWARD drops": Cell("-A FORWARD -i up0 -p tcp --dport 7000 -j DROP", to_the_port, None),
    "C, FORWARD drops what leaves": Cell("-A FORWARD -o up0 -j DROP", out, None),
    "D, the policy of FORWARD": Cell("-P FORWARD DROP", to_the_port, None),
    "F, DNAT elsewhere": Cell(
        f"-t nat -A PREROUTING {HTTP} -j DNAT --to-destination 10.10.0.2:7000",
        to_the_other,
        OUTSIDE4,
    ),
    "G, raw drops": Cell(f"-t raw -A PREROUTING {HTTP} -j DROP", to_the_port, None),
    "H, mangle drops": Cell("-t mangle -A FORWARD -i up0 -j DROP", to_the_port, None),
    "I, by what it was sent to": Cell(
        "-A FORWARD -m conntrack --ctorigdstport 8080 -j DROP", to_the_port, None
    ),
    "K, SNAT": Cell(
        "-t nat -A POSTROUTING -o up0 -j SNAT --to-source 192.0.2.77", out, "192.0.2.77"
    ),
    "L, REDIRECT": Cell(
        f"-t nat -A PREROUTING {HTTP} -j REDIRECT --to-ports 6000", to_the_host, OUTSIDE4
    ),
    "M, REDIRECT of the host's own": Cell(
        f"-t nat -A OUTPUT {HTTP} -j REDIRECT --to-ports 6000", from_the_host, HOST4
    ),
    "N, NOTRACK": Cell(f"-t raw -A PREROUTING {HTTP} -j CT --notrack", to_the_port, None),
    # What does not hold.
    "A, INPUT drops": Cell(f"-A INPUT {HTTP} -j DROP", to_the_port, OUTSIDE4),
    "E, nat returns": Cell(
        f"-t nat -A PREROUTING {HTTP} -j RETURN", to_the_port, OUTSIDE4, is_refused_before=True
    ),
    "J, nat returns what leaves": Cell("-t nat -A POSTROUTING -o up0 -j RETURN", out, HOST4),
}


@pytest.mark.parametrize("when", ["before the table", "after the table", "after the pod"])
@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
@pytest.mark.parametrize("name", CELLS)
def test_the_administrator_comes_first(tmp_path: Path, name: str, tool: str, when: str) -> None:
    cell = CELLS[name]

    def make_rule() -> None:
        command = [tool, *cell.rule.split()]
        host.namespace.call(lambda: subprocess.run(command, check=True, timeout=30))

    with host_of(ask_ours, tmp_path / "leases") as host:
        add_outside(host)
        host.ip("address", "add", f"{ANOTHER}/24", "dev", "up0")
        if when == "before the table":
            make_rule()
        host.run("ADD", OTHER, container="c2")
        host.run("ADD", {**BRIDGE, "ipMasq": True})
        if when == "after the table":
            make_rule()
        answer = host.run("ADD", portmap(PORTS), previous=True)
        is_seen_by_us = cell.is_refused_before and tool == "iptables-nft"
        if is_seen_by_us and when != "after the pod":
            assert answer.printed["reason"] == "nat-rule"
            return
        assert answer.status == 0, answer
        if when == "after the pod":
            make_rule()
        assert cell.way(host, cell.seen is None) == cell.seen
        checked = host.run("CHECK", portmap(PORTS), previous=True)
        assert checked.printed.get("reason") == ("nat-rule" if is_seen_by_us else None)
