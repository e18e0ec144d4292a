"""Where the built-in bridge leaves something else than the reference's, on purpose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from attrs import field, frozen

ABSENT: Final = "absent"


@frozen(kw_only=True)
class Difference:
    """Something that was seen to differ.

    Attributes:
        path: What it is.
        theirs: What the reference left; ``ABSENT`` where that is nothing.
        ours: What acni left.
    """

    path: str
    theirs: Any
    ours: Any


@frozen(kw_only=True)
class Intended:
    """An intended difference.

    Attributes:
        paths: A pattern of what differs.
        reference: What the reference does.
        acni: What acni does.
        reason: The rule or the decision that acni follows.
        cases: In which cases; in all where there are none.
    """

    paths: str
    reference: str
    acni: str
    reason: str
    cases: Sequence[str] = ()
    _pattern: re.Pattern[str] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_pattern", re.compile(self.paths))

    def allows(self, case: str, difference: Difference) -> bool:
        """Tell whether a difference is this one."""
        is_here = not self.cases or case in self.cases
        return is_here and self._pattern.fullmatch(difference.path) is not None


INTENDED: Final[Sequence[Intended]] = (
    Intended(
        paths=r"host/link port/alias",
        reference="leaves no sign on its links",
        acni="marks the host's end with whose it is",
        reason="P6: GC finds by it what nobody owns any more",
    ),
    Intended(
        paths=r".*/link \w+/qlen",
        reference="1.1.1 gives its links queues of no length",
        acni="leaves the kernel's 1000, as newer references do",
        reason="a shaper that is chained has room; 1.9.1 agrees (netlink.NewLinkAttrs)",
    ),
    Intended(
        paths=r"host/setting ipv6 port accept_ra",
        reference="lets the host's end take no routers' advertisements",
        acni="does that for the bridge alone",
        reason="what comes into a port is the bridge's: CVE-2020-10749 needs no more",
    ),
    Intended(
        paths=r"(host/address cni0|c\d/address \w+) [\w:-]+/(nodad|tentative)",
        reference="looks for others with an address of the bridge for a second or two",
        acni="does not: whose an address is, the leases say",
        reason="the first packets of IPv6 to the first container were lost meanwhile",
    ),
    Intended(
        paths=r"c\d/setting ipv6 \w+ keep_addr_on_down",
        reference="1.1.1 leaves it, newer ones set it for addresses of IPv6",
        acni="sets it for addresses of IPv6",
        reason="an interface that is set down and up has its addresses; 1.9.1 agrees",
    ),
    Intended(
        paths=r"c\d/setting ipv6 \w+ accept_dad",
        reference="lets no address of the container be looked for elsewhere first",
        acni="says so of each address that it gives, and gives the link-local one of IPv6, too",
        reason="a name below /proc/sys/net costs more with each container of the host",
    ),
    Intended(
        paths=r"c\d/setting ipv4 \w+ arp_notify",
        reference="sets it also where there is no address of IPv4",
        acni="sets it with an address of IPv4, by netlink",
        reason="it says nothing of IPv6; netlink does it where /proc/sys cannot be written",
        cases=(
            "IPv6 gateway",
            "IPv6 alone",
            "two networks of IPv6",
            "bridge with another address of IPv6",
        ),
    ),
    Intended(
        paths=r"host/link \w+/alias",
        reference="makes a bridge that takes the hardware address of a port",
        acni="makes one with an address of its own, and marks it so that this is known",
        reason="each container would have to ask for it anew whenever a port goes",
    ),
    Intended(
        paths=r"host/link cni0/mtu",
        reference="gives its bridge an MTU that is lost with the last port",
        acni="gives it one that stays",
        reason="what is configured does not depend on how many containers there are",
        cases=("mtu without addresses", "mtu with a gateway"),
    ),
    Intended(
        paths=r"status",
        reference="refuses to check an attachment without addresses",
        acni="checks its links",
        reason="P4: CHECK tells whether something is wrong",
        cases=(
            "no addresses",
            "two containers without addresses",
            "mtu without addresses",
            "masquerading without addresses",
            "hairpin",
            "promiscuous",
            "another interface",
            "mac by args",
            "mac by CNI_ARGS",
            "mac by all",
        ),
    ),
    Intended(
        paths=r"status",
        reference="finds its own bridge changed once a port has come or gone",
        acni="compares the hardware address of a bridge that has one of its own",
        reason="P4: CHECK allows for what changed by itself",
        cases=(
            "addresses alone",
            "IPv6 alone",
            "masquerading without a gateway",
            "dual stack without gateway",
            "routes by a gateway",
        ),
    ),
    Intended(
        paths=r"status",
        reference="wants a route to the address's network, or does not find one that is there",
        acni="wants the addresses and the routes of the result",
        reason="P4: CHECK tells whether something is wrong",
        cases=("static without gateway", "routes", "routes of both families"),
    ),
    Intended(
        paths=r".*",
        reference="refuses a default route that it would add itself",
        acni="takes what is asked for twice as asked for once",
        reason="both of it can be acted on (P11); newer references agree for IPv6",
        cases=("default route twice",),
    ),
    Intended(
        paths=r".*",
        reference="leaves links, addresses and routes behind an ADD that it refuses",
        acni="undoes them",
        reason="a failed ADD leaves nothing that a DEL would have to find (R28)",
        cases=(
            "bridge with another address",
            "bridge with an overlapping address of IPv6",
            "two networks of IPv4",
            "no address",
            "IPv6 disabled on the host",
            "0.2.0 without addresses",
        ),
    ),
    Intended(
        paths=r"host/.* cni0( .*|/.*)|host/setting ipv6 cni0 .*",
        reference="makes the bridge before it reads the rest of the configuration",
        acni="reads it first",
        reason="what is refused changes nothing",
        cases=("mac that is none",),
    ),
    Intended(
        paths=r"host/.* cni0( .*|/.*)|host/setting ipv6 cni0 .*",
        reference="makes the bridge before it finds that the container has the interface",
        acni="looks for that first",
        reason="P1: what an earlier ADD was given is not undone by this one",
        cases=("interface is there",),
    ),
    Intended(
        paths=r".*",
        reference="releases the address and leaves the link where CNI_NETNS is empty",
        acni="removes the link, too",
        reason="an address is free again only when no link knows it",
        cases=("deleted with the namespace gone",),
    ),
    Intended(
        paths=r"c1/(link|setting ipv[46]|address|route \S+) eth0.*",
        reference="deletes whatever has the interface's name",
        acni="deletes what it, or the reference, made",
        reason="an attachment that was refused must not take another one's interface with it",
        cases=("deleted what it did not make",),
    ),
    Intended(
        paths=r"status",
        reference="is content with a bridge that is down",
        acni="is not",
        reason="P4: an interface that nobody can use is an error",
        cases=("down",),
    ),
    Intended(
        paths=r".*",
        reference="drops the previous result and makes a pair of links of its own",
        acni="makes the earlier plugin's interface a port, and passes its result on",
        reason='P2, P12; CONVENTIONS.md, "Chained Plugins"',
        cases=("behind another plugin",),
    ),
)
