"""Making a result of what a plugin did, and writing it in the version that was asked for.

(specification, section 5, "Success"; rules P2, P9)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from acni.skel.errors import Code, PluginError
from acni.spec.jsontext import dump
from acni.spec.result import Dns, Interface, IpConfig, Result, ResultError, Route, parse_result
from acni.spec.versions import SUPPORTED_VERSIONS, have_same_shape

NO_DNS: Final = Dns(nameservers=(), domain=None, search=(), options=())
"""What says nothing of DNS."""

_NEWEST: Final = SUPPORTED_VERSIONS[-1]


def make_result(
    *,
    interfaces: Sequence[Interface] = (),
    ips: Sequence[IpConfig] = (),
    routes: Sequence[Route] = (),
    dns: Dns = NO_DNS,
    cni_version: str = _NEWEST,
) -> Result:
    """Make a result, in the version that is asked for where that has the newest one's shape, else
    in the newest.

    An IPAM plugin gives no interfaces, and its addresses name none (P9).

    It is not read back: what is wrong in it is found where the result of any plugin is read.

    Args:
        interfaces: The interfaces that it made.
        ips: The addresses that it gave; the ``interface`` of each is the index of one of these.
        routes: The routes that it set.
        dns: The DNS settings.
        cni_version: The version that is asked for: ``call.cni_version``.

    Example:
        >>> interface = spec.Interface(name="eth0", mac=None, sandbox="/run/netns/web")
        >>> ip = spec.IpConfig(address="192.0.2.9/24", gateway=None, interface=0)
        >>> result = skel.make_result(interfaces=[interface], ips=[ip])
        >>> result.cni_version, str(result.ipv4)
        ('1.1.0', '192.0.2.9')
    """
    version = cni_version if have_same_shape(cni_version, _NEWEST) else _NEWEST
    members = {
        "cniVersion": version,
        "interfaces": [_interface(interface) for interface in interfaces],
        "ips": [_ip(ip) for ip in ips],
        "routes": [_route(route) for route in routes],
        "dns": _dns(dns),
    }
    return Result(
        raw=dump(_given(members)),
        cni_version=version,
        interfaces=tuple(interfaces),
        ips=tuple(ips),
    )


def result_text(result: Result, cni_version: str) -> str:
    """Write a result in a version.

    Raises:
        PluginError: that version has no words for it.
    """
    if result.cni_version == cni_version:
        return result.raw
    try:
        return parse_result(result.raw, cni_version).raw
    except ResultError as error:
        message = f"the result cannot be given in {cni_version}: {error}"
        raise PluginError(Code.INCOMPATIBLE_VERSION, message) from None


def _interface(interface: Interface) -> Mapping[str, object]:
    return {"name": interface.name} | _given(
        {
            "mac": interface.mac,
            "mtu": interface.mtu,
            "sandbox": interface.sandbox,
            "socketPath": interface.socket_path,
            "pciID": interface.pci_id,
        }
    )


def _ip(ip: IpConfig) -> Mapping[str, object]:
    place = {} if ip.interface is None else {"interface": ip.interface}
    return place | {"address": ip.address} | _given({"gateway": ip.gateway})


def _route(route: Route) -> Mapping[str, object]:
    told = {
        "gw": route.gw,
        "mtu": route.mtu,
        "advmss": route.advmss,
        "priority": route.priority,
        "table": route.table,
    }
    # 0 is the scope "universe"; of the others it says nothing.
    scope = {} if route.scope is None else {"scope": route.scope}
    return {"dst": route.dst} | _given(told) | scope


def _dns(dns: Dns) -> Mapping[str, object]:
    return _given(
        {
            "nameservers": list(dns.nameservers),
            "domain": dns.domain,
            "search": list(dns.search),
            "options": list(dns.options),
        }
    )


def _given(members: Mapping[str, object]) -> dict[str, object]:
    """Leave out what is not given: as Go's ``omitempty``."""
    return {key: value for key, value in members.items() if value}
