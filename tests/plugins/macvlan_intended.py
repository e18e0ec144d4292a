"""Where the built-in macvlan leaves something else than the reference's, on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.plugins.bridge_intended import Intended

INTENDED: Final[Sequence[Intended]] = (
    Intended(
        paths=r"c\d/link \w+/alias",
        reference="leaves no sign on its links",
        acni="marks the container's interface with whose it is",
        reason="an attachment that was refused must not take another one's interface with it",
    ),
    Intended(
        paths=r"c\d/link \w+/qlen",
        reference="1.1.1 gives its links queues of no length",
        acni="leaves the kernel's 1000, as newer references do",
        reason="a shaper that is chained has room; 1.9.1 agrees (netlink.NewLinkAttrs)",
    ),
    Intended(
        paths=r"c\d/setting ipv6 \w+ keep_addr_on_down",
        reference="1.1.1 leaves it, newer ones set it for addresses of IPv6",
        acni="sets it for addresses of IPv6",
        reason="an interface that is set down and up has its addresses; 1.9.1 agrees",
    ),
    Intended(
        paths=r"c\d/setting ipv4 \w+ arp_notify",
        reference="sets it also where there is no address of IPv4",
        acni="sets it with an address of IPv4, by netlink",
        reason="it says nothing of IPv6; netlink does it where /proc/sys cannot be written",
        cases=("IPv6",),
    ),
    Intended(
        paths=r".*",
        reference="1.1.1 as Debian builds it finds no default route",
        acni="finds it",
        reason="the configuration's key says so; newer references agree",
        cases=("master of the default route",),
    ),
    Intended(
        paths=r".*",
        reference="1.1.1 does not know the key, and looks for the link on the host",
        acni="does what newer references do",
        reason="P11: a field that is expected is acted on",
        cases=("master in the container",),
    ),
    Intended(
        paths=r".*",
        reference="leaves the link behind an ADD that it refuses",
        acni="undoes it",
        reason="a failed ADD leaves nothing that a DEL would have to find (R28)",
        cases=("no address", "0.2.0 without addresses"),
    ),
    Intended(
        paths=r"c1/(link|setting ipv[46]|address|route \S+) eth0.*",
        reference="deletes whatever has the interface's name",
        acni="deletes what it, or the reference, made",
        reason="an attachment that was refused must not take another one's interface with it",
        cases=("deleted what it did not make",),
    ),
    Intended(
        paths=r".*",
        reference="takes no notice of a hardware address where the link has that of the one below",
        acni="refuses it",
        reason="P11: a field that cannot be acted on is an error",
        cases=("mac with passthru",),
    ),
    Intended(
        paths=r"result dns",
        reference="drops what IPAM says of DNS",
        acni="passes it on where nothing is configured",
        reason="as bridge and ptp do, the reference's too",
        cases=("dns of ipam",),
    ),
    Intended(
        paths=r"status",
        reference="is content with any link below that is there",
        acni="wants the one that is configured",
        reason="P4: an interface that is not the one that was made is an error",
        cases=("checked on another link",),
    ),
    Intended(
        paths=r"result .*",
        reference="drops the previous result",
        acni="puts it behind its own",
        reason="P2",
        cases=("behind another plugin",),
    ),
)
