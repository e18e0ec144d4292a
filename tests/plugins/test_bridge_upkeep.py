"""STATUS of bridge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.plugins.hosts import Host

pytestmark = pytest.mark.netns

CONFIG: Mapping[str, Any] = {
    "cniVersion": "1.1.0",
    "name": "net",
    "type": "bridge",
    "isGateway": True,
    "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"},
}


@pytest.mark.rule("P5")
def test_status_is_content_where_an_add_would_succeed_and_makes_nothing(host: Host) -> None:
    before = host.see()
    assert host.run("STATUS", CONFIG).status == 0
    assert host.see() == before


@pytest.mark.rule("P5")
def test_status_says_what_the_address_plugin_says(host: Host) -> None:
    config = {**CONFIG, "ipam": {"type": "host-local", "subnet": "10.9.0.0/30"}}
    host.run("ADD", config)
    answer = host.run("STATUS", config)
    assert (answer.printed["code"], answer.printed["reason"]) == (50, "addresses-exhausted")
