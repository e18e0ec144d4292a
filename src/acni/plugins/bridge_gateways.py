"""Which addresses a bridge gets as the gateway of its containers, and which give way: decisions.

(the reference's plugins/main/bridge, ensureAddr)
"""

from __future__ import annotations

from collections.abc import Iterable

from acni.netlink.families import Interface, is_v4
from acni.plugins.bridge_refusals import GATEWAY_DIFFERS
from acni.skel.errors import PluginError


def gateways_to_give(
    present: Iterable[Interface], gateways: Iterable[Interface], *, is_forced: bool
) -> list[tuple[Interface, tuple[Interface, ...]]]:
    """Decide on all gateways before the first is given: a bridge that is refused stays as it was.

    Args:
        present: The addresses that the bridge has.
        gateways: Those that it is to have.
        is_forced: Whether others give way.

    Returns:
        Each that it lacks, with those that go before it.

    Raises:
        PluginError: it has another one, and that does not give way.
    """
    here, decided = list(present), list[tuple[Interface, tuple[Interface, ...]]]()
    for gateway in gateways:
        replaced = addresses_in_the_way(here, gateway, is_forced=is_forced)
        if replaced is None:
            continue
        here = [*(one for one in here if one not in replaced), gateway]
        decided.append((gateway, replaced))
    return decided


def addresses_in_the_way(
    present: Iterable[Interface], wanted: Interface, *, is_forced: bool
) -> tuple[Interface, ...] | None:
    """Decide which addresses of a bridge give way to another one.

    A bridge has one address of IPv4. Of IPv6 it may have several whose networks do not overlap.

    Args:
        present: The addresses that it has.
        wanted: The one that it is to have.
        is_forced: Whether they give way.

    Returns:
        Those that go; None where it has the wanted one.

    Raises:
        PluginError: it has another one, and that does not give way.
    """
    present = tuple(present)
    if wanted in present:
        return None
    found = tuple(
        one
        for one in present
        if one.version == wanted.version
        and (is_v4(one) or one.ip in wanted.network or wanted.ip in one.network)
    )
    if found and not is_forced:
        raise PluginError(
            GATEWAY_DIFFERS,
            f"the bridge has the address {found[0]}, not {wanted}",
            details="$.forceAddress: true lets it give way",
            reason="gateway-differs",
        )
    return found


def overlapping(
    others: Iterable[tuple[Interface, bool]], gateways: Iterable[Interface]
) -> tuple[Interface, Interface] | None:
    """Find two networks of which the host would know only one way to what both have.

    A host may have its own address in a larger network: what is longer wins, and the containers
    are reached. Not so where the larger one is another bridge's, whose containers are in it too.

    Args:
        others: The addresses of the host's other links, and whether each is on a bridge of ours.
        gateways: Those that the bridge is to have.

    Returns:
        A gateway and the address in its way; None where there is none.
    """
    for other, is_ours in others:
        for gateway in gateways:
            if gateway.version != other.version or other.ip.is_link_local:
                continue
            lengths = gateway.network.prefixlen, other.network.prefixlen
            # Networks overlap where the longer one is a part of the shorter one.
            is_shared = _begins_as(gateway, other, min(lengths))
            if is_shared and (is_ours or lengths[1] >= lengths[0]):
                return gateway, other
    return None


def _begins_as(one: Interface, other: Interface, bits: int) -> bool:
    """Tell whether two addresses of a family have their first bits in common."""
    rest = one.max_prefixlen - bits
    return int(one) >> rest == int(other) >> rest
