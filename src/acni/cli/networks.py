"""``acni networks``: which file of the configuration directory is used for each network, and why
others are not.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from acni.cli.report import report
from acni.cli.tables import print_documents, print_table
from acni.errors import AcniError
from acni.host.configurations import MAX_CONFIG_BYTES, Configurations, load_configurations
from acni.host.files import read_regular
from acni.spec.configuration import NetworkConfig, PluginConfig
from acni.spec.jsontext import JsonError, decode, object_members

_HEADING: Final = ("STATE", "NETWORK", "VERSION", "PLUGINS", "FILE", "REASON")


@frozen(kw_only=True)
class _File:
    """What one file of a configuration directory means.

    Attributes:
        state: "used", "lost" or "broken".
        path: Its path.
        name: The network's name; empty where it is unknown.
        network: What it holds, for one that is used.
        reason: Why it lost, or what is wrong with it.
    """

    state: str
    path: str
    name: str = ""
    network: NetworkConfig | None = None
    reason: str = ""


def list_networks(arguments: argparse.Namespace) -> int:
    """List the files that are used, then those that lost to another, then the broken ones."""
    try:
        found = load_configurations(arguments.conf_dir)
    except AcniError as error:
        return report(error, arguments)
    files = [*_used(found), *_lost(found), *_broken(found)]
    if arguments.output == "human":
        print_table(_HEADING, map(_cells, files))
    else:
        print_documents(map(_document, files), arguments.output)
    return 0


def _used(found: Configurations) -> Iterator[_File]:
    for name, network in found.networks.items():
        yield _File(state="used", path=network.source or "", name=name, network=network)


def _lost(found: Configurations) -> Iterator[_File]:
    for path, name in found.lost:
        reason = f"{found.networks[name].source} has that name and comes first"
        yield _File(state="lost", path=path, name=name, reason=reason)


def _broken(found: Configurations) -> Iterator[_File]:
    for path, error in found.broken:
        yield _File(state="broken", path=path, name=_name(path), reason=str(error))


def _name(path: str) -> str:
    """Read a configuration's name, as far as there is one."""
    try:
        raw = read_regular(path, max_bytes=MAX_CONFIG_BYTES, follow=True)
        member = object_members(decode(raw)).get("name")
    except (OSError, JsonError):
        return ""
    return member.value if member is not None and isinstance(member.value, str) else ""


def _is_drop_in(plugin: PluginConfig, network: NetworkConfig) -> bool:
    return plugin.source != network.source


def _document(file: _File) -> dict[str, object]:
    network = file.network
    plugins = network.plugins if network else ()
    return {
        "state": file.state,
        "network": file.name,
        "version": network.cni_version if network else None,
        "versions": list(network.versions) if network else [],
        "plugins": [{"type": plugin.type, "source": plugin.source} for plugin in plugins],
        "file": file.path,
        "reason": file.reason,
    }


def _cells(file: _File) -> tuple[str, ...]:
    network = file.network
    if network is None:
        return file.state, file.name, "", "", file.path, file.reason
    plugins = ",".join(plugin.type for plugin in network.plugins)
    drop_ins = [
        f"{plugin.type} is {plugin.source}"
        for plugin in network.plugins
        if _is_drop_in(plugin, network)
    ]
    reason = f"drop-ins: {', '.join(drop_ins)}" if drop_ins else ""
    versions = ",".join(reversed(network.versions))
    return file.state, file.name, versions, plugins, file.path, reason
