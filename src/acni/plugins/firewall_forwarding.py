"""What ``firewall`` does where somebody else's policy, or a rule about everything, drops what is
forwarded: see :mod:`acni.plugins.forwarding` for what there is.

Rule 1: by default the container is refused, and the error names the chain or the rule: nothing that
    is accepted elsewhere lets through what that one drops.
Rule 2: ``"openForwarding": true`` appends to the chain of iptables, and refuses where it is another
    one, or where a rule before drops everything; ``false`` looks at nothing: whoever says it has
    rules of his own.
Rule 3: what lets a bridge through is its other containers', too, and goes with it. So is that of
    any link that may have several: the kernel does not call each a bridge that is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from typing import Final

from acni.netlink.families import IpAddress
from acni.netlink.links import find_link
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfrules import Chain
from acni.netlink.sockets import Netlink, open_here
from acni.plugins.attaching import undo_with
from acni.plugins.elementkeeping import if_there_is_netfilter
from acni.plugins.elements import netfilter_of
from acni.plugins.firewall_settings import Settings
from acni.plugins.firewall_ways import Way
from acni.plugins.forwarding import (
    Barrier,
    close_forwarding,
    closed,
    describe,
    find_blocking,
    is_iptables,
    open_forwarding,
    opened,
    openings,
)
from acni.plugins.refusals import differs, doing
from acni.skel.call import Call
from acni.skel.errors import Code, PluginError

FORWARDING_BLOCKED: Final = 112

# Links of the host that lead to one container.
_OF_ONE: Final = ("veth", "netkit", "tun", "macvtap", "ipvtap")
_POLICY_DROPS: Final = "policy-drops"
_RULE_DROPS: Final = "rule-drops"
# STATUS does not know which addresses containers are going to have.
_MOST_COMMON: Final = (4,)


def let_through(
    call: Call, netfilter: Netfilter, settings: Settings, way: Way, undo: ExitStack
) -> None:
    """Let a container through what drops, or refuse it.

    Raises:
        PluginError: it is not to be let through, or cannot be; or the kernel refuses.
    """
    for chain in _require_open(netfilter, settings, way):
        with doing(f"letting {' and '.join(way.links)} through {describe(chain)}"):
            is_new = bool(open_forwarding(netfilter, chain, way.links))
        if is_new and way.bridge is None:
            undo_with(undo, lambda: close_own(call, way.links))


def is_blocked(netfilter: Netfilter, settings: Settings, addresses: Iterable[IpAddress]) -> bool:
    """Tell whether somebody else drops what is forwarded from or to some addresses, and that
    matters.

    Raises:
        PluginError: the kernel does not say.
    """
    return bool(_blocking(netfilter, settings, {address.version for address in addresses}))


def require_let_through(netfilter: Netfilter, settings: Settings, way: Way) -> None:
    """Raise where a container is not let through any more.

    Raises:
        PluginError: it is not, or the kernel does not say.
    """
    for chain in _require_open(netfilter, settings, way):
        with doing(f"looking at {describe(chain)}"):
            is_closed = bool(closed(netfilter, chain, way.links))
        if is_closed:
            links = " and ".join(way.links)
            raise differs(f"{describe(chain)} does not let {links} through", "rule-missing")


def is_shut(netfilter: Netfilter, settings: Settings, way: Way) -> bool:
    """Tell whether a container is not let through any more by what its ADD appended.

    Raises:
        PluginError: it cannot be let through, or the kernel does not say.
    """
    for chain in _require_open(netfilter, settings, way):
        with doing(f"looking at {describe(chain)}"):
            if closed(netfilter, chain, way.links):
                return True
    return False


def require_forwarding(netfilter: Netfilter, settings: Settings) -> None:
    """Raise where no ADD of a container with an address of IPv4 can succeed.

    Raises:
        PluginError: it cannot, or the kernel does not say.
    """
    for barrier in _blocking(netfilter, settings, _MOST_COMMON):
        if not _may_be_opened(netfilter, barrier, settings):
            raise _blocked(barrier, settings, "the containers", code=Code.NOT_AVAILABLE)


def _may_be_opened(netfilter: Netfilter, barrier: Barrier, settings: Settings) -> bool:
    """Tell whether containers of some link are let past a barrier."""
    if not (settings.opens and is_iptables(barrier.chain)):
        return False
    if barrier.rule is None:
        return True
    with doing(f"looking at {describe(barrier.chain)}"):
        return bool(opened(netfilter, barrier))


def close_own(call: Call, links: Collection[str]) -> None:
    """Take back what lets links through that are the container's own, or gone.

    Raises:
        PluginError: the kernel refuses.
    """
    with doing("taking back what lets the container through"), open_here() as host:
        theirs = [link for link in links if _is_own(host, link)]
        _close(call, lambda link: link in theirs)


def collect_closed(call: Call) -> None:
    """Take back what lets links through that are gone.

    Raises:
        PluginError: the kernel refuses.
    """
    with doing("collecting what let links through"), open_here() as host:
        _close(call, lambda link: find_link(host, link) is None)


def _require_open(netfilter: Netfilter, settings: Settings, way: Way) -> list[Chain]:
    """Return the chains by which a container is to be let through; refuse it where it cannot."""
    if way.is_past_the_host:
        return []
    versions = {address.version for address in way.addresses}
    barriers = _blocking(netfilter, settings, versions)
    for barrier in barriers:
        is_opened = settings.opens and way.links and is_iptables(barrier.chain)
        if not is_opened or not _is_open_before(netfilter, barrier, way):
            raise _blocked(barrier, settings, " and ".join(way.links))
    return [barrier.chain for barrier in barriers]


def _is_open_before(netfilter: Netfilter, barrier: Barrier, way: Way) -> bool:
    """Tell whether what lets a container through stands before a rule that drops everything; it
    need not before a policy.
    """
    if barrier.rule is None:
        return True
    with doing(f"looking at {describe(barrier.chain)}"):
        there = opened(netfilter, barrier)
    return all(one in there for link in way.links for one in openings(link))


def _blocking(netfilter: Netfilter, settings: Settings, versions: Collection[int]) -> list[Barrier]:
    if settings.opens is False:
        return []
    with doing("looking for what drops what is forwarded"):
        return find_blocking(netfilter, versions)


def _is_own(host: Netlink, name: str) -> bool:
    link = find_link(host, name)
    return link is None or link.kind in _OF_ONE


def _close(call: Call, is_over: Callable[[str], bool]) -> None:
    with if_there_is_netfilter(), netfilter_of(call) as netfilter:
        close_forwarding(netfilter, is_over)


def _blocked(
    barrier: Barrier, settings: Settings, links: str, *, code: int = FORWARDING_BLOCKED
) -> PluginError:
    said = '"openForwarding": false says that rules of yours let the containers through'
    if barrier.rule is not None:
        said = (
            f"insert rules before it that accept for {links or 'the containers'}, as none is asked "
            f'behind it, such as those of "openForwarding": true; {said}'
        )
        return PluginError(code, str(barrier), details=said, reason=_RULE_DROPS)
    if is_iptables(barrier.chain) and links and not settings.opens:
        said = f'"openForwarding": true has rules appended to it that accept for {links}; {said}'
    return PluginError(code, str(barrier), details=said, reason=_POLICY_DROPS)
