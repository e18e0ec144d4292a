"""Whose rules of nat are about a port: made by iptables and nft, as administrators make them."""

from __future__ import annotations

import math
import subprocess
from ipaddress import ip_address

import pytest

from acni.netlink.netfilter import Netfilter
from acni.netlink.wire import KernelWire
from acni.netns import Namespace
from acni.plugins.elements import put, take_out
from acni.plugins.foreignrules import find_objection
from acni.plugins.owners import Owner
from acni.plugins.podelements import masquerading
from acni.plugins.ruleset import table_messages
from acni.skel import Bounds, Stopped
from acni.spec.attachment import AttachmentId
from tests.netlink.nft import nft

pytestmark = pytest.mark.netns

IPTABLES = "iptables-nft -t nat -A "
TABLE = "nft add table inet adm; "
CHAIN = TABLE + "nft add chain inet adm pre '{ type nat hook prerouting priority -90; }'; "
RULE = CHAIN + "nft add rule inet adm pre "


def run(bare_host: Namespace, command: str) -> None:
    shell = ["sh", "-ec", command]
    bare_host.call(lambda: subprocess.run(shell, check=True, capture_output=True, timeout=30))


@pytest.mark.parametrize(
    "command",
    [
        IPTABLES + "PREROUTING -p tcp --dport 8080 -j RETURN",
        IPTABLES + "PREROUTING -p tcp --dport 8080 -j ACCEPT",
        IPTABLES + "OUTPUT -p udp --dport 8080 -j RETURN",
        IPTABLES + "PREROUTING -d 192.0.2.1 -p tcp --dport 8080 -j RETURN",
        IPTABLES + "PREROUTING -p tcp -m multiport --dports 8080,8083 -j RETURN",
        IPTABLES + "PREROUTING -p tcp --dport 8000:9000 -j RETURN",
        f"iptables-nft -t nat -N X; {IPTABLES}PREROUTING -j X; {IPTABLES}X -p tcp --dport 8080"
        " -j RETURN",
        IPTABLES.replace("ip", "ip6", 1) + "PREROUTING -p tcp --dport 8080 -j RETURN",
        RULE + "tcp dport 8080 accept",
        RULE + "tcp dport '{ 8080, 8086 }' return",
        RULE + "tcp dport 8000-9000 return",
        RULE + "tcp dport != 22 return",
        RULE + "th dport 8080 return",
        RULE + "tcp dport vmap '{ 8080 : accept }'",
        RULE + "tcp dport vmap '{ 22 : accept, 8080 : return }'",
        RULE + "tcp dport vmap '{ 8000-9000 : accept }'",
        RULE + "ip daddr . tcp dport vmap '{ 192.0.2.1 . 8080 : return }'",
        RULE + "meta l4proto . th dport . ip6 saddr vmap '{ udp . 8080 . ::1 : accept }'",
        RULE + "tcp dport 8080 ip saddr vmap '{ 192.0.2.1 : return }'",
        CHAIN
        + "nft add map inet adm m '{ type inet_service : verdict; }'; nft add chain inet adm a;"
        " nft add rule inet adm a tcp dport 8080 accept; nft add element inet adm m"
        " '{ 8080 : goto a }'; nft add rule inet adm pre tcp dport vmap @m",
        CHAIN + "nft add chain inet adm a; nft add rule inet adm a tcp dport 8080 accept;"
        " nft add rule inet adm pre ip saddr vmap '{ 192.0.2.1 : jump a }'",
        RULE + "tcp sport 1 tcp dport 8080 return",
        f"iptables-nft -t nat -N X; {IPTABLES}X -p tcp --dport 8080 -j RETURN; {IPTABLES}PREROUTING"
        " -p tcp -m multiport --dports 8080,8083 -j X",
        f"iptables-nft -t nat -N X; {IPTABLES}X -d 192.0.2.1 -p tcp --dport 8080 -j RETURN;"
        f" {IPTABLES}PREROUTING -p tcp --dport 8080 -j X",
        CHAIN + "nft add chain inet adm a; nft add chain inet adm b; nft add rule inet adm b"
        " tcp dport 8080 return; nft add rule inet adm pre tcp dport != 22 goto a;"
        " nft add rule inet adm a jump b",
        RULE + "udp dport 8080 udp length 20 accept",  # nft has both loaded as one
        RULE + "meta l4proto tcp @th,24,8 0x90 accept",
        RULE + "ct original proto-dst 8080 accept",
        RULE + "ct original proto-dst vmap '{ 8080 : accept }'",
        RULE + "ct reply proto-src 8000-9000 return",
        IPTABLES + "PREROUTING -m conntrack --ctorigdstport 8080 -j RETURN",
        IPTABLES + "PREROUTING -p tcp -m u32 --u32 '0>>22&0x3C@0&0xFFFF=8080' -j RETURN",
        f"iptables-nft -t nat -N X; {IPTABLES}X -j RETURN; {IPTABLES}PREROUTING -p tcp --dport 8080"
        " -j X",
        CHAIN + "nft add chain inet adm a; nft add chain inet adm b; nft add rule inet adm b"
        " ip saddr 192.0.2.1 accept; nft add rule inet adm a jump b;"
        " nft add rule inet adm pre jump a; nft add rule inet adm pre"
        " tcp dport vmap '{ 8080 : goto a }'",
    ],
    ids=str,
)
def test_a_rule_that_may_be_about_the_port_is_found(
    bare_host: Namespace, firewall: Netfilter, command: str
) -> None:
    run(bare_host, command)
    found = find_objection(firewall, [80, 8080])
    assert found is not None
    assert f"handle {found.handle} in" in str(found)


