"""Converting results between the two shapes that have ``ips``: 0.3.0 to 0.4.0, and 1.0.0 on.

What libcni's converters do: from 1.0.0 on an address has no ``version``; before it, an interface
has no ``mtu``, ``socketPath`` and ``pciID``. Everything else travels as written, fields that nobody
knows included.

(specification, section 5, "Success"; history of 1.0.0; rule R42)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from acni.spec.jsontext import Member, array_elements, dump, is_array, join, object_members
from acni.spec.versions import is_at_least

_SINCE_1_0_0: Final = frozenset({"mtu", "socketPath", "pciID"})


def reshape(members: Mapping[str, Member], cni_version: str) -> str:
    """Write a result of one of the two shapes in the shape of a version that has the other.

    Args:
        members: The result's members.
        cni_version: The version whose shape is wanted.

    Raises:
        JsonError: an element of ``ips`` or ``interfaces`` is no object.
    """
    texts = {key: member.text for key, member in members.items()}
    texts["cniVersion"] = dump(cni_version)
    if is_at_least(cni_version, "1.0.0"):
        return join(texts | _each(members, "ips", _without_version))
    ips = _each(members, "ips", _with_version)
    return join(texts | ips | _each(members, "interfaces", _without_newer))


def _each(
    members: Mapping[str, Member], key: str, change: Callable[[dict[str, str]], dict[str, str]]
) -> dict[str, str]:
    if key not in members or not is_array(members[key].value):
        return {}
    changed: list[str] = []
    for element in array_elements(members[key].text):
        fields = object_members(element.text)
        changed.append(join(change({name: field.text for name, field in fields.items()})))
    return {key: "[" + ",".join(changed) + "]"}


def _without_version(ip: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in ip.items() if name != "version"}


def _with_version(ip: dict[str, str]) -> dict[str, str]:
    return {"version": dump("6" if ":" in ip.get("address", "") else "4"), **ip}


def _without_newer(interface: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in interface.items() if name not in _SINCE_1_0_0}
