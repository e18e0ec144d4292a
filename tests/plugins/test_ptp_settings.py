"""What ptp is configured with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from acni.plugins.ptp_settings import parse_settings
from acni.skel import PluginError
from acni.spec.result import Dns
from tests.plugins.calling import make_call

IPAM: Mapping[str, Any] = {"ipam": {"type": "host-local"}}


def test_each_key_is_read() -> None:
    settings = parse_settings(make_call({**IPAM, "mtu": 1400, "dns": {"search": ["a.b"]}}))
    assert settings.mtu == 1400
    assert settings.dns == Dns(nameservers=(), domain=None, search=("a.b",), options=())
    least = parse_settings(make_call({**IPAM, "mtu": 0, "ipMasq": False}))
    assert (least.mtu, least.dns, least.masquerades) == (None, None, False)
    assert parse_settings(make_call({**IPAM, "ipMasq": True})).masquerades


@pytest.mark.rule("P11")
@pytest.mark.parametrize(
    ("config", "code", "place"),
    [
        ({}, 7, "$.ipam.type"),
        ({"ipam": {"type": ""}}, 7, "$.ipam.type"),
        ({"ipam": []}, 7, "$.ipam"),
        ({**IPAM, "mtu": 67}, 7, "$.mtu"),
        ({**IPAM, "ipMasqBackend": "ipfw"}, 7, "$.ipMasqBackend"),
        ({**IPAM, "ipMasq": "no"}, 7, "$.ipMasq"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(config: Mapping[str, Any], code: int, place: str) -> None:
    with pytest.raises(PluginError) as raised:
        parse_settings(make_call(config))
    assert raised.value.code == code
    assert raised.value.msg.endswith(place)
