"""Rules as the nftables backend of the reference's newer plugins lays them, made by ``nft``.

It has a table of its own for ports and one for masquerading, each with base chains at the usual
priorities, and a rule for each port, with the container's ID as its comment.

(the reference's plugins/meta/portmap/portmap_nftables.go and pkg/ip/ipmasq_nftables_linux.go)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from ipaddress import ip_interface
from typing import Final

from tests.netlink.nft import nft
from tests.plugins.hosts import Host

PORTS: Final = "cni_hostport"
MASQUERADE: Final = "cni_plugins_masquerade"


def lay(
    host: Host,
    container_id: str,
    *interfaces: str,
    port: int,
    leads_to: int,
    protocols: Sequence[str] = ("tcp",),
) -> None:
    """Lay rules for a container.

    Args:
        host: Where.
        container_id: Whose.
        interfaces: Its addresses, each with the length of its network's prefix.
        port: The port of the host.
        leads_to: The container's.
        protocols: Of both.
    """
    commands: list[str] = []
    for text in interfaces:
        one = ip_interface(text)
        family = "ip" if one.version == 4 else "ip6"
        address = str(one.ip) if one.version == 4 else f"[{one.ip}]"
        commands += _table_of_ports(family)
        commands += _table_of_masquerading()
        rules = [
            *(f"hostports {name} dport {port} dnat to {address}:{leads_to}" for name in protocols),
            f"masquerading {family} saddr {one.ip} {family} daddr {one.ip} masquerade",
        ]
        if family == "ip":
            rules.append(f"masquerading ip saddr 127.0.0.1 ip daddr {one.ip} masquerade")
        commands += (f"add rule {family} {PORTS} {rule} comment {container_id}" for rule in rules)
        commands.append(
            f"add rule inet {MASQUERADE} masq_checks {family} saddr {one.ip} "
            f"{family} daddr != {one.network} masquerade comment {container_id}"
        )
    nft(host.namespace, "-f", "-", given="\n".join(commands))


def take_up(host: Host, container_id: str) -> None:
    """Delete the rules of a container, as a DEL does: by their comment."""
    said = json.loads(nft(host.namespace, "-j", "list", "ruleset"))["nftables"]
    rules = (one["rule"] for one in said if "rule" in one)
    commands = [
        f"delete rule {one['family']} {one['table']} {one['chain']} handle {one['handle']}"
        for one in rules
        if one["table"] in (PORTS, MASQUERADE) and one.get("comment") == container_id
    ]
    nft(host.namespace, "-f", "-", given="\n".join(commands))


def _table_of_ports(family: str) -> Iterator[str]:
    table = f"{family} {PORTS}"
    yield f"add table {table}"
    for chain in ("hostports", "hostip_hostports", "hostports_all"):
        yield f"add chain {table} {chain}"
    yield f"flush chain {table} hostports_all"
    yield f"add rule {table} hostports_all jump hostip_hostports"
    yield f"add rule {table} hostports_all jump hostports"
    for hook in ("prerouting", "output"):
        yield f"add chain {table} {hook} {{ type nat hook {hook} priority -100; }}"
        yield f"flush chain {table} {hook}"
        yield f"add rule {table} {hook} fib daddr type local jump hostports_all"
    yield f"add chain {table} masquerading {{ type nat hook postrouting priority srcnat; }}"


def _table_of_masquerading() -> Iterator[str]:
    table = f"inet {MASQUERADE}"
    yield f"add table {table}"
    yield f"add chain {table} masq_checks"
    yield f"add chain {table} postrouting {{ type nat hook postrouting priority srcnat; }}"
    yield f"flush chain {table} postrouting"
    yield f"add rule {table} postrouting ip daddr 224.0.0.0/4 return"
    yield f"add rule {table} postrouting ip6 daddr ff00::/8 return"
    yield f"add rule {table} postrouting goto masq_checks"
