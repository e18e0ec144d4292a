"""What address plugins have in common: the arguments that ask for addresses, and their result.

(specification, section 4; section 5, "Delegated plugins (IPAM)"; CONVENTIONS.md, "CNI_ARGS")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final, TypeVar

from attrs import frozen

from acni.plugins.ranges import Address, canonical, parse_address
from acni.skel.call import Call
from acni.skel.errors import Code, PluginError
from acni.skel.reading import Fields
from acni.spec.addresses import address_of, interface_of, is_with_length
from acni.spec.result import Dns, Route

_IGNORE_UNKNOWN: Final = "IgnoreUnknown"
_FLAGS: Final[Mapping[str, bool]] = {"1": True, "true": True, "0": False, "false": False}
_MAX_NUMBER: Final = (1 << 32) - 1  # what the widest of them can be in the kernel
# What each may be at most: the kernel has a byte for the scope.
_ROUTE_NUMBERS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("mtu", "advmss", "priority", "table"), _MAX_NUMBER),
    "scope": 255,
}

Read = TypeVar("Read")


@frozen(kw_only=True)
class Given:
    """An address that an attachment is given.

    Attributes:
        address: The address with its prefix length.
        gateway: Its gateway, or None.
    """

    address: IPv4Interface | IPv6Interface
    gateway: Address | None


def ipam_of(fields: Fields) -> Fields:
    """Return the ``ipam`` of a configuration.

    Raises:
        PluginError: there is none.
    """
    if not fields.has("ipam"):
        raise fields.error("ipam", "no ipam", "an object")
    return fields.inner("ipam")


def known_args(call: Call, names: Collection[str]) -> Mapping[str, str]:
    """Return the CNI_ARGS that a plugin knows.

    Raises:
        PluginError: there are others, and ``IgnoreUnknown`` does not allow for them.
    """
    flag = _FLAGS.get(call.args.get(_IGNORE_UNKNOWN, "0").lower())
    if flag is None:
        raise argument_error(_IGNORE_UNKNOWN, "1 or 0")
    for name in call.args:
        if name not in (*names, _IGNORE_UNKNOWN) and not flag:
            raise argument_error(name, f"{' or '.join(names)}, or IgnoreUnknown=1")
    return {name: text for name, text in call.args.items() if name in names}


def parsed_argument(name: str, text: str, parse: Callable[[str], Read], expected: str) -> Read:
    """Parse the value of one of CNI_ARGS.

    Raises:
        PluginError: it is not what was expected.
    """
    try:
        return parse(text)
    except ValueError:
        raise argument_error(name, expected) from None


def argument_error(name: str, expected: str) -> PluginError:
    """Make the error of one of CNI_ARGS: it names the name, not the value."""
    return PluginError(
        Code.INVALID_ENVIRONMENT,
        f"{ascii(name)[:80]} of CNI_ARGS is not allowed",
        details=f"CNI_ARGS: expected {expected}",
    )


def parsed_texts(
    fields: Fields, key: str, parse: Callable[[str], Read], expected: str
) -> tuple[Read, ...]:
    """Return a list of texts as something else; nothing where it is absent.

    Raises:
        PluginError: one of them is not what was expected.
    """
    found: list[Read] = []
    for index, text in enumerate(fields.texts(key)):
        try:
            found.append(parse(text))
        except ValueError:
            message = f"{fields.shown(text)} is not allowed"
            raise fields.error(f"{key}[{index}]", message, expected) from None
    return tuple(found)


def parse_interface(text: str) -> IPv4Interface | IPv6Interface:
    """Parse an address with its prefix length, as Go does: IPv4 written as IPv6 is IPv4.

    Raises:
        ValueError: it is none.
    """
    if not is_with_length(text):
        raise ValueError(text)
    interface = interface_of(text)
    address = canonical(interface.ip)
    if address.version == interface.version:
        return interface
    shorter = interface.max_prefixlen - address.max_prefixlen
    return IPv4Interface((int(address), interface.network.prefixlen - shorter))


def parse_its_address(text: str) -> Address:
    """Parse the address of an address with its prefix length: a third of :func:`parse_interface`.

    Raises:
        ValueError: it is none.
    """
    if not is_with_length(text):
        raise ValueError(text)
    return canonical(address_of(text.partition("/")[0]))


def parse_path(text: str) -> str:
    """Parse a path; plugins run in ``/``.

    Raises:
        ValueError: no file can be called that.
    """
    if "\0" in text:
        raise ValueError(text)
    os.fsencode(text)
    return os.path.join("/", text)


def parse_routes(fields: Fields) -> tuple[Route, ...]:
    """Parse ``routes`` into those of a result.

    Raises:
        PluginError: one of them cannot be set up; names the place.
    """
    return tuple(map(_parse_route, fields.objects("routes")))


def _parse_route(fields: Fields) -> Route:
    expected = "a destination with a prefix length"
    dst = fields.parsed("dst", parse_interface, expected)
    if dst is None:
        raise fields.error("dst", "no dst", expected)
    gateway = fields.parsed("gw", parse_address, "an address")
    return Route(
        dst=str(dst),
        gw=None if gateway is None else str(gateway),
        **{key: fields.number(key, least=0, most=most) for key, most in _ROUTE_NUMBERS.items()},
    )


def parse_dns(fields: Fields) -> Dns:
    """Parse ``dns`` into that of a result.

    Raises:
        PluginError: it is none; names the place.
    """
    return Dns(
        nameservers=fields.texts("nameservers"),
        domain=fields.text("domain") or None,
        search=fields.texts("search"),
        options=fields.texts("options"),
    )