@pytest.mark.parametrize(
    "command",
    [
        "true",
        IPTABLES + "PREROUTING -p tcp --dport 8081 -j RETURN",
        IPTABLES + "PREROUTING -p tcp --dport 8080 -j DNAT --to 192.0.2.1",
        IPTABLES + "PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 80",
        IPTABLES + "PREROUTING -i docker0 -j RETURN",
        IPTABLES + "POSTROUTING -p tcp --dport 8080 -j RETURN",
        f"iptables-nft -t nat -N X; {IPTABLES}X -p tcp --dport 8080 -j RETURN",
        "iptables-nft -A FORWARD -p tcp --dport 8080 -j RETURN",
        RULE + "tcp sport 8080 return",
        f"iptables-nft -t nat -N X; {IPTABLES}X -p tcp --dport 8080 -j RETURN; {IPTABLES}PREROUTING"
        " -p tcp --dport 22 -j X",
        RULE + "tcp dport 8080 counter",
        RULE + "tcp dport 8080 return; nft add table inet adm '{ flags dormant; }'",
        RULE + "tcp dport vmap '{ 22 : accept, 8081 : return }'",
        RULE + "tcp sport vmap '{ 8080 : return }'",
        RULE + "ip saddr vmap '{ 192.0.2.1 : return }'",
        RULE + "tcp dport 22 ip saddr vmap '{ 192.0.2.1 : return }'",
        CHAIN + "nft add chain inet adm a; nft add rule inet adm a tcp dport 8080 accept;"
        " nft add rule inet adm pre tcp dport vmap '{ 22 : jump a }'",
        RULE + "ip saddr 192.0.2.0/24 return",
        CHAIN + "nft add chain inet adm a; nft add rule inet adm a accept;"
        " nft add rule inet adm pre tcp dport 22 jump a",
        CHAIN + "nft add chain inet adm a; nft add rule inet adm a tcp dport 22 accept;"
        " nft add rule inet adm pre tcp dport 8080 jump a",
        CHAIN + "nft add chain inet adm a; nft add rule inet adm a accept;"
        " nft add rule inet adm pre ip saddr 192.0.2.1 jump a",
        RULE + "ct original proto-src 8080 accept",
        RULE + "ct reply proto-dst 8080 accept",
        RULE + "udp length 20 udp checksum 0 accept",
        IPTABLES + "PREROUTING -m conntrack --ctstate NEW --ctorigsrcport 8080 -j RETURN",
    ],
    ids=str,
)
def test_a_rule_that_is_not_is_none(
    bare_host: Namespace, firewall: Netfilter, command: str
) -> None:
    run(bare_host, command)
    assert find_objection(firewall, [8080]) is None


def test_what_was_read_stands_until_somebody_else_changes_a_rule(
    bare_host: Namespace, firewall: Netfilter, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(bare_host, RULE + "tcp dport 22 return")
    sent = count_sends(monkeypatch)
    ours = [masquerading(Owner("net", AttachmentId("c1")), ip_address("10.9.0.2"))]
    for port, found in ((8080, False), (22, True)):
        assert (find_objection(firewall, [port]) is not None) == found
        put(firewall, ours)
        del sent[:]
        assert (find_objection(firewall, [port]) is not None) == found
        assert len(sent) == 1  # which generation it is
        take_out(firewall, ours)
    for command, found in (("tcp dport 8080 return", True), ("tcp dport 8081 return", True)):
        run(bare_host, f"nft add rule inet adm pre {command}")
        assert (find_objection(firewall, [8080]) is not None) == found
    run(bare_host, "nft flush chain inet adm pre")
    assert find_objection(firewall, [8080, 22]) is None


def count_sends(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    send, sent = KernelWire.send, list[bytes]()

    def sending(wire: KernelWire, data: bytes) -> None:
        sent.append(data)
        send(wire, data)

    monkeypatch.setattr(KernelWire, "send", sending)
    return sent


def test_what_the_administrator_says_in_our_table_is_heeded_by_that(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    firewall.transact(table_messages())
    nft(bare_host, "add rule inet acni admin_ports tcp dport 8080 accept")
    assert find_objection(firewall, [8080]) is None


def test_chains_that_lead_to_each_other_come_to_an_end(
    bare_host: Namespace, firewall: Netfilter
) -> None:
    run(bare_host, CHAIN + "nft add chain inet adm a")
    run(bare_host, "nft add rule inet adm pre jump a; nft add rule inet adm pre goto a")
    run(bare_host, "nft add rule inet adm a tcp dport 8080 return")
    found = find_objection(firewall, [8080])
    assert found is not None
    assert str(found).endswith("in the chain a of the table inet adm (return)")


def test_who_is_out_of_time_reads_no_further(bare_host: Namespace, firewall: Netfilter) -> None:
    run(bare_host, RULE + "tcp dport 8080 return")
    over = Bounds(deadline=0.0)
    with pytest.raises(Stopped):
        find_objection(firewall, [8080], bounds=over)
    assert find_objection(firewall, [8080], bounds=Bounds(math.inf)) is not None
    assert find_objection(firewall, [8080], bounds=over) is not None  # it is remembered
