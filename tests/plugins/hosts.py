"""A host and its containers, each a fresh network namespace, on which a plugin that makes links is
asked: the reference's executable or ours; and all that it left there.

What differs whoever is asked is left out of what is seen: hardware addresses that nobody asked for
(whether a result tells them as they are is seen), the names of the host's ends of pairs, indexes of
links, timers and counters. So is whether a link is running, and has a link-local address, which
follows from it: a thread of the kernel's decides that some time later. Of a port it is seen whether
the bridge forwards.
"""

from __future__ import annotations

import errno
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field

from acni.host import netns
from acni.host.netns import Namespace
from acni.netlink.sockets import open_inside
from acni.netlink.stacked import probe
from acni.spec import Request
from tests.plugins.answering import REFERENCES, SECONDS, Answer, Ask

Seen = dict[str, Any]

_PAIR: Final = re.compile(r"veth\w+")
ASKED_MAC: Final = "c2:11:22:33:44:55"
_OWN_MAC: Final = "one of its own"
_PORT: Final = "port"

_SETTINGS: Final = {
    "ipv4": ("arp_notify", "forwarding", "route_localnet", "rp_filter", "proxy_arp"),
    "ipv6": (
        "accept_dad",
        "accept_ra",
        "disable_ipv6",
        "enhanced_dad",
        "forwarding",
        "keep_addr_on_down",
    ),
}
_GLOBAL: Final = ("ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/all/disable_ipv6")


@define(eq=False)
class Host:
    """A host, its containers, and a plugin.

    Attributes:
        namespace: Its own.
        data_dir: Where leases are kept.
        ask: Asks the plugin.
    """

    namespace: Namespace
    data_dir: Path
    ask: Ask
    _containers: dict[str, Namespace] = field(factory=dict[str, Namespace])
    _made: ExitStack = field(factory=ExitStack)
    last: dict[tuple[str, str], Mapping[str, Any]] = field(
        factory=dict[tuple[str, str], Mapping[str, Any]]
    )

    def container(self, name: str) -> Namespace:
        """Return a container, made where it is not there."""
        if name not in self._containers:
            self._containers[name] = self._made.enter_context(netns.anonymous())
        return self._containers[name]

    @property
    def containers(self) -> Mapping[str, Namespace]:
        """The containers, by name."""
        return self._containers

    def run(
        self,
        verb: str,
        configuration: Mapping[str, Any],
        *,
        container: str = "c1",
        ifname: str = "eth0",
        args: str = "",
        previous: bool = False,
        is_gone: bool = False,
        ask: Ask | None = None,
    ) -> Answer:
        """Ask the plugin for a verb.

        Args:
            verb: The verb.
            configuration: The request configuration; a ``dataDir`` is added to its ``ipam``.
            container: The container.
            ifname: The interface.
            args: CNI_ARGS.
            previous: With the result of this attachment's ADD.
            is_gone: With an empty CNI_NETNS.
            ask: Who is asked instead.
        """
        members = dict(configuration)
        if isinstance(ipam := members.get("ipam"), Mapping):
            members["ipam"] = {"dataDir": str(self.data_dir), **ipam}
        if previous and (container, ifname) in self.last:
            members["prevResult"] = self.last[container, ifname]
        is_on_attachment = verb not in ("GC", "STATUS")
        environment = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": container if is_on_attachment else "",
            "CNI_NETNS": self.container(container).path if is_on_attachment else "",
            "CNI_IFNAME": ifname if is_on_attachment else "",
            "CNI_ARGS": args,
            "CNI_PATH": str(REFERENCES),
        }
        if is_gone:
            environment["CNI_NETNS"] = ""
        request = Request(environment=environment, stdin=json.dumps(members).encode())
        plugin = str(members["type"])
        asking = ask or self.ask
        answer = self.namespace.call(lambda: asking(plugin, request))
        if verb == "ADD" and answer.status == 0:
            self.last[container, ifname] = answer.printed
        return answer

    def ip(self, *words: str, inside: str | None = None) -> Any:
        """Run ``ip`` on the host or in a container; return what it prints as JSON, if it does."""
        place = self.namespace if inside is None else self.container(inside)
        return place.call(lambda: _ip(*words))

    def settle(self) -> None:
        """Wait until the kernel has looked whether others have the addresses of IPv6: until then it
        sends, and masquerades, with another one.
        """
        until = time.monotonic() + SECONDS
        for inside in (None, *self._containers):
            tentative = ("-j", "-6", "address", "show", "tentative")
            while any(link.get("addr_info") for link in self.ip(*tentative, inside=inside)):
                assert time.monotonic() < until, inside
                time.sleep(0.01)

    def write(self, setting: str, value: str, *, inside: str | None = None) -> None:
        """Write a file below ``/proc/sys/net``."""
        place = self.namespace if inside is None else self.container(inside)
        place.call(lambda: Path("/proc/sys/net", setting).write_text(value))

    def see(self) -> Seen:
        """Return what is on the host and in its containers, path by path."""
        seen = {f"host/{path}": value for path, value in self.namespace.call(look_here).items()}
        for name, container in self._containers.items():
            inside = container.call(look_here)
            seen |= {f"{name}/{path}": value for path, value in inside.items()}
        return seen

    def links(self, inside: str | None = None) -> list[str]:
        """Return the names of the links."""
        return [link["ifname"] for link in self.ip("-j", "link", inside=inside)]

    def has_kind(self, kind: str) -> bool:
        """Tell whether this kernel has links of a kind."""
        with open_inside(self.namespace.fd, path="host") as netlink:
            (verdict,) = netlink.exchange([probe(".", kind)]).verdicts
        assert verdict.code in (errno.EINVAL, errno.EOPNOTSUPP)
        return verdict.code == errno.EINVAL

    def leases(self) -> list[str]:
        """Return the addresses that are leased."""
        names = (path.name for path in self.data_dir.glob("*/*"))
        return sorted(name for name in names if name[0].isdigit() or ":" in name)

    def told(self, answer: Answer, container: str) -> Seen:
        """Return a result path by path; of each interface, whether it is as it is told."""
        if answer.status:
            return {"status": answer.status}
        seen: Seen = {}
        for place, interface in enumerate(answer.printed.get("interfaces", ())):
            sandbox = interface.get("sandbox")
            name = interface["name"]
            links = self.ip("-j", "link", inside=container if sandbox else None)
            there = {link["ifname"]: link["address"] for link in links}
            seen[f"interfaces[{place}]"] = {
                "name": _PAIR.sub(_PORT, name),
                "sandbox": sandbox == self.container(container).path if sandbox else None,
                "is as told": there.get(name) == interface.get("mac"),
                **{key: value for key, value in interface.items() if key not in _TOLD},
            }
        for key, value in answer.printed.items():
            if key != "interfaces" and (key, value) != ("dns", {}):
                seen[key] = value
        return seen

    def close(self) -> None:
        """Let the containers go."""
        self._made.close()


