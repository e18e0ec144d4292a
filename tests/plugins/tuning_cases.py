"""Configurations and calls that are given to the reference's tuning and to ours, and where ours
does something else, on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.plugins.bridge_intended import Intended
from tests.plugins.chained import Case, Step
from tests.plugins.hosts import ASKED_MAC

ENVIRONMENT: Final = 4
IO: Final = 5
CONFIG: Final = 7
DIFFERS: Final = 105

_OTHER_MAC: Final = "c2:11:22:33:44:66"
_SOMAXCONN: Final = {"net.core.somaxconn": "500"}
_OF_INTERFACE: Final = {"net.ipv4.conf.IFNAME.log_martians": "1"}
_ALL: Final[Mapping[str, Any]] = {
    "mac": ASKED_MAC,
    "promisc": True,
    "mtu": 1400,
    "allmulti": True,
    "sysctl": _SOMAXCONN,
}


def _refused(config: Mapping[str, Any], code: int = CONFIG, **others: Any) -> Case:
    return Case(config=config, steps=(Step(code=code, **others),), is_whole=False)


def _checked(
    config: Mapping[str, Any], command: str, code: int | None = DIFFERS, where: str = "c1"
) -> Case:
    """Check behind a command of somebody else."""
    check = Step(verb="CHECK", before=((where, command),), code=code)
    return Case(config=config, steps=(Step(), check, Step(verb="DEL")), is_whole=False)


def _cni(**members: Any) -> Mapping[str, Any]:
    return {"args": {"cni": members}}


CASES: Final[Mapping[str, Case]] = {
    "nothing": Case(config={}),
    # Settings.
    "a setting": Case(config={"sysctl": _SOMAXCONN}),
    "a setting of the interface": Case(config={"sysctl": _OF_INTERFACE}),
    "a setting with slashes": Case(config={"sysctl": {"net/core/somaxconn": "500"}}),
    "several settings": Case(
        config={
            "sysctl": {
                **_SOMAXCONN,
                "net.ipv4.conf.eth0.arp_ignore": "1",
                "net.ipv4.conf.all.log_martians": "1",
            }
        }
    ),
    "a setting of several numbers": Case(
        config={"sysctl": {"net.ipv4.ip_local_port_range": "20000 30000"}}
    ),
    "a setting of several numbers as the kernel has it": Case(
        config={"sysctl": {"net.ipv4.ip_local_port_range": "20000\t30000"}}
    ),
    "a setting of another interface": Case(
        config={"sysctl": {"net.ipv4.conf.lo.log_martians": "1"}}
    ),
    "a setting elsewhere": _refused({"sysctl": {"kernel.hostname": "pwned"}}),
    "a setting of the root": _refused({"sysctl": {"net": "1"}}),
    "a setting without a name": _refused({"sysctl": {"": "1"}}),
    "a setting that leads upwards": _refused({"sysctl": {"net/../kernel/hostname": "pwned"}}),
    "a setting that leads upwards behind others": _refused(
        {"sysctl": {"net.ipv4/../../kernel/hostname": "pwned"}}
    ),
    "a setting that is not there": _refused({"sysctl": {"net.ipv4.nothing": "1"}}, IO),
    "a setting of no interface": _refused({"sysctl": {"net.ipv4.conf.eth7.log_martians": "1"}}, IO),
    "a value that is none": _refused({"sysctl": {"net.core.somaxconn": "many"}}, IO),
    "a value that is a number": _refused({"sysctl": {"net.core.somaxconn": 500}}),
    "settings that are a list": _refused({"sysctl": ["net.core.somaxconn"]}),
    "a setting by args": Case(
        config={"sysctl": {"net.core.somaxconn": "300"}, **_cni(sysctl=_SOMAXCONN)}
    ),
    "another setting by args": Case(config={"sysctl": _SOMAXCONN, **_cni(sysctl=_OF_INTERFACE)}),
    "settings by args alone": Case(config=_cni(sysctl=_SOMAXCONN)),
    # The hardware address.
    "mac": Case(config={"mac": ASKED_MAC}),
    "mac by the runtime": Case(config={"mac": _OTHER_MAC, "runtimeConfig": {"mac": ASKED_MAC}}),
    "mac by args": Case(config={"runtimeConfig": {"mac": _OTHER_MAC}, **_cni(mac=ASKED_MAC)}),
    "mac by CNI_ARGS": Case(config={"mac": _OTHER_MAC}, steps=(Step(args=f"MAC={ASKED_MAC}"),)),
    "mac by the runtime and CNI_ARGS": Case(
        config={"runtimeConfig": {"mac": ASKED_MAC}}, steps=(Step(args=f"MAC={_OTHER_MAC}"),)
    ),
    "mac in capitals": Case(config={"mac": ASKED_MAC.upper()}),
    "mac that is none": _refused({"mac": "c2:11:22"}),
    "mac of a group": _refused({"mac": "01:00:5e:00:00:01"}),
    "CNI_ARGS that are unknown": _refused({}, ENVIRONMENT, args="K8S_POD_NAME=web"),
    "CNI_ARGS that may be unknown": Case(
        config={}, steps=(Step(args=f"IgnoreUnknown=1;K8S_POD_NAME=web;MAC={ASKED_MAC}"),)
    ),
    # The rest of the interface.
    "mtu": Case(config={"mtu": 1400}),
    "mtu by args": Case(config={"mtu": 1300, **_cni(mtu=1400)}),
    "mtu of zero": Case(config={"mtu": 0}),
    "mtu that is too great": _refused({"mtu": 70_000}, IO),
    "promisc": Case(config={"promisc": True}),
    "promisc by args": Case(config=_cni(promisc=True)),
    "promisc that is not wanted": Case(
        config={"promisc": False}, steps=(Step(before=(("c1", "ip link set eth0 promisc on"),)),)
    ),
    "promisc that was before": Case(
        config={"promisc": True}, steps=(Step(before=(("c1", "ip link set eth0 promisc on"),)),)
    ),
    "allmulti": Case(config={"allmulti": True}),
    "allmulti by args": Case(config={"allmulti": True, **_cni(allmulti=False)}),
    "allmulti that is not wanted": Case(
        config={"allmulti": False},
        steps=(Step(before=(("c1", "ip link set eth0 allmulticast on"),)),),
    ),
    "txQLen": Case(config={"txQLen": 77}),
    "all": Case(config=_ALL),
    "all, and a value that is none": _refused(
        {**_ALL, "sysctl": {"net.core.somaxconn": "500", "net.ipv4.conf.eth0.log_martians": "x"}},
        IO,
    ),
    "all, and an mtu that is too great": _refused({**_ALL, "mtu": 70_000}, IO),
    # The life of an attachment.
    "alone": _refused(_ALL, has_previous=False),
    "nothing, alone": _refused({}, has_previous=False),
    "no interface": _refused({"mtu": 1400}, ifname="other"),
    "settings without an interface": Case(
        config={"sysctl": _SOMAXCONN}, steps=(Step(ifname="other"),), is_whole=False
    ),
    "two containers": Case(
        config=_ALL, steps=(Step(), Step(container="c2")), pairs=(("c1", "eth0"), ("c2", "eth0"))
    ),
    "two interfaces": Case(
        config={"mtu": 1400, "sysctl": _OF_INTERFACE},
        steps=(Step(), Step(ifname="net1")),
        pairs=(("c1", "eth0"), ("c1", "net1")),
    ),
    "an interface with a dot": Case(
        config={"sysctl": _OF_INTERFACE},
        steps=(Step(ifname="eth0.5"),),
        pairs=(("c1", "eth0.5"),),
    ),
    "deleted without a result": Case(
        config=_ALL, steps=(Step(), Step(verb="DEL", has_previous=False)), is_whole=False
    ),
    "deleted before it was added": Case(
        config=_ALL, steps=(Step(verb="DEL", has_previous=False), Step())
    ),
    "deleted without its namespace": Case(
        config=_ALL, steps=(Step(), Step(verb="DEL", is_gone=True)), is_whole=False
    ),
    "deleted, the interface gone": Case(
        config=_ALL,
        steps=(Step(), Step(verb="DEL", before=(("c1", "ip link del eth0"),))),
        is_whole=False,
    ),
    "deleted with an mtu that is none": Case(
        config=_ALL, steps=(Step(), Step(verb="DEL", change={"mtu": -1})), is_whole=False
    ),
    "deleted after somebody changed it": Case(
        config=_ALL,
        steps=(Step(), Step(verb="DEL", before=(("c1", "ip link set eth0 mtu 1300"),))),
        is_whole=False,
    ),
    "added, deleted, added": Case(config=_ALL, steps=(Step(), Step(verb="DEL"), Step())),
    "checked after the mtu changed": _checked(_ALL, "ip link set eth0 mtu 1300"),
    "checked after the mac changed": _checked(_ALL, f"ip link set eth0 address {_OTHER_MAC}"),
    "checked after promisc changed": _checked(_ALL, "ip link set eth0 promisc off"),
    "checked after allmulti changed": _checked(_ALL, "ip link set eth0 allmulticast off"),
    "checked after the setting changed": _checked(_ALL, "sysctl -q net.core.somaxconn=300"),
    "checked after somebody made it promiscuous": _checked(
        {"mtu": 1400}, "ip link set eth0 promisc on", None
    ),
    "checked without the interface": _checked({"mtu": 1400}, "ip link del eth0"),
    "0.4.0": Case(config=_ALL, version="0.4.0"),
    "0.3.1": Case(config=_ALL, version="0.3.1"),
    "0.2.0": Case(config=_ALL, version="0.2.0"),
}

INTENDED: Final[Sequence[Intended]] = (
    Intended(
        paths=r"DEL/c\d/setting .*",
        reference="leaves settings to the end of the namespace",
        acni="puts them back",
        reason="what an attachment changed goes with it",
    ),
    Intended(
        paths=r"DEL/c1/(all multicast|link) eth0.*",
        reference="leaves an interface as it is where the path of its namespace is not given",
        acni="puts it back where the namespace lives",
        reason="so a runtime undoes an ADD to an interface that was there before",
        cases=("deleted without its namespace",),
    ),
    Intended(
        paths=r"CHECK/status",
        reference="1.1.1 checks a setting of IFNAME, not of the interface",
        acni="checks that of the interface",
        reason="P4; newer references agree",
        cases=("a setting of the interface", "another setting by args", "two interfaces"),
    ),
    Intended(
        paths=r"CHECK/status",
        reference="finds a tab where a space is configured",
        acni="compares the numbers",
        reason="P4: CHECK tells whether something is wrong",
        cases=("a setting of several numbers",),
    ),
    Intended(
        paths=r".*",
        reference="crashes where only args name settings",
        acni="sets them",
        reason="a slip of the reference: nothing forbids it",
        cases=("settings by args alone",),
    ),
    Intended(
        paths=r"ADD/result interfaces\[1\]|CHECK/status",
        reference="tells a hardware address as it is configured, and then does not find it",
        acni="tells it as the kernel has it",
        reason="P4: CHECK tells whether something is wrong",
        cases=("mac in capitals",),
    ),
    Intended(
        paths=r"ADD/file .*",
        reference="leaves a file behind an ADD that it refuses",
        acni="leaves none",
        reason="a failed ADD leaves nothing that a DEL would have to find (R28)",
        cases=(
            "mac that is none",
            "mac of a group",
            "mtu that is too great",
            "all, and an mtu that is too great",
        ),
    ),
    Intended(
        paths=r"ADD/c1/(setting core/somaxconn|link eth0/(flags|mac|promiscuity))",
        reference="leaves what it changed behind an ADD that it refuses",
        acni="puts it back",
        reason="a failed ADD leaves nothing that a DEL would have to find (R28)",
        cases=("all, and a value that is none", "all, and an mtu that is too great"),
    ),
    Intended(
        paths=r"CHECK/status",
        reference="wants an interface not to be promiscuous where nobody asked for it",
        acni="says nothing of what is not configured",
        reason="P4: CHECK allows for what others changed",
        cases=("promisc that is not wanted", "checked after somebody made it promiscuous"),
    ),
    Intended(
        paths=r"(ADD|CHECK)/(c1/link eth0/qlen|file c1_eth0.json/txQLen)",
        reference="1.1.1 does not know txQLen",
        acni="sets it, and puts it back",
        reason="newer references agree",
        cases=("txQLen",),
    ),
    Intended(
        paths=r".*",
        reference="1.1.1 takes the dot of an interface's name for a slash",
        acni="does not",
        reason="newer references agree",
        cases=("an interface with a dot",),
    ),
    Intended(
        paths=r"DEL/file .*",
        reference="leaves the file where the namespace or the interface is gone",
        acni="removes it",
        reason="P3: whoever has that name next must not get what it says",
        cases=(
            "deleted without its namespace",
            "deleted, the interface gone",
            "checked without the interface",
        ),
    ),
)
