"""The plugins that acni brings along."""

from __future__ import annotations

from acni.plugins.catalog import BUILT_IN
from acni.spec.names import parse_plugin_type
from acni.spec.versions import SUPPORTED_VERSIONS


def test_each_has_a_type_and_speaks_what_acni_speaks() -> None:
    assert "loopback" in BUILT_IN
    for plugin_type, verbs in BUILT_IN.items():
        assert parse_plugin_type(plugin_type) == plugin_type
        assert set(verbs.versions) <= set(SUPPORTED_VERSIONS)
