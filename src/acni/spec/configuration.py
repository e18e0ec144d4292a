"""Network configurations: the list with ``plugins``, as the administrator wrote it and as acni runs
it.

The typed view sits beside the text: what acni must understand is parsed once, here; everything else
travels as written. A network is *effective* when it is complete by itself: drop-ins inlined, one
version selected. That form goes into the record, so that check and delete use the configuration of
then.

(specification, section 1, "Network configuration format"; rules R1, R2, R4 to R9, R37 to R40, R50,
R55)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from attrs import evolve, field, frozen

from acni.errors import ConfigError, VersionUnsupported
from acni.spec.arguments import merge_args, parse_args
from acni.spec.document import SPELLED, Located, read_document
from acni.spec.jsontext import (
    SURELY_WITHIN,
    JsonError,
    Member,
    dump,
    fold_key,
    inner_members,
    is_object,
    join,
    require_bounds,
    spell_keys,
)
from acni.spec.names import NetworkName, PluginType, parse_network_name, parse_plugin_type
from acni.spec.versions import offered_versions

# What the runtime generates at execution and therefore drops from a plugin's configuration (R8, R37
# to R40).
_GENERATED: Final = frozenset({"capabilities", "prevresult", "runtimeconfig", "name", "cniversion"})
# Of those, what belongs into a configuration all the same.
_EXPECTED: Final = frozenset({"capabilities", "name", "cniversion"})
_RESERVED_PREFIX: Final = "cni.dev/"
_LIST_KEYS: Final = frozenset(
    {"cniVersion", "cniVersions", "name", "plugins", "loadOnlyInlinedPlugins"}
)
_NOTHING: Final[dict[str, Any]] = {}


@frozen(kw_only=True)
class PluginConfig:
    """One entry of a network's ``plugins``.

    Attributes:
        type: The executable's name.
        capabilities: The capabilities declared true.
        text: The plugin configuration as it was written.
        source: The file it came from, or None.
        values: All of it, parsed: ``ipam``, ``dns``, ``args`` and whatever else it says.
        request: The members of a request that come from it, as written: ``"key":value`` joined by
            commas.

    Example:
        >>> plugin = network.plugins[1]
        >>> plugin.type, sorted(plugin.capabilities), plugin.request
        ('portmap', ['portMappings'], '"type":"portmap"')
        >>> acni.networks.routed("jobs", "10.89.0.0/16").plugins[0].values["ipam"]["type"]
        'host-local'
    """

    type: PluginType = field(converter=parse_plugin_type)
    capabilities: frozenset[str]
    text: str = field(repr=False)  # may hold secrets
    source: str | None = None

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """All of it, parsed, with every number as Python reads it."""
        return {key: member.value for key, member in inner_members(self.text).items()}

    @property
    def delegate(self) -> str | None:
        """The plugin that it delegates to, as ``ipam`` names it, or None (specification, section
        4).

        Example:
            >>> acni.networks.routed("jobs", "10.89.0.0/16").plugins[0].delegate
            'host-local'
        """
        ipam = spell_keys(self.values, SPELLED).get("ipam")
        kind = spell_keys(ipam, SPELLED).get("type") if is_object(ipam) else None
        return kind if isinstance(kind, str) and kind else None

    @property
    def dropped(self) -> tuple[str, ...]:
        """The reserved keys in it, which never reach the plugin (specification, section 1,
        "Reserved keys").

        Example:
            >>> spec.parse_plugin(b'{"type": "tuning", "runtimeConfig": {}}').dropped
            ('runtimeConfig',)
        """
        return tuple(
            key for key in self._texts if _is_generated(key) and fold_key(key) not in _EXPECTED
        )

    @property
    def declared(self) -> str | None:
        """The text of ``capabilities``, or None.

        Example:
            >>> network.plugins[1].declared
            '{"portMappings":true}'
        """
        return spell_keys(self._texts, SPELLED).get("capabilities")

    @cached_property
    def request(self) -> str:
        """The members of a request that come from it, as written; cut out once, when first asked
        for. Of a key that is there twice only the last: a checked type and another one run would be
        a hole.
        """
        return join({k: text for k, text in self._texts.items() if not _is_generated(k)})[1:-1]

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        return {key: member.text for key, member in inner_members(self.text).items()}


@frozen(kw_only=True)
class NetworkConfig:
    """A network configuration, ready to run.

    Attributes:
        name: The network's name.
        versions: The versions that it offers and that acni speaks, the oldest first.
        disable_check: CHECK must not be run.
        disable_gc: GC must not be run, and nothing is deleted for being unknown to the caller of gc
            where another runtime recorded it.
        plugins: The chain, in the order of ADD.
        members: The other top-level members, key to text, as written.
        source: The file it came from, or None.

    Example:
        >>> network = acni.load_network(conf_dir, "dbnet")
        >>> network.name, network.cni_version, [plugin.type for plugin in network.plugins]
        ('dbnet', '1.1.0', ['bridge', 'portmap'])
    """

    name: NetworkName = field(converter=parse_network_name)
    versions: tuple[str, ...]
    disable_check: bool
    disable_gc: bool
    plugins: tuple[PluginConfig, ...]
    members: Mapping[str, str] = field(repr=False)
    source: str | None = None

    @property
    def cni_version(self) -> str:
        """The selected version: the highest of ``versions``.

        Example:
            >>> offering = acni.networks.from_plugins("loop", {"type": "loopback"})
            >>> offering.cni_version, offering.at_version("1.0.0").cni_version
            ('1.1.0', '1.0.0')
        """
        return self.versions[-1]

    def at_version(self, cni_version: str) -> NetworkConfig:
        """Return the network with that version as the only one it offers (specification, section 1,
        "Version considerations").

        Args:
            cni_version: One of ``versions``.

        Raises:
            VersionUnsupported: it does not offer that version.

        Example:
            >>> network.at_version("1.1.0").versions
            ('1.1.0',)
        """
        if cni_version not in self.versions:
            raise VersionUnsupported(
                f"it offers {', '.join(self.versions)}, not {ascii(cni_version)[:40]}",
                network=self.name,
                expected="one of these",
            )
        return evolve(self, versions=(cni_version,))

    def effective(self) -> str:
        """Write the configuration that is complete by itself, as records keep it.

        Returns:
            JSON text in which the drop-ins are inlined; :func:`acni.parse_network` reads it.

        Example:
            >>> loop = acni.networks.from_plugins("loop", {"type": "loopback"}, version="1.0.0")
            >>> loop.effective()
            '{"cniVersion":"1.0.0","name":"loop","loadOnlyInlinedPlugins":true,"plugins":[{"type":"loopback"}]}'
        """
        return self._effective

    @cached_property
    def _effective(self) -> str:
        # Readers that know nothing of cniVersions take cniVersion.
        offer = {"cniVersion": dump(self.versions[0])}
        if len(self.versions) > 1:
            offer["cniVersions"] = dump(self.versions)
        return join(
            {
                **offer,
                "name": dump(self.name),
                **self.members,
                "loadOnlyInlinedPlugins": "true",
                "plugins": "[" + ",".join([plugin.text for plugin in self.plugins]) + "]",
            }
        )

    def up_to(self, index: int) -> NetworkConfig:
        """Return the network without the plugins after ``index``: what a debt resumes with.

        Args:
            index: The place of the last plugin that stays, from 0.

        Example:
            >>> [plugin.type for plugin in network.up_to(0).plugins]
            ['bridge']
        """
        return evolve(self, plugins=self.plugins[: index + 1])

    def with_args(self, args: Mapping[str, Any]) -> NetworkConfig:
        """Return the network with ``args`` merged into the ``args`` of each plugin configuration.

        Objects are merged at every depth, anything else is replaced; what is not named stays as it
        was written (CONVENTIONS.md, '"args" in network config'; rules R52, R63).

        Args:
            args: A JSON object as a mapping, by convention below ``cni``:
                ``{"cni": {"labels": [{"key": "app", "value": "web"}]}}``.

        Raises:
            ConfigError: it is no JSON object, or makes the network too large for a record.

        Example:
            >>> labelled = network.with_args({"cni": {"labels": [{"key": "app", "value": "web"}]}})
            >>> labelled.plugins[0].text
            '{"type":"bridge","args":{"cni":{"labels":[{"key":"app","value":"web"}]}}}'
        """
        parsed = parse_args(args)
        if not parsed:
            return self
        plugins = tuple(_with_args(plugin, parsed) for plugin in self.plugins)
        network = evolve(self, plugins=plugins)
        try:
            require_bounds(network.effective())
        except JsonError as error:
            message = f"with the configuration: {error}"
            raise ConfigError(message, place="args", expected="a smaller object") from None
        return network


def parse_network(
    raw: bytes, *, source: str | None = None, drop_ins: Iterable[tuple[str, bytes]] = ()
) -> NetworkConfig:
    """Parse a network configuration list (specification, section 1, "Network configuration
    format").

    Args:
        raw: The file's bytes.
        source: Where it came from, for errors and for ``NetworkConfig.source``.
        drop_ins: Plugin configurations from ``<directory>/<name>/*.conf``, (source, bytes) in
            lexical order. They are appended unless the list says ``loadOnlyInlinedPlugins``.

    Raises:
        ConfigError: it cannot be understood; ``place`` is a JSON path.
        InvalidName: the name or a type is not allowed.
        VersionUnsupported: none of the versions it offers is supported.

    Example:
        >>> network = acni.parse_network(
        ...     b'{"cniVersion": "1.0.0", "name": "dbnet", "plugins": [{"type": "bridge"}]}'
        ... )
        >>> network.name, network.cni_version
        ('dbnet', '1.0.0')
    """
    return _network(*read_document(raw, source), drop_ins)


def _network(
    document: Located, members: Mapping[str, Member], drop_ins: Iterable[tuple[str, bytes]]
) -> NetworkConfig:
    name = document.name("name", parse_network_name)
    only_inlined = document.flag("loadOnlyInlinedPlugins")
    inlined = tuple(_plugins(document))
    if only_inlined and not inlined:
        raise document.error("no plugins, and no others may be loaded", "plugins", "a plugin")
    others = (
        () if only_inlined else tuple(parse_plugin(text, source=path) for path, text in drop_ins)
    )
    if not (inlined or others):
        raise document.error("no plugins", "plugins", "a list with at least one plugin")
    network = NetworkConfig(
        name=name,
        versions=_offered(document),
        disable_check=document.flag("disableCheck"),
        disable_gc=document.flag("disableGC"),
        plugins=inlined + others,
        members={key: member.text for key, member in members.items() if key not in _LIST_KEYS},
        source=document.source,
    )
    if others or len(document.text) > SURELY_WITHIN:
        _require_readable(network, document)
    return network


def _require_readable(network: NetworkConfig, document: Located) -> None:
    """Refuse a list that is too large to be read back from a record as it is written there."""
    try:
        require_bounds(network.effective())
    except JsonError as error:
        raise document.error(f"as a record: {error}", "plugins", "a smaller list") from None


def parse_single(raw: bytes, *, source: str | None = None) -> NetworkConfig:
    """Parse a configuration of one plugin (``.conf``, ``.json``: the format before lists).

    Args:
        raw: The file's bytes.
        source: Where it came from, for errors and for ``NetworkConfig.source``.

    Raises:
        ConfigError: it cannot be understood; ``place`` is a JSON path.
        InvalidName: the name or the type is not allowed.
        VersionUnsupported: acni does not know its version.

    Example:
        >>> network = spec.parse_single(b'{"cniVersion": "0.4.0", "name": "n", "type": "loopback"}')
        >>> network.name, network.plugins[0].type
        ('n', 'loopback')
    """
    return _single(read_document(raw, source)[0])


def parse_recorded_network(raw: bytes) -> NetworkConfig:
    """Parse the configuration of a record: a list, or the one plugin of libcni's ``AddNetwork``."""
    document, members = read_document(raw, None)
    return _network(document, members, ()) if "plugins" in members else _single(document)


def _single(exactly: Located) -> NetworkConfig:
    written = evolve(exactly, is_exact=False)
    document = written.folded()
    network = NetworkConfig(
        name=document.name("name", parse_network_name),
        versions=_offered(document),
        disable_check=False,
        disable_gc=False,
        plugins=(_plugin(written),),
        members={},
        source=document.source,
    )
    _require_readable(network, document)  # it is nested deeper in a record
    return network


def parse_plugin(raw: bytes, *, source: str | None = None) -> PluginConfig:
    """Parse one plugin configuration, such as a drop-in (specification, section 1, "Plugin
    configuration objects").

    Args:
        raw: The bytes of one JSON object.
        source: Where it came from, for errors and for ``PluginConfig.source``.

    Raises:
        ConfigError: it cannot be understood; ``place`` is a JSON path.
        InvalidName: the type is not allowed.

    Example:
        >>> plugin = spec.parse_plugin(b'{"type": "tuning", "capabilities": {"mac": true}}')
        >>> plugin.type, plugin.capabilities
        ('tuning', frozenset({'mac'}))
    """
    return _plugin(read_document(raw, source)[0])


def _with_args(plugin: PluginConfig, args: Mapping[str, Any]) -> PluginConfig:
    texts = {key: member.text for key, member in inner_members(plugin.text).items()}
    texts["args"] = merge_args(texts.get("args", "null"), args)
    return evolve(plugin, text=join(texts))


def _plugin(written: Located) -> PluginConfig:
    written.require_one_ipam()
    document = written.folded()
    if document.typed("ipam", dict, _NOTHING):
        ipam = document.inner("ipam").folded()
        # Empty: no address management, as bridge and macvlan read it.
        if ipam.value.get("type") not in (None, ""):
            ipam.name("type", parse_plugin_type)
    return PluginConfig(
        type=document.name("type", parse_plugin_type),
        capabilities=_declared(document),
        text=document.text,
        source=document.source,
    )


def _declared(document: Located) -> frozenset[str]:
    """Return the capabilities that are declared true; null counts as false, as in Go."""
    stated = document.typed("capabilities", dict, _NOTHING)
    if not stated:
        return frozenset()
    if set(map(type, stated.values())) == {bool}:
        return frozenset(name for name in stated if stated[name])
    declared = document.inner("capabilities")
    return frozenset(
        name for name, value in stated.items() if value is not None and declared.flag(name)
    )


def _plugins(document: Located) -> Iterator[PluginConfig]:
    """Read the list of plugins, each with its own text; empty where there is none."""
    for index, element in enumerate(document.typed("plugins", list, [])):
        where = f"plugins[{index}]"
        if not is_object(element.value):
            raise document.mismatch(element.value, where, "an object")
        place = f"{document.place}.{where}"
        yield _plugin(
            Located(element.value, element.text, place, document.source, document.is_exact)
        )


def _is_generated(key: str) -> bool:
    """Tell whether the runtime generates a key; in any case of its letters, which Go folds."""
    folded = fold_key(key)
    return folded in _GENERATED or folded.startswith(_RESERVED_PREFIX)


def _offered(document: Located) -> tuple[str, ...]:
    offered = [document.typed("cniVersion", str, ""), *document.typed("cniVersions", list, [])]
    for version in offered:
        if not isinstance(version, str):
            raise document.mismatch(version, "cniVersions", "a list of text")
    return offered_versions(offered, document.at("cniVersion"))
