"""Plugins that stand behind the one that makes the interface: the reference's and ours, each on a
host with the same pairs of links, given the same calls; and what each left there.

The pairs are made by ``ip``, and the result that is given to the first ADD names them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import Factory, define, field, frozen

from acni.spec.versions import is_at_least
from tests.plugins.answering import SECONDS, Answer, Ask, ask_ours, ask_reference
from tests.plugins.bridge_intended import ABSENT, Difference, Intended
from tests.plugins.comparing import alike
from tests.plugins.hosts import ASKED_MAC, Host, Seen, host_of

# Every refusal of the reference has this code, but for a version that it does not speak.
_REFUSED: Final = frozenset({999, 1})
_MASKED: Final = "its own"


@frozen(kw_only=True)
class Step:
    """One call, and what happens before it.

    Attributes:
        verb: The verb.
        container: The container.
        ifname: The interface.
        args: CNI_ARGS.
        has_previous: With the result of what came before it.
        is_gone: With an empty CNI_NETNS.
        change: What of the configuration is different in this call.
        before: Commands before it, each with where: "host" or a container.
        code: What ours answers where it refuses; None where it succeeds.
    """

    verb: str = "ADD"
    container: str = "c1"
    ifname: str = "eth0"
    args: str = ""
    has_previous: bool = True
    is_gone: bool = False
    change: Mapping[str, Any] = {}
    before: Sequence[tuple[str, str]] = ()
    code: int | None = None


@frozen(kw_only=True)
class Case:
    """A configuration and the calls with it.

    Attributes:
        config: Its members beside the name, the type and the version.
        version: Its version.
        steps: The calls.
        is_whole: Whether CHECK, DEL and another DEL follow.
        pairs: The pairs of links that there are: the container and its interface.
    """

    config: Mapping[str, Any]
    version: str = "1.0.0"
    steps: Sequence[Step] = (Step(),)
    is_whole: bool = True
    pairs: Sequence[tuple[str, str]] = (("c1", "eth0"),)


Look = Callable[[Host], Seen]
Results = Mapping[tuple[str, str], Mapping[str, Any]]


def require_the_same(
    plugin: str,
    name: str,
    case: Case,
    look: Look,
    intended: Sequence[Intended],
    directory: Path,
) -> None:
    """Make the calls of a case to both, and fail where something differs that is not intended."""
    theirs, there = _see(plugin, case, ask_reference, look, directory / "theirs")
    ours, here = _see(plugin, case, ask_ours, look, directory / "ours")
    expected = [step.code for step in case.steps]
    assert [one.printed.get("code") for one in ours[: len(expected)]] == expected, ours
    assert not any(one.status for one in ours[len(expected) :]), ours
    assert {one.printed.get("code", 999) for one in theirs if one.status} <= _REFUSED, theirs
    unintended = [
        difference
        for difference in _differences(there, here)
        if not any(row.allows(name, difference) for row in intended)
    ]
    if unintended:
        pytest.fail("\n".join(map(str, (*unintended, *theirs, *ours))), pytrace=False)


def require_sound_rows(cases: Mapping[str, Case], intended: Sequence[Intended]) -> None:
    """Fail where there are few cases beside those that differ, or a row is of none."""
    assert len(cases) >= 20
    alike(cases, intended)


@define(eq=False)
class Machine:
    """A host with the pairs of a case, and a plugin.

    Attributes:
        host: The host.
        plugin: The plugin's type.
        case: What is configured.
        look: Looks at what the plugin changes besides links.
        results: What tells of the pairs.
    """

    host: Host
    plugin: str
    case: Case
    look: Look
    results: Results = field(
        init=False, default=Factory(lambda self: prepare(self.host, self.case), takes_self=True)
    )

    def take(self, verb: str = "ADD", *, ask: Ask | None = None, **others: Any) -> Answer:
        """Make a call, to ours where nobody else is named."""
        step = Step(verb=verb, **others)
        return take(self.host, self.plugin, self.case, step, self.results, ask=ask)

    def theirs(self, verb: str = "ADD") -> Answer:
        """Make a call to the reference's."""
        return self.take(verb, ask=ask_reference)

    def see(self) -> Seen:
        """Return what there is."""
        return {**self.host.see(), **self.look(self.host)}


def prepare(host: Host, case: Case) -> Results:
    """Make the pairs of links of a case; return the results that tell of them."""
    results: dict[tuple[str, str], Mapping[str, Any]] = {}
    for number, (container, ifname) in enumerate(case.pairs):
        namespace, end = host.container(container), f"veth{number}"
        words = f"link add {end} type veth peer name {ifname} netns {namespace.path}"
        host.ip(*words.split())
        host.ip("link", "set", end, "up")
        host.ip("link", "set", ifname, "up", inside=container)
        interfaces = [
            {"name": end, "mac": _mac(host, end, None)},
            {"name": ifname, "mac": _mac(host, ifname, container), "sandbox": namespace.path},
        ]
        told: dict[str, Any] = {"cniVersion": case.version, "interfaces": interfaces}
        ip = {"address": "10.9.0.2/24", "interface": 1}
        if not is_at_least(case.version, "1.0.0"):
            ip["version"] = "4"
        told["ips"] = [ip]
        if not is_at_least(case.version, "0.3.0"):
            told = {"cniVersion": case.version, "ip4": {"ip": "10.9.0.2/24"}}
        results[container, ifname] = told
    return results


