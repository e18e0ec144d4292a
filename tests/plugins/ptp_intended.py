"""Where the built-in ptp leaves something else than the reference's, on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.plugins.bridge_intended import Intended

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
        paths=r"(host/address port|c\d/address \w+) [\w:]+/(nodad|tentative)",
        reference="looks on the link for others with an address, for a second or two",
        acni="does not",
        reason="at the other end is the host alone; the first packets of IPv6 were lost meanwhile",
    ),
    Intended(
        paths=r"c\d/setting ipv6 \w+ keep_addr_on_down",
        reference="1.1.1 leaves it, newer ones set it for addresses of IPv6",
        acni="sets it for addresses of IPv6",
        reason="an interface that is set down and up has its addresses; 1.9.1 agrees",
    ),
    Intended(
        paths=r"host/setting .*forward(ing)?",
        reference="lets the host forward before it knows whether it can do the rest",
        acni="does that in the end",
        reason="what is refused changes nothing",
        cases=("interface is there",),
    ),
    Intended(
        paths=r"status",
        reference="does not find a route without a gateway that it made with one",
        acni="is content with any gateway where the result names none",
        reason="P4: CHECK tells whether something is wrong",
        cases=("routes",),
    ),
    Intended(
        paths=r".*",
        reference="leaves links, addresses and routes behind an ADD that it refuses",
        acni="undoes them",
        reason="a failed ADD leaves nothing that a DEL would have to find (R28)",
        cases=("no gateway", "two interfaces of a network", "IPv6 disabled on the host"),
    ),
    Intended(
        paths=r".*",
        reference="fails to remove a route to the network, which the kernel made once or not",
        acni="removes it where it is there",
        reason="nothing forbids a network of one address, nor two addresses of a network (P11)",
        cases=("one address alone", "two addresses of a network"),
    ),
    Intended(
        paths=r".*",
        reference="refuses a route that it would add itself",
        acni="takes what is asked for twice as asked for once",
        reason="both of it can be acted on (P11)",
        cases=("route to the network",),
    ),
    Intended(
        paths=r".*",
        reference="leaves the address with whoever has a route to it, and succeeds",
        acni="refuses it",
        reason="the container would not be reached",
        cases=("route that another link has",),
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
        reference="looks at the container's end alone",
        acni="looks at both, and at the host's route",
        reason="P4: an address or a route that it made and that is missing is an error",
        cases=("checked after somebody removed the route to it",),
    ),
    Intended(
        paths=r"result .*",
        reference="drops the previous result",
        acni="puts it behind its own",
        reason="P2",
        cases=("behind another plugin",),
    ),
)
