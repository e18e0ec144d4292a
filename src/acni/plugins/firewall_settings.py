"""What ``firewall`` is configured with, parsed once.

Rule 1: a key that asks for what is not done here is refused (P11), but for the one that says by
    which of its two tools the reference is to do it: ours is as good as either.
Rule 2: the reference takes no notice of a backend that it does not know; here that is an error.

(the reference's plugins/meta/firewall)
"""

from __future__ import annotations

import enum
from typing import Final

from attrs import frozen

from acni.plugins.linksettings import unsupported
from acni.plugins.ruleset import ADMIN_FORWARD
from acni.plugins.tables import TABLE
from acni.skel.call import Call
from acni.skel.errors import PluginError
from acni.skel.reading import Fields

ADMIN_CHAIN: Final = "CNI-ADMIN"
"""The chain of iptables that the reference asks for the administrator's rules."""

_BACKENDS: Final = ("", "iptables", "nftables")
_ADMIN_KEY: Final = "iptablesAdminChainName"


class Policy(enum.StrEnum):
    """Which connections to a container are let through (``ingressPolicy``)."""

    OPEN = "open"
    SAME_BRIDGE = "same-bridge"
    ISOLATED = "isolated"


@frozen(kw_only=True)
class Settings:
    """What ``firewall`` is to do.

    Attributes:
        policy: Which connections to the container are let through.
        opens: What to do where a chain of somebody else drops what is forwarded: True, let it
            through; False, nothing, as others see to it; None, refuse the container.
        names_admin_chain: Whether the reference's own chain of the administrator is asked for.
    """

    policy: Policy
    opens: bool | None
    names_admin_chain: bool


def parse_settings(call: Call) -> Settings:
    """Parse the configuration of an ADD, a CHECK or a STATUS.

    Raises:
        PluginError: a member is not what was expected, or asks for what is not done here; names the
            place.
    """
    return call.parsed(_parse_fields)


def _parse_fields(fields: Fields, _: str) -> Settings:
    _refuse_what_is_not_done(fields)
    return Settings(
        policy=_parse_policy(fields),
        opens=fields.flag("openForwarding") if fields.has("openForwarding") else None,
        names_admin_chain=bool(fields.text(_ADMIN_KEY)),
    )


def _parse_policy(fields: Fields) -> Policy:
    text = fields.text("ingressPolicy") or Policy.OPEN
    try:
        return Policy(text)
    except ValueError:
        message = f"{fields.shown(text)} is no policy"
        raise fields.error("ingressPolicy", message, " or ".join(Policy)) from None


def _refuse_what_is_not_done(fields: Fields) -> None:
    backend = fields.text("backend", "")
    if backend == "firewalld":
        instead = "firewalld is not asked: leave it out, and give the bridge a zone in firewalld"
        raise unsupported(fields, "backend", instead)
    if backend not in _BACKENDS:
        expected = "iptables or nftables: either is done by a table of acni's"
        raise fields.error("backend", "an unknown backend", expected)
    if fields.text("firewalldZone"):
        instead = "firewalld is not asked: leave it out, and give the bridge a zone in firewalld"
        raise unsupported(fields, "firewalldZone", instead)
    if fields.text(_ADMIN_KEY, ADMIN_CHAIN) not in ("", ADMIN_CHAIN):
        raise admin_chain_refused(fields)


def admin_chain_refused(fields: Fields) -> PluginError:
    """Make the error of a chain of the administrator's that would not be asked."""
    instead = (
        "no chain of iptables is asked: leave it out, and write rules for the chain "
        f"{ADMIN_FORWARD} of the table inet {TABLE}"
    )
    return unsupported(fields, _ADMIN_KEY, instead)
