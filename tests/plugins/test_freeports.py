"""Which ports are given where none is named."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from acni.plugins.freeports import DYNAMIC, PortSettings, read_port_settings
from tests.plugins.answering import ask_ours
from tests.plugins.hosts import host_of

USUAL = PortSettings(local=range(32768, 61000), reserved=())


@pytest.mark.parametrize(
    ("local", "better"),
    [
        (range(32768, 61000), range(61000, 65536)),
        (range(60000, 65536), range(49152, 60000)),
        (range(1024, 2000), DYNAMIC),
        (range(65535, 65536), range(49152, 65535)),
    ],
    ids=str,
)
def test_those_that_the_kernel_gives_to_nobody_come_first(local: range, better: range) -> None:
    candidates = list(PortSettings(local=local, reserved=()).candidates("web"))
    assert sorted(candidates[: len(better)]) == list(better)
    assert sorted(candidates) == list(DYNAMIC)


def test_where_it_gives_all_of_them_all_come() -> None:
    assert sorted(PortSettings(local=range(1024, 65536), reserved=()).candidates("web")) == list(
        DYNAMIC
    )


def test_a_reserved_one_does_not_come() -> None:
    reserved = (range(61000, 65500), range(50000, 50001), range(80, 81))
    candidates = list(PortSettings(local=USUAL.local, reserved=reserved).candidates("web"))
    assert sorted(candidates[:36]) == list(range(65500, 65536))
    assert 50000 not in candidates
    assert len(candidates) == len(DYNAMIC) - 4501


def test_the_search_begins_where_it_did_and_elsewhere_for_others() -> None:
    def first(whose: str) -> int:
        return next(USUAL.candidates(whose))

    assert first("web") == first("web")
    begins = {first(f"pod-{number}") for number in range(100)}
    assert len(begins) > 90
    assert list(islice(USUAL.candidates("web"), 2)) == [first("web"), first("web") + 1]


@pytest.mark.netns
@pytest.mark.parametrize(
    ("local", "reserved", "read"),
    [
        (None, None, USUAL),
        ("1024\t65000", "", PortSettings(local=range(1024, 65001), reserved=())),
        (
            "32768 60999",
            "8080,50000-50010",
            PortSettings(local=USUAL.local, reserved=(range(8080, 8081), range(50000, 50011))),
        ),
    ],
    ids=["usual", "other range", "reserved"],
)
def test_the_settings_are_the_namespaces_own(
    tmp_path: Path, local: str | None, reserved: str | None, read: PortSettings
) -> None:
    with host_of(ask_ours, tmp_path) as host:
        if local is not None and reserved is not None:
            host.write("ipv4/ip_local_port_range", local)
            host.write("ipv4/ip_local_reserved_ports", reserved)
        assert host.namespace.call(read_port_settings) == read
