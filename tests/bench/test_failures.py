"""The same failure of different containers is one."""

from __future__ import annotations

import pytest

from acni import PluginFailed
from acni.bench.failures import failure_of, group, normalize

TEXTS = [
    pytest.param("chain CNI-0f3a9b21c4d5e6f7 exists", "chain CNI-# exists", id="hash"),
    pytest.param("exit status 4: added", "exit status #: added", id="number"),
    pytest.param("10.88.0.7/16 is taken by c12", "# is taken by c#", id="address"),
    pytest.param("decade facade", "decade facade", id="words"),
    pytest.param("", "", id="nothing"),
]


@pytest.mark.parametrize(("text", "normalized"), TEXTS)
def test_what_differs_between_containers_is_left_out(text: str, normalized: str) -> None:
    assert normalize(text) == normalized


def test_failures_of_one_kind_are_counted_together() -> None:
    def failure(plugin: str, msg: str, verb: str = "ADD") -> object:
        return failure_of(verb, PluginFailed("it failed", plugin=plugin, msg=msg))

    failures = [
        failure("firewall", "chain CNI-0f3a9b21 exists\n"),
        failure("portmap", "chain CNI-0f3a9b21 exists"),
        failure("firewall", "chain CNI-17c3d4e5 exists"),
        failure("firewall", "chain CNI-17c3d4e5 exists", "DEL"),
    ]
    grouped = group(failures)  # type: ignore[arg-type]
    assert [(one.count, one.verb, one.plugin) for one in grouped] == [
        (2, "ADD", "firewall"),
        (1, "ADD", "portmap"),
        (1, "DEL", "firewall"),
    ]
    assert grouped[0].example == "chain CNI-0f3a9b21 exists"
    assert group([*grouped, *grouped])[0].count == 4
