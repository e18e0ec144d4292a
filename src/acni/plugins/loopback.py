"""``loopback``: sets the loopback interface of a namespace up.

The interface is always ``lo``, whatever CNI_IFNAME says, as with the reference plugin.

(specification, section 2, "CNI operations"; plugins/main/loopback of the reference plugins)
"""

from __future__ import annotations

from typing import Final

from acni.host.netns import is_interface_up, switch_interface
from acni.skel import Call, OpenNetns, PluginError, Verbs, make_result
from acni.spec.result import Interface, IpConfig, Result

_LO: Final = "lo"
_NO_MAC: Final = "00:00:00:00:00:00"
# A plugin's own codes begin here.
_IS_DOWN: Final = 100
# What the kernel gives a loopback interface that is up.
_IPV4: Final = "127.0.0.1/8"
_IPV6: Final = "::1/128"
_IPV6_ADDRESSES: Final = "/proc/thread-self/net/if_inet6"
_IPV6_LOOPBACK: Final = f"{1:032x} "


def _add(call: Call) -> Result:
    netns = _netns_of(call)
    with netns.entered():
        switch_interface(_LO, is_up=True)
        has_ipv6 = _has_ipv6()
    if call.previous is not None:  # P2
        return call.previous
    interface = Interface(name=_LO, mac=_NO_MAC, sandbox=netns.path)
    addresses = (_IPV4, _IPV6) if has_ipv6 else (_IPV4,)
    return make_result(
        interfaces=[interface],
        ips=[IpConfig(address=address, gateway=None, interface=0) for address in addresses],
    )


def _delete(call: Call) -> None:
    if call.netns is not None:
        with call.netns.entered():
            switch_interface(_LO, is_up=False)


def _check(call: Call) -> None:
    with _netns_of(call).entered():
        is_up = is_interface_up(_LO)
    if not is_up:
        raise PluginError(_IS_DOWN, "the loopback interface is down", reason="interface-down")


def _netns_of(call: Call) -> OpenNetns:
    if call.netns is None:
        raise AssertionError("the verbs that need a namespace have one")
    return call.netns


def _has_ipv6() -> bool:
    try:
        with open(_IPV6_ADDRESSES, encoding="ascii") as addresses:
            return any(line.startswith(_IPV6_LOOPBACK) for line in addresses)
    except FileNotFoundError:  # a kernel without IPv6
        return False


VERBS: Final = Verbs(add=_add, delete=_delete, check=_check)
