"""``static``: an address plugin that gives the addresses which its configuration names, or its
caller asks for. It keeps nothing.

Rule 1: addresses of CNI_ARGS are added to the configured ones; ``args`` takes the place of both,
    and ``runtimeConfig`` of all.
Rule 2: a gateway of CNI_ARGS is one for the addresses of CNI_ARGS in whose network it is.

(the reference's plugins/ipam/static; rule P11)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from acni.plugins.addressing import (
    Given,
    ipam_of,
    known_args,
    parse_dns,
    parse_interface,
    parse_routes,
    parsed_argument,
    parsed_texts,
)
from acni.plugins.ranges import canonical, parse_address
from acni.skel.call import Call, Verbs
from acni.skel.errors import Code, PluginError
from acni.skel.reading import Fields
from acni.skel.results import make_result
from acni.spec.result import IpConfig, Result
from acni.spec.versions import is_at_least

GATEWAY_DIFFERS: Final = 100

_WITH_LENGTH: Final = "an address with a prefix length"


def add(call: Call) -> Result:
    """Give the addresses."""
    ips = tuple(map(_ip, _addresses(call)))
    ipam = call.fields.inner("ipam")
    return make_result(ips=ips, routes=parse_routes(ipam), dns=parse_dns(ipam.inner("dns")))


def delete(call: Call) -> None:
    """Nothing is kept."""


def check(call: Call) -> None:
    """Raise where an address has another gateway than it is to have. One that is in no result is no
    error, as in the reference: who chains plugins may have taken it out (P4).
    """
    if call.previous is None:
        raise PluginError(Code.INVALID_CONFIG, "no prevResult at $.prevResult")
    gateways = {
        canonical(ip.ip.ip): ip.gateway and parse_address(ip.gateway)
        for ip in reversed(call.previous.ips)  # of two of one address, the first counts
    }
    for given in _addresses(call):
        address = given.address.ip
        if given.gateway and gateways.get(address, given.gateway) != given.gateway:
            raise PluginError(
                GATEWAY_DIFFERS,
                f"{address} of {call.ifname} has another gateway than {given.gateway}",
                reason="gateway-differs",
            )


def status(call: Call) -> None:
    """Raise where the configuration is none; what a caller asks for is not known yet."""
    _configured(ipam_of(call.fields))


def _ip(given: Given) -> IpConfig:
    gateway = None if given.gateway is None else str(given.gateway)
    return IpConfig(address=str(given.address), gateway=gateway, interface=None)


def _addresses(call: Call) -> tuple[Given, ...]:
    fields = call.fields
    given = _configured(ipam_of(fields)) + _of_arguments(call)
    for place in (fields.inner("args").inner("cni"), fields.inner("runtimeConfig")):
        asked = parsed_texts(place, "ips", parse_interface, _WITH_LENGTH)
        if asked:
            given = tuple(Given(address=address, gateway=None) for address in asked)
    _require_one_of_a_family(call, fields.inner("ipam"), given)
    return given


def _configured(ipam: Fields) -> tuple[Given, ...]:
    return tuple(map(_parse_address, ipam.objects("addresses")))


def _parse_address(fields: Fields) -> Given:
    address = fields.parsed("address", parse_interface, _WITH_LENGTH)
    if address is None:
        raise fields.error("address", "no address", _WITH_LENGTH)
    return Given(address=address, gateway=fields.parsed("gateway", parse_address, "an address"))


def _of_arguments(call: Call) -> tuple[Given, ...]:
    args = known_args(call, ("IP", "GATEWAY"))
    given: list[Given] = []
    for text in _listed(args.get("IP", "")):
        address = parsed_argument("IP", text, parse_interface, _WITH_LENGTH)
        given.append(Given(address=address, gateway=None))
    for text in _listed(args.get("GATEWAY", "")):
        gateway = parsed_argument("GATEWAY", text, parse_address, "an address")
        given = [
            evolve(one, gateway=gateway) if gateway in one.address.network else one for one in given
        ]
    return tuple(given)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []


def _require_one_of_a_family(call: Call, ipam: Fields, given: Sequence[Given]) -> None:
    families = [one.address.version for one in given]
    if len(families) > len(set(families)) and not is_at_least(call.cni_version, "0.3.0"):
        message = f"{call.cni_version} has one address of each family"
        raise ipam.error("addresses", message, "one address of each family")


VERBS: Final = Verbs(add=add, delete=delete, check=check, status=status)
