"""By which kind of runner an attachment's plugins are run.

Rule 1: by the one that its ADD was run by, which its record says.
Rule 2: what another writer recorded was added by executables: there is nothing else for libcni.
Rule 3: what no record knows, a delete runs by what an ADD would be run by now; it is noted with the
    delete, so that whoever resumes it goes on with the same.
"""

from __future__ import annotations

from acni.engine.engine import Engine
from acni.errors import PluginNotFound
from acni.host.plugins import EXECUTABLE
from acni.spec.configuration import NetworkConfig, PluginConfig
from acni.spec.plugin import Plugin
from acni.store.record import Record


def kinds_of(record: Record) -> tuple[str, ...]:
    """Return the kind of runner of each plugin of a record's chain."""
    recorded = record.provenance.plugins if record.provenance else ()
    known = tuple(plugin.runner for plugin in recorded)
    return known + (EXECUTABLE,) * (len(record.network.plugins) - len(known))


def was_found(record: Record, index: int) -> bool:
    """Tell whether a plugin of a record's chain was ever there to be run; of what another writer
    recorded that is not known, and taken to be so.
    """
    recorded = record.provenance.plugins if record.provenance else ()
    return index >= len(recorded) or bool(recorded[index].identity)


def plugins_of_now(engine: Engine, network: NetworkConfig) -> tuple[Plugin, ...]:
    """Find the plugins of a chain that no record knows; what is missing is taken for an
    executable that may come back.
    """
    return tuple(_of_now(engine, plugin) for plugin in network.plugins)


def _of_now(engine: Engine, plugin: PluginConfig) -> Plugin:
    try:
        return engine.find_one(plugin.type, engine.plugin_dirs)
    except PluginNotFound:
        return Plugin(type=plugin.type, path="", identity="", runner=EXECUTABLE)
