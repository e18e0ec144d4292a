"""JSON objects in a configuration that know where they stand, so that an error can name the place.

(rules R8, R50, R55)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from attrs import evolve, frozen

from acni.errors import ConfigError, InvalidName
from acni.spec.jsontext import (
    JsonError,
    Member,
    decode,
    fold_key,
    is_array,
    is_object,
    object_members,
    spell_keys,
    spellings,
    strip,
)

# The keys of a plugin configuration that the runtime reads.
SPELLED: Final = spellings("type", "ipam", "capabilities", "name", "cniVersion", "cniVersions")
_MAX_SHOWN_KEY: Final = 80
_NOTHING: Final[dict[str, Any]] = {}
_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    type(None): "null",
}

Kind = TypeVar("Kind")
Name = TypeVar("Name")


def read_document(raw: bytes, source: str | None) -> tuple[Located, Mapping[str, Member]]:
    """Read a whole file: what it says, and how each member was written. The elements of ``plugins``
    are members, too.

    Raises:
        ConfigError: it is no JSON object.
    """
    try:
        text = strip(decode(raw))
        members = object_members(text, listed="plugins")
    except JsonError as error:
        place = f"{source}: $" if source else "$"
        raise ConfigError(str(error), place=place, expected="a JSON object") from None
    value = {key: member.value for key, member in members.items()}
    plugins = value.get("plugins")
    listed = [plugin.value for plugin in plugins] if is_array(plugins) else []
    return Located(value, text, "$", source, _is_exact(text, listed)), members


def _is_exact(text: str, plugins: Iterable[object]) -> bool:
    """Tell whether what is read of the plugins of a list stands in them once and in no other
    spelling.

    Counting once is cheaper than folding each key of each object. Where something else is called
    so, too, the count is wrong and the keys are folded.
    """
    if "\\" in text or not text.isascii():
        return False  # an escape, or a letter that folds to one of theirs: not worth knowing
    types = ipams = capabilities = 0
    for plugin in plugins:
        if is_object(plugin):
            types += "type" in plugin
            capabilities += "capabilities" in plugin
            if "ipam" in plugin:
                ipams += 1
                ipam = plugin["ipam"]
                types += is_object(ipam) and "type" in ipam
    expected = (('"type"', types), ('"ipam"', ipams), ('"capabilities"', capabilities))
    lower = text.lower()
    return all(lower.count(key) == text.count(key) == times for key, times in expected)


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, each as often as it is there."""


_PAIRS: Final = json.JSONDecoder(object_pairs_hook=_Pairs)


@frozen
class Located:
    """A JSON object in a configuration, which knows where it stands.

    Attributes:
        value: Its members.
        text: Its text; empty where nobody needs it.
        place: Its JSON path.
        source: The file it came from.
        is_exact: What is read of a plugin in a list stands in it once and in no other spelling.
    """

    value: Mapping[str, Any]
    text: str
    place: str
    source: str | None
    is_exact: bool

    def folded(self) -> Located:
        """Return the object with the keys of a plugin spelled as the specification does: Go's
        plugins read ``"IPAM"`` too, so it must not pass unchecked. The last spelling counts.
        """
        if self.is_exact:
            return self
        return evolve(self, value=spell_keys(self.value, SPELLED))

    def require_one_ipam(self) -> None:
        """Refuse two ``ipam``, or two ``type`` in it, in any spelling: Go merges such objects, so
        what was checked would not be what is run (R55).

        Raises:
            ConfigError: there are two.
        """
        if self.is_exact:
            return
        ipams = [value for key, value in _PAIRS.decode(self.text) if fold_key(key) == "ipam"]
        if len(ipams) > 1:
            raise self.error("it is there twice", "ipam", "one")
        types = [
            key
            for ipam in ipams
            if isinstance(ipam, _Pairs)
            for key, _ in ipam
            if fold_key(key) == "type"
        ]
        if len(types) > 1:
            raise self.error("it is there twice", "ipam.type", "one")

    def typed(self, key: str, kind: type[Kind], default: Kind) -> Kind:
        """Return a member's value; ``null`` counts as absent."""
        value = self.value.get(key)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise self.mismatch(value, key, _KINDS[kind])
        return value

    def flag(self, key: str) -> bool:
        """Return a flag; 0.4.0 wrote ``disableCheck`` as text (R50)."""
        value = self.value.get(key, False)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise self.mismatch(value, key, "true or false")
        return value

    def name(self, key: str, parse: Callable[[object], Name]) -> Name:
        """Return a name that must be there."""
        if key not in self.value:
            raise self.error(f"no {key}", key, f"a {key}")
        try:
            return parse(self.value[key])
        except InvalidName as error:
            error.place = self.at(key)
            raise

    def inner(self, key: str) -> Located:
        """Return an inner object, empty where there is none."""
        value = self.typed(key, dict, _NOTHING)
        return Located(value, "", f"{self.place}.{key}", self.source, self.is_exact)

    def at(self, key: str) -> str:
        """Name the place of a member: the file and the JSON path."""
        path = f"{self.place}.{key[:_MAX_SHOWN_KEY]}"
        return f"{self.source}: {path}" if self.source else path

    def mismatch(self, value: object, key: str, expected: str) -> ConfigError:
        """Make the error of a member of the wrong type."""
        kind = _KINDS.get(type(value), "a number")
        return self.error(f"expected {expected}, got {kind}", key, expected)

    def error(self, message: str, key: str, expected: str) -> ConfigError:
        """Make an error that names a member's place."""
        return ConfigError(message, place=self.at(key), expected=expected)
