"""What the specification asks of plugins, P1 to P12, as checks of a plugin under test.

Each asks the plugin as a runtime does and looks at what it answers, and at the host before and
after. What a rule does not ask of this plugin, a name of an interface of one that makes none, is
not checked.

(specification, sections 2, 4 and 5; CONVENTIONS.md)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

from acni.netlink import addresses, links, routes
from acni.netlink.links import Peer
from acni.netlink.routes import list_routes
from acni.netlink.sockets import open_here
from acni.plugins.addressing import parse_interface
from acni.skel.errors import Code
from acni.spec.jsontext import is_object
from acni.spec.result import Result, ResultError, parse_result
from acni.spec.versions import SUPPORTED_VERSIONS, is_at_least
from acni.testing.behaviour import Behaviour, Call
from acni.testing.hoststate import HostState
from acni.testing.plugin_bench import BenchContainer, PluginAnswer, PluginBench
from acni.testing.plugin_killing import add_killed, kill_points
from acni.testing.recording import RecordingPlugins

_AT_ONCE: Final = 8
_TOO_LONG: Final = "a" * 16
_RECORDING: Final = "recording-ipam"
_REFUSAL: Final = 111
_MOST_TOLD: Final = 5
# The kernel makes it, and gives it its addresses.
_LO: Final = "lo"
_CHECK_SINCE: Final = "0.4.0"
_GC_SINCE: Final = "1.1.0"
_INTERFACES_SINCE: Final = "0.3.0"


class RuleBroken(AssertionError):
    """A plugin that does not keep a rule.

    Attributes:
        rule: Its number: ``P1`` to ``P12``.
        what: What it does instead.

    Example:
        >>> print(testing.RuleBroken("P3", "a second DEL fails"))
        P3: a second DEL fails
    """

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(f"{rule}: {what}")
        self.rule = rule
        self.what = what

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.rule, self.what)


@frozen
class PluginRule:
    """A rule.

    Attributes:
        text: What it asks of a plugin.
        check: Raises :class:`RuleBroken` where a plugin does not keep it.

    Example:
        >>> loopback = acni.BuiltIns().plugins["loopback"]
        >>> with testing.PluginBench(loopback, {}) as bench:
        ...     testing.PLUGIN_RULES["P3"].check(bench)
    """

    text: str
    check: Callable[[PluginBench], None]


def _check_names(bench: PluginBench) -> None:
    before = bench.look()
    box = bench.container()
    refused = bench.run("ADD", box, environment={"CNI_IFNAME": _TOO_LONG})
    _require_refusal("P1", refused, f"the interface name {_TOO_LONG} that Linux has no room for")
    if _makes_interface(bench):
        _check_taken_name(bench, before)
    _check_twice(bench)


def _check_taken_name(bench: PluginBench, before: HostState) -> None:
    box = bench.container()
    _take_name(bench, box)
    inside = bench.look_inside(box)
    refused = bench.run("ADD", box)
    _require_refusal("P1", refused, f"an interface {bench.ifname} that is there already")
    changed = bench.look_inside(box).beyond(inside)
    _require("P1", not changed, f"with {bench.ifname} there already, ADD changed {changed}")
    _require_same("P1", bench, before, "after an ADD that was refused")


def _check_twice(bench: PluginBench) -> None:
    """Whatever a second ADD answers, the container has what the first one gave it."""
    with _attached("P1", bench) as box:
        given, inside = bench.look(), bench.look_inside(box)
        bench.run("ADD", box)
        changed = [*bench.look().beyond(given), *bench.look_inside(box).beyond(inside)]
        gone = [line for line in changed if line.startswith("gone: ")]
        _require("P1", not gone, f"a second ADD takes what the first one gave: {gone}")


def _check_previous(bench: PluginBench) -> None:
    if not bench.follows:
        return
    with _attached("P2", bench) as box:
        given, told = _members(box.previous), _members(box.result)
        for key in ("interfaces", "ips", "routes"):
            missing = [one for one in given.get(key, ()) if one not in told.get(key, ())]
            _require("P2", not missing, f"the result lost of {key}: {missing}")
        _require("P2", given.get("dns") == told.get("dns"), "the result lost dns")


def _check_delete(bench: PluginBench) -> None:
    before = bench.look()
    box = bench.container()
    _succeed("P3", bench, "DEL", box, "of what was never added")
    _succeed("P3", bench, "ADD", box)
    for time in ("", "a second time"):
        _succeed("P3", bench, "DEL", box, time)
        _require_same("P3", bench, before, f"after a DEL {time}")
    _succeed("P3", bench, "ADD", box)
    answer = bench.run("DEL", box, configuration={"prevResult": None})
    _require_success("P3", answer, "a DEL without a prevResult")
    _succeed("P3", bench, "DEL", box, "after one without a prevResult")
    box = bench.container()
    _succeed("P3", bench, "ADD", box)
    answer = bench.run("DEL", box, environment={"CNI_NETNS": ""})
    _require_success("P3", answer, "a DEL without a namespace")
    bench.end(box)
    answer = bench.run("DEL", box, environment={"CNI_NETNS": "/nothing/of/the/container"})
    _require_success("P3", answer, "a DEL whose namespace is gone")
    _require_same("P3", bench, before, "after a DEL whose namespace is gone")
    if _makes_interface(bench):
        box = bench.container()
        _succeed("P3", bench, "ADD", box)
        box.namespace.call(lambda: _remove_link(bench.ifname))
        _succeed("P3", bench, "DEL", box, "whose interface is gone")
        _require_same("P3", bench, before, "after a DEL whose interface is gone")


def check_kills(bench: PluginBench) -> None:
    """Kill an ADD at several points, and require that a DEL leaves nothing of it (P3).

    Args:
        bench: The plugin.

    Raises:
        RuleBroken: something is left, or the DEL fails.

    Example:
        >>> with testing.PluginBench(acni.BuiltIns().plugins["loopback"], {}) as bench:
        ...     testing.check_kills(bench)
    """
    points = kill_points(bench)
    before = bench.look()
    for point in points:
        box = bench.container()
        add_killed(bench, box, at=point)
        _succeed("P3", bench, "DEL", box, f"after an ADD that was killed at {point}")
        bench.end(box)
        _require_same("P3", bench, before, f"after an ADD that was killed at {point}, and a DEL")


def _check_check(bench: PluginBench) -> None:
    if not bench.speaks(_CHECK_SINCE):
        return
    with _attached("P4", bench) as box:
        _succeed("P4", bench, "CHECK", box)
        made = _made_by(bench, box)
    for name, damage in _damages(bench, made):
        with _attached("P4", bench) as box:
            damage(box)
            _require_refusal("P4", bench.run("CHECK", box), f"a CHECK where {name}")
    before = bench.look()
    with _attached("P4", bench) as box:
        if _remove_new_files(bench, before):
            what = "a CHECK where what it keeps in its directories is gone"
            _require_refusal("P4", bench.run("CHECK", box), what)


def _check_status(bench: PluginBench) -> None:
    if not bench.speaks(_GC_SINCE):
        return
    answer = bench.run("STATUS")
    _require_success("P5", answer, "a STATUS where an ADD succeeds")
    if bench.not_ready is not None:
        refused = bench.run("STATUS", configuration=bench.not_ready)
        _require_refusal("P5", refused, f"a STATUS with {dict(bench.not_ready)}")


def _check_gc(bench: PluginBench) -> None:
    if not bench.speaks(_GC_SINCE):
        return
    with _attached("P6", bench) as kept:
        before = bench.look()
        inside = bench.look_inside(kept)
        lost = bench.container()
        _succeed("P6", bench, "ADD", lost)
        bench.end(lost)
        valid = [{"containerID": kept.name, "ifname": bench.ifname}]
        for time in ("", "a second time"):
            answer = bench.run("GC", configuration={"cni.dev/valid-attachments": valid})
            _require_success("P6", answer, f"a GC {time}")
            _require("P6", not answer.stdout.strip(), f"a GC printed {answer.stdout!r}")
        _require_same("P6", bench, before, "after a GC of an attachment whose container is gone")
        changed = bench.look_inside(kept).beyond(inside)
        _require("P6", not changed, f"a GC changed a valid attachment: {changed}")
        _succeed("P6", bench, "CHECK", kept, "after a GC for which it is valid")


def _check_locks(bench: PluginBench) -> None:
    before = bench.look()
    boxes = [bench.container() for _ in range(_AT_ONCE)]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        added = list(threads.map(partial(bench.run, "ADD"), boxes))
        for answer in added:
            _require_success("P7", answer, f"one of {_AT_ONCE} ADDs at once")
        given = [str(ip["address"]) for box in boxes for ip in _own_ips(box)]
        if "ipam" in bench.configuration and not _is_fixed(bench):
            twice = sorted({one for one in given if given.count(one) > 1})
            _require("P7", not twice, f"of ADDs at once several were given {twice}")
        deleted = list(threads.map(partial(bench.run, "DEL"), boxes))
    for answer in deleted:
        _require_success("P7", answer, f"one of {_AT_ONCE} DELs at once")
    _require_same("P7", bench, before, f"after {_AT_ONCE} ADDs and DELs at once")


def _check_delegation(bench: PluginBench) -> None:
    ipam = bench.configuration.get("ipam")
    if not is_object(ipam) or bench.gives_addresses:
        return
    recording = RecordingPlugins(bench.search_path / "recording")
    recording.install(_RECORDING)
    there: Mapping[str, object] = {"ipam": {**ipam, "type": _RECORDING}}
    path = {"CNI_PATH": f"/nothing:{recording.directory}"}

    def asked(
        command: str, box: BenchContainer | None, **more: object
    ) -> tuple[PluginAnswer, list[Call]]:
        earlier = len(recording.calls)
        answer = bench.run(command, box, configuration={**there, **more}, environment=path)
        return answer, recording.calls[earlier:]

    box = bench.container()
    answer, calls = asked("ADD", box)
    _require_success("P8", answer, "an ADD with an address plugin of CNI_PATH")
    _require("P8", bool(calls), "an ADD does not ask the address plugin of CNI_PATH")
    given = {**bench.request("ADD", box).environment, **path}
    passed = calls[0].environment
    differing = [key for key, value in given.items() if passed.get(key) != value]
    _require("P8", not differing, f"the address plugin got other variables: {differing}")
    lost = [key for key in bench.configuration if key not in calls[0].config]
    _require("P8", not lost, f"the address plugin did not get {lost} of the configuration")
    valid: Mapping[str, object] = {"cni.dev/valid-attachments": ()}
    verbs: list[tuple[str, BenchContainer | None, Mapping[str, object]]] = [("DEL", box, {})]
    if bench.speaks(_CHECK_SINCE):
        verbs.insert(0, ("CHECK", box, {}))
    if bench.speaks(_GC_SINCE):
        verbs += [("STATUS", None, {}), ("GC", None, valid)]
    for command, of, more in verbs:
        _, calls = asked(command, of, **more)
        told = [one.command for one in calls]
        _require("P8", command in told, f"{command} does not ask the address plugin")
    failing = Behaviour.failing(code=_REFUSAL, msg="no more addresses")
    recording.tell(_RECORDING, "ADD", failing)
    box = bench.container()
    refused, calls = asked("ADD", box)
    _require_refusal("P8", refused, "an ADD whose address plugin fails")
    is_same = refused.printed.get("code") == _REFUSAL
    is_same = is_same and refused.printed.get("msg") == "no more addresses"
    _require("P8", is_same, f"the address plugin's error is not returned: {refused}")
    told = [one.command for one in calls]
    _require("P8", "DEL" in told[1:], "after the address plugin's failed ADD it is not told DEL")


def _check_result(bench: PluginBench) -> None:
    for version in SUPPORTED_VERSIONS:
        if is_at_least(version, _INTERFACES_SINCE) and is_at_least(bench.version, version):
            _check_result_of(bench, version)


def _check_result_of(bench: PluginBench, version: str) -> None:
    box = bench.container()
    previous: object = None
    if box.previous is not None:
        previous = json.loads(parse_result(box.previous, version).raw)
    given = {"cniVersion": version, "prevResult": previous}
    answer = bench.run("ADD", box, configuration=given)
    _require_success("P9", answer, f"an ADD in {version}")
    try:
        told = answer.printed
        _require("P9", told.get("cniVersion") == version, f"in {version} it answers {answer}")
        result = _parsed(answer, version)
        sandboxes = {one.sandbox for one in result.interfaces} - {None, "", box.namespace.path}
        _require("P9", not sandboxes, f"sandbox is CNI_NETNS, not {sorted(map(str, sandboxes))}")
        for ip in told.get("ips", ()):
            place = ip.get("interface")
            is_there = place is None or 0 <= place < len(result.interfaces)
            _require("P9", is_there, f"{ip['address']} is of an interface {place} that is not told")
        if bench.gives_addresses:
            _require("P9", not told.get("interfaces"), "an address plugin tells of interfaces")
            named = [ip for ip in told.get("ips", ()) if "interface" in ip]
            _require("P9", not named, "an address plugin names an interface")
    finally:
        removal = {"cniVersion": version, "prevResult": json.loads(answer.stdout or b"null")}
        bench.run("DEL", box, configuration=removal)


def _check_words(bench: PluginBench) -> None:
    for version in ("0.4.0", "1.0.0"):
        answer = bench.run("VERSION", configuration={"cniVersion": version})
        _require_success("P10", answer, "a VERSION")
        echoed = answer.printed.get("cniVersion")
        _require("P10", echoed == version, f"VERSION of {version} answers {echoed}")
    box = bench.container()
    missing = ("CNI_CONTAINERID", "CNI_IFNAME")
    answer = bench.run("ADD", box, environment=dict.fromkeys(missing, ""))
    _require_error("P10", answer, "an ADD without variables", Code.INVALID_ENVIRONMENT)
    said = f"{answer.printed.get('msg')} {answer.printed.get('details')}"
    unnamed = [name for name in missing if name not in said]
    _require("P10", not unnamed, f"code 4 does not name {unnamed}: {answer}")
    older = bench.run(
        "ADD",
        box,
        configuration={"cniVersion": "0.4.0"},
        environment=dict.fromkeys(missing, ""),
    )
    told = older.printed.get("cniVersion")
    _require("P10", told == "0.4.0", f"an error in 0.4.0 has the cniVersion {told}")
    answer = bench.run("ADD", box, configuration={"cniVersion": "9.9.9"})
    _require_error("P10", answer, "an ADD in 9.9.9", Code.INCOMPATIBLE_VERSION)
    answer = bench.run("ADD", box, stdin=b"no JSON")
    _require_error("P10", answer, "an ADD of no JSON", Code.DECODING_FAILURE)
    for key, value in bench.unacceptable.items():
        answer = bench.run("ADD", box, configuration={key: value})
        if answer.status:
            _require_error("P10", answer, f"an ADD with {key} = {value!r}")
            is_versioned = answer.printed.get("cniVersion") == bench.version
            _require("P10", is_versioned, f"an error has no cniVersion {bench.version}: {answer}")


def _check_fields(bench: PluginBench) -> None:
    before = bench.look()
    for key, value in bench.unacceptable.items():
        box = bench.container()
        inside = bench.look_inside(box)
        answer = bench.run("ADD", box, configuration={key: value})
        _require_refusal("P11", answer, f"an ADD with {key} = {value!r}")
        changed = bench.look_inside(box).beyond(inside)
        _require("P11", not changed, f"refusing {key} = {value!r} it changed {changed}")
        bench.run("DEL", box)
        bench.end(box)
        _require_same("P11", bench, before, f"after {key} = {value!r} was refused")
    args = {"cni": {"labels": [{"key": "app", "value": "web"}]}, "org.example": {"what": 1}}
    box = bench.container()
    answer = bench.run(
        "ADD",
        box,
        configuration={"args": args},
        environment={"CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=web-0"},
    )
    _require_success("P11", answer, "an ADD with args that it does not know")
    bench.run("DEL", box)


def _check_chained(bench: PluginBench) -> None:
    if not bench.follows:
        return
    box = bench.container()
    host_side = _members(box.previous)["interfaces"][0]
    previous = {"cniVersion": bench.version, "interfaces": [host_side]}
    answer = bench.run("ADD", box, configuration={"prevResult": previous})
    _require_success("P12", answer, "an ADD after a plugin that tells of the host's side only")
    interfaces = answer.printed.get("interfaces", ())
    _require("P12", host_side in interfaces, f"the result lost {host_side}: {answer}")
    bench.run("DEL", box)


PLUGIN_RULES: Final[Mapping[str, PluginRule]] = MappingProxyType(
    {
        "P1": PluginRule(
            "An interface name that cannot be used, or is there already, is an error, and what is "
            "there stays.",
            _check_names,
        ),
        "P2": PluginRule(
            "With a prevResult the result is that one, passed through or changed.",
            _check_previous,
        ),
        "P3": PluginRule(
            "DEL does what it can; it succeeds without a prevResult, a second time, and when the "
            "interface is gone.",
            _check_delete,
        ),
        "P4": PluginRule(
            "CHECK is an error where anything is missing that the plugin made and told of.",
            _check_check,
        ),
        "P5": PluginRule("STATUS is an error where an ADD could not be served.", _check_status),
        "P6": PluginRule(
            "GC removes what is of no valid attachment, nothing else, and prints nothing.",
            _check_gc,
        ),
        "P7": PluginRule("Shared resources are locked.", _check_locks),
        "P8": PluginRule(
            "A plugin that delegates passes environment and configuration on, looks in CNI_PATH, "
            "delegates every verb, returns the delegate's error, and deletes after its failed ADD.",
            _check_delegation,
        ),
        "P9": PluginRule(
            "A result has the request's cniVersion, and sandbox is CNI_NETNS; an address plugin's "
            "has no interfaces.",
            _check_result,
        ),
        "P10": PluginRule(
            "VERSION repeats the request's cniVersion; an error object has it too; code 4 names "
            "what is missing.",
            _check_words,
        ),
        "P11": PluginRule(
            "A field that cannot be acted on is an error; unknown args are ignored.",
            _check_fields,
        ),
        "P12": PluginRule("A plugin should work in a chain.", _check_chained),
    }
)
"""What the specification asks of plugins: P1 to P12, each with a check.

