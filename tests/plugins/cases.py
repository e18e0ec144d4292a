"""Configurations and calls that are given to the reference's address plugins and to ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen


@frozen(kw_only=True)
class Step:
    """One call.

    Attributes:
        verb: The verb.
        container_id: The container.
        args: CNI_ARGS.
        previous: With the result of the container's ADD.
        change: What of ``ipam`` is different in this call.
        code: What ours answers where it refuses; None where it succeeds.
    """

    verb: str = "ADD"
    container_id: str = "c1"
    args: str = ""
    previous: bool = False
    change: Mapping[str, Any] = {}
    code: int | None = None


@frozen(kw_only=True)
class Case:
    """A configuration and the calls with it.

    Attributes:
        ipam: The ``ipam`` of the configuration.
        others: Further members of the configuration.
        version: Its version.
        steps: The calls.
    """

    ipam: Mapping[str, Any]
    others: Mapping[str, Any] = {}
    version: str = "1.0.0"
    steps: Sequence[Step] = (Step(),)


CONFIG: Final = 7
ENVIRONMENT: Final = 4
IO: Final = 5
EXHAUSTED: Final = 100
TAKEN: Final = 101
ALREADY: Final = 102
MISSING: Final = 103


def _adds(number: int, *, code: int | None = None) -> tuple[Step, ...]:
    """Add so many containers; the last one may be refused."""
    codes = [None] * (number - 1) + [code]
    return tuple(Step(container_id=f"c{at}", code=each) for at, each in enumerate(codes, 1))


_SMALL: Final = {"subnet": "10.1.2.0/29"}  # five addresses beside the gateway
_SIX: Final = {"subnet": "fd00:88::/64"}
_DUAL: Final = {"ranges": [[_SMALL], [_SIX]]}


def _one(**members: object) -> Mapping[str, Any]:
    """Make a configuration of one range set of one range."""
    return {"ranges": [[{"subnet": "10.1.2.0/24", **members}]]}


def _refused(ipam: Mapping[str, Any], code: int = CONFIG, **others: Any) -> Case:
    return Case(ipam=ipam, steps=(Step(code=code),), **others)


HOST_LOCAL: Final[Mapping[str, Case]] = {
    # What is given.
    "one range": Case(ipam=_one()),
    "older form": Case(ipam=_SMALL),
    "older form with everything": Case(
        ipam={
            "subnet": "10.1.2.0/24",
            "rangeStart": "10.1.2.20",
            "rangeEnd": "10.1.2.30",
            "gateway": "10.1.2.254",
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.0.0.0/8", "gw": "10.1.2.7"}],
        }
    ),
    "older form before ranges": Case(ipam={**_SMALL, "ranges": [[{"subnet": "10.9.0.0/24"}]]}),
    "IPv6": Case(ipam={"ranges": [[_SIX]]}, steps=_adds(3)),
    "IPv6 with long zeros": Case(ipam={"ranges": [[{"subnet": "2001:db8:0:0:1::/80"}]]}),
    "dual stack": Case(ipam=_DUAL, steps=_adds(3)),
    "gateway at the end": Case(ipam=_one(gateway="10.1.2.254")),
    "gateway outside": Case(ipam=_one(gateway="10.7.7.7")),
    "gateway in the middle": Case(
        ipam=_one(rangeStart="10.1.2.4", rangeEnd="10.1.2.6", gateway="10.1.2.5"), steps=_adds(2)
    ),
    "empty texts": Case(ipam=_one(gateway="", rangeStart="", rangeEnd="")),
    "network's address given": Case(ipam=_one(rangeStart="10.1.2.0"), steps=_adds(2)),
    "broadcast address given": Case(
        ipam=_one(rangeStart="10.1.2.254", rangeEnd="10.1.2.255"), steps=_adds(3, code=EXHAUSTED)
    ),
    "IPv4 written as IPv6": Case(
        ipam=_one(rangeStart="::ffff:10.1.2.9", gateway="::ffff:10.1.2.200")
    ),
    "keys in other letters": Case(ipam={"Ranges": [[{"SUBNET": "10.1.2.0/24"}]]}),
    "routes of both families": Case(
        ipam={**_DUAL, "routes": [{"dst": "::/0"}, {"dst": "0.0.0.0/0"}]}
    ),
    "route with host bits": Case(ipam={**_SMALL, "routes": [{"dst": "10.1.2.3/8"}]}),
    "route in IPv6 in full": Case(
        ipam={**_SMALL, "routes": [{"dst": "FD00:0:0:0:0:0:0:0/8", "gw": "FD00:0::1"}]}
    ),
    "resolvConf": Case(ipam={**_SMALL, "resolvConf": "{resolv_conf}"}),
    "no resolvConf there": _refused({**_SMALL, "resolvConf": "/absent"}, IO),
    "range set of two ranges": Case(
        ipam={"ranges": [[{"subnet": "10.1.2.0/30"}, {"subnet": "10.1.3.0/30"}]]},
        steps=_adds(3, code=EXHAUSTED),
    ),
    "two ranges of one subnet": Case(
        ipam={
            "ranges": [
                [
                    {**_SMALL, "rangeStart": "10.1.2.2", "rangeEnd": "10.1.2.3"},
                    {**_SMALL, "rangeStart": "10.1.2.5", "rangeEnd": "10.1.2.6"},
                ]
            ]
        },
        steps=_adds(5, code=EXHAUSTED),
    ),
    "0.1.0": Case(ipam=_SMALL, version="0.1.0"),
    "0.2.0": Case(
        ipam={**_DUAL, "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}]}, version="0.2.0"
    ),
    "0.2.0 in IPv6 alone": Case(ipam={"ranges": [[_SIX]]}, version="0.2.0"),
    "0.3.1": Case(ipam=_DUAL, version="0.3.1"),
    "0.4.0": Case(
        ipam=_DUAL,
        version="0.4.0",
        steps=(Step(), Step(verb="CHECK", previous=True), Step(verb="DEL", previous=True)),
    ),
    # In which order.
    "round robin": Case(
        ipam=_SMALL,
        steps=(
            *_adds(2),
            Step(verb="DEL", container_id="c1"),
            *(Step(container_id=one) for one in ("c3", "c4", "c5", "c6")),
            Step(container_id="c7", code=EXHAUSTED),
            Step(verb="DEL", container_id="c3"),
            Step(container_id="c8"),
        ),
    ),
    "one container again and again": Case(
        ipam=_SMALL, steps=(Step(), Step(verb="DEL"), Step(), Step(verb="DEL"), Step())
    ),
    "last address outside": Case(
        ipam=_SMALL,
        steps=(Step(), Step(container_id="c2", change={"subnet": "10.1.3.0/29"})),
    ),
    "full": Case(ipam={"subnet": "10.1.2.0/30"}, steps=_adds(2, code=EXHAUSTED)),
    "full in the second set": Case(
        ipam={"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.1.3.0/30"}]]},
        steps=(*_adds(2, code=EXHAUSTED), Step(verb="DEL", container_id="c1"), *_adds(1)),
    ),
    "only a gateway": _refused(_one(rangeStart="10.1.2.1", rangeEnd="10.1.2.1"), EXHAUSTED),
    # What is asked for.
    "asked by CNI_ARGS": Case(
        ipam=_SMALL, steps=(Step(args="IP=10.1.2.5"), Step(container_id="c2"))
    ),
    "asked with a prefix length": Case(ipam=_SMALL, steps=(Step(args="IP=10.1.2.5/8"),)),
    "asked in capitals only": Case(
        ipam=_SMALL, steps=(Step(args="ip=10.1.2.5", code=ENVIRONMENT),)
    ),
    "asked by nothing": Case(ipam=_SMALL, steps=(Step(args="IP="),)),
    "asked by args": Case(
        ipam=_DUAL, others={"args": {"cni": {"ips": ["fd00:88::7", "10.1.2.4"]}}}
    ),
    "asked by the runtime": Case(
        ipam=_DUAL, others={"runtimeConfig": {"ips": ["10.1.2.4/29", "fd00:88::8/64"]}}
    ),
    "asked thrice for the same": Case(
        ipam=_SMALL,
        others={"args": {"cni": {"ips": ["10.1.2.4"]}}, "runtimeConfig": {"ips": ["10.1.2.4"]}},
        steps=(Step(args="IP=10.1.2.4"),),
    ),
    "asked for a taken one": Case(
        ipam=_SMALL,
        steps=(Step(args="IP=10.1.2.4"), Step(container_id="c2", args="IP=10.1.2.4", code=TAKEN)),
    ),
    "asked for a gateway": _refused(_SMALL, others={"args": {"cni": {"ips": ["10.1.2.1"]}}}),
    "asked outside": _refused(_SMALL, others={"args": {"cni": {"ips": ["10.1.9.1"]}}}),
    "asked twice of one set": _refused(
        _SMALL, others={"args": {"cni": {"ips": ["10.1.2.4", "10.1.2.5"]}}}
    ),
    "asked for no address": _refused(_SMALL, others={"args": {"cni": {"ips": ["10.1.2"]}}}),
    "asked for an empty one": _refused(_SMALL, others={"args": {"cni": {"ips": [""]}}}),
    "asked by CNI_ARGS for no address": Case(
        ipam=_SMALL, steps=(Step(args="IP=10.1.2", code=ENVIRONMENT),)
    ),
    "unknown CNI_ARGS": Case(
        ipam=_SMALL,
        steps=(
            Step(args="K8S_POD_NAME=web", code=ENVIRONMENT),
            Step(args="K8S_POD_NAME=web;IgnoreUnknown=1"),
            Step(container_id="c2", args="IgnoreUnknown=TRUE;IP=10.1.2.5;X=Y"),
            Step(container_id="c3", args="IgnoreUnknown=0"),
            Step(container_id="c4", args="IgnoreUnknown=perhaps", code=ENVIRONMENT),
        ),
    ),
    "ranges of the runtime": Case(
        ipam=_SMALL, others={"runtimeConfig": {"ipRanges": [[{"subnet": "10.5.0.0/24"}]]}}
    ),
    "ranges of the runtime alone": Case(
        ipam={}, others={"runtimeConfig": {"ipRanges": [[{"subnet": "10.5.0.0/24"}], [_SIX]]}}
    ),
    # The life of an attachment.
    "added twice": Case(ipam=_DUAL, steps=(Step(), Step(code=ALREADY), Step(container_id="c2"))),
    "added twice, asked for": Case(
        ipam=_SMALL, steps=(Step(), Step(args="IP=10.1.2.6"), Step(verb="DEL"))
    ),
    "added and deleted": Case(
        ipam=_DUAL,
        steps=(*_adds(2), Step(verb="DEL", previous=True), Step(verb="DEL", previous=True)),
    ),
    "deleted without a result": Case(
        ipam=_DUAL, steps=(*_adds(2), Step(verb="DEL"), Step(verb="DEL"))
    ),
    "deleted before it was added": Case(ipam=_SMALL, steps=(Step(verb="DEL"),)),
    "checked": Case(
        ipam=_DUAL,
        steps=(
            Step(),
            Step(verb="CHECK", previous=True),
            Step(verb="CHECK", container_id="c2", code=MISSING),
            Step(verb="DEL", previous=True),
            Step(verb="CHECK", previous=True, code=MISSING),
        ),
    ),
    # What is refused.
    "no ipam": _refused({}, others={"ipam": None}),
    "no range": _refused({}),
    "empty ranges": _refused({"ranges": []}),
    "empty range set": _refused({"ranges": [[]]}),
    "no subnet": _refused({"ranges": [[{"rangeStart": "10.1.2.3"}]]}),
    "null subnet": _refused({"subnet": None}),
    "subnet that is none": _refused({"subnet": "10.1.2.0"}),
    "subnet with host bits": _refused({"subnet": "10.1.2.1/24"}),
    "subnet too small": _refused({"subnet": "10.1.2.0/31"}),
    "IPv6 subnet too small": _refused({"subnet": "fd00::/127"}),
    "IPv4 subnet written as IPv6": _refused({"subnet": "::ffff:10.1.2.0/120"}),
    "start outside": _refused(_one(rangeStart="10.1.3.1")),
    "end outside": _refused(_one(rangeEnd="10.1.3.1")),
    "end before start": _refused(_one(rangeStart="10.1.2.9", rangeEnd="10.1.2.3")),
    "start of the other family": _refused(_one(rangeStart="fd00::1")),
    "start that is none": _refused(_one(rangeStart="10.1.2.03")),
    "gateway that is none": _refused(_one(gateway="x")),
    "gateway that is a number": _refused(_one(gateway=1)),
    "two families in a set": _refused({"ranges": [[{"subnet": "10.1.2.0/24"}, _SIX]]}),
    "ranges overlap": _refused(
        {"ranges": [[{"subnet": "10.1.0.0/16"}, {"subnet": "10.1.2.0/24"}]]}
    ),
    "range sets overlap": _refused(
        {"ranges": [[{"subnet": "10.1.0.0/16"}], [_SIX], [{"subnet": "10.1.2.0/24"}]]}
    ),
    "two of a family in 0.2.0": _refused(
        {"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.2.0/24"}]]}, version="0.2.0"
    ),
    "ranges that are no list": _refused({"ranges": {"subnet": "10.1.2.0/24"}}),
    "route without a length": _refused({**_SMALL, "routes": [{"dst": "10.0.0.0"}]}),
    "route with no gateway": _refused({**_SMALL, "routes": [{"dst": "0.0.0.0/0", "gw": "x"}]}),
    # What differs on purpose; see intended.py.
    "route without a destination": _refused({**_SMALL, "routes": [{"gw": "10.1.2.7"}]}),
    "gateway of the other family": _refused(_one(gateway="fd00::1")),
    "start behind the end that is not said": _refused(
        {"ranges": [[{**_SMALL, "rangeStart": "10.1.2.7"}]]}
    ),
    "the whole of IPv4": Case(ipam={"subnet": "0.0.0.0/0"}),
    "deleted with CNI_ARGS that are unknown": Case(
        ipam=_SMALL, steps=(Step(), Step(verb="DEL", args="A=B"))
    ),
    "deleted with ranges that are none": Case(
        ipam=_SMALL, steps=(Step(), Step(verb="DEL", change={"subnet": "10.1.2.0/31"}))
    ),
    "added to half": Case(
        ipam={"ranges": [[_SIX]]},
        steps=(Step(), Step(change={"ranges": [[_SMALL], [_SIX]]}, code=ALREADY)),
    ),
    "checked with a further range set": Case(
        ipam={"ranges": [[_SMALL]]},
        steps=(Step(), Step(verb="CHECK", previous=True, change=_DUAL, code=MISSING)),
    ),
}


_FOUR: Final = {"address": "10.10.0.1/24", "gateway": "10.10.0.254"}
_ADDRESS_SIX: Final = {"address": "3ffe:ffff:0:01ff::1/64", "gateway": "3ffe:ffff:0::1"}
_BOTH: Final = {"addresses": [_FOUR, _ADDRESS_SIX]}

STATIC: Final[Mapping[str, Case]] = {
    "one address": Case(ipam={"addresses": [_FOUR]}),
    "dual stack": Case(ipam=_BOTH),
    "no gateway": Case(ipam={"addresses": [{"address": "10.10.0.1/24"}]}),
    "empty gateway": Case(ipam={"addresses": [{"address": "10.10.0.1/24", "gateway": ""}]}),
    "gateway outside": Case(ipam={"addresses": [{**_FOUR, "gateway": "10.99.0.1"}]}),
    "routes and dns": Case(
        ipam={
            "addresses": [_FOUR],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.10.5.1"}],
            "dns": {
                "nameservers": ["8.8.8.8"],
                "domain": "example.com",
                "search": ["example.com", "example.org"],
                "options": ["ndots:2"],
            },
        }
    ),
    "two of a family": Case(ipam={"addresses": [_FOUR, {"address": "10.11.0.1/24"}]}),
    "no address": Case(ipam={}),
    "host bits are kept": Case(ipam={"addresses": [{"address": "10.10.77.3/8"}]}),
    "a whole prefix": Case(ipam={"addresses": [{"address": "10.10.0.1/32"}]}),
    "IPv4 written as IPv6": Case(ipam={"addresses": [{"address": "::ffff:10.10.0.1/120"}]}),
    "length with zeros": Case(ipam={"addresses": [{"address": "10.10.0.1/024"}]}),
    "keys in other letters": Case(ipam={"ADDRESSES": [{"ADDRESS": "10.10.0.1/24"}]}),
    "0.1.0": Case(ipam={"addresses": [_FOUR]}, version="0.1.0"),
    "0.2.0": Case(ipam={**_BOTH, "routes": [{"dst": "0.0.0.0/0"}]}, version="0.2.0"),
    "0.3.1": Case(ipam=_BOTH, version="0.3.1"),
    "0.4.0": Case(ipam=_BOTH, version="0.4.0"),
    "CNI_ARGS": Case(ipam={}, steps=(Step(args="IP=10.10.0.1/24;GATEWAY=10.10.0.254"),)),
    "CNI_ARGS with several": Case(
        ipam={},
        steps=(Step(args="IP=10.10.0.1/24, 11.11.0.1/24;GATEWAY=10.10.0.254,11.11.0.254"),),
    ),
    "CNI_ARGS beside the configured": Case(
        ipam={"addresses": [_FOUR]}, steps=(Step(args="IP=10.11.0.1/24;GATEWAY=10.10.0.9"),)
    ),
    "CNI_ARGS with a gateway of nothing": Case(
        ipam={"addresses": [_FOUR]}, steps=(Step(args="GATEWAY=10.99.0.9"),)
    ),
    "CNI_ARGS beside args": Case(
        ipam={"addresses": [_FOUR]},
        others={"args": {"cni": {"ips": ["10.12.0.1/24"]}}},
        steps=(Step(args="IP=10.11.0.1/24"),),
    ),
    "args": Case(ipam=_BOTH, others={"args": {"cni": {"ips": ["10.12.0.1/24", "fd00::1/64"]}}}),
    "unknown args": Case(ipam=_BOTH, others={"args": {"cni": {"x": 1}, "org": []}}),
    "runtimeConfig": Case(ipam=_BOTH, others={"runtimeConfig": {"ips": ["10.12.0.1/24"]}}),
    "runtimeConfig over args": Case(
        ipam=_BOTH,
        others={
            "args": {"cni": {"ips": ["10.13.0.1/24"]}},
            "runtimeConfig": {"ips": ["10.12.0.1/24"]},
        },
    ),
    "checked and deleted": Case(
        ipam=_BOTH,
        steps=(
            Step(),
            Step(verb="CHECK", previous=True),
            Step(verb="CHECK", previous=True, change={"addresses": [{"address": "10.10.0.1/24"}]}),
            Step(verb="CHECK", previous=True, change={"addresses": [{"address": "10.77.0.1/24"}]}),
            Step(
                verb="CHECK",
                previous=True,
                change={"addresses": [{**_FOUR, "gateway": "10.10.0.3"}]},
                code=100,
            ),
            Step(verb="CHECK", container_id="c2", code=CONFIG),
            Step(verb="DEL", previous=True),
            Step(verb="DEL"),
        ),
    ),
    "one address with two gateways": Case(
        ipam={"addresses": [_FOUR, {**_FOUR, "gateway": "10.10.0.9"}]},
        steps=(
            Step(),
            Step(verb="CHECK", previous=True, change={"addresses": [_FOUR]}),
            Step(
                verb="CHECK",
                previous=True,
                change={"addresses": [{**_FOUR, "gateway": "10.10.0.9"}]},
                code=100,
            ),
        ),
    ),
    "deleted with addresses that are none": Case(
        ipam={"addresses": [{"address": "x"}]}, steps=(Step(verb="DEL"),)
    ),
    "unknown CNI_ARGS": Case(
        ipam=_BOTH,
        steps=(Step(args="A=B", code=ENVIRONMENT), Step(args="A=B;IgnoreUnknown=true")),
    ),
    "no ipam": _refused({}, others={"ipam": None}),
    "address without a length": _refused({"addresses": [{"address": "10.10.0.1"}]}),
    "address that is none": _refused({"addresses": [{"address": "x/24"}]}),
    "address with a netmask": _refused({"addresses": [{"address": "10.10.0.1/255.0.0.0"}]}),
    "nothing in an address": _refused({"addresses": [{}]}),
    "gateway that is none": _refused({"addresses": [{**_FOUR, "gateway": "10.10.0"}]}),
    "two of a family in 0.2.0": _refused(
        {"addresses": [_FOUR, {"address": "10.11.0.1/24"}]}, version="0.2.0"
    ),
    "no address in 0.2.0": _refused({}, code=1, version="0.2.0"),
    "args without a length": _refused({}, others={"args": {"cni": {"ips": ["10.12.0.1"]}}}),
    "runtimeConfig without a length": _refused(
        {}, others={"runtimeConfig": {"ips": ["10.12.0.1"]}}
    ),
    "CNI_ARGS without a length": Case(
        ipam=_BOTH, steps=(Step(args="IP=10.12.0.1", code=ENVIRONMENT),)
    ),
    "CNI_ARGS with no gateway": Case(ipam=_BOTH, steps=(Step(args="GATEWAY=x", code=ENVIRONMENT),)),
    "route without a length": _refused({"routes": [{"dst": "10.0.0.0"}]}),
    "dns that is a list": _refused({"dns": []}),
    "route without a destination": _refused({"routes": [{"gw": "10.1.2.7"}]}),
}
