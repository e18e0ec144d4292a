"""A table of our name that somebody else made: what of it is not ours is named, and nothing of it
is changed.
"""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest

from acni.netlink.errors import NetlinkError, NotSupported
from acni.netlink.messages import Message
from acni.netlink.netfilter import Netfilter
from acni.netlink.nfexpressions import family_name
from acni.netns import Namespace
from acni.plugins.elements import entries_of, missing, put, take_out
from acni.plugins.foreigntables import expected_of, find_foreign
from acni.plugins.framerules import OF_FRAMES, checking
from acni.plugins.owners import Owner
from acni.plugins.podelements import masquerading
from acni.plugins.ruleset import OF_PACKETS
from acni.plugins.tables import TableLayout
from acni.skel import PluginError
from acni.spec.attachment import AttachmentId
from tests.netlink.nft import nft

pytestmark = pytest.mark.netns

OURS = Owner("net", AttachmentId("c1"))
ENTRIES = {
    "inet": [masquerading(OURS, ip_address("10.9.0.2"))],
    "bridge": [checking(OURS, "veth0", bytes(6))],
}
OTHERS = [
    ("inet", "map owners4 { type ipv4_addr : ipv4_addr; }", "type ipv4_addr : mark"),
    ("inet", "set owners4 { type ipv4_addr; }", "type ipv4_addr : mark"),
    ("inet", "map owners6 { type ipv4_addr : mark; }", "type ipv6_addr : mark"),
    ("inet", "set masquerade4 { type ipv6_addr; }", "type ipv4_addr"),
    ("inet", "set masquerade4 { type ipv4_addr; flags interval; }", "type ipv4_addr"),
    (
        "inet",
        "map hostports4 { type inet_proto . inet_service : ipv4_addr; }",
        "type inet_proto . inet_service : ipv4_addr . inet_service",
    ),
    ("inet", "set ways { type iface_index; }", "type iface_index . iface_index"),
    ("inet", "chain prerouting { }", "type nat hook prerouting priority 2147483647"),
    (
        "inet",
        "chain martians { type filter hook prerouting priority 0; }",
        "type filter hook prerouting priority -300",
    ),
    ("inet", "chain to_pods { type nat hook output priority 0; }", "one without a hook"),
    ("inet", "chain admin_ports { type filter hook input priority 0; }", "one without a hook"),
    ("inet", "chain admin_ports { jump deny; }", "rules that may be asked from to_pods"),
    ("bridge", "set senders { type ether_addr; }", "type ifname . ether_addr"),
    ("bridge", "map owners { type ifname : mark; }", "type ifname : mark . ether_addr"),
    (
        "bridge",
        "chain prerouting { type filter hook input priority 0; }",
        "type filter hook prerouting priority -300",
    ),
]


@pytest.mark.parametrize(("family", "other", "expected"), OTHERS)
def test_what_is_not_ours_is_named_with_what_was_expected_and_left_alone(
    bare_host: Namespace, firewall: Netfilter, family: str, other: str, expected: str
) -> None:
    back = "chain to_pods { }; chain deny { jump to_pods; };" if "deny" in other else ""
    nft(bare_host, "-f", "-", given=f"table {family} acni {{ {back} {other} ; }}\n")
    before = nft(bare_host, "list", "ruleset")
    kind, name, *_ = other.split()
    with pytest.raises(PluginError) as raised:
        put(firewall, ENTRIES[family])
    error = raised.value
    assert (error.code, error.reason) == (118, "table-foreign")
    assert error.msg.endswith(f" {name} of the table {family} acni is not as acni has it")
    assert error.msg.startswith(f"the {kind} ") or name in {"owners4", "owners"}
    assert expected in error.details
    assert f"nft delete table {family} acni" in error.details
    # Nothing of ours is in it, whatever it is: a DEL of what could not be added has nothing to do.
    take_out(firewall, ENTRIES[family])
    layout = OF_FRAMES if family == "bridge" else OF_PACKETS
    assert entries_of(firewall, lambda _: True, layout=layout) == []
    assert missing(firewall, ENTRIES[family]) is not None
    assert nft(bare_host, "list", "ruleset") == before
    nft(bare_host, "delete", "table", family, "acni")
    put(firewall, ENTRIES[family])
    assert missing(firewall, ENTRIES[family]) is None


def test_what_the_kernel_lacks_is_nobodys(bare_host: Namespace, firewall: Netfilter) -> None:
    """It says of a kind of chain that it does not have what it says of a chain of somebody's."""
    chains = [one for one in OF_PACKETS.messages() if is_hooked(one)]
    lacks = NotSupported(errno.EOPNOTSUPP, index=0)
    assert [find_foreign(firewall, one, lacks) for one in chains] == [None] * 5
    nft(bare_host, "add table ip acni")
    nft(bare_host, "add chain ip acni martians { type filter hook prerouting priority 0; }")
    assert [find_foreign(firewall, one, lacks) for one in chains] == [None] * 5
    nft(bare_host, "add table inet acni")
    nft(bare_host, "add chain inet acni martians { type filter hook prerouting priority 0; }")
    found = [find_foreign(firewall, one, lacks) for one in chains]
    assert [one.name for one in found if one] == ["martians"]
    denied = NetlinkError(errno.EPERM, index=0)
    assert [find_foreign(firewall, one, denied) for one in chains] == [None] * 5


def is_hooked(message: Message) -> bool:
    """Whether it makes a chain that the kernel leads to."""
    expected = expected_of(message)
    return expected is not None and " hook " in expected.words


@pytest.mark.parametrize("layout", [OF_PACKETS, OF_FRAMES], ids=["packets", "frames"])
def test_what_is_expected_is_what_nft_would_make(
    bare_host: Namespace, firewall: Netfilter, layout: TableLayout
) -> None:
    messages = layout.messages()
    found = {(one.kind, one.name, one.words) for one in map(expected_of, messages) if one}
    made = [
        f"{kind} {name} {{ {words}; }}" for kind, name, words in found if words.startswith("type")
    ]
    assert len(made) >= len(layout.sets)
    name = family_name(layout.family)
    nft(bare_host, "-f", "-", given=f"table {name} acni {{\n" + "\n".join(made) + "\n}\n")
    firewall.transact(messages)
