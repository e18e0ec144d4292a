"""The rules that an administrator may have made, by each of his tools, and what becomes of them
beside ours, beside the reference's plugins, and beside rules as its nftables backend lays them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from attrs import evolve, frozen


class Outcome(Enum):
    """What becomes of a rule.

    Attributes:
        HOLDS: What it says is what happens.
        BYPASSED: Something else happens.
        REFUSED: The container that it would be about is refused.
        TOLD: Something else happens, and CHECK and STATUS tell of it.
    """

    HOLDS = "holds"
    BYPASSED = "bypassed"
    REFUSED = "refused"
    TOLD = "bypassed, and CHECK and STATUS tell"


TOOLS: Final = ("iptables-nft", "iptables-legacy", "nft")
TIMES: Final = ("before the table", "after the table", "after the pod")

Outcomes = Mapping[str, Sequence[Outcome]]
"""By tool, at each time."""


def always(outcome: Outcome) -> Outcomes:
    """Return outcomes that are the same with each tool and at each time."""
    return dict.fromkeys(TOOLS, (outcome,) * len(TIMES))


@frozen(kw_only=True)
class Rule:
    """A rule, and what is seen beside it.

    ``{port}`` is the port of the host, and the container's is 7000.

    Attributes:
        words: What it says.
        iptables: The arguments of iptables.
        nft: The type, the hook and the priority of a chain of nftables, and what is in it.
        way: What is tried: "in", from outside to the port; "elsewhere", the same where another
            container listens; "to the host", where a program of the host does; "from the host",
            the same from there; "out", from the container to the outside.
        holds: Whom the listener sees where the rule holds; None, nobody answers.
        bypassed: Whom it sees where it does not.
        acni: What becomes of it beside ours.
        reference: Beside Debian's bridge, portmap and firewall.
        laid: Beside rules as the nftables backend of the reference's lays them.
    """

    words: str
    iptables: str
    nft: tuple[str, str]
    way: str
    holds: str | None
    bypassed: str | None
    acni: Outcomes
    reference: Outcomes
    laid: Outcomes

    def outcome(self, seen: str | None) -> Outcome | None:
        """Return what became of it, by whom a listener saw; None where it is neither of both."""
        if seen not in {self.holds, self.bypassed}:
            return None
        return Outcome.HOLDS if seen == self.holds else Outcome.BYPASSED


POD, OTHER = "10.9.0.7", "10.10.0.2"
HOST, ANOTHER, OUTSIDE = "192.0.2.1", "192.0.2.77", "192.0.2.9"
_H, _B, _R, _T = Outcome.HOLDS, Outcome.BYPASSED, Outcome.REFUSED, Outcome.TOLD
_HOLDS: Final = always(_H)
_BYPASSED: Final = always(_B)
# Neither rules nor policies of iptables-legacy are seen.
_GUARDED: Final[Outcomes] = {**_BYPASSED, "iptables-nft": (_R, _R, _T), "nft": (_R, _R, _T)}
_LOOKED_FOR: Final[Outcomes] = {**_HOLDS, "iptables-nft": (_R, _R, _H), "nft": (_R, _R, _H)}
# Of chains of one priority the one that was made last is asked first.
_LAST_MADE: Final[Outcomes] = dict.fromkeys(TOOLS, (_B, _H, _H))
# In one chain rules are asked in their order: the reference puts its chain behind what is there,
# and a container's rules for ports into that chain, for addresses behind it.
_PORTS_IN_ORDER: Final[Outcomes] = {**_LAST_MADE, "iptables-nft": (_H, _B, _B)}
_PORTS_LEFT_ALONE: Final[Outcomes] = {**_BYPASSED, "iptables-nft": (_H, _B, _B)}
_ADDRESSES_IN_ORDER: Final[Outcomes] = {**_LAST_MADE, "iptables-nft": (_H, _H, _B)}
_ADDRESSES_LEFT_ALONE: Final[Outcomes] = {**_BYPASSED, "iptables-nft": (_H, _H, _B)}
# The reference's firewall puts its rules before all that are in FORWARD.
_OVERRULED: Final[Outcomes] = {**_HOLDS, "iptables-nft": (_B, _B, _B)}
_HTTP: Final = "-p tcp --dport {port}"
_FILTER: Final = "filter hook forward priority filter"

RULES: Final[Mapping[str, Rule]] = {
    "A": Rule(
        words="INPUT drops the port",
        iptables=f"-A INPUT {_HTTP} -j DROP",
        nft=("filter hook input priority filter", "tcp dport {port} drop"),
        way="in",
        holds=None,
        bypassed=OUTSIDE,
        acni=_BYPASSED,
        reference=_BYPASSED,
        laid=_BYPASSED,
    ),
    "B": Rule(
        words="FORWARD drops what comes from a wire",
        iptables="-A FORWARD -i up0 -p tcp --dport 7000 -j DROP",
        nft=(_FILTER, "iifname up0 tcp dport 7000 drop"),
        way="in",
        holds=None,
        bypassed=OUTSIDE,
        acni=_HOLDS,
        reference=_HOLDS,
        laid=_HOLDS,
    ),
    "C": Rule(
        words="FORWARD drops what leaves",
        iptables="-A FORWARD -o up0 -j DROP",
        nft=(_FILTER, "oifname up0 drop"),
        way="out",
        holds=None,
        bypassed=HOST,
        acni=_HOLDS,
        reference=_OVERRULED,
        laid=_HOLDS,
    ),
    "D": Rule(
        words="the policy of FORWARD is DROP, to what leaves",
        iptables="-P FORWARD DROP",
        nft=(f"{_FILTER}; policy drop", ""),
        way="out",
        holds=None,
        bypassed=HOST,
        acni=_LOOKED_FOR,
        reference=_OVERRULED,
        laid=_HOLDS,
    ),
    "D, in": Rule(
        words="the policy of FORWARD is DROP, to what comes in",
        iptables="-P FORWARD DROP",
        nft=(f"{_FILTER}; policy drop", ""),
        way="in",
        holds=None,
        bypassed=OUTSIDE,
        acni=_LOOKED_FOR,
        reference=_HOLDS,
        laid=_HOLDS,
    ),
    "E": Rule(
        words="nat leaves the port alone (`RETURN`, `accept`)",
        iptables=f"-t nat -A PREROUTING {_HTTP} -j RETURN",
        nft=("nat hook prerouting priority dstnat", "tcp dport {port} accept"),
        way="in",
        holds=None,
        bypassed=OUTSIDE,
        acni=_GUARDED,
        reference=_PORTS_LEFT_ALONE,
        laid=_BYPASSED,
    ),
    "F": Rule(
        words="nat leads the port elsewhere (DNAT)",
        iptables=f"-t nat -A PREROUTING {_HTTP} -j DNAT --to-destination {OTHER}:7000",
        nft=("nat hook prerouting priority dstnat", f"tcp dport {{port}} dnat ip to {OTHER}:7000"),
        way="elsewhere",
        holds=OUTSIDE,
        bypassed=None,
        acni=_HOLDS,
        reference=_PORTS_IN_ORDER,
        laid=_LAST_MADE,
    ),
    "G": Rule(
        words="raw drops the port",
        iptables=f"-t raw -A PREROUTING {_HTTP} -j DROP",
        nft=("filter hook prerouting priority raw", "tcp dport {port} drop"),
        way="in",
        holds=None,
        bypassed=OUTSIDE,
        acni=_HOLDS,
        reference=_HOLDS,
        laid=_HOLDS,
    ),
    "H": Rule(
        words="an earlier chain of FORWARD drops (mangle, priority -1)",
        iptables="-t mangle -A FORWARD -i up0 -j DROP",
        nft=("filter hook forward priority -1", "iifname up0 drop"),
        way="in",
        holds=None,
        bypassed=OUTSIDE,
        acni=_HOLDS,
        reference=_HOLDS,
        laid=_HOLDS,
    ),
    "I": Rule(
        words="FORWARD drops what was sent to the port (conntrack)",
        iptables="-A FORWARD -m conntrack --ctorigdstport {port} -j DROP",
        nft=(_FILTER, "ct original proto-dst {port} drop"),
        way="in",
        holds=None,
        bypassed=OUTSIDE,
        acni=_HOLDS,
        reference=_HOLDS,
        laid=_HOLDS,
    ),
    "J": Rule(
        words="nat leaves alone what leaves (`RETURN`, `accept`)",
        iptables="-t nat -A POSTROUTING -o up0 -j RETURN",
        nft=("nat hook postrouting priority srcnat", "oifname up0 accept"),
        way="out",
        holds=POD,
        bypassed=HOST,
        acni=_BYPASSED,
        reference=_ADDRESSES_LEFT_ALONE,
        laid=_BYPASSED,
    ),
    "K": Rule(
        words="nat gives what leaves another address (SNAT)",
        iptables=f"-t nat -A POSTROUTING -o up0 -j SNAT --to-source {ANOTHER}",
        nft=("nat hook postrouting priority srcnat", f"oifname up0 snat ip to {ANOTHER}"),
        way="out",
        holds=ANOTHER,
        bypassed=HOST,
        acni=_HOLDS,
        reference=_ADDRESSES_IN_ORDER,
        laid=_LAST_MADE,
    ),
    "L": Rule(
        words="nat leads the port to a program of the host (REDIRECT)",
        iptables=f"-t nat -A PREROUTING {_HTTP} -j REDIRECT --to-ports 6000",
        nft=("nat hook prerouting priority dstnat", "tcp dport {port} redirect to :6000"),
        way="to the host",
        holds=OUTSIDE,
        bypassed=None,
        acni=_HOLDS,
        reference=_PORTS_IN_ORDER,
        laid=_LAST_MADE,
    ),
    "M": Rule(
        words="the same for the host's own (OUTPUT)",
        iptables=f"-t nat -A OUTPUT {_HTTP} -j REDIRECT --to-ports 6000",
        nft=("nat hook output priority -100", "tcp dport {port} redirect to :6000"),
        way="from the host",
        holds=HOST,
        bypassed=None,
        acni=_HOLDS,
        reference=_PORTS_IN_ORDER,
        laid=_LAST_MADE,
    ),
    "N": Rule(
        words="raw has the port not followed (NOTRACK)",
        iptables=f"-t raw -A PREROUTING {_HTTP} -j CT --notrack",
        nft=("filter hook prerouting priority raw", "tcp dport {port} notrack"),
        way="in",
        holds=None,
        bypassed=OUTSIDE,
        acni=_HOLDS,
        reference=_HOLDS,
        laid=_HOLDS,
    ),
    "O": Rule(
        words="the last rule of FORWARD drops everything, also what leaves",
        iptables="-A FORWARD -j DROP",
        nft=(_FILTER, "drop"),
        way="out",
        holds=None,
        bypassed=HOST,
        acni=_LOOKED_FOR,
        reference=_OVERRULED,
        laid=_HOLDS,
    ),
    "O, in": Rule(
        words="the last rule of FORWARD drops everything, also what comes in",
        iptables="-A FORWARD -j DROP",
        nft=(_FILTER, "drop"),
        way="in",
        holds=None,
        bypassed=OUTSIDE,
        acni=_LOOKED_FOR,
        reference=_HOLDS,
        laid=_HOLDS,
    ),
}


OUTSIDE6, HOST6 = "2001:db8::9", "2001:db8::1"
_IN_IPV6: Final = {
    POD: "fd00:9::7",
    f"to {OTHER}:7000": "to [fd00:10::2]:7000",
    f"-destination {OTHER}:7000": "-destination [fd00:10::2]:7000",
    HOST: HOST6,
    ANOTHER: "2001:db8::77",
    OUTSIDE: OUTSIDE6,
    "nat ip ": "nat ip6 ",
}


def in_ipv6(text: str) -> str:
    """Return what is said of IPv4 for IPv6."""
    for four, six in _IN_IPV6.items():
        text = text.replace(four, six)
    return text


def rule_in_ipv6(rule: Rule) -> Rule:
    """Return a rule for IPv6."""
    chain, what = rule.nft
    return evolve(
        rule,
        iptables=in_ipv6(rule.iptables),
        nft=(chain, in_ipv6(what)),
        holds=rule.holds and in_ipv6(rule.holds),
        bypassed=rule.bypassed and in_ipv6(rule.bypassed),
    )
