"""Reading a plugin's configuration: typed values, or an error that names the place and what was
expected there.

Rule 1: keys are folded as Go's encoding/json folds them, since the configurations that we read were
    written for plugins in Go; of two spellings the last counts.
Rule 2: ``null`` counts as absent, as there.

(specification, section 5, "Error", code 7; rule P11)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar, overload

from attrs import Factory, field, frozen

from acni.skel.errors import Code, PluginError
from acni.spec.jsontext import fold_key, is_array, is_object

_MAX_SHOWN: Final = 80
_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    float: "a fraction",
    type(None): "null",
}

Read = TypeVar("Read")


@frozen
class Fields:
    """A JSON object of a configuration, which knows where it stands.

    Attributes:
        value: Its members.
        place: Its JSON path, such as ``$.ipam.ranges[0][0]``.

    What reads a member raises :class:`PluginError` with code 7 where it is not as it has to be.

    Example:
        >>> fields = skel.Fields({"bridge": "cni0", "mtu": "1500"})
        >>> fields.text("bridge")
        'cni0'
        >>> try:
        ...     fields.number("mtu", least=68, most=65535)
        ... except skel.PluginError as error:
        ...     print(error)
        text, where a whole number from 68 to 65535 was expected at $.mtu (code 7)
    """

    value: Mapping[str, object]
    place: str = "$"
    _folded: Mapping[str, object] = field(
        init=False, repr=False, eq=False, default=Factory(lambda self: _folded(self.value), True)
    )

    def get(self, key: str) -> object:
        """Return a member as it is; None where it is absent.

        Example:
            >>> skel.Fields({"MTU": 1500}).get("mtu")
            1500
        """
        return self._folded.get(key.lower() if key.isascii() else fold_key(key))

    def has(self, key: str) -> bool:
        """Tell whether a member is there, and is not null.

        Example:
            >>> skel.Fields({"ipam": None}).has("ipam")
            False
        """
        return self.get(key) is not None

    @overload
    def text(self, key: str) -> str | None: ...
    @overload
    def text(self, key: str, default: str) -> str: ...
    def text(self, key: str, default: str | None = None) -> str | None:
        """Return a text, or the default where it is absent.

        Example:
            >>> skel.Fields({}).text("bridge", "cni0")
            'cni0'
        """
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.mismatch(key, "text")
        return value

    def required_text(self, key: str) -> str:
        """Return a text that must be there, and not be empty.

        Example:
            >>> try:
            ...     skel.Fields({}).required_text("master")
            ... except skel.PluginError as error:
            ...     print(error)
            no master at $.master (code 7)
        """
        value = self.text(key)
        if not value:
            raise self.error(key, f"no {key}", "text")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a flag, or the default where it is absent.

        Example:
            >>> skel.Fields({"isGateway": True}).flag("isGateway")
            True
        """
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.mismatch(key, "true or false")
        return value

    @overload
    def number(self, key: str, *, least: int, most: int) -> int | None: ...
    @overload
    def number(self, key: str, default: int, *, least: int, most: int) -> int: ...
    def number(self, key: str, default: int | None = None, *, least: int, most: int) -> int | None:
        """Return a whole number, or the default where it is absent.

        Args:
            key: The member.
            default: What it is where it is absent.
            least: The smallest that is allowed.
            most: The greatest that is allowed.

        Example:
            >>> skel.Fields({}).number("vlan", 1, least=1, most=4094)
            1
        """
        value = self.get(key)
        if value is None:
            return default
        expected = f"a whole number from {least} to {most}"
        if type(value) is not int:
            raise self.mismatch(key, expected)
        if not least <= value <= most:
            raise self.error(key, "a number out of range", expected)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; nothing where it is absent.

        Example:
            >>> skel.Fields({"search": ["a.example", "b.example"]}).texts("search")
            ('a.example', 'b.example')
        """
        found: list[str] = []
        for place, value in self._elements(key):
            if not isinstance(value, str):
                raise _mismatch(place, value, "text")
            found.append(value)
        return tuple(found)

    def inner(self, key: str) -> Fields:
        """Return an object, an empty one where it is absent.

        Example:
            >>> skel.Fields({"ipam": {"type": "static"}}).inner("ipam").text("type")
            'static'
        """
        value = self.get(key)
        if value is None:
            return Fields({}, self.at(key))
        if not is_object(value):
            raise self.mismatch(key, "an object")
        return Fields(value, self.at(key))

    def objects(self, key: str) -> tuple[Fields, ...]:
        """Return the objects of a list, such as ``routes``; nothing where it is absent.

        Example:
            >>> fields = skel.Fields({"routes": [{"dst": "0.0.0.0/0"}]})
            >>> [(route.place, route.text("dst")) for route in fields.objects("routes")]
            [('$.routes[0]', '0.0.0.0/0')]
        """
        return tuple(_objects(self._elements(key)))

    def object_lists(self, key: str) -> tuple[tuple[Fields, ...], ...]:
        """Return the objects of a list of lists, such as ``ranges``; nothing where it is absent.

        Example:
            >>> fields = skel.Fields({"ranges": [[{"subnet": "192.0.2.0/24"}]]})
            >>> [[one.place for one in ranges] for ranges in fields.object_lists("ranges")]
            [['$.ranges[0][0]']]
        """
        return tuple(
            tuple(_objects(_elements(value, place))) for place, value in self._elements(key)
        )

    def parsed(self, key: str, parse: Callable[[str], Read], expected: str) -> Read | None:
        """Return a text as something else; None where it is absent or empty.

        Args:
            key: The member.
            parse: Makes it of the text, or raises ValueError.
            expected: What it takes.

        Example:
            >>> from ipaddress import ip_address
            >>> fields = skel.Fields({"gateway": "192.0.2.300"})
            >>> try:
            ...     fields.parsed("gateway", ip_address, "an address")
            ... except skel.PluginError as error:
            ...     print(error.msg, "-", error.details)
            '192.0.2.300' is not allowed at $.gateway - expected an address
        """
        value = self.text(key)
        if not value:
            return None
        try:
            return parse(value)
        except ValueError:
            raise self.error(key, f"{self.shown(value)} is not allowed", expected) from None

    def shown(self, text: str) -> str:
        """Write a text for a message; what a caller gave as ``args`` may be a secret.

        Example:
            >>> skel.Fields({"subnet": "10.1.0.0/33"}).shown("10.1.0.0/33")
            "'10.1.0.0/33'"
        """
        return "a value" if f"{self.place}.".startswith("$.args.") else _shown(text)

    def at(self, key: str) -> str:
        """Name the place of a member.

        Example:
            >>> skel.Fields({"ipam": {}}).inner("ipam").at("type")
            '$.ipam.type'
        """
        return f"{self.place}.{key[:_MAX_SHOWN]}"

    def mismatch(self, key: str, expected: str) -> PluginError:
        """Make the error of a member of the wrong type.

        Example:
            >>> print(skel.Fields({"mtu": [1500]}).mismatch("mtu", "a whole number"))
            a list, where a whole number was expected at $.mtu (code 7)
        """
        return _mismatch(self.at(key), self.get(key), expected)

    def error(self, key: str, message: str, expected: str) -> PluginError:
        """Make the error of a member: it names the place and what was expected there.

        Example:
            >>> fields = skel.Fields({"mode": "fast"})
            >>> print(fields.error("mode", "an unknown mode", "bridge or vepa"))
            an unknown mode at $.mode (code 7)
        """
        return _error(self.at(key), message, expected)

    def _elements(self, key: str) -> list[tuple[str, object]]:
        value = self.get(key)
        return [] if value is None else _elements(value, self.at(key))


def _folded(value: Mapping[str, object]) -> Mapping[str, object]:
    return {
        key.lower() if key.isascii() else fold_key(key): member for key, member in value.items()
    }


def _elements(value: object, place: str) -> list[tuple[str, object]]:
    """Return the elements of a list, each with its place."""
    if not is_array(value):
        raise _mismatch(place, value, "a list")
    return [(f"{place}[{index}]", element) for index, element in enumerate(value)]


def _objects(elements: Iterable[tuple[str, object]]) -> Iterator[Fields]:
    for place, value in elements:
        if not is_object(value):
            raise _mismatch(place, value, "an object")
        yield Fields(value, place)


def _mismatch(place: str, value: object, expected: str) -> PluginError:
    kind = _KINDS.get(type(value), "a number")
    return _error(place, f"{kind}, where {expected} was expected", expected)


def _error(place: str, message: str, expected: str) -> PluginError:
    return PluginError(Code.INVALID_CONFIG, f"{message} at {place}", details=f"expected {expected}")


def _shown(text: str) -> str:
    return ascii(text)[:_MAX_SHOWN]
