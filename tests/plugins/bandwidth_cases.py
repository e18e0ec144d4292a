"""Configurations and calls that are given to the reference's bandwidth and to ours, and where ours
does something else, on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.plugins.bridge_intended import Intended
from tests.plugins.chained import Case, Step

VERSION: Final = 1
ENVIRONMENT: Final = 4
CONFIG: Final = 7
DIFFERS: Final = 105
NO_PAIR: Final = 107
IO: Final = 5

IFB: Final = "bwp623e1c388032"  # the reference's for the container "c1" of the network "net"
BOTH: Final[Mapping[str, Any]] = {
    "ingressRate": 8_000_000,
    "ingressBurst": 800_000,
    "egressRate": 4_000_000,
    "egressBurst": 400_000,
}
INGRESS: Final = {"ingressRate": 8_000_000, "ingressBurst": 800_000}
EGRESS: Final = {"egressRate": 8_000_000, "egressBurst": 800_000}
_MOST_INT: Final = (1 << 31) - 1
_TWO: Final = (("c1", "eth0"), ("c1", "net1"))


def _refused(config: Mapping[str, Any], code: int = CONFIG, **others: Any) -> Case:
    return Case(config=config, steps=(Step(code=code, **others),), is_whole=False)


def _checked(command: str, code: int | None = DIFFERS, config: Mapping[str, Any] = BOTH) -> Case:
    """Check behind a command of somebody else."""
    check = Step(verb="CHECK", before=(("host", command),), code=code)
    return Case(config=config, steps=(Step(), check, Step(verb="DEL")), is_whole=False)


CASES: Final[Mapping[str, Case]] = {
    "both directions": Case(config=BOTH),
    "ingress alone": Case(config=INGRESS),
    "egress alone": Case(config=EGRESS),
    "asked by the runtime": Case(config={"runtimeConfig": {"bandwidth": BOTH}}),
    "configured and asked by the runtime": Case(
        config={**INGRESS, "runtimeConfig": {"bandwidth": BOTH}}
    ),
    "configured as zero and asked by the runtime": Case(
        config={"ingressRate": 0, "runtimeConfig": {"bandwidth": BOTH}}
    ),
    "zero": Case(config=dict.fromkeys(BOTH, 0)),
    "nothing": Case(config={}),
    "nothing of the runtime": Case(config={"runtimeConfig": {"bandwidth": {}}}),
    "slow": Case(config={"ingressRate": 1000, "ingressBurst": 16_000}),
    "odd numbers": Case(config={"egressRate": 1_234_567, "egressBurst": 7_654_321}),
    "a gigabit": Case(config={"ingressRate": 10**9, "ingressBurst": 10**7}),
    "forty gigabit": Case(config={"ingressRate": 4 * 10**10, "ingressBurst": 10**8}),
    "a burst that is no bound": Case(config={**BOTH, "egressBurst": _MOST_INT}),
    "a burst that is no bound to a slow one": Case(
        config={"ingressRate": 1_000_000, "ingressBurst": _MOST_INT}
    ),
    "a burst of less than a packet": Case(config={"ingressRate": 10**6, "ingressBurst": 8000}),
    "the greatest burst": Case(config={"egressRate": 10**9, "egressBurst": 8 * ((1 << 32) - 2)}),
    "a rate without a burst": _refused({"ingressRate": 1000}),
    "a burst without a rate": _refused({"egressBurst": 1000}),
    "a burst that is too great": _refused({"egressRate": 1000, "egressBurst": 1 << 35}),
    "a rate of less than a byte": _refused({"ingressRate": 7, "ingressBurst": 8000}),
    "a negative rate": _refused({"ingressRate": -1, "ingressBurst": 8000}),
    "a rate that is text": _refused({"ingressRate": "1M", "ingressBurst": 8000}),
    "a fraction": _refused({"ingressRate": 1000.5, "ingressBurst": 8000}),
    "a burst of no byte": _refused({"ingressRate": 8000, "ingressBurst": 7}),
    "a burst that holds no byte": _refused({"ingressRate": 8_000_000, "ingressBurst": 8}),
    "a rate that no burst lasts for": _refused(
        {"ingressRate": (1 << 64) - 1, "ingressBurst": 8 * ((1 << 32) - 2)}
    ),
    "alone": _refused(BOTH, has_previous=False),
    "nothing, alone": _refused({}, has_previous=False),
    "no interface": _refused(BOTH, NO_PAIR, ifname="other"),
    "no pair": _refused(
        BOTH, NO_PAIR, ifname="br0", before=(("c1", "ip link add br0 type bridge"),)
    ),
    "a pair that ends in another container": _refused(
        BOTH,
        NO_PAIR,
        before=(
            ("c1", "ip link del eth0"),
            ("c1", "ip link add eth0 type veth peer name inner"),
        ),
    ),
    "a smaller mtu": Case(
        config=BOTH, steps=(Step(before=(("host", "ip link set veth0 mtu 1300"),)),)
    ),
    "two containers": Case(
        config=BOTH,
        steps=(Step(), Step(container="c2")),
        pairs=(("c1", "eth0"), ("c2", "eth0")),
    ),
    "two interfaces, one with a link of its own": Case(
        config=BOTH,
        steps=(Step(), Step(ifname="net1", change={**BOTH, **dict.fromkeys(EGRESS, 0)})),
        pairs=_TWO,
    ),
    "two interfaces": Case(config=EGRESS, steps=(Step(), Step(ifname="net1")), pairs=_TWO),
    "added twice": Case(config=BOTH, steps=(Step(), Step(code=ENVIRONMENT)), is_whole=False),
    "ingress added twice": Case(config=INGRESS, steps=(Step(), Step(code=IO)), is_whole=False),
    "behind a queue of the administrator": _refused(
        INGRESS,
        IO,
        before=(
            ("host", "tc qdisc add dev veth0 root handle 1: tbf rate 1mbit burst 10k latency 9ms"),
        ),
    ),
    "behind a filter of the administrator": _refused(
        EGRESS, IO, before=(("host", "tc qdisc add dev veth0 ingress"),)
    ),
    "deleted without a result": Case(
        config=BOTH, steps=(Step(), Step(verb="DEL", has_previous=False)), is_whole=False
    ),
    "deleted before it was added": Case(
        config=BOTH, steps=(Step(verb="DEL", has_previous=False), Step())
    ),
    "deleted, the namespace gone": Case(
        config=BOTH,
        steps=(
            Step(),
            Step(verb="DEL", is_gone=True, before=(("host", "ip link del veth0"),)),
            Step(verb="DEL", is_gone=True),
        ),
        is_whole=False,
    ),
    "deleted, the pair gone": Case(
        config=BOTH,
        steps=(Step(), Step(verb="DEL", before=(("host", "ip link del veth0"),))),
        is_whole=False,
    ),
    "deleted, the link gone": Case(
        config=BOTH,
        steps=(Step(), Step(verb="DEL", before=(("host", f"ip link del {IFB}"),))),
        is_whole=False,
    ),
    "deleted with limits that are none": Case(
        config=BOTH,
        steps=(Step(), Step(verb="DEL", change={"ingressRate": 7})),
        is_whole=False,
    ),
    "added, deleted, added": Case(config=BOTH, steps=(Step(), Step(verb="DEL"), Step())),
    "checked": _checked("true", None),
    "checked with another rate": Case(
        config=BOTH,
        steps=(Step(), Step(verb="CHECK", change={"ingressRate": 9_000_000}, code=DIFFERS)),
        is_whole=False,
    ),
    "checked without a link": _checked(f"ip link del {IFB}"),
    "checked with the link down": _checked(f"ip link set {IFB} down"),
    "checked without a queue": _checked("tc qdisc del dev veth0 root"),
    "checked without a filter": _checked("tc qdisc del dev veth0 ingress"),
    "0.4.0": Case(config=BOTH, version="0.4.0"),
    "0.3.0": Case(config=BOTH, version="0.3.0"),
    "0.2.0": Case(config=BOTH, version="0.2.0", steps=(Step(code=VERSION),), is_whole=False),
}

INTENDED: Final[Sequence[Intended]] = (
    Intended(
        paths=r".*/host/link bw\w+/alias",
        reference="leaves no sign on its links",
        acni="marks them with whose they are",
        reason="P6: GC finds by it what nobody owns any more",
    ),
    Intended(
        paths=r".*/host/filter veth\d all 1 actions",
        reference="says twice in its filter where packets go",
        acni="says it once",
        reason="the first time takes the packet already",
    ),
    Intended(
        paths=r"DEL/host/(qdisc|filter) veth\d .*",
        reference="leaves queue and filter at the host's end",
        acni="removes them",
        reason="a filter that leads to nothing loses all that the container still sends",
    ),
    Intended(
        paths=r"(ADD|CHECK)/host/qdisc .*",
        reference="counts a long burst in 32 bits and begins anew",
        acni="stays at the most that there is",
        reason="what is meant to be no bound would be any; kubelet asks for 2 Gbit",
        cases=(
            "a burst that is no bound",
            "a burst that is no bound to a slow one",
            "the greatest burst",
        ),
    ),
    Intended(
        paths=r"CHECK/status|ADD/(result )?status",
        reference="1.1.1 crashes where nothing is to be limited",
        acni="has nothing to check, and refuses to be alone",
        reason="P4; newer references agree",
        cases=("nothing", "nothing, alone"),
    ),
    Intended(
        paths=r".*",
        reference="limits what one interface of a container sends, and refuses the next one",
        acni="limits each, and marks whose link is whose",
        reason="they are two attachments, which know nothing of each other",
        cases=("two interfaces",),
    ),
    Intended(
        paths=r"ADD/host/.*",
        reference="leaves a link behind an ADD that it refuses",
        acni="undoes what it made",
        reason="a failed ADD leaves nothing that a DEL would have to find (R28)",
        cases=("behind a filter of the administrator",),
    ),
    Intended(
        paths=r"(ADD|CHECK)/.*",
        reference="cannot be added again to a pair that it was deleted from",
        acni="can",
        reason="P3: DEL removes what ADD made",
        cases=("added, deleted, added",),
    ),
    Intended(
        paths=r"CHECK/status",
        reference="is content without queue or filter, and with a link that is down",
        acni="is not",
        reason="P4: CHECK tells whether something is wrong with a shaper",
        cases=(
            "checked with the link down",
            "checked without a queue",
            "checked without a filter",
        ),
    ),
)
