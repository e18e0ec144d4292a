"""The plugins that acni brings along."""

from __future__ import annotations

import subprocess
import sys

import pytest

from acni.errors import PluginNotFound
from acni.plugins.builtins import BuiltIns
from acni.plugins.catalog import BUILT_IN, Catalog
from acni.spec.names import parse_plugin_type
from acni.spec.versions import SUPPORTED_VERSIONS


def test_each_has_a_type_and_speaks_what_acni_speaks() -> None:
    assert "loopback" in BUILT_IN
    for plugin_type, verbs in BUILT_IN.items():
        assert parse_plugin_type(plugin_type) == plugin_type
        assert set(verbs.versions) <= set(SUPPORTED_VERSIONS)


def test_none_is_loaded_before_it_is_asked_for() -> None:
    code = """
import sys
import acni
runner = acni.ExecutablesFirst()
assert "bridge" in runner.built_ins.plugins and len(runner.built_ins.plugins) > 3
print(*(name for name in sys.modules if name.startswith(("acni.plugins.b", "acni.netlink"))))
runner.find("bridge", [])
print("acni.plugins.bridge" in sys.modules)
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=200
    )
    assert told.stdout.split() == ["acni.plugins.builtins", "True"]


def test_one_that_cannot_be_loaded_is_not_found() -> None:
    runner = BuiltIns(plugins=Catalog({"lost": "acni.plugins.there_is_none"}))
    with pytest.raises(PluginNotFound, match="cannot be loaded") as failure:
        runner.find(parse_plugin_type("lost"), [])
    assert failure.value.plugin == "lost"
    with pytest.raises(PluginNotFound, match="no plugin of this type"):
        runner.find(parse_plugin_type("other"), [])
