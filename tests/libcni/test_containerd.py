"""containerd runs containers with the executables of the built-in plugins as its only ones."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from acni.plugins.installing import install
from acni.testing.pytest_plugin import CANNOT_RUN

pytestmark = [pytest.mark.deep, pytest.mark.netns]

PROGRAMS: Final = ("containerd", "ctr", "runc", "busybox")
IPAM: Final[dict[str, Any]] = {
    "type": "host-local",
    "subnet": "10.31.0.0/24",
    "routes": [{"dst": "0.0.0.0/0"}],
}
BRIDGE: Final[dict[str, Any]] = {
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "ipMasq": True,
    "ipam": IPAM,
}
# A chain, and what the container says besides its address and its route.
CHAINS: Final[dict[str, tuple[list[dict[str, Any]], str]]] = {
    "bridge": ([BRIDGE], "1 packets received"),
    "ptp": ([{"type": "ptp", "ipam": IPAM}], "1 packets received"),
    # The host is not behind the link that it lies on.
    "macvlan": ([{"type": "macvlan", "master": "low0", "ipam": IPAM}], "0 packets received"),
    "bridge, and what stands behind": (
        [
            BRIDGE,
            {"type": "tuning", "mtu": 1400},
            {"type": "bandwidth", "egressRate": 8_000_000, "egressBurst": 800_000},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
        "mtu 1400",
    ),
}
# What a container does that a command is called for, as long as nobody says that it is done.
_SAYING: Final = """\
ip -4 address; ip route; ping -c 1 -W 2 10.31.0.1 || true
"""
_SERVING: Final = """\
echo hello >/etc/hello
httpd -p 80 -h /etc
httpd -p 81 -h /etc
until [ -e /etc/done ]; do sleep 0.1; done
"""
# Asks by the host's own address, and from outside, once the container serves.
_ASKING: Final = """\
ip netns add outside
ip link add up0 type veth peer name eth0 netns outside
ip address add 192.0.2.1/24 dev up0
ip link set up0 up
ip -n outside address add 192.0.2.9/24 dev eth0
ip -n outside link set eth0 up
for _ in $(seq 300); do
    busybox wget -q -O - http://192.0.2.1:8080/hello >/dev/null 2>&1 && break
    sleep 0.1
done
picked=$(nft list map inet acni hostports4 | grep -oE 'tcp . 6[0-9]{4}' | grep -oE '[0-9]+')
for port in 8080 $picked; do
    busybox wget -q -O - http://192.0.2.1:$port/hello
    ip netns exec outside busybox wget -q -O - http://192.0.2.1:$port/hello
done
touch rootfs/etc/done
"""

# The places of a node are mounted over, in a namespace of processes that ends with the script.
_NODE: Final = """\
set -eu
export PATH=$PATH:/usr/sbin:/sbin
cd "$1"
for place in /opt /etc/cni /var/lib/cni /run /var/lib/containerd; do
    mkdir -p $place
    mount -t tmpfs node $place
done
mkdir -p /run/netns /opt/cni /etc/cni/net.d rootfs/bin rootfs/proc rootfs/sys rootfs/dev rootfs/etc
cp -a bin /opt/cni/bin
cp net.conflist /etc/cni/net.d
cp "$(command -v busybox)" rootfs/bin/busybox
ip link set lo up
ip link add low0 up type bridge
containerd -c config.toml -l error >containerd.log 2>&1 &
for _ in $(seq 300); do [ -S sock ] && break; sleep 0.1; done
status=0
timeout 60 ctr -a "$1/sock" run --rm --cni --rootfs "$1/rootfs" c1 \
    /bin/busybox sh -c "$(cat does)" >told 2>&1 &
running=$!
[ ! -e asks ] || timeout 50 bash asks >asked 2>&1
wait $running || status=$?
echo $status >status
ls /var/lib/cni/networks/pods >leases 2>/dev/null || true
ip -br link >links
nft list ruleset >rules
"""

_CONFIG: Final = """\
version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{home}/sock"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        pytest.skip(f"{CANNOT_RUN} no {', '.join(missing)}")
    install(str(tmp_path / "bin"))
    (tmp_path / "config.toml").write_text(_CONFIG.format(home=tmp_path))
    return tmp_path


def run_container(home: Path, *plugins: dict[str, Any], does: str = _SAYING) -> str:
    """Run a container on a network; return what it and ctr said."""
    (home / "does").write_text(does)
    network = {"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}
    (home / "net.conflist").write_text(json.dumps(network))
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    done = subprocess.run(
        [*unshare, "bash", "-c", _NODE, "node", str(home)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (home / "told").read_text()


def what_is_left(home: Path) -> list[str]:
    """List the leases, and the links of containers."""
    leases = [name for name in (home / "leases").read_text().split() if name[0].isdigit()]
    links = [line.split()[0] for line in (home / "links").read_text().splitlines()]
    return [*leases, *(name for name in links if name.startswith(("veth", "bwp", "ifb")))]


@pytest.mark.parametrize("chain", CHAINS)
def test_a_container_gets_its_address_and_what_the_chain_is_for(home: Path, chain: str) -> None:
    plugins, besides = CHAINS[chain]
    told = run_container(home, *plugins)
    assert (home / "status").read_text() == "0\n", told
    for words in ("127.0.0.1/8", "10.31.0.2/24", "default via 10.31.0.1", besides):
        assert words in told
    assert what_is_left(home) == []


def test_ports_of_the_host_lead_to_the_container_also_one_that_nobody_named(home: Path) -> None:
    ports = [{"hostPort": 8080, "containerPort": 80}, {"hostPort": 0, "containerPort": 81}]
    portmap = {"type": "portmap", "runtimeConfig": {"portMappings": ports}}
    (home / "asks").write_text(_ASKING)
    told = run_container(home, BRIDGE, portmap, does=_SERVING)
    assert (home / "status").read_text() == "0\n", told
    assert (home / "asked").read_text() == "hello\n" * 4
    assert what_is_left(home) == []
    assert "10.31.0.2" not in (home / "rules").read_text()


def test_a_refusal_is_what_the_user_reads(home: Path) -> None:
    told = run_container(home, {**BRIDGE, "mtu": "large"})
    assert (home / "status").read_text() != "0\n"
    assert "text, where a whole number from 0 to 65535 was expected at $.mtu" in told
    assert what_is_left(home) == []