def take(
    host: Host,
    plugin: str,
    case: Case,
    step: Step,
    results: Results,
    *,
    ask: Ask | None = None,
) -> Answer:
    """Make a call; an ADD with the result of who made the pair."""
    for where, command in step.before:
        place = host.namespace if where == "host" else host.container(where)
        place.call(partial(_run, command.split()))
    attachment = step.container, step.ifname
    if step.verb == "ADD" or attachment not in host.last:
        host.last[attachment] = results.get(attachment, results[case.pairs[0]])
    configuration = {
        "cniVersion": case.version,
        "name": "net",
        "type": plugin,
        "dataDir": str(host.data_dir / "data"),
        **case.config,
        **step.change,
    }
    return host.run(
        step.verb,
        configuration,
        container=step.container,
        ifname=step.ifname,
        args=step.args,
        previous=step.has_previous,
        is_gone=step.is_gone,
        ask=ask,
    )


def look_at_data(host: Host) -> Seen:
    """Return what of files there is, each with the members that both know."""
    seen: Seen = {}
    for path in sorted(host.data_dir.glob("data/*")):
        for key, value in json.loads(path.read_text()).items():
            if key != "acni":
                is_own = key == "mac" and value != ASKED_MAC
                seen[f"file {path.name}/{key}"] = _MASKED if is_own else value
    return seen


def look_at_tuning(host: Host) -> Seen:
    """Return settings of each container, and what is written down of what was before."""
    seen = look_at_data(host)
    for name, container in host.containers.items():
        seen |= {f"{name}/{path}": value for path, value in container.call(_tuned).items()}
    return seen


def look_at_shapers(host: Host) -> Seen:
    """Return the queueing disciplines of the host's links, and the filters of what arrives."""
    return {f"host/{path}": value for path, value in host.namespace.call(_look_here).items()}


def _see(
    plugin: str, case: Case, ask: Ask, look: Look, directory: Path
) -> tuple[list[Answer], Seen]:
    answers: list[Answer] = []
    seen: Seen = {}
    with host_of(ask, directory) as host:
        results = prepare(host, case)
        for number, step in enumerate(_steps(case)):
            answer = take(host, plugin, case, step, results)
            answers.append(answer)
            told = {} if step.verb != "ADD" else host.told(answer, step.container)
            behind = {"status": answer.status, **host.see(), **look(host)}
            behind |= {f"result {key}": value for key, value in told.items()}
            seen |= {f"{number} {step.verb}/{path}": value for path, value in behind.items()}
    return answers, seen


def _steps(case: Case) -> Iterator[Step]:
    yield from case.steps
    added = {
        (step.container, step.ifname): step
        for step in case.steps
        if step.verb == "ADD" and step.code is None
    }
    for verb in ("CHECK", "DEL", "DEL") if case.is_whole else ():
        for (container, ifname), step in added.items():
            if verb != "CHECK" or is_at_least(case.version, "0.4.0"):
                yield Step(
                    verb=verb,
                    container=container,
                    ifname=ifname,
                    args=step.args,
                    has_previous=is_at_least(case.version, "0.4.0"),
                    change=step.change,
                )


def _differences(there: Seen, here: Seen) -> list[Difference]:
    found: list[Difference] = []
    for path in sorted(there.keys() | here.keys()):
        theirs, ours = there.get(path, ABSENT), here.get(path, ABSENT)
        if json.dumps(theirs, sort_keys=True) != json.dumps(ours, sort_keys=True):
            found.append(Difference(path=path.partition(" ")[2], theirs=theirs, ours=ours))
    return found


def _mac(host: Host, name: str, inside: str | None) -> str:
    (link,) = host.ip("-j", "link", "show", "dev", name, inside=inside)
    mac: str = link["address"]
    return mac


def _run(words: Sequence[str]) -> bytes:
    return subprocess.run(words, capture_output=True, check=True, timeout=SECONDS).stdout


def _look_here() -> Seen:
    seen: Seen = {}
    for link in json.loads(_run(["ip", "-j", "link"])):
        name = link["ifname"]
        for qdisc in json.loads(_run(["tc", "-j", "qdisc", "show", "dev", name])):
            if qdisc["kind"] != "noqueue":
                told = {key: qdisc[key] for key in ("handle", "options") if key in qdisc}
                seen[f"qdisc {name} {qdisc['kind']}"] = told
        for one in json.loads(_run(["tc", "-j", "filter", "show", "dev", name, "ingress"])):
            options = one.get("options", {})
            if actions := options.get("actions"):
                where = f"filter {name} {one['protocol']} {one['pref']}"
                match = {"match": options["match"], "flow": options.get("flowid")}
                done = {key: actions[0].get(key) for key in ("mirred_action", "to_dev")}
                seen |= {where: {**match, **done}, f"{where} actions": len(actions)}
    return seen


_WATCHED: Final = (
    "core/somaxconn",
    "ipv4/conf/*/log_martians",
    "ipv4/conf/*/arp_ignore",
    "ipv4/ip_local_port_range",
)


def _tuned() -> Seen:
    root = Path("/proc/sys/net")
    seen: Seen = {}
    for path in (path for watched in _WATCHED for path in root.glob(watched)):
        seen[f"setting {path.relative_to(root)}"] = path.read_text().split()
    for link in json.loads(_run(["ip", "-j", "-d", "link"])):
        seen[f"all multicast {link['ifname']}"] = "ALLMULTI" in link["flags"]
    return seen
