"""Configurations and calls that are given to the reference's macvlan and to ours.

The link below is ``low0``: an end of a pair, whose other end is on the host, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from tests.plugins.bridge_cases import (
    CONFIG,
    ENVIRONMENT,
    FOUR,
    MAC,
    SIX,
    UNSUPPORTED,
    Case,
    Step,
    local,
    static,
)

IO: Final = 5
DIFFERS: Final = 105
_PLAIN: Final = {"master": "low0"}
_FOUR: Final = {**_PLAIN, "ipam": local(FOUR)}
_TWO: Final = (Step(), Step(container="c2"))
_LOW: Final = (
    ("host", "link add low0 type veth peer name far0"),
    ("host", "link set far0 up"),
    ("host", "link set low0 up"),
)


def _case(config: Mapping[str, Any], *steps: Step, **others: Any) -> Case:
    """Make a case on a host that has the link below."""
    first, *rest = steps or (Step(),)
    first = evolve(first, before=(*_LOW, *first.before))
    return Case(config=config, steps=(first, *rest), **others)


def _refused(config: Mapping[str, Any], code: int = CONFIG, **others: Any) -> Case:
    return _case(config, Step(code=code, **others), is_whole=False)


def _then(*steps: Step) -> Sequence[Step]:
    return (Step(), *steps)


CASES: Final[Mapping[str, Case]] = {
    # Links alone.
    "no addresses": _case(_PLAIN, *_TWO),
    "bridge": _case({**_PLAIN, "mode": "bridge"}),
    "private": _case({**_PLAIN, "mode": "private"}, *_TWO),
    "vepa": _case({**_PLAIN, "mode": "vepa"}),
    "passthru": _case({**_PLAIN, "mode": "passthru"}),
    "mtu": _case({**_PLAIN, "mtu": 1400}),
    "mtu of nothing": _case({**_PLAIN, "mtu": 0}),
    "another interface": _case(_PLAIN, *_then(Step(ifname="net1"))),
    "interface of the name of the link below": _case(_PLAIN, Step(ifname="low0")),
    "0.3.1 without addresses": _case(_PLAIN, version="0.3.1"),
    "empty ipam": _case({**_PLAIN, "ipam": {}}),
    # Addresses.
    "IPv4": _case(_FOUR, *_TWO),
    "IPv6": _case({**_PLAIN, "ipam": local(SIX)}),
    "dual stack": _case({**_PLAIN, "mtu": 1300, "ipam": local(FOUR, SIX)}),
    "static": _case({**_PLAIN, "ipam": static("10.9.0.7/24")}),
    "private with addresses": _case({**_FOUR, "mode": "private"}),
    "passthru with addresses": _case({**_FOUR, "mode": "passthru"}),
    "default route": _case({**_PLAIN, "ipam": local(FOUR, routes=[{"dst": "0.0.0.0/0"}])}, *_TWO),
    "routes by another gateway": _case(
        {**_PLAIN, "ipam": local(FOUR, routes=[{"dst": "10.20.0.0/16", "gw": "10.9.0.77"}])}
    ),
    "0.4.0": _case(_FOUR, version="0.4.0"),
    "0.2.0": _case(_FOUR, version="0.2.0"),
    # What is asked for.
    "mac": _case({**_PLAIN, "mac": MAC}),
    "mac by the runtime": _case({**_FOUR, "runtimeConfig": {"mac": MAC}}),
    "mac by CNI_ARGS": _case(_PLAIN, Step(args=f"MAC={MAC}")),
    "mac by all": _case(
        {**_PLAIN, "mac": "c2:11:22:33:44:66", "runtimeConfig": {"mac": MAC}},
        Step(args="MAC=c2:11:22:33:44:77"),
    ),
    "dns": _case({**_FOUR, "dns": {"nameservers": ["192.0.2.53"], "search": ["a.b"]}}),
    # The life of an attachment.
    "deleted again": _case(
        _FOUR,
        *_then(Step(verb="DEL", previous=True), Step(verb="DEL", previous=True)),
        is_whole=False,
    ),
    "deleted without a result": _case(_FOUR, *_then(Step(verb="DEL"), Step(verb="DEL"), Step())),
    "deleted before it was added": _case(_FOUR, Step(verb="DEL"), is_whole=False),
    "deleted with the namespace gone": _case(
        _FOUR, *_then(Step(verb="DEL", previous=True, is_gone=True)), is_whole=False
    ),
    "added twice": _case(_PLAIN, *_then(Step(code=ENVIRONMENT)), is_whole=False),
    "checked after somebody removed the address": _case(
        _FOUR,
        *_then(
            Step(
                verb="CHECK",
                previous=True,
                before=(("c1", "address del 10.9.0.2/24 dev eth0"),),
                code=DIFFERS,
            )
        ),
        is_whole=False,
    ),
    "checked after somebody removed it": _case(
        _FOUR,
        *_then(
            Step(verb="CHECK", previous=True, before=(("c1", "link del eth0"),), code=DIFFERS),
            Step(verb="DEL", previous=True),
        ),
        is_whole=False,
    ),
    "checked in another mode": _case(
        _FOUR,
        *_then(Step(verb="CHECK", previous=True, change={"mode": "private"}, code=DIFFERS)),
        is_whole=False,
    ),
    "checked with another hardware address": _case(
        _FOUR,
        *_then(
            Step(
                verb="CHECK",
                previous=True,
                before=(("c1", f"link set eth0 address {MAC}"),),
                code=DIFFERS,
            )
        ),
        is_whole=False,
    ),
    "checked without a result": _case(
        _FOUR, *_then(Step(verb="CHECK", code=CONFIG)), is_whole=False
    ),
    # What is refused.
    "no such master": _refused({**_FOUR, "master": "low9"}),
    "no mode": _refused({**_FOUR, "mode": "fast"}),
    "mtu of more than the master's": _refused({**_PLAIN, "mtu": 1501}),
    "mtu that is text": _refused({**_PLAIN, "mtu": "1400"}),
    "mac that is none": _refused({**_PLAIN, "mac": "c2:11:22:33:44"}),
    "no address": _refused({**_PLAIN, "ipam": {"type": "static"}}),
    "no default route": _refused({}),
    "passthru beside another": _case(
        _PLAIN,
        *_then(Step(container="c2", change={"mode": "passthru"}, code=IO)),
        is_whole=False,
    ),
    "port of a bridge": _refused(
        _PLAIN,
        IO,
        before=(("host", "link add br0 type bridge"), ("host", "link set low0 master br0")),
    ),
    "interface is there": _refused(
        _FOUR, ENVIRONMENT, before=(("c1", "link add eth0 type bridge"),)
    ),
    # What differs on purpose; see macvlan_intended.py.
    "master of the default route": _case(
        {"ipam": local(FOUR)},
        Step(
            before=(
                ("host", "address add 192.0.2.7/24 dev low0"),
                ("host", "route add default via 192.0.2.1"),
            )
        ),
    ),
    "master in the container": _case(
        {**_FOUR, "master": "low1", "linkInContainer": True},
        Step(
            before=(
                ("c1", "link add low1 type veth peer name far1"),
                ("c1", "link set far1 up"),
                ("c1", "link set low1 up"),
            ),
        ),
    ),
    "deleted what it did not make": _case(
        _FOUR,
        Step(verb="DEL", before=(("c1", "link add eth0 type bridge"),)),
        is_whole=False,
    ),
    "mac with passthru": _refused({**_PLAIN, "mode": "passthru", "mac": MAC}, UNSUPPORTED),
    "dns of ipam": _case({**_PLAIN, "ipam": {**static("10.9.0.7/24"), "dns": {"search": ["a.b"]}}}),
    "0.2.0 without addresses": Case(
        config=_PLAIN, version="0.2.0", steps=(Step(code=1, before=_LOW),), is_whole=False
    ),
    "down": _case(
        _FOUR,
        *_then(
            Step(verb="CHECK", previous=True, before=(("c1", "link set eth0 down"),), code=DIFFERS)
        ),
        is_whole=False,
    ),
    "checked on another link": _case(
        _FOUR,
        *_then(Step(verb="CHECK", previous=True, change={"master": "far0"}, code=DIFFERS)),
        is_whole=False,
    ),
    "behind another plugin": _case(
        {**_FOUR, "prevResult": {"interfaces": [{"name": "tap0"}], "ips": []}}, is_whole=False
    ),
}
