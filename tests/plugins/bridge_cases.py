"""Configurations and calls that are given to the reference's bridge and to ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen


@frozen(kw_only=True)
class Step:
    """One call, and what happens before it.

    Attributes:
        verb: The verb; empty, nothing is called.
        container: The container.
        ifname: The interface.
        args: CNI_ARGS.
        previous: With the result of the attachment's ADD.
        is_gone: With an empty CNI_NETNS.
        change: What of the configuration is different in this call.
        before: Commands of ``ip`` before it, each with where: "host" or a container. PORT is the
            name of a pair's end on the host.
        settings: Settings written before it, each with where.
        code: What ours answers where it refuses; None where it succeeds.
    """

    verb: str = "ADD"
    container: str = "c1"
    ifname: str = "eth0"
    args: str = ""
    previous: bool = False
    is_gone: bool = False
    change: Mapping[str, Any] = {}
    before: Sequence[tuple[str, str]] = ()
    settings: Sequence[tuple[str, str, str]] = ()
    code: int | None = None


@frozen(kw_only=True)
class Case:
    """A configuration and the calls with it.

    Attributes:
        config: Its members beside the name, the type and the version.
        version: Its version.
        steps: The calls.
        is_whole: Whether CHECK and DEL follow.
    """

    config: Mapping[str, Any]
    version: str = "1.0.0"
    steps: Sequence[Step] = (Step(),)
    is_whole: bool = True


ENVIRONMENT: Final = 4
CONFIG: Final = 7
LACKS: Final = 100
DIFFERS: Final = 101
UNSUPPORTED: Final = 2


def local(*subnets: str, **members: Any) -> Mapping[str, Any]:
    """Make the ``ipam`` of host-local."""
    ranges = [[{"subnet": subnet}] for subnet in subnets]
    return {"type": "host-local", "ranges": ranges, **members}


def static(*addresses: str, **members: Any) -> Mapping[str, Any]:
    """Make the ``ipam`` of static."""
    return {"type": "static", "addresses": [{"address": one} for one in addresses], **members}


def refused(config: Mapping[str, Any], code: int = CONFIG, **others: Any) -> Case:
    """Make a case of an ADD that is refused."""
    return Case(config=config, steps=(Step(code=code, **others),), is_whole=False)


FOUR: Final = "10.9.0.0/24"
SIX: Final = "fd00:9::/64"
_GATEWAY: Final = {"isGateway": True, "ipam": local(FOUR)}
_DEFAULT: Final = {"isDefaultGateway": True, "ipam": local(FOUR)}
_DUAL: Final = {"isDefaultGateway": True, "ipam": local(FOUR, SIX)}
_TWO: Final = (Step(), Step(container="c2"))
MAC: Final = "c2:11:22:33:44:55"

CASES: Final[Mapping[str, Case]] = {
    # Links alone.
    "no addresses": Case(config={}),
    "two containers without addresses": Case(config={"bridge": "br7"}, steps=_TWO),
    "mtu without addresses": Case(config={"mtu": 1400}),
    "hairpin": Case(config={"hairpinMode": True}),
    "promiscuous": Case(config={"promiscMode": True}, steps=_TWO),
    "another interface": Case(config={}, steps=(Step(), Step(ifname="net1"))),
    "0.3.1 without addresses": Case(config={}, version="0.3.1"),
    # Addresses.
    "addresses alone": Case(config={"ipam": local(FOUR)}, steps=_TWO),
    "gateway": Case(config=_GATEWAY, steps=_TWO),
    "default gateway": Case(config=_DEFAULT, steps=_TWO),
    "IPv6 gateway": Case(config={"isGateway": True, "ipam": local(SIX)}, steps=_TWO),
    "IPv6 alone": Case(config={"ipam": local(SIX)}),
    "dual stack": Case(config=_DUAL, steps=_TWO),
    "dual stack without gateway": Case(config={"ipam": local(FOUR, SIX)}),
    "two networks of IPv6": Case(config={"isGateway": True, "ipam": local(SIX, "fd00:a::/64")}),
    "mtu with a gateway": Case(config={**_DEFAULT, "mtu": 1400}, steps=_TWO),
    "hairpin with a gateway": Case(config={**_DEFAULT, "hairpinMode": True}),
    "promiscuous with a gateway": Case(config={**_DEFAULT, "promiscMode": True}),
    "gateway that is configured": Case(
        config={
            "isGateway": True,
            "ipam": {"type": "host-local", "subnet": FOUR, "gateway": "10.9.0.254"},
        }
    ),
    "static": Case(config={"isGateway": True, "ipam": static("10.9.0.7/24", "fd00:9::7/64")}),
    "static without gateway": Case(config={"ipam": static("10.9.0.7/32")}),
    "static with a host bit": Case(config={"isGateway": True, "ipam": static("10.9.7.7/16")}),
    # Routes.
    "routes": Case(
        config={
            "isGateway": True,
            "ipam": local(FOUR, routes=[{"dst": "0.0.0.0/0"}, {"dst": "10.20.0.0/16"}]),
        }
    ),
    "routes by a gateway": Case(
        config={"ipam": local(FOUR, routes=[{"dst": "10.20.0.0/16", "gw": "10.9.0.77"}])}
    ),
    "routes without any gateway": Case(
        config={"ipam": static("10.9.0.7/24", routes=[{"dst": "10.20.0.0/16"}])}
    ),
    "routes of both families": Case(
        config={
            "isGateway": True,
            "ipam": local(FOUR, SIX, routes=[{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]),
        }
    ),
    "default route twice": Case(
        config={**_DEFAULT, "ipam": local(FOUR, routes=[{"dst": "0.0.0.0/0"}])}
    ),
    "default route by a gateway, and default gateway": Case(
        config={
            **_DEFAULT,
            "ipam": local(FOUR, routes=[{"dst": "0.0.0.0/0", "gw": "10.9.0.77"}]),
        }
    ),
    "default route of another interface": Case(
        config=_DEFAULT,
        steps=(
            Step(),
            Step(
                ifname="net1",
                change={
                    "name": "other",
                    "bridge": "br1",
                    "ipam": local("10.10.0.0/24"),
                },
            ),
        ),
    ),
    # What is asked for.
    "mac by the runtime": Case(config={**_DEFAULT, "runtimeConfig": {"mac": MAC}}),
    "mac by args": Case(config={"args": {"cni": {"mac": MAC}}}),
    "mac by CNI_ARGS": Case(config={}, steps=(Step(args=f"MAC={MAC}"),)),
    "mac by all": Case(
        config={
            "args": {"cni": {"mac": "c2:11:22:33:44:66"}},
            "runtimeConfig": {"mac": MAC.upper()},
        },
        steps=(Step(args="MAC=c2:11:22:33:44:77"),),
    ),
    "dns": Case(config={**_GATEWAY, "dns": {"nameservers": ["192.0.2.53"], "search": ["a.b"]}}),
    "duplicates are looked for": Case(config={**_DUAL, "enabledad": True}),
    # A host that is not empty.
    "bridge of the administrator": Case(
        config=_DEFAULT,
        steps=(Step(before=(("host", "link add cni0 mtu 1450 type bridge"),)),),
    ),
    "bridge with the address": Case(
        config=_DEFAULT,
        steps=(
            Step(
                before=(
                    ("host", "link add cni0 type bridge"),
                    ("host", "address add 10.9.0.1/24 dev cni0"),
                )
            ),
        ),
    ),
    "bridge with another address": Case(
        config=_DEFAULT,
        steps=(Step(), Step(container="c2", change={"ipam": local("10.8.0.0/24")}, code=DIFFERS)),
    ),
    "bridge with another address that gives way": Case(
        config={**_DEFAULT, "forceAddress": True},
        steps=(Step(), Step(container="c2", change={"ipam": local("10.8.0.0/24")})),
        is_whole=False,
    ),
    "bridge with another address of IPv6": Case(
        config={"isGateway": True, "ipam": local(SIX)},
        steps=(Step(), Step(container="c2", change={"ipam": local("fd00:8::/64")})),
    ),
    "bridge that gets a second family": Case(
        config=_DEFAULT, steps=(Step(), Step(container="c2", change={"ipam": local(FOUR, SIX)}))
    ),
    "bridge with an overlapping address of IPv6": Case(
        config={"isGateway": True, "ipam": local(SIX)},
        steps=(Step(), Step(container="c2", change={"ipam": local("fd00::/16")}, code=DIFFERS)),
    ),
    "IPv6 disabled in the container": Case(
        config=_DUAL, steps=(Step(settings=(("c1", "ipv6/conf/default/disable_ipv6", "1"),)),)
    ),
    "overlapping networks": Case(
        config=_DEFAULT,
        steps=(
            Step(
                before=(
                    ("host", "link add other type bridge"),
                    ("host", "address add 10.9.0.9/16 dev other"),
                    ("host", "link set other up"),
                )
            ),
        ),
    ),
    "masquerading": Case(config={**_DUAL, "ipMasq": True}, steps=_TWO),
    "masquerading without a gateway": Case(config={"ipMasq": True, "ipam": local(FOUR)}),
    "masquerading without addresses": Case(config={"ipMasq": True}),
    # The life of an attachment.
    "deleted again": Case(
        config=_DUAL,
        steps=(Step(), Step(verb="DEL", previous=True), Step(verb="DEL", previous=True)),
        is_whole=False,
    ),
    "deleted without a result": Case(
        config=_DUAL, steps=(Step(), Step(verb="DEL"), Step(verb="DEL"), Step())
    ),
    "deleted before it was added": Case(config=_DUAL, steps=(Step(verb="DEL"),), is_whole=False),
    "added, deleted, added": Case(
        config=_DEFAULT, steps=(Step(), Step(verb="DEL", previous=True), Step())
    ),
    "added twice": Case(config={}, steps=(Step(), Step(code=ENVIRONMENT)), is_whole=False),
    "checked after somebody removed the address": Case(
        config=_DEFAULT,
        steps=(
            Step(),
            Step(
                verb="CHECK",
                previous=True,
                before=(("c1", "address del 10.9.0.2/24 dev eth0"),),
                code=105,
            ),
            Step(verb="DEL", previous=True),
        ),
        is_whole=False,
    ),
    "checked after somebody removed the route": Case(
        config=_DEFAULT,
        steps=(
            Step(),
            Step(verb="CHECK", previous=True, before=(("c1", "route del default"),), code=105),
            Step(verb="DEL", previous=True),
        ),
        is_whole=False,
    ),
    "checked after somebody took it out of the bridge": Case(
        config=_DEFAULT,
        steps=(
            Step(),
            Step(verb="CHECK", previous=True, before=(("host", "link del cni0"),), code=105),
        ),
        is_whole=False,
    ),
    "checked after somebody removed it": Case(
        config=_DEFAULT,
        steps=(
            Step(),
            Step(verb="CHECK", previous=True, before=(("c1", "link del eth0"),), code=105),
            Step(verb="DEL", previous=True),
        ),
        is_whole=False,
    ),
    "checked without a result": Case(
        config=_DEFAULT, steps=(Step(), Step(verb="CHECK", code=CONFIG)), is_whole=False
    ),
    "0.4.0": Case(config=_DUAL, version="0.4.0"),
    "0.3.1": Case(config=_DUAL, version="0.3.1"),
    "0.2.0": Case(config=_DUAL, version="0.2.0"),
    "0.1.0": Case(config=_DEFAULT, version="0.1.0"),
    # What is refused.
    "interface is there": refused(
        _DEFAULT, ENVIRONMENT, before=(("c1", "link add eth0 type bridge"),)
    ),
    "no bridge": refused({**_DEFAULT, "bridge": "lo"}),
    "hairpin and promiscuous": refused({"hairpinMode": True, "promiscMode": True}),
    "vlan out of range": refused({"vlan": 4095}),
    "vlan that the kernel has not": refused({"vlan": 100}, LACKS),
    "mtu that is text": refused({"mtu": "1400"}),
    "flag that is text": refused({"isGateway": "yes"}),
    "mac that is none": refused({"runtimeConfig": {"mac": "c2:11:22:33:44"}}),
    "no address": refused({"ipam": {"type": "static"}}),
    "senders checked": Case(config={**_DUAL, "macspoofchk": True}, steps=_TWO),
    # What differs on purpose; see bridge_intended.py.
    "deleted with the namespace gone": Case(
        config=_DEFAULT,
        steps=(Step(), Step(verb="DEL", previous=True, is_gone=True)),
        is_whole=False,
    ),
    "deleted what it did not make": Case(
        config=_DEFAULT,
        steps=(Step(verb="DEL", before=(("c1", "link add eth0 type bridge"),)),),
        is_whole=False,
    ),
    "IPv6 disabled on the host": Case(
        config={"isGateway": True, "ipam": local(SIX)},
        steps=(Step(settings=(("host", "ipv6/conf/default/disable_ipv6", "1"),), code=103),),
        is_whole=False,
    ),
    "0.2.0 without addresses": Case(
        config={}, version="0.2.0", steps=(Step(code=1),), is_whole=False
    ),
    "down": Case(
        config=_DEFAULT,
        steps=(
            Step(),
            Step(verb="CHECK", previous=True, before=(("host", "link set cni0 down"),), code=105),
        ),
        is_whole=False,
    ),
    "two networks of IPv4": refused(
        {"isGateway": True, "ipam": local(FOUR, "10.10.0.0/24")}, DIFFERS
    ),
    "behind another plugin": Case(
        config={"prevResult": {"interfaces": [{"name": "tap0"}], "ips": []}},
        steps=(Step(before=(("host", "tuntap add tap0 mode tap"),)),),
        is_whole=False,
    ),
}
