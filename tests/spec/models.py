"""Results as values apart from any version, and how each version writes them: said a second time,
from the specification and its history, for tests of what converts results.

0.1.0 and 0.2.0 have one address for each family, with its gateway and its routes. From 0.3.0 on
there are interfaces, addresses in any number with a ``version`` until 0.4.0, and routes of their
own. From 1.1.0 on interfaces have ``mtu``, ``socketPath`` and ``pciID``, and routes five more
fields: libcni, whose types are shared, leaves all of them in a result of 1.0.0 and those of routes
in one of 0.3.0 to 0.4.0.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from attrs import evolve, field, frozen

OLDEST: Final = ("0.1.0", "0.2.0")
MIDDLE: Final = ("0.3.0", "0.3.1", "0.4.0")
NEWEST: Final = ("1.0.0", "1.1.0")
VERSIONS: Final = OLDEST + MIDDLE + NEWEST

Fields = dict[str, Any]

_ADDRESSES: Final = {
    "4": ("192.0.2.7/24", "192.0.2.200/32", "10.1.2.3/0", "10.88.0.2/16"),
    "6": ("2001:db8::7/64", "fd00::1/128", "FD00:0:0::2/8", "fe80::1/10"),
}
_DESTINATIONS: Final = {
    "4": ("0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/16", "192.0.2.1/32"),
    "6": ("::/0", "2001:db8::/32", "2001:db8::5/32", "::1/128"),
}
_GATEWAYS: Final = {"4": ("192.0.2.1", "10.0.0.1"), "6": ("2001:db8::1", "FE80::1", "::")}


@frozen(kw_only=True)
class Model:
    """A result.

    Attributes:
        interfaces: Its interfaces, with the fields of 1.1.0.
        ips: Its addresses, without ``version``.
        routes: Its routes, with the fields of 1.1.0.
        members: Its other members, which every version has: ``dns`` and what nobody knows.
    """

    interfaces: list[Fields] = field(factory=list)
    ips: list[Fields] = field(factory=list)
    routes: list[Fields] = field(factory=list)
    members: Fields = field(factory=dict)


def family(address: str) -> str:
    return "6" if ":" in address else "4"


def written(model: Model, version: str) -> Fields:
    """Write a model that the version can say."""
    document = {"cniVersion": version, **model.members}
    if version in OLDEST:
        for ip in model.ips:
            kind = family(ip["address"])
            routes = [route for route in model.routes if family(route["dst"]) == kind]
            fields = {"ip": ip["address"], **_but(ip, "address")}
            document[f"ip{kind}"] = fields | ({"routes": routes} if routes else {})
        return document
    ips = model.ips
    if version in MIDDLE:
        ips = [{"version": family(ip["address"]), **ip} for ip in ips]
    lists = {"interfaces": model.interfaces, "ips": ips, "routes": model.routes}
    return document | {key: entries for key, entries in lists.items() if entries}


def sayable(model: Model, version: str) -> Model:
    """Return what of a model a version can say."""
    if version in NEWEST:
        return model
    interfaces = [_but(each, "mtu", "socketPath", "pciID") for each in model.interfaces]
    if version in MIDDLE:
        return evolve(model, interfaces=interfaces)
    firsts: dict[str, Fields] = {}
    for ip in model.ips:
        firsts.setdefault(family(ip["address"]), _but(ip, "interface"))
    kinds = sorted(firsts)
    newer = ("mtu", "advmss", "priority", "table", "scope")
    routes = [
        _but(route, *newer)
        for kind in kinds
        for route in model.routes
        if family(route["dst"]) == kind
    ]
    return evolve(model, interfaces=[], ips=[firsts[kind] for kind in kinds], routes=routes)


def can_say_nothing_of(model: Model, version: str) -> bool:
    """Tell whether a version has no result for this: 0.1.0 and 0.2.0 need an address."""
    return version in OLDEST and not model.ips


def random_model(random: Random, *, is_known: bool = False) -> Model:
    """Make a result of any shape.

    Args:
        random: Where chance comes from.
        is_known: Only fields that 1.0.0 specifies.
    """
    interfaces = [_random_interface(random, index) for index in range(random.randrange(4))]
    kinds = [random.choice("46") for _ in range(random.randrange(5))]
    ips = [_random_ip(random, kind, len(interfaces)) for kind in kinds]
    routes = [_random_route(random) for _ in range(random.randrange(5))]
    members: Fields = {}
    if random.random() < 0.5:
        members["dns"] = _some(
            random,
            nameservers=["192.0.2.53", "2001:db8::53"][: random.randrange(3)],
            domain="example.org",
            search=["example.org", "a"],
            options=["ndots:2"],
        )
    if not is_known:
        for entry in (members, *interfaces, *ips, *routes):
            entry.update(_some(random, x=1e2, **{"example.org/é": [None, {"y": 10**30}]}))
    return Model(interfaces=interfaces, ips=ips, routes=routes, members=members)


def _random_interface(random: Random, index: int) -> Fields:
    more = _some(
        random,
        mac="02:00:00:00:00:01",
        sandbox="/run/netns/a",
        mtu=1500,
        socketPath="/run/s",
        pciID="0000:00:1f.6",
    )
    return {"name": f"eth{index}", **more}


def _random_ip(random: Random, kind: str, interfaces: int) -> Fields:
    more = _some(
        random, gateway=random.choice(_GATEWAYS[kind]), interface=random.randint(-1, interfaces)
    )
    return {"address": random.choice(_ADDRESSES[kind]), **more}


def _random_route(random: Random) -> Fields:
    kind = random.choice("46")
    more = _some(
        random,
        gw=random.choice(_GATEWAYS[kind]),
        mtu=1400,
        advmss=1360,
        priority=0,
        table=7,
        scope=253,
    )
    return {"dst": random.choice(_DESTINATIONS[kind]), **more}


def _some(random: Random, **fields: object) -> Fields:
    return {key: value for key, value in fields.items() if random.random() < 0.5}


def _but(fields: Fields, *keys: str) -> Fields:
    return {key: value for key, value in fields.items() if key not in keys}
