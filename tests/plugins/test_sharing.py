"""The reference's host-local and ours in one directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.mutation import CHECKOUT
from tests.plugins.answering import Ask, Node, ask_ours, ask_reference

DUAL = {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:88::/64"}]]}
SECONDS = 250

SIDES = [
    pytest.param(ask_reference, ask_ours, id="reference_then_ours"),
    pytest.param(ask_ours, ask_reference, id="ours_then_reference"),
]


def two(tmp_path: Path, one: Ask, other: Ask) -> tuple[Node, Node]:
    """Make two nodes on one directory."""
    first, second = Node(tmp_path, ask=one), Node(tmp_path, ask=other)
    second.last = first.last
    return first, second


@pytest.mark.parametrize(("adds", "deletes"), SIDES)
@pytest.mark.parametrize("previous", [True, False], ids=["with_result", "without"])
def test_what_one_added_the_other_deletes(
    tmp_path: Path, adds: Ask, deletes: Ask, previous: bool
) -> None:
    adding, deleting = two(tmp_path, adds, deletes)
    adding.run("ADD", DUAL, container_id="c1")
    adding.run("ADD", DUAL, container_id="c2")
    assert deleting.run("DEL", DUAL, container_id="c1", previous=previous).status == 0
    assert adding.addresses() == ["10.1.2.3", "fd00:88::3"]
    assert deleting.run("DEL", DUAL, container_id="c2", previous=previous).status == 0
    assert adding.names() == ["last_reserved_ip.0", "last_reserved_ip.1", "lock"]


@pytest.mark.parametrize(("adds", "others"), SIDES)
def test_what_one_added_the_other_checks_and_does_not_add_again(
    tmp_path: Path, adds: Ask, others: Ask
) -> None:
    adding, other = two(tmp_path, adds, others)
    adding.run("ADD", DUAL)
    assert other.run("CHECK", DUAL, previous=True).status == 0
    before = other.leases()
    assert other.run("ADD", DUAL).status == 1
    assert other.leases() == before


@pytest.mark.parametrize(("first", "then"), SIDES)
def test_the_round_robin_goes_on(tmp_path: Path, first: Ask, then: Ask) -> None:
    one, other = two(tmp_path, first, then)
    given = [
        node.run("ADD", DUAL, container_id=f"c{at}").addresses
        for at, node in enumerate((one, other, other, one, one, other))
    ]
    assert given == [[f"10.1.2.{at}", f"fd00:88::{at}"] for at in range(2, 8)]


def test_a_file_of_our_own_is_no_address_to_the_reference(tmp_path: Path) -> None:
    """What an ADD of ours left that was killed before it took an address."""
    ours, theirs = two(tmp_path, ask_ours, ask_reference)
    ours.run("ADD", DUAL)
    for name in ours.addresses():
        (ours.directory / name).unlink()
    assert len(ours.names()) == 4
    assert theirs.run("ADD", DUAL).status == 0
    assert theirs.run("DEL", DUAL).status == 0
    assert ours.names() == ["last_reserved_ip.0", "last_reserved_ip.1", "lock"]


@pytest.mark.rule("P7")
def test_four_processes_never_give_an_address_twice(tmp_path: Path) -> None:
    """Two of each kind want 288 of 260 addresses; ours do five ADDs while a reference does one."""
    ipam = {"subnet": "10.1.0.0/16", "rangeStart": "10.1.2.0", "rangeEnd": "10.1.3.3"}
    pool = {f"10.1.{number >> 8}.{number & 255}" for number in range(512, 772)}
    numbers = {"reference": 24, "ours": 120}
    script = [sys.executable, "-m", "tests.plugins.allocating"]
    waiting, all_are_there = os.pipe()
    with ExitStack() as stack:
        stack.callback(os.close, waiting)
        with open(all_are_there, "wb"):  # noqa: PTH123 (a descriptor)
            processes = [
                subprocess.Popen(
                    [*script, kind, str(tmp_path), f"{kind}{at}", str(number), json.dumps(ipam)],
                    stdin=waiting,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=CHECKOUT,
                )
                for kind, number in numbers.items()
                for at in range(2)
            ]
            for process in processes:
                stack.enter_context(process)
                stack.callback(process.kill)
        printed = [process.communicate(timeout=SECONDS)[0] for process in processes]
    counted = Counter(answer for each in printed for answer in each.split())
    assert counted.pop("100", 0) + counted.pop("999", 0) == 28
    assert counted == Counter(pool)
    node = Node(tmp_path)
    assert set(node.addresses()) == pool
    owners = {node.leases()[address] for address in node.addresses()}
    assert len(owners) == len(pool)
    assert len({owner[:4] for owner in owners}) == 2