_TOLD: Final = ("name", "sandbox", "mac")


@contextmanager
def host_of(ask: Ask, data_dir: Path) -> Iterator[Host]:
    """Make a host on which a plugin is asked."""
    with netns.anonymous() as namespace:
        netns.set_up(namespace, "lo")
        host = Host(namespace, data_dir, ask)
        try:
            yield host
        finally:
            host.close()


def _ip(*words: str) -> Any:
    run = subprocess.run(["ip", *words], capture_output=True, check=True, timeout=SECONDS)
    return json.loads(run.stdout or b"[]") if "-j" in words else None


def look_here() -> Seen:
    """Look at the calling thread's namespace."""
    links = {link["ifindex"]: link for link in _ip("-j", "-d", "link")}
    names = {index: _PAIR.sub(_PORT, link["ifname"]) for index, link in links.items()}
    by_name = {link["ifname"]: names[index] for index, link in links.items()}
    seen: Seen = {}
    for index, link in links.items():
        if link["ifname"] != "lo":
            seen |= _prefixed(f"link {names[index]}", _link(link, by_name))
    for link in _ip("-j", "address"):
        name = by_name[link["ifname"]]
        for address in link["addr_info"] if name != "lo" else ():
            if not address["local"].startswith("fe80:"):
                seen |= _prefixed(f"address {name} {address['local']}", _address(address))
    for family in ("-4", "-6"):
        for route in _ip("-j", family, "route", "show", "table", "all"):
            if route.get("type") not in ("local", "broadcast", "anycast", "multicast"):
                dev = by_name.get(route.get("dev", ""), "")
                if route["dst"] == "fe80::/64":
                    continue
                key = f"route {route['dst']} {dev} {route.get('metric', '')}"
                seen |= _prefixed(key.strip(), _route(route))
    for neighbour in _ip("-j", "neigh"):
        if not neighbour["dst"].startswith(("fe80:", "ff02:")):
            seen[f"neighbour {neighbour['dst']} {by_name[neighbour['dev']]}"] = True
    seen |= _settings(by_name)
    return seen


def _prefixed(prefix: str, members: Mapping[str, Any]) -> Seen:
    return {f"{prefix}/{key}": value for key, value in members.items()}


def _link(link: Mapping[str, Any], names: Mapping[str, str]) -> Seen:
    info = link.get("linkinfo", {})
    port, data = info.get("info_slave_data", {}), info.get("info_data", {})
    told = {
        "kind": info.get("info_kind"),
        "mtu": link["mtu"],
        "flags": sorted(set(link["flags"]) - {"LOWER_UP", "NO-CARRIER"}),
        "qlen": link.get("txqlen", 0),
        "promiscuity": link["promiscuity"],
        "alias": link.get("ifalias"),
        "master": names.get(link.get("master", "")),
        "mac": link["address"] if link["address"] == ASKED_MAC else _OWN_MAC,
    }
    asked = {key: port[key] for key in ("hairpin", "isolated", "state") if key in port}
    told |= {f"port {key}": value for key, value in asked.items()}
    told |= {key: data[key] for key in ("vlan_filtering", "stp_state", "mode") if key in data}
    return {key: value for key, value in told.items() if value is not None}


def _address(address: Mapping[str, Any]) -> Seen:
    kept = ("prefixlen", "scope", "broadcast", "nodad", "tentative", "dadfailed", "deprecated")
    return {key: address[key] for key in kept if key in address}


def _route(route: Mapping[str, Any]) -> Seen:
    kept = ("gateway", "protocol", "scope", "prefsrc", "table", "metrics", "type")
    told: Seen = {"is there": True}
    told |= {key: route[key] for key in kept if key in route}
    return told


def _settings(names: Mapping[str, str]) -> Seen:
    root = Path("/proc/sys/net")
    seen: Seen = {}
    for setting in _GLOBAL:
        seen[f"setting {setting}"] = (root / setting).read_text().strip()
    for real, name in names.items():
        for family, settings in _SETTINGS.items():
            for setting in settings:
                path = root / family / "conf" / real / setting
                if path.exists():
                    seen[f"setting {family} {name} {setting}"] = path.read_text().strip()
    return seen


Prepare = Callable[[Host], None]

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
