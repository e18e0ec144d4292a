"""What a plugin behind others passes on: their result, in it what it changed itself, and before it
what it made (P2).

All else of a result stays as it came, members that nobody here knows included.

(specification, section 5, "Success"; CONVENTIONS.md, "Chained Plugins")
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from acni.skel.call import Call
from acni.skel.errors import Code, PluginError
from acni.spec.conversion import fold_keys
from acni.spec.jsontext import dump, fold_key, is_array, is_object, join, object_members
from acni.spec.result import Interface, Result, parse_result
from acni.spec.versions import RESULT_SHAPES


def require_previous(call: Call) -> Result:
    """Return the result of the plugins before this one.

    Raises:
        PluginError: there is none; a plugin that changes what others made has nothing to do.
    """
    if call.previous is None:
        details = "this plugin stands behind the one that makes the interface"
        message = "no prevResult at $.prevResult"
        raise PluginError(Code.INVALID_CONFIG, message, details=details, reason="not-chained")
    return call.previous


def with_interface(previous: Result, interface: Interface) -> Result:
    """Return a result with one more interface on the host, behind the others.

    Versions whose results have no interfaces do not tell it.
    """
    told = {"name": interface.name, "mac": interface.mac}
    return _with_interfaces(previous, lambda interfaces: [*interfaces, told])


def with_changes(previous: Result, ifname: str, changes: Mapping[str, object]) -> Result:
    """Return a result in which the container's interface is told as it is now.

    Args:
        previous: The result.
        ifname: The interface.
        changes: Members of it. Only the ``mac`` is told where it was not before.
    """

    def changed(interface: object) -> object:
        if not is_object(interface):
            return interface
        said = fold_keys(interface)
        if said.get("name") != ifname or not said.get("sandbox"):
            return interface
        new = {key: value for key, value in changes.items() if key == "mac" or key in said}
        return {key: value for key, value in interface.items() if fold_key(key) not in new} | new

    if not any(one.name == ifname and one.sandbox for one in previous.interfaces) or not changes:
        return previous
    return _with_interfaces(previous, lambda interfaces: [changed(one) for one in interfaces])


def with_member(previous: Result, key: str, value: object) -> Result:
    """Return a result with a member that the specification has no word for."""
    members = object_members(previous.raw)
    texts = {
        name: member.text for name, member in members.items() if fold_key(name) != fold_key(key)
    }
    return parse_result(join(texts | {key: dump(value)}), previous.cni_version)


def with_previous(result: Result, previous: Result | None) -> Result:
    """Put what earlier plugins made behind what this one made (P2).

    Args:
        result: Of this plugin, in the newest version.
        previous: What they made, nothing of it on the host; in any version.
    """
    if previous is None:
        return result
    ours = fold_keys(json.loads(result.raw))
    theirs = fold_keys(json.loads(parse_result(previous.raw, result.cni_version).raw))
    merged = theirs | ours
    for key in ("interfaces", "ips", "routes"):
        merged[key] = [*_elements(ours, key), *_elements(theirs, key)]
    first = len(_elements(ours, "interfaces"))
    merged["ips"] = [
        *_elements(ours, "ips"),
        *(_moved(ip, by=first) for ip in _elements(theirs, "ips")),
    ]
    return parse_result(dump(merged), result.cni_version)


def _with_interfaces(
    previous: Result, change: Callable[[Sequence[object]], Sequence[object]]
) -> Result:
    if previous.cni_version in RESULT_SHAPES[0]:
        return previous
    members = object_members(previous.raw)
    key = next((key for key in members if fold_key(key) == "interfaces"), "interfaces")
    value = members[key].value if key in members else None
    texts = {name: member.text for name, member in members.items()}
    texts[key] = dump(change(value if is_array(value) else ()))
    return parse_result(join(texts), previous.cni_version)


def _elements(members: Mapping[str, object], key: str) -> list[object]:
    value = members.get(key)
    return value if is_array(value) else []


def _moved(ip: object, *, by: int) -> object:
    """Return an address whose interface stands further behind."""
    if not is_object(ip):
        return ip
    interface = fold_keys(ip).get("interface")
    if type(interface) is not int or interface < 0:
        return ip
    rest = {key: value for key, value in ip.items() if fold_key(key) != "interface"}
    return rest | {"interface": interface + by}
