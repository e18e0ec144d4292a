"""Members of a configuration that the plugins have in common that make links.

Rule: a key that asks for what is not done here is refused, never passed over (P11): who asked for
    masquerading must not be left without it.

(specification, section 5, "Error"; the reference's plugins/main)
"""

from __future__ import annotations

from typing import Final

from acni.plugins.addressing import parse_dns
from acni.skel.errors import Code, PluginError
from acni.skel.reading import Fields
from acni.spec.result import Dns
from acni.spec.versions import RESULT_SHAPES

UNSUPPORTED: Final = "unsupported"

_LEAST_MTU: Final = 68  # RFC 791; what the kernel takes for these links
_MOST_MTU: Final = 65535


def parse_mtu(fields: Fields) -> int | None:
    """Parse ``mtu``; 0 is the kernel's.

    Raises:
        PluginError: no packet would fit.
    """
    mtu = fields.number("mtu", 0, least=0, most=_MOST_MTU) or None
    if mtu is not None and mtu < _LEAST_MTU:
        raise fields.error("mtu", f"{mtu} is too small", f"at least {_LEAST_MTU}, or 0")
    return mtu


def parse_own_dns(fields: Fields) -> Dns | None:
    """Parse what a result says of DNS instead of what IPAM says; None, that stays.

    Raises:
        PluginError: it is none; names the place.
    """
    dns = parse_dns(fields.inner("dns"))
    return dns if any((dns.nameservers, dns.domain, dns.search, dns.options)) else None


def require_result(has_ipam: bool, cni_version: str) -> None:
    """Refuse a version that has no result for a link without addresses.

    Raises:
        PluginError: it has none.
    """
    if not has_ipam and cni_version in RESULT_SHAPES[0]:
        message = f"cniVersion {cni_version} has no result without addresses"
        raise PluginError(Code.INCOMPATIBLE_VERSION, message, details="0.3.0 and later have")


def unsupported(fields: Fields, key: str, details: str) -> PluginError:
    """Make the error of a member that asks for what is not done (specification, section 5, code 2:
    key and value).
    """
    message = f'"{key}": {str(fields.get(key))[:40].lower()} is not supported at {fields.at(key)}'
    return PluginError(Code.UNSUPPORTED_FIELD, message, details=details, reason=UNSUPPORTED)
