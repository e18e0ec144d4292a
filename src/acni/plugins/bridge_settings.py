"""What ``bridge`` is configured with, parsed once.

Rule 1: a key that asks for what is not done here is refused, never passed over (P11).
Rule 2: a hardware address of ``runtimeConfig`` comes before one of ``args``, and that before one of
    CNI_ARGS.

(the reference's plugins/main/bridge; CONVENTIONS.md)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from attrs import evolve, frozen

from acni.errors import InvalidName
from acni.plugins.addressing import parsed_argument
from acni.plugins.hardwareaddresses import MAC_EXPECTED, parse_hardware_address
from acni.plugins.linksettings import parse_mtu, parse_own_dns, require_result, unsupported
from acni.plugins.masquerading import parse_masquerade
from acni.plugins.senderchecks import parse_sender_check
from acni.skel.call import Call
from acni.skel.errors import PluginError
from acni.skel.reading import Fields
from acni.spec.names import parse_ifname
from acni.spec.result import Dns

DEFAULT_BRIDGE: Final = "cni0"

_MOST_VLAN: Final = 4094


@frozen(kw_only=True)
class Settings:
    """What ``bridge`` is to do.

    Attributes:
        bridge: The bridge's name.
        is_gateway: Whether the bridge gets the gateways' addresses, and the host forwards.
        is_default_gateway: Whether the container's default routes lead there.
        forces_address: Whether another address of the bridge gives way.
        mtu: The MTU in bytes; None is the kernel's.
        hairpin: Whether a container may reach itself by way of the bridge.
        promiscuous: Whether the bridge takes in what is for others.
        isolated: Whether the container reaches no other isolated port of the bridge.
        vlan: The VLAN of the container, untagged; None, it is in the bridge's default one.
        trunk: The VLANs that it is in, too, tagged.
        keeps_default_vlan: Whether it stays in the bridge's default VLAN.
        sets_up: Whether its interface is set up.
        detects_duplicates: Whether IPv6 asks for others with its addresses first.
        mac: The hardware address of its interface; None, one is made.
        dns: What the result says of DNS instead of what IPAM says; None, that stays.
        has_ipam: Whether it gets addresses.
        masquerades: Whether what its addresses send elsewhere leaves with the host's.
        checks_senders: Whether it may send with no other hardware address than its own.
    """

    bridge: str
    is_gateway: bool
    is_default_gateway: bool
    forces_address: bool
    mtu: int | None
    hairpin: bool
    promiscuous: bool
    isolated: bool
    vlan: int | None
    trunk: tuple[int, ...]
    keeps_default_vlan: bool
    sets_up: bool
    detects_duplicates: bool
    mac: bytes | None
    dns: Dns | None
    has_ipam: bool
    masquerades: bool
    checks_senders: bool

    @property
    def filters_vlans(self) -> bool:
        """Whether the bridge is to heed VLANs."""
        return self.vlan is not None or bool(self.trunk)


def parse_settings(call: Call) -> Settings:
    """Parse the configuration of an ADD or a CHECK.

    Raises:
        PluginError: a member is not what was expected, asks for what is not done here, or does not
            go with another one; names the place.
    """
    settings = call.parsed(_parse_fields)
    text = call.args.get("MAC")
    if settings.mac is not None or not text:
        return settings
    return evolve(settings, mac=parsed_argument("MAC", text, parse_hardware_address, MAC_EXPECTED))


def _parse_fields(fields: Fields, cni_version: str) -> Settings:
    is_default_gateway = fields.flag("isDefaultGateway")
    settings = Settings(
        bridge=_parse_bridge(fields),
        is_gateway=fields.flag("isGateway") or is_default_gateway,
        is_default_gateway=is_default_gateway,
        forces_address=fields.flag("forceAddress"),
        mtu=parse_mtu(fields),
        hairpin=fields.flag("hairpinMode"),
        promiscuous=fields.flag("promiscMode"),
        isolated=fields.flag("portIsolation"),
        vlan=fields.number("vlan", 0, least=0, most=_MOST_VLAN) or None,
        trunk=tuple(_members(_parse_trunk(fields))),
        keeps_default_vlan=fields.flag("preserveDefaultVlan"),
        sets_up=not fields.flag("disableContainerInterface"),
        detects_duplicates=fields.flag("enabledad"),
        mac=_parse_mac(fields),
        dns=parse_own_dns(fields),
        has_ipam=bool(fields.inner("ipam").text("type")),
        masquerades=parse_masquerade(fields),
        checks_senders=parse_sender_check(fields),
    )
    _refuse_contradictions(settings, fields, cni_version)
    return settings


def parse_bridge(call: Call) -> str:
    """Parse the bridge's name for a DEL, which deletes what it can with any configuration (P3):
    where the name is not allowed there is no such bridge, and the default one does as well.
    """
    try:
        return _parse_bridge(call.fields)
    except PluginError:
        return DEFAULT_BRIDGE


def _refuse_contradictions(settings: Settings, fields: Fields, cni_version: str) -> None:
    if settings.hairpin and settings.promiscuous:
        raise fields.error("promiscMode", "promiscMode with hairpinMode", "one of the two")
    if settings.has_ipam and not settings.sets_up:
        message = "an interface that stays down cannot have addresses"
        raise fields.error("disableContainerInterface", message, "no ipam beside it")
    if settings.vlan is not None and settings.is_gateway:
        instead = "a bridge of its own for each VLAN that has a gateway"
        raise unsupported(fields, "vlan", instead)
    require_result(settings.has_ipam, cni_version)


def _parse_bridge(fields: Fields) -> str:
    name = fields.text("bridge") or DEFAULT_BRIDGE
    try:
        return parse_ifname(name)
    except InvalidName as error:
        raise fields.error("bridge", error.message, "the name of an interface") from None


def _parse_trunk(fields: Fields) -> Iterator[tuple[int, int]]:
    for item in fields.objects("vlanTrunk"):
        least, most, one = (
            item.number(key, least=1, most=_MOST_VLAN) for key in ("minID", "maxID", "id")
        )
        if (least is None) != (most is None):
            missing = "minID" if least is None else "maxID"
            raise item.error(missing, f"no {missing}", "minID and maxID together")
        if least is not None and most is not None:
            if most < least:
                raise item.error("maxID", f"{most} is less than minID", f"at least {least}")
            yield least, most
        if one is not None:
            yield one, one


def _members(spans: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Return each VLAN of some spans once, in order."""
    begin = 0
    for least, most in sorted(spans):
        yield from range(max(begin, least), most + 1)
        begin = max(begin, most + 1)


def _parse_mac(fields: Fields) -> bytes | None:
    for place in (fields.inner("runtimeConfig"), fields.inner("args").inner("cni")):
        mac = place.parsed("mac", parse_hardware_address, MAC_EXPECTED)
        if mac is not None:
            return mac
    return None
