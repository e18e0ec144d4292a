"""What the plugins are configured with whose link lies on another one.

(the reference's plugins/main: macvlan, ipvlan, vlan)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from attrs import frozen

from acni.errors import InvalidName
from acni.netlink.messages import Message
from acni.netlink.stacked import Upper
from acni.skel.reading import Fields
from acni.spec.names import parse_ifname
from acni.spec.result import Dns

Mode = TypeVar("Mode")


@frozen(kw_only=True)
class Settings:
    """What a plugin of these is to do.

    Attributes:
        kind: The kind of its link.
        make: Makes the message that makes the link.
        master: The link that it lies on; None, the one of the default route.
        is_inside: Whether that one is in the container, too.
        mtu: The MTU in bytes; None, that of the link below.
        mac: Its hardware address; None, the kernel chooses.
        mode: Its mode, as the kernel numbers it; None where it has none that is known.
        dns: What the result says of DNS instead of what IPAM says; None, that stays.
        has_ipam: Whether it gets addresses from IPAM.
        takes_addresses: Whether it gets those of the previous result, which it replaces.
    """

    kind: str
    make: Callable[[Upper], Message]
    master: str | None
    is_inside: bool
    mtu: int | None
    mac: bytes | None = None
    mode: int | None = None
    dns: Dns | None
    has_ipam: bool
    takes_addresses: bool = False


def parse_mode(fields: Fields, modes: Mapping[str, Mode], default: str) -> Mode:
    """Parse ``mode``.

    Raises:
        PluginError: there is no such mode.
    """
    name = fields.text("mode") or default
    if name not in modes:
        raise fields.error("mode", f"{fields.shown(name)} is no mode", " or ".join(modes))
    return modes[name]


def parse_master(fields: Fields) -> str | None:
    """Parse ``master``; None, it is not said.

    Raises:
        PluginError: no interface can be called that.
    """
    name = fields.text("master")
    if not name:
        return None
    try:
        return parse_ifname(name)
    except InvalidName as error:
        raise fields.error("master", error.message, "the name of an interface") from None
