"""What plugins leave on a host."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from acni.host import netns
from acni.host.leftovers import LEASES, Leftovers, look_for_leftovers

_NOTHING = Leftovers(
    links=frozenset(), namespaces=frozenset(), rules=(), leases=frozenset()
)  # fmt: skip


@pytest.mark.parametrize(
    ("now", "earlier", "lines"),
    [
        pytest.param(_NOTHING, _NOTHING, [], id="nothing"),
        pytest.param(
            Leftovers(
                links=frozenset({"cni0", "veth1"}),
                namespaces=frozenset({"box"}),
                rules=("-A FORWARD -j X",),
                leases=frozenset({"pods/10.1.0.2"}),
            ),
            _NOTHING,
            [
                "new link: cni0",
                "new link: veth1",
                "new namespace: box",
                "new rule: -A FORWARD -j X",
                "new lease: pods/10.1.0.2",
            ],
            id="new",
        ),
        pytest.param(
            _NOTHING,
            Leftovers(
                links=frozenset({"eth0"}), namespaces=frozenset(), rules=("r",), leases=frozenset()
            ),
            ["missing link: eth0", "missing rule: r"],
            id="missing",
        ),
        pytest.param(
            Leftovers(
                links=frozenset(), namespaces=frozenset(), rules=("r", "r"), leases=frozenset()
            ),
            Leftovers(links=frozenset(), namespaces=frozenset(), rules=("r",), leases=frozenset()),
            ["new rule: r"],
            id="a_rule_twice",
        ),
    ],
)
def test_two_looks_are_compared_in_lines(
    now: Leftovers, earlier: Leftovers, lines: list[str]
) -> None:
    assert now.beyond(earlier) == lines


@pytest.mark.netns
@pytest.mark.usefixtures("clean_host")
def test_an_unchanged_host_has_no_leftovers() -> None:
    earlier = look_for_leftovers()
    assert "lo" in earlier.links
    assert look_for_leftovers().beyond(earlier) == []


@pytest.mark.netns
@pytest.mark.usefixtures("clean_host")
def test_what_plugins_make_is_found() -> None:
    _command("iptables -A INPUT -j ACCEPT")
    earlier = look_for_leftovers()
    Path(LEASES, "pods").mkdir(parents=True)
    for name in ("10.1.0.2", "last_reserved_ip.0", "lock"):
        Path(LEASES, "pods", name).touch()
    _command("ip link add br0 type bridge")
    _command("iptables -t nat -A POSTROUTING -j MASQUERADE -m comment --comment left-4")
    _command("iptables -A INPUT -j ACCEPT")
    _command("ip6tables -A FORWARD -j DROP")
    with netns.create("left"):
        found = look_for_leftovers().beyond(earlier)
    assert [line for line in found if not line.endswith(":DOCKER")][:2] == [
        "new link: br0",
        "new namespace: left",
    ]
    assert "new lease: pods/10.1.0.2" in found
    assert not any("last_reserved" in line or "lock" in line for line in found)
    assert "new rule: iptables-save: -A INPUT -j ACCEPT" in found, "the second of its kind"
    assert "new rule: ip6tables-save: -A FORWARD -j DROP" in found
    assert any("MASQUERADE" in line for line in found)


@pytest.mark.netns
@pytest.mark.usefixtures("clean_host")
def test_counters_and_comments_are_no_rules() -> None:
    _command("iptables -A INPUT -i lo -j ACCEPT")
    earlier = look_for_leftovers()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.sendto(b"counted", ("127.0.0.1", 9))
    assert look_for_leftovers().beyond(earlier) == []
    assert not any("[" in rule or "#" in rule for rule in earlier.rules)


@pytest.mark.netns
@pytest.mark.usefixtures("clean_host")
def test_without_the_programs_rules_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _command("iptables -A INPUT -j ACCEPT")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look_for_leftovers().rules == ()


def _command(text: str) -> None:
    subprocess.run(text.split(), check=True, timeout=20, stdout=subprocess.DEVNULL)