Example:
    >>> testing.PLUGIN_RULES["P7"].text
    'Shared resources are locked.'
"""


@contextmanager
def _attached(rule: str, bench: PluginBench) -> Generator[BenchContainer]:
    """Add, and delete at the end."""
    box = bench.container()
    _succeed(rule, bench, "ADD", box)
    try:
        yield box
    finally:
        bench.run("DEL", box)


def _makes_interface(bench: PluginBench) -> bool:
    if bench.follows or bench.gives_addresses:
        return False
    box = bench.container()
    if box.namespace.has_interface(bench.ifname):  # lo
        return False
    try:
        bench.run("ADD", box)
        return box.namespace.has_interface(bench.ifname)
    finally:
        bench.run("DEL", box)


def _take_name(bench: PluginBench, box: BenchContainer) -> None:
    def inside() -> None:
        with open_here() as netlink:
            peer = Peer(name="other", netns_fd=box.namespace.fd)
            netlink.request(links.new_veth(bench.ifname, peer=peer))

    box.namespace.call(inside)


Damage = Callable[[BenchContainer], object]


@frozen
class _Made:
    """What an ADD made in its container and told of."""

    interfaces: tuple[str, ...]
    addresses: tuple[tuple[str, str], ...]
    routes: tuple[str, ...]
    settings: Mapping[str, str]


def _made_by(bench: PluginBench, box: BenchContainer) -> _Made:
    given, told = _members(box.previous), _members(box.result)
    before = given.get("interfaces", [])
    interfaces = told.get("interfaces", [])
    inside = {one["name"] for one in interfaces if one.get("sandbox")}
    made = {one["name"] for one in interfaces if one.get("sandbox") and one not in before}
    state = bench.look_inside(box)
    of_addresses: list[tuple[str, str]] = []
    for ip in _own_ips(box):
        place = ip.get("interface")
        name = interfaces[place]["name"] if place is not None else bench.ifname
        if name != _LO and name in inside and f"address {name} {ip['address']}" in state.lines:
            of_addresses.append((name, str(ip["address"])))
    destinations = [str(one["dst"]) for one in told.get("routes", ())]
    known = [str(one["dst"]) for one in given.get("routes", ())]
    of_routes = [
        one
        for one in destinations
        if one not in known and any(line.startswith(f"route {one} ") for line in state.lines)
    ]
    untouched = bench.container()
    original = bench.look_inside(untouched).lines
    settings = {one: original.get(f"setting {one}", "") for one in bench.settings}
    return _Made(
        tuple(sorted(made - {_LO})),
        tuple(of_addresses),
        tuple(of_routes),
        settings,
    )


def _damages(bench: PluginBench, made: _Made) -> Iterator[tuple[str, Damage]]:
    """What a CHECK has to find."""
    for name in made.interfaces:
        yield f"the interface {name} is gone", _inside(_remove_link, name)
    for place, (name, address) in enumerate(made.addresses):
        yield f"the address {address} of {name} is gone", _without_address(bench, place)
    for route in made.routes:
        yield f"the route {route} is gone", _inside(_remove_route, route)
    for setting, value in made.settings.items():
        yield f"{setting} is {value} again", _inside(_write_setting, setting, value)


def _inside(function: Callable[..., object], *arguments: object) -> Damage:
    return lambda box: box.namespace.call(lambda: function(*arguments))


def _remove_link(name: str) -> None:
    with open_here() as netlink:
        netlink.request(links.delete(name))


def _without_address(bench: PluginBench, place: int) -> Damage:
    """Remove one of the addresses; which one it is differs between containers."""

    def damage(box: BenchContainer) -> None:
        name, address = _made_by(bench, box).addresses[place]
        _inside(_remove_address, name, address)(box)

    return damage


def _remove_address(name: str, address: str) -> None:
    with open_here() as netlink:
        index = links.get_link(netlink, name).index
        netlink.request(addresses.remove(parse_interface(address), index=index))


def _remove_route(destination: str) -> None:
    with open_here() as netlink:
        for route in list_routes(netlink, table=None):
            if str(route.destination) == destination:
                netlink.request(
                    routes.remove(
                        route.destination,
                        gateway=route.gateway_address,
                        index=route.index,
                        priority=route.priority,
                        table=route.table,
                    )
                )


def _write_setting(setting: str, value: str) -> None:
    Path("/proc/sys/net", setting).write_text(value)


def _remove_new_files(bench: PluginBench, before: HostState) -> bool:
    """Remove the files that an ADD made; tell whether there were any."""
    new = bench.look().lines.keys() - before.lines.keys()
    paths = [Path(line.removeprefix("file ")) for line in new if line.startswith("file ")]
    for path in paths:
        path.unlink()
    return bool(paths)


def _own_ips(box: BenchContainer) -> list[Mapping[str, Any]]:
    """Return the addresses of a result that were not in the one before."""
    before = _members(box.previous).get("ips", [])
    return [one for one in _members(box.result).get("ips", []) if one not in before]


def _is_fixed(bench: PluginBench) -> bool:
    """Tell whether the configuration names the addresses, so that all get the same."""
    ipam = bench.configuration.get("ipam")
    return is_object(ipam) and "addresses" in ipam


def _members(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        members: object = json.loads(text)
    except ValueError:
        return {}
    return members if is_object(members) else {}


def _parsed(answer: PluginAnswer, version: str) -> Result:
    try:
        return parse_result(answer.stdout.decode(errors="replace"), version)
    except ResultError as error:
        raise RuleBroken("P9", f"what it prints is no result of {version}: {error}") from None


def _succeed(
    rule: str, bench: PluginBench, command: str, box: BenchContainer, when: str = ""
) -> None:
    _require_success(rule, bench.run(command, box), f"a {command} {when}".rstrip())


def _require(rule: str, is_kept: bool, what: str) -> None:
    if not is_kept:
        raise RuleBroken(rule, what)


def _require_success(rule: str, answer: PluginAnswer, what: str) -> None:
    _require(rule, answer.status == 0, f"{what} fails: {answer}")


def _require_refusal(rule: str, answer: PluginAnswer, what: str) -> None:
    _require(rule, answer.status != 0, f"{what} is no error")


def _require_error(rule: str, answer: PluginAnswer, what: str, code: Code | None = None) -> None:
    """Require the specification's error object."""
    _require_refusal(rule, answer, what)
    told = answer.printed
    is_one = type(told.get("code")) is int and isinstance(told.get("msg"), str)
    _require(rule, is_one, f"{what} is answered without an error object: {answer}")
    if code is not None:
        _require(rule, told["code"] == code, f"{what} is code {int(code)}, not {told['code']}")


def _require_same(rule: str, bench: PluginBench, before: HostState, when: str) -> None:
    left = bench.left_beyond(before)
    more = f" and {len(left) - _MOST_TOLD} more" if len(left) > _MOST_TOLD else ""
    told = "; ".join(left[:_MOST_TOLD])
    _require(rule, not left, f"{when} the host is not as it was: {told}{more}")
