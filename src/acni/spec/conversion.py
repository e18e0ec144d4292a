"""Converting results between the three shapes that the seven versions have.

=================  ==========================================================
0.1.0, 0.2.0       ``ip4`` and ``ip6``, each with its ``gateway`` and ``routes``
0.3.0 to 0.4.0     ``interfaces``, ``ips`` (with ``version``), ``routes``
1.0.0, 1.1.0       the same without ``version``; more is said of interfaces
=================  ==========================================================

What libcni's converters do, on text: what both shapes can say travels as written, fields that
nobody knows included. Towards an older shape what that has no word for is dropped: further
addresses of a family, ``interfaces``, ``mtu``. The family of an address is what the address says.

(specification, section 5, "Success"; history of 0.3.0 and 1.0.0; rule R42)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address
from typing import Final, TypeVar

from acni.spec.jsontext import (
    JsonError,
    Member,
    array_elements,
    dump,
    inner_members,
    join,
    spell_keys,
    spellings,
)
from acni.spec.versions import RESULT_SHAPES, is_at_least

# What Go's encoding/json takes for a key: whatever folds to it. Plugins that print results without
# naming their fields are read, by libcni and by the next plugin.
_KEYS: Final = spellings(
    *("cniVersion", "interfaces", "ips", "routes", "dns", "ip4", "ip6"),
    *("name", "mac", "mtu", "sandbox", "socketPath", "pciID"),
    *("version", "address", "gateway", "interface", "ip"),
    *("dst", "gw", "advmss", "priority", "table", "scope"),
    *("nameservers", "domain", "search", "options"),
)
_SPELLED: Final = frozenset(_KEYS.values())
_INTERFACE_SINCE_1_0_0: Final = frozenset({"mtu", "socketPath", "pciID"})
_ROUTE_SINCE_0_3_0: Final = frozenset({"mtu", "advmss", "priority", "table", "scope"})
_FAMILIES: Final[Mapping[str, str]] = {"ip4": "4", "ip6": "6"}
# What one shape has a meaning for and the other has not: it gets none on the way.
_OF_LISTS: Final = frozenset({"interfaces", "ips", "routes"})
_OF_LISTED: Final = frozenset({"version", "address", "interface"})
_OF_FAMILIES: Final = frozenset({"ip", "routes"})

Texts = dict[str, str]
Kind = TypeVar("Kind")


def fold_keys(members: Mapping[str, Kind]) -> dict[str, Kind]:
    """Spell the keys of a result's object as the specification does; of two spellings the last
    counts, as in Go.
    """
    if _SPELLED.issuperset(members):
        return dict(members)
    return spell_keys(members, _KEYS)


def reshape(members: Mapping[str, Member], printed: str, wanted: str) -> str:
    """Write a result of one shape in another.

    Args:
        members: The result's members, their keys folded.
        printed: The version that it has.
        wanted: The version whose shape is wanted.

    Raises:
        JsonError: something in it is not what its version says, or it has no address and the
            version that is wanted needs one.
    """
    texts = _texts(members) | {"cniVersion": dump(wanted)}
    oldest = RESULT_SHAPES[0]
    if wanted in oldest:
        return join(_with_families(texts))
    if printed in oldest:
        return join(_with_list(texts, has_version=not is_at_least(wanted, "1.0.0")))
    if is_at_least(wanted, "1.0.0"):
        return join(texts | _each(members, "ips", _without_version))
    ips = _each(members, "ips", _with_version)
    return join(texts | ips | _each(members, "interfaces", _without_newer))


def _with_list(texts: Texts, *, has_version: bool) -> Texts:
    """Turn ``ip4`` and ``ip6`` into ``ips`` and ``routes``, in this order."""
    ips: list[str] = []
    routes: list[str] = []
    for key, family in _FAMILIES.items():
        text = texts.pop(key, "null")
        if text == "null":
            continue
        fields = _fields(text, key)
        routes += map(join, _objects(fields.pop("routes", "null"), f"{key}.routes"))
        address = {"address": fields.pop("ip", "null")}
        version = {"version": dump(family)} if has_version else {}
        ips.append(join(version | address | _but(fields, _OF_LISTED)))
    return _but(texts, _OF_LISTS) | _unless_empty("ips", ips) | _unless_empty("routes", routes)


def _with_families(texts: Texts) -> Texts:
    """Turn the first address of each family, and the routes of that family, into ``ip4`` and
    ``ip6``.
    """
    families: dict[str, Texts] = {}
    for fields in _objects(texts.pop("ips", "null"), "ips"):
        address = fields.pop("address", "null")
        kept = _but(fields, _OF_LISTED | _OF_FAMILIES)
        families.setdefault(_family(address), {"ip": address, **kept})
    routes: dict[str, list[str]] = {key: [] for key in _FAMILIES}
    for fields in _objects(texts.pop("routes", "null"), "routes"):
        kept = {key: text for key, text in fields.items() if key not in _ROUTE_SINCE_0_3_0}
        routes[_family(fields.get("dst", "null"))].append(join(kept))
    if not families:
        raise JsonError("no address, which 0.2.0 and older cannot do without")
    texts = _but(texts, _OF_LISTS | _FAMILIES.keys())
    for key in sorted(families):
        texts[key] = join(families[key] | _unless_empty("routes", routes[key]))
    return texts


def _each(members: Mapping[str, Member], key: str, change: Callable[[Texts], Texts]) -> Texts:
    if key not in members or members[key].value is None:
        return {}
    return {key: _array(join(change(fields)) for fields in _objects(members[key].text, key))}


def _without_version(ip: Texts) -> Texts:
    return {name: text for name, text in ip.items() if name != "version"}


def _with_version(ip: Texts) -> Texts:
    return {"version": dump(_FAMILIES[_family(ip.get("address", "null"))])} | _without_version(ip)


def _without_newer(interface: Texts) -> Texts:
    return {name: text for name, text in interface.items() if name not in _INTERFACE_SINCE_1_0_0}


def _family(address: str) -> str:
    """Tell the family of an address with a prefix length, given as JSON text; to Go an IPv4 address
    in IPv6 is IPv4.
    """
    written = json.loads(address)
    bare = written.partition("/")[0] if isinstance(written, str) else ""
    try:
        return "ip6" if ":" in bare and IPv6Address(bare).ipv4_mapped is None else "ip4"
    except ValueError:  # refused by whoever reads the address
        return "ip6"


def _but(texts: Texts, keys: frozenset[str]) -> Texts:
    return {key: text for key, text in texts.items() if key not in keys}


def _texts(members: Mapping[str, Member]) -> Texts:
    return {key: member.text for key, member in members.items()}


def _fields(text: str, place: str) -> Texts:
    if not text.startswith("{"):
        raise JsonError(f"expected an object at $.{place}")
    return _texts(fold_keys(inner_members(text)))


def _objects(text: str, place: str) -> list[Texts]:
    """Return the members of each object of an array; ``null`` has none."""
    if text == "null":
        return []
    if not text.startswith("["):
        raise JsonError(f"expected a list at $.{place}")
    elements = array_elements(text)
    return [_fields(element.text, f"{place}[{i}]") for i, element in enumerate(elements)]


def _unless_empty(key: str, elements: list[str]) -> Texts:
    return {key: _array(elements)} if elements else {}


def _array(elements: Iterable[str]) -> str:
    return "[" + ",".join(elements) + "]"
