"""Network configurations: the list with ``plugins``, as the administrator wrote it and as acni runs it.

The typed view sits beside the text: what acni must understand is parsed once, here; everything else travels as written.
A network is *effective* when it is complete by itself: drop-ins inlined, one version selected. That form goes into the
record, so that check and delete use the configuration of then.

(specification, section 1, "Network configuration format"; rules R1, R2, R4 to R9, R37 to R40, R50, R55)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from attrs import evolve, frozen

from acni.errors import ConfigError, InvalidName
from acni.spec.jsontext import JsonError, Member, array_elements, decode, dump, join, object_members
from acni.spec.names import NetworkName, PluginType, parse_network_name, parse_plugin_type
from acni.spec.versions import select_version

# What the runtime generates at execution and therefore drops from a plugin's configuration (R8, R37 to R40).
_GENERATED: Final = frozenset({"capabilities", "prevResult", "runtimeConfig", "name", "cniVersion"})
_RESERVED_PREFIX: Final = "cni.dev/"
_LIST_KEYS: Final = frozenset({"cniVersion", "cniVersions", "name", "plugins", "loadOnlyInlinedPlugins"})
_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    type(None): "null",
}

Name = TypeVar("Name")


@frozen(kw_only=True)
class PluginConfig:
    """One entry of a network's ``plugins``.

    Attributes:
        type: The executable's name.
        capabilities: The capabilities declared true.
        text: The plugin configuration as it was written.
        request: The members of a request that come from it, as written: ``"key":value`` joined by commas.
        source: The file it came from, or None.
    """

    type: PluginType
    capabilities: frozenset[str]
    text: str
    request: str
    source: str | None = None


@frozen(kw_only=True)
class NetworkConfig:
    """A network configuration, ready to run.

    Attributes:
        name: The network's name.
        cni_version: The selected version.
        disable_check: CHECK must not be run.
        plugins: The chain, in the order of ADD.
        members: The other top-level members, key to text, as written.
        source: The file it came from, or None.
    """

    name: NetworkName
    cni_version: str
    disable_check: bool
    plugins: tuple[PluginConfig, ...]
    members: Mapping[str, str]
    source: str | None = None

    def effective(self) -> str:
        """Write the configuration that is complete by itself, as records keep it."""
        return join(
            {
                "cniVersion": dump(self.cni_version),
                "name": dump(self.name),
                **self.members,
                "loadOnlyInlinedPlugins": "true",
                "plugins": "[" + ",".join(plugin.text for plugin in self.plugins) + "]",
            }
        )

    def up_to(self, index: int) -> NetworkConfig:
        """Return the network without the plugins after ``index``: what a debt resumes with."""
        return evolve(self, plugins=self.plugins[: index + 1])


def parse_network(
    raw: bytes, *, source: str | None = None, drop_ins: Iterable[tuple[str, bytes]] = ()
) -> NetworkConfig:
    """Parse a network configuration list.

    Args:
        raw: The file's bytes.
        source: Where it came from, for errors and for ``NetworkConfig.source``.
        drop_ins: Plugin configurations from ``<directory>/<name>/*.conf``, (source, bytes) in lexical order. They are
            appended unless the list says ``loadOnlyInlinedPlugins``.

    Raises:
        ConfigError: it cannot be understood; ``place`` is a JSON path.
        InvalidName: the name or a type is not allowed.
        VersionUnsupported: none of the versions it offers is supported.
    """
    members = _members(raw, source)
    name = _named(parse_network_name, members, "name", source)
    only_inlined = _flag(members, "loadOnlyInlinedPlugins", source)
    inlined = _inlined(members, source)
    if only_inlined and not inlined:
        raise _error("no plugins, and no others may be loaded", "$.plugins", "a list with a plugin", source)
    added = () if only_inlined else tuple(parse_plugin(text, source=where) for where, text in drop_ins)
    if not (inlined + added):
        raise _error("no plugins", "$.plugins", "a list with at least one plugin", source)
    return NetworkConfig(
        name=name,
        cni_version=select_version(_offered(members, source), _place("$.cniVersion", source)),
        disable_check=_flag(members, "disableCheck", source),
        plugins=inlined + added,
        members={key: member.text for key, member in members.items() if key not in _LIST_KEYS},
        source=source,
    )


def parse_single(raw: bytes, *, source: str | None = None) -> NetworkConfig:
    """Parse a configuration of one plugin (``.conf``, ``.json``: the format before lists) into a network of one."""
    members = _members(raw, source)
    return NetworkConfig(
        name=_named(parse_network_name, members, "name", source),
        cni_version=select_version(_offered(members, source), _place("$.cniVersion", source)),
        disable_check=False,
        plugins=(_plugin(members, decode(raw).strip(), "$", source),),
        members={},
        source=source,
    )


def parse_plugin(raw: bytes, *, source: str | None = None) -> PluginConfig:
    """Parse one plugin configuration, such as a drop-in."""
    return _plugin(_members(raw, source), decode(raw).strip(), "$", source)


def _members(raw: bytes, source: str | None) -> dict[str, Member]:
    try:
        return object_members(decode(raw))
    except JsonError as error:
        raise _error(str(error), "$", "a JSON object", source) from None


def _inlined(members: Mapping[str, Member], source: str | None) -> tuple[PluginConfig, ...]:
    member = members.get("plugins")
    if member is None:
        return ()
    if not isinstance(member.value, list):
        raise _mismatch(member.value, "$.plugins", "a list", source)
    plugins = []
    for index, element in enumerate(array_elements(member.text)):
        place = f"$.plugins[{index}]"
        if not isinstance(element.value, dict):
            raise _mismatch(element.value, place, "an object", source)
        plugins.append(_plugin(object_members(element.text), element.text, place, source))
    return tuple(plugins)


def _plugin(members: Mapping[str, Member], text: str, place: str, source: str | None) -> PluginConfig:
    ipam = _typed(members, "ipam", dict, place, source, {})
    if "type" in ipam:
        _named(parse_plugin_type, {"type": Member("", ipam["type"])}, "type", source, f"{place}.ipam")
    capabilities = _typed(members, "capabilities", dict, place, source, {})
    for name, declared in capabilities.items():
        if not isinstance(declared, bool):
            raise _mismatch(declared, f"{place}.capabilities.{name}", "true or false", source)
    kept = {key: member.text for key, member in members.items() if not _is_generated(key)}
    return PluginConfig(
        type=_named(parse_plugin_type, members, "type", source, place),
        capabilities=frozenset(name for name, declared in capabilities.items() if declared),
        text=text,
        request=join(kept)[1:-1],
        source=source,
    )


def _is_generated(key: str) -> bool:
    return key in _GENERATED or key.startswith(_RESERVED_PREFIX)


def _offered(members: Mapping[str, Member], source: str | None) -> list[str]:
    versions = _typed(members, "cniVersions", list, "$", source, [])
    for index, version in enumerate(versions):
        if not isinstance(version, str):
            raise _mismatch(version, f"$.cniVersions[{index}]", "text", source)
    return [_typed(members, "cniVersion", str, "$", source, ""), *versions]


def _flag(members: Mapping[str, Member], key: str, source: str | None) -> bool:
    """Read a flag; 0.4.0 wrote ``disableCheck`` as text (R50)."""
    value = members[key].value if key in members else False
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise _mismatch(value, f"$.{key}", "true or false", source)
    return value


def _typed(members: Mapping[str, Member], key: str, kind: type, place: str, source: str | None, default: Any) -> Any:
    value = members[key].value if key in members else None
    if value is None:
        return default
    if not isinstance(value, kind):
        raise _mismatch(value, f"{place}.{key}", _KINDS[kind], source)
    return value


def _named(
    parse: Callable[[object], Name], members: Mapping[str, Member], key: str, source: str | None, place: str = "$"
) -> Name:
    if key not in members:
        raise _error(f"no {key}", f"{place}.{key}", f"a {key}", source)
    try:
        return parse(members[key].value)
    except InvalidName as error:
        error.place = _place(f"{place}.{key}", source)
        raise


def _place(place: str, source: str | None) -> str:
    return f"{source}: {place}" if source else place


def _mismatch(value: object, place: str, expected: str, source: str | None) -> ConfigError:
    return _error(f"expected {expected}, got {_KINDS.get(type(value), 'a number')}", place, expected, source)


def _error(message: str, place: str, expected: str, source: str | None) -> ConfigError:
    return ConfigError(message, place=_place(place, source), expected=expected)
