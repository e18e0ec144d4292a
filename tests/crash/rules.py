"""What the firewall of a host is told, and which connections it follows, as ``nft`` and ``/proc``
say it: of the calling thread's namespace.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

_SECONDS: Final = 20.0
# Where the containers are, and the host among them (:func:`tests.crash.scenarios.built_in`).
_PODS: Final = (ip_network("10.9.0.0/24"), ip_network("fd00:9::/64"))
_HOST: Final = {"4": "10.9.0.1", "6": "fd00:9::1"}
# Of bridges, and of nobody: they stay with it.
_SHARED: Final = ("ways", "apart")


def look_at_rules() -> Mapping[str, Any]:
    """Return what the firewall is told, fact by fact: each chain, rule, set and element."""
    facts: dict[str, Any] = {}
    for kind, one in _listed():
        where = f"rules {one.get('family')} {one.get('table', '')}/{kind} {one.get('name', '')}"
        if kind == "rule":
            where += one["chain"]
            number = sum(key.startswith(f"{where} ") for key in facts)
            facts[f"{where} {number}"] = one["expr"]
            continue
        elements = one.pop("elem", ())
        facts[where] = {key: value for key, value in one.items() if key != "handle"}
        facts |= {f"{where}/{key}": said for key, said in _elements(elements)}
    return facts


def elements() -> list[str]:
    """Return whose each element is, and which set it is in; "?" of one that says of nobody."""
    return sorted(
        f"{said.get('comment', '?')}: {one['name']}"
        for kind, one in _listed()
        if kind in ("set", "map") and one["name"] not in _SHARED
        for _, said in _elements(one.get("elem", ()))
    )


def talk() -> None:
    """Send something to each port of UDP that leads to a container, as somebody would who never
    ceases to.
    """
    for version, address, port in _ports():
        family = socket.AF_INET6 if version == "6" else socket.AF_INET
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as caller, suppress(OSError):
            caller.sendto(b"x", (address, port))


def _ports() -> Iterator[tuple[str, str, int]]:
    """Iterate over the ports of UDP that lead to containers: version, address and number."""
    for _, one in _listed():
        whole = str(one.get("name", "?"))
        name, version = whole[:-1], whole[-1]
        if name not in ("hostports", "hostaddresses"):
            continue
        for key, _ in _elements(one.get("elem", ())):
            *at, protocol, port = json.loads(key)["concat"]
            if protocol == "udp":
                yield version, at[0] if at else _HOST[version], port


def flows() -> list[str]:
    """Return the connections of UDP that are led to a container, by their ports."""
    return sorted(_flows(Path("/proc/thread-self/net/nf_conntrack").read_text().splitlines()))


def _flows(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        version, _, protocol, *words = line.split()
        if protocol != "udp":
            continue
        said = [word.partition("=") for word in words if "=" in word]
        _, answered_by = (value for key, _, value in said if key == "src")
        port = next(value for key, _, value in said if key == "dport")
        address = ip_address(answered_by)
        if str(address) not in _HOST.values() and any(address in network for network in _PODS):
            yield f"{version} {port}"


def _listed() -> Iterator[tuple[str, dict[str, Any]]]:
    command = ["nft", "-j", "list", "ruleset"]
    run = subprocess.run(command, capture_output=True, check=True, timeout=_SECONDS)
    for one in json.loads(run.stdout)["nftables"]:
        ((kind, said),) = one.items()
        if kind != "metainfo":
            yield kind, said


def _elements(elements: Iterable[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Iterate over elements: their keys, and what is said of them."""
    for one in elements:
        key, *data = one if isinstance(one, list) else [one]
        inner = key.get("elem") if isinstance(key, dict) else None
        said = dict(inner) if inner is not None else {"val": key}
        value = said.pop("val")
        yield json.dumps(value), {**said, **({"data": data[0]} if data else {})}
