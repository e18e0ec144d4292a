"""The readers and writers of `acni.spec` beside `json.loads` of the same bytes.

Run it with the interpreter that has acni: ``python benchmarks/spec.py [ROUNDS]``. Nothing but the
processor is needed. Each subject takes turns with ``json.loads``, and the ratio is of the medians;
what the steps of a subject take says where the time goes.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from acni.spec import (
    AttachmentId,
    Command,
    Parameters,
    ResultError,
    build_request,
    parse_network,
    parse_result,
    plan,
)
from acni.spec.jsontext import decode, object_members, require_bounds
from acni.spec.names import parse_container_id, parse_ifname

# What bridge with host-local prints for a pod of both families; 620 bytes.
RESULT = json.dumps(
    {
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "acni-dbnet", "mac": "5a:31:4e:7b:11:02"},
            {"name": "veth1c9a7f21", "mac": "8e:02:9f:5b:77:ac"},
            {"name": "eth0", "mac": "0a:58:0a:58:00:05", "sandbox": "/run/netns/c1-2f8a91be"},
        ],
        "ips": [
            {"address": "10.88.0.5/16", "gateway": "10.88.0.1", "interface": 2},
            {"address": "fd00:88::5/64", "gateway": "fd00:88::1", "interface": 2},
        ],
        "routes": [
            {"dst": "0.0.0.0/0", "gw": "10.88.0.1"},
            {"dst": "::/0", "gw": "fd00:88::1"},
        ],
        "dns": {
            "nameservers": ["10.88.0.1", "fd00:88::1"],
            "domain": "sandbox.example",
            "search": ["sandbox.example", "example"],
            "options": ["ndots:2"],
        },
    }
).encode()

LIST = json.dumps(
    {
        "cniVersion": "1.0.0",
        "name": "dbnet",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "acni-dbnet",
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": "10.88.0.0/16"}], [{"subnet": "fd00:88::/64"}]],
                    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
            {"type": "firewall", "backend": "iptables", "ingressPolicy": "same-bridge"},
            {"type": "bandwidth", "capabilities": {"bandwidth": True}},
            {
                "type": "tuning",
                "capabilities": {"mac": True},
                "sysctl": {"net.core.somaxconn": "500", "net.ipv4.tcp_keepalive_time": "600"},
            },
        ],
    }
).encode()

MIB = 1 << 20
HOSTILE = {
    "brackets and commas": b'{"a":[' + b"[]," * (MIB // 3) + b"0]}",
    "nesting": b"[" * MIB,
    "small keys": b"{" + b'"a":1,' * (MIB // 6) + b'"a":1}',
    "one integer": b'{"a":' + b"9" * MIB + b"}",
    "a cut string": b'{"a":"' + b"\\u00e9" * (MIB // 6),
    "spaces": b" " * MIB,
}


def main(rounds: int) -> None:
    """Print a line for each figure."""
    text = RESULT.decode()
    compare(
        f"reading a result of {len(RESULT)} bytes",
        rounds,
        lambda: parse_result(RESULT, "1.0.0"),
        RESULT,
        {
            "decoding": lambda: decode(RESULT),
            "counting brackets": lambda: require_bounds(text),
            "members and their text": lambda: object_members(text),
            "addresses as objects, when asked for": addresses_of(parse_result(RESULT, "1.0.0")),
        },
    )
    network = parse_network(LIST)
    parameters = make_parameters()
    step = plan(Command.ADD, network)[4]
    previous = parse_result(RESULT, "1.0.0").raw
    request = build_request(step, network, parameters, previous=previous)
    compare(
        f"building a request of {len(request.stdin)} bytes with a prevResult",
        rounds,
        lambda: build_request(step, network, parameters, previous=previous),
        request.stdin,
        {},
    )
    compare(
        f"loading a list of five plugins, {len(LIST)} bytes",
        rounds,
        lambda: parse_network(LIST),
        LIST,
        {"members and their text": lambda: object_members(LIST.decode())},
    )
    for name, raw in HOSTILE.items():
        refuse(name, raw, rounds)


def addresses_of(result: Any) -> Callable[[], object]:
    """Make a step of what is read of a result only when it is asked for."""
    return lambda: (result.ipv4, result.ipv6, result.gateway)


def make_parameters() -> Parameters:
    """Make what every plugin of the chain is given alike."""
    identity = AttachmentId("c1")
    return Parameters(
        container_id=parse_container_id(identity.container_id),
        netns="/run/netns/c1-2f8a91be",
        ifname=parse_ifname(identity.ifname),
        cni_args={"K8S_POD_NAMESPACE": "default", "K8S_POD_NAME": "web-0"},
        capability_texts={"mac": '"0a:58:0a:58:00:05"'},
        plugin_dirs=("/opt/cni/bin", "/usr/lib/cni"),
        inherited={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
    )


def compare(
    what: str,
    rounds: int,
    ours: Callable[[], object],
    raw: bytes,
    steps: dict[str, Callable[[], object]],
) -> None:
    """Let a function of ours and json.loads take turns; print medians and their ratio."""
    took: list[float] = []
    loads: list[float] = []
    for _ in range(rounds):
        took.append(microseconds(ours))
        loads.append(microseconds(lambda: json.loads(raw)))
    median, of_loads = statistics.median(took), statistics.median(loads)
    print(f"{what}: {median:.1f} us / json.loads {of_loads:.1f} us = {median / of_loads:.2f}")
    for name, step in steps.items():
        each = statistics.median(microseconds(step) for _ in range(rounds))
        print(f"    {name}: {each:.1f} us")


def microseconds(function: Callable[[], object], times: int = 300) -> float:
    """Return the processor time of one call."""
    before = time.thread_time_ns()
    for _ in range(times):
        function()
    return (time.thread_time_ns() - before) / times / 1000


def refuse(name: str, raw: bytes, rounds: int) -> None:
    """Print what refusing hostile bytes costs: the worst time, and the memory beside the bytes."""
    took: list[float] = []
    for _ in range(rounds):
        before = time.thread_time_ns()
        refused(raw)
        took.append((time.thread_time_ns() - before) / 1e6)
    tracemalloc.start()
    refused(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"refusing 1 MiB of {name}: {statistics.median(took):.1f} ms, {peak / MIB:.1f} MiB")


def refused(raw: bytes) -> None:
    """Read hostile bytes, which must be refused."""
    try:
        parse_result(raw, "1.0.0")
    except ResultError:
        return
    raise AssertionError("it was not refused")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
