"""What a caller may set of a runtime."""

from __future__ import annotations

from typing import Any

import pytest

from acni import ConfigError, InvalidName, Limits


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"plugins": 0}, "limits.plugins"),
        ({"plugins": True}, "limits.plugins"),
        ({"plugins": 2.0}, "limits.plugins"),
        ({"queue": -1}, "limits.queue"),
        ({"stdout_bytes": 0}, "limits.stdout_bytes"),
        ({"stderr_bytes": -1}, "limits.stderr_bytes"),
        ({"per_type": {"firewall": 0}}, "limits.per_type['firewall']"),
        ({"per_type": ["firewall"]}, "limits.per_type"),
    ],
)
def test_a_limit_that_is_none_is_refused_by_name(given: Any, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Limits(**given)
    assert caught.value.place == place


def test_a_limited_type_is_one_that_a_plugin_can_have() -> None:
    with pytest.raises(InvalidName):
        Limits(per_type={"../bridge": 1})
