"""The rule by which a chain of somebody else drops or rejects all that comes as far as that, as an
administrator writes it who closes a chain and leaves its policy alone (``-A FORWARD -j REJECT``).

Rule 1: it compares nothing: what counts, logs and comments lets everything on to the verdict.
Rule 2: what ends a chain before it, for all as well, has it never asked: ``accept``, ``return``,
    another chain for good. A chain that comes back does not, whatever that one accepts: no more is
    guessed than of a policy.

(iptables-extensions(8), "REJECT"; nft(8), "STATEMENTS")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from acni.netlink.messages import attributes, text_of
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import NF_DROP, NFT_CONTINUE, NFT_JUMP
from acni.netlink.nfoutlines import Outline, outline_of
from acni.netlink.nfrules import Chain, dump_rules, verdict_of

# What lets everything on; iptables has its comment as a match.
_NEUTRAL: Final = (b"counter\0", b"log\0", b"last\0")
_MATCH, _TARGET, _REJECT, _VERDICT = b"match\0", b"target\0", b"reject\0", b"immediate\0"
_NAME: Final = 1  # NFTA_MATCH_NAME, NFTA_TARGET_NAME
_QUEUE: Final = b"queue\0"
_GOES_ON: Final = "goes on"
_BY_VERDICT: Final = {NF_DROP: "drops", NFT_JUMP: _GOES_ON, NFT_CONTINUE: _GOES_ON}


@frozen(kw_only=True)
class ClosingRule:
    """A rule that lets nothing past it.

    Attributes:
        handle: Its number in the table, as ``nft -a`` shows it.
        ends: "drops" or "rejects".
    """

    handle: int
    ends: str


def find_closing_rule(netfilter: Netfilter, chain: Chain) -> ClosingRule | None:
    """Return the rule by which a chain lets nothing past; None where it has none.

    Raises:
        NetlinkError: the kernel does not say.
    """
    rules = dump_rules(netfilter, family=chain.family, table=chain.table, chain=chain.name)
    return closing_rule(map(outline_of, rules))


def closing_rule(rules: Iterable[Outline]) -> ClosingRule | None:
    """Return the rule of a chain that lets nothing past; None where it has none.

    Args:
        rules: Those of the chain, in their order.

    Raises:
        Malformed: one is none.
    """
    for handle, steps in rules:
        ends = _end_for_all(steps)
        if ends in ("drops", "rejects"):
            return ClosingRule(handle=handle, ends=ends)
        if ends != _GOES_ON:
            return None
    return None


def _end_for_all(steps: Sequence[tuple[bytes, bytes]]) -> str:
    """Return how a rule ends the chain for all that comes to it."""
    for name, said in steps:
        if name in _NEUTRAL or (name == _MATCH and _is_called("comment", said)):
            continue
        if name == _REJECT or (name == _TARGET and _is_called("REJECT", said)):
            return "rejects"
        if name == _QUEUE or (name == _TARGET and _is_called("NFQUEUE", said)):
            return "ends"  # a program decides of each
        if name == _VERDICT and (verdict := verdict_of(attributes(said))) is not None:
            code, _ = verdict
            return _BY_VERDICT.get(code, "ends")
        return _GOES_ON  # it compares something, or does what ends nothing
    return _GOES_ON


def _is_called(name: str, said: bytes) -> bool:
    return text_of(attributes(said).get(_NAME, b"")) == name
