"""Configurations and calls that are given to the reference's ptp and to ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.plugins.bridge_cases import (
    CONFIG,
    ENVIRONMENT,
    FOUR,
    SIX,
    Case,
    Step,
    local,
    refused,
    static,
)

IO: Final = 5
DIFFERS: Final = 105
_FOUR: Final = {"ipam": local(FOUR)}
_DUAL: Final = {"ipam": local(FOUR, SIX)}
_DEFAULT: Final = {"ipam": local(FOUR, routes=[{"dst": "0.0.0.0/0"}])}
_TWO: Final = (Step(), Step(container="c2"))


def _static(address: str, gateway: str, **members: object) -> Mapping[str, object]:
    return {"type": "static", "addresses": [{"address": address, "gateway": gateway}], **members}


CASES: Final[Mapping[str, Case]] = {
    # Addresses.
    "IPv4": Case(config=_FOUR, steps=_TWO),
    "IPv6": Case(config={"ipam": local(SIX)}, steps=_TWO),
    "dual stack": Case(config=_DUAL, steps=_TWO),
    "two networks of IPv4": Case(config={"ipam": local(FOUR, "10.10.0.0/24")}),
    "two networks of IPv6": Case(config={"ipam": local(SIX, "fd00:a::/64")}),
    "gateway that is configured": Case(
        config={"ipam": {"type": "host-local", "subnet": FOUR, "gateway": "10.9.0.254"}}
    ),
    "static": Case(config={"ipam": _static("10.9.0.7/24", "10.9.0.1")}),
    "static with a host bit": Case(config={"ipam": _static("10.9.7.7/16", "10.9.0.1")}),
    "static of IPv6": Case(config={"ipam": _static("fd00:9::7/64", "fd00:9::1")}),
    "gateway of another network": Case(config={"ipam": _static("10.9.0.7/24", "192.0.2.1")}),
    "a small network": Case(config={"ipam": _static("10.9.0.7/31", "10.9.0.6")}),
    # Routes.
    "default route": Case(config=_DEFAULT, steps=_TWO),
    "routes of both families": Case(
        config={"ipam": local(FOUR, SIX, routes=[{"dst": "0.0.0.0/0"}, {"dst": "::/0"}])}
    ),
    "routes": Case(
        config={"ipam": local(FOUR, routes=[{"dst": "10.20.0.0/16"}, {"dst": "10.21.0.0/16"}])}
    ),
    "routes by another gateway": Case(
        config={"ipam": local(FOUR, routes=[{"dst": "10.20.0.0/16", "gw": "10.9.0.77"}])}
    ),
    "two interfaces": Case(
        config=_DEFAULT,
        steps=(Step(), Step(ifname="net1", change={"ipam": local("10.10.0.0/24")})),
    ),
    # What is asked for.
    "mtu": Case(config={**_DUAL, "mtu": 1400}),
    "mtu of nothing": Case(config={**_FOUR, "mtu": 0}),
    "dns": Case(config={**_FOUR, "dns": {"nameservers": ["192.0.2.53"], "search": ["a.b"]}}),
    "IPv6 disabled in the container": Case(
        config=_DUAL, steps=(Step(settings=(("c1", "ipv6/conf/default/disable_ipv6", "1"),)),)
    ),
    "host that forwards": Case(
        config=_FOUR, steps=(Step(settings=(("host", "ipv4/ip_forward", "1"),)),)
    ),
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
    "deleted with another name on the host": Case(
        config=_DUAL,
        steps=(
            Step(),
            Step(verb="DEL", previous=True, before=(("host", "link set PORT name other0"),)),
        ),
        is_whole=False,
    ),
    "added twice": Case(
        config={"ipam": _static("10.9.0.7/24", "10.9.0.1")},
        steps=(Step(), Step(code=ENVIRONMENT)),
        is_whole=False,
    ),
    "checked after somebody removed the address": Case(
        config=_FOUR,
        steps=(
            Step(),
            Step(
                verb="CHECK",
                previous=True,
                before=(("c1", "address del 10.9.0.2/24 dev eth0"),),
                code=DIFFERS,
            ),
            Step(verb="DEL", previous=True),
        ),
        is_whole=False,
    ),
    "checked after somebody removed it": Case(
        config=_FOUR,
        steps=(
            Step(),
            Step(verb="CHECK", previous=True, before=(("c1", "link del eth0"),), code=DIFFERS),
            Step(verb="DEL", previous=True),
        ),
        is_whole=False,
    ),
    "checked without a result": Case(
        config=_FOUR, steps=(Step(), Step(verb="CHECK", code=CONFIG)), is_whole=False
    ),
    "0.4.0": Case(config=_DUAL, version="0.4.0"),
    "0.3.1": Case(config=_DUAL, version="0.3.1"),
    "0.2.0": Case(config=_DUAL, version="0.2.0"),
    "0.1.0": Case(config=_FOUR, version="0.1.0"),
    "masquerading": Case(config={**_DUAL, "ipMasq": True}),
    # What is refused.
    "no ipam": refused({}),
    "no address": refused({"ipam": {"type": "static"}}),
    "no gateway": refused({"ipam": static("10.9.0.7/24")}),
    "mtu that is text": refused({**_FOUR, "mtu": "1400"}),
    "flag that is text": refused({**_FOUR, "ipMasq": "yes"}),
    "interface is there": refused(
        _FOUR, ENVIRONMENT, before=(("c1", "link add eth0 type bridge"),)
    ),
    # What differs on purpose; see ptp_intended.py.
    "one address alone": Case(config={"ipam": _static("10.9.0.7/32", "10.9.0.1")}),
    "two addresses of a network": Case(
        config={
            "ipam": {
                "type": "static",
                "addresses": [
                    {"address": "10.9.0.7/24", "gateway": "10.9.0.1"},
                    {"address": "10.9.0.8/24", "gateway": "10.9.0.1"},
                ],
            }
        }
    ),
    "route to the network": Case(config={"ipam": local(FOUR, routes=[{"dst": "10.9.0.0/24"}])}),
    "two interfaces of a network": Case(
        config=_FOUR, steps=(Step(), Step(ifname="net1", code=IO)), is_whole=False
    ),
    "route that another link has": Case(
        config={"ipam": _static("10.9.0.7/24", "10.9.0.1")},
        steps=(Step(), Step(container="c2", code=IO)),
        is_whole=False,
    ),
    "deleted with the namespace gone": Case(
        config=_FOUR,
        steps=(Step(), Step(verb="DEL", previous=True, is_gone=True)),
        is_whole=False,
    ),
    "deleted what it did not make": Case(
        config=_FOUR,
        steps=(Step(verb="DEL", before=(("c1", "link add eth0 type bridge"),)),),
        is_whole=False,
    ),
    "checked after somebody removed the route to it": Case(
        config=_FOUR,
        steps=(
            Step(),
            Step(
                verb="CHECK",
                previous=True,
                before=(("host", "route del 10.9.0.2"),),
                code=DIFFERS,
            ),
        ),
        is_whole=False,
    ),
    "down": Case(
        config=_FOUR,
        steps=(
            Step(),
            Step(verb="CHECK", previous=True, before=(("c1", "link set eth0 down"),), code=DIFFERS),
        ),
        is_whole=False,
    ),
    "IPv6 disabled on the host": Case(
        config={"ipam": local(SIX)},
        steps=(Step(settings=(("host", "ipv6/conf/default/disable_ipv6", "1"),), code=103),),
        is_whole=False,
    ),
    "behind another plugin": Case(
        config={**_FOUR, "prevResult": {"interfaces": [{"name": "tap0"}], "ips": []}},
        is_whole=False,
    ),
}
