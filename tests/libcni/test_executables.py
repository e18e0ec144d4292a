"""The executables of the built-in plugins, run by libcni: by whatever runtime is written in Go."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define

from acni.plugins.catalog import BUILT_IN
from acni.plugins.installing import install
from tests.docs.test_tutorial_plugin import executable_of
from tests.netlink.nft import elements_of, nft
from tests.plugins.answering import REFERENCES, ask_ours
from tests.plugins.hosts import Host, host_of
from tests.plugins.outside import HOST4, OUTSIDE4, add_outside
from tests.plugins.traffic import seen_from

pytestmark = [pytest.mark.deep, pytest.mark.netns]

SECONDS: Final = 30
# libcni 1.1.2 knows no newer one.
VERSIONS: Final = ("0.2.0", "1.0.0")

HOST_LOCAL: Final[Mapping[str, Any]] = {"type": "host-local", "subnet": "10.23.0.0/24"}
STATIC: Final[Mapping[str, Any]] = {"type": "static", "addresses": [{"address": "10.24.0.9/24"}]}
BRIDGE: Final[Mapping[str, Any]] = {
    "type": "bridge",
    "bridge": "br0",
    "isGateway": True,
    "ipam": HOST_LOCAL,
}
HTTP: Final[Mapping[str, Any]] = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
UPLINK: Final = "uplink"
# A chain for each of the catalogue, in which it is the last one; a new plugin needs a line here.
CHAINS: Final[Mapping[str, list[Mapping[str, Any]]]] = {
    "bandwidth": [BRIDGE, {"type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 80_000}],
    "bridge": [BRIDGE],
    "firewall": [BRIDGE, {"type": "firewall", "ingressPolicy": "isolated"}],
    "host-local": [{"type": "host-local", "ipam": HOST_LOCAL}],
    "ipvlan": [{"type": "ipvlan", "master": UPLINK, "ipam": HOST_LOCAL}],
    "loopback": [{"type": "loopback"}],
    "macvlan": [{"type": "macvlan", "master": UPLINK, "ipam": HOST_LOCAL}],
    "portmap": [BRIDGE, {"type": "portmap", "runtimeConfig": {"portMappings": [HTTP]}}],
    "ptp": [{"type": "ptp", "ipam": HOST_LOCAL}],
    "static": [{"type": "static", "ipam": STATIC}],
    "tuning": [BRIDGE, {"type": "tuning", "mtu": 1400}],
    "vlan": [{"type": "vlan", "master": UPLINK, "vlanId": 7, "ipam": HOST_LOCAL}],
}
# Those whose links a kernel may not have.
KINDS: Final = ("ipvlan", "vlan")
EACH: Final = pytest.mark.parametrize("plugin", CHAINS)


@define(eq=False)
class Go:
    """A runtime over libcni on a host with one container.

    Attributes:
        program: The runtime.
        host: The host.
        home: Where its configuration and its cache are.
        plugins: CNI_PATH.
        ports: What the runtime asks for as ``portMappings``.
    """

    program: Path
    host: Host
    home: Path
    plugins: Path
    ports: tuple[Mapping[str, Any], ...] = ()

    def configure(self, *plugins: Mapping[str, Any], version: str = "1.0.0") -> None:
        """Write the configuration that it is run with from now on."""
        listed = [dict(plugin) for plugin in plugins]
        for each in listed:
            if "ipam" in each:
                each["ipam"] = {"dataDir": str(self.host.data_dir), **each["ipam"]}
        written = {"cniVersion": version, "name": "net", "plugins": listed}
        (self.home / "net.conflist").write_text(json.dumps(written))

    def run(self, verb: str, *, netns: str | None = None) -> subprocess.CompletedProcess[str]:
        flags = {
            "list": self.home / "net.conflist",
            "plugins": self.plugins,
            "cache": self.home / "cache",
            "id": "c1",
            "netns": self.host.container("c1").path if netns is None else netns,
            "ifname": "eth0",
            "capabilities": json.dumps({"portMappings": self.ports} if self.ports else {}),
        }
        argv = [str(self.program), verb, "-parsed", *(f"-{key}={flags[key]}" for key in flags)]
        return self.host.namespace.call(
            lambda: subprocess.run(
                argv, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        )

    def succeed(self, verb: str) -> str:
        done = self.run(verb)
        assert (done.returncode, done.stderr) == (0, ""), (verb, done.stderr)
        return done.stdout

    def refused(self, verb: str, *, netns: str | None = None) -> dict[str, Any]:
        """Return the error object that libcni read."""
        done = self.run(verb, netns=netns)
        assert done.returncode == 1
        error: dict[str, Any] = json.loads(done.stderr)
        return error

    def what_is_left(self) -> list[str]:
        """List the links of the attachment, and the leases."""
        links = [*self.host.links(), *self.host.links("c1")]
        made = [name for name in links if name.startswith(("veth", "eth"))]
        return [*made, *self.host.leases()]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("installed")
    install(str(directory))
    return directory


@pytest.fixture
def go(judge_program: Path, installed: Path, tmp_path: Path) -> Iterator[Go]:
    with host_of(ask_ours, tmp_path / "leases") as host:
        host.ip("link", "add", UPLINK, "up", "type", "veth", "peer", "wire")
        yield Go(judge_program, host, tmp_path, installed)


def test_each_plugin_of_the_catalogue_has_a_chain() -> None:
    assert CHAINS.keys() == set(BUILT_IN)
    assert {kind: chain[-1]["type"] for kind, chain in CHAINS.items()} == {
        kind: kind for kind in BUILT_IN
    }


@EACH
@pytest.mark.parametrize("version", VERSIONS)
def test_an_attachment_is_added_checked_and_deleted_twice(
    go: Go, plugin: str, version: str
) -> None:
    go.configure(*CHAINS[plugin], version=version)
    if version not in BUILT_IN[plugin].versions:
        assert go.run("validate").returncode == 1
        return
    go.succeed("validate")
    if plugin in KINDS and not go.host.has_kind(plugin):
        refused = go.refused("add")
        assert (refused["code"], "Unknown device type" in refused["msg"]) == (100, True)
    else:
        result = json.loads(go.succeed("add"))
        assert result["cniVersion"] == version
        if version != "0.2.0":
            go.succeed("check")
    for _ in range(2):
        go.succeed("del")
    assert go.what_is_left() == []


@EACH
def test_a_version_that_it_does_not_speak_is_an_error_that_libcni_reads(
    go: Go, plugin: str
) -> None:
    go.configure(*CHAINS[plugin], version="0.9.0")
    assert go.refused("add")["code"] == 1
    assert "supported" in go.refused("add")["msg"]
    assert go.run("validate").returncode == 1
    assert go.what_is_left() == []


@EACH
def test_an_error_is_one_that_libcni_reads(go: Go, plugin: str) -> None:
    go.configure(*CHAINS[plugin])
    error = go.refused("add", netns="/nothing")
    assert error["code"] == 4
    assert error["msg"].startswith("CNI_NETNS is not allowed")
    assert go.what_is_left() == []


@EACH
def test_the_namespace_of_the_host_is_refused_before_anything_is_made(go: Go, plugin: str) -> None:
    go.configure(*CHAINS[plugin])
    before = go.host.see()
    assert go.refused("add", netns="/proc/self/ns/net")["code"] == 8
    assert go.host.see() == before
    assert go.host.leases() == []


def test_ports_of_the_host_lead_to_the_container_also_one_that_nobody_named(go: Go) -> None:
    """Which was picked libcni does not pass on; CHECK and DEL find it all the same."""
    outside = add_outside(go.host)
    go.ports = (HTTP, {**HTTP, "hostPort": 0, "containerPort": 81})
    chained = {"type": "portmap", "capabilities": {"portMappings": True}}
    go.configure({**BRIDGE, "isDefaultGateway": True}, chained)
    assert "portMappings" not in json.loads(go.succeed("add"))
    found = elements_of(go.host.namespace, "hostports4")
    led = {to["concat"][1]: key["elem"]["val"]["concat"][1] for key, to in found}
    assert (led[80], led[81] in range(61000, 65536)) == (8080, True)
    for listens, port in led.items():
        for client, whom in ((outside, OUTSIDE4), (go.host.namespace, HOST4)):
            container = go.host.container("c1")
            assert seen_from(client, container, HOST4, port=port, listens=listens) == whom
    go.succeed("check")
    nft(go.host.namespace, f"delete element inet acni hostports4 {{ tcp . {led[81]} }}")
    assert go.refused("check")["code"] == 105
    for _ in range(2):
        go.succeed("del")
    assert go.what_is_left() == []
    assert elements_of(go.host.namespace, "hostports4") == []


def test_a_check_finds_what_is_gone(go: Go) -> None:
    go.configure(BRIDGE)
    go.succeed("add")
    go.host.ip("address", "flush", "dev", "eth0", inside="c1")
    assert "10.23.0.2" in go.refused("check")["msg"]
    go.succeed("del")
    assert go.what_is_left() == []


def test_the_plugin_of_the_tutorial_stands_in_a_chain(go: Go, tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    executable_of(plugins)
    for name in ("bridge", "host-local"):
        (plugins / name).symlink_to(go.plugins / name)
    go.plugins = plugins
    hosts = tmp_path / "hosts"
    hosts.mkdir()
    chain = (BRIDGE, {"type": "hostsfile", "directory": str(hosts)})
    go.configure(*chain)
    go.succeed("validate")
    go.succeed("add")
    assert (hosts / "c1+eth0").read_text() == "10.23.0.2 c1\n"
    go.succeed("check")
    (hosts / "c1+eth0").unlink()
    assert go.refused("check") == {"code": 100, "msg": f"{hosts}/c1+eth0 does not name the pod"}
    for _ in range(2):
        go.succeed("del")
    assert go.what_is_left() == []
    go.configure(chain[0], {"type": "hostsfile"})
    missing = {"code": 7, "msg": "no directory at $.directory", "details": "expected text"}
    assert go.refused("add") == missing


@pytest.mark.rule("P8")
@pytest.mark.parametrize("ours", ["bridge", "host-local"])
def test_ours_and_the_reference_s_delegate_to_each_other(go: Go, tmp_path: Path, ours: str) -> None:
    """And what one of them added, both of ours delete."""
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name in ("bridge", "host-local"):
        (mixed / name).symlink_to((go.plugins if name == ours else REFERENCES) / name)
    with_ours, go.plugins = go.plugins, mixed
    go.configure(BRIDGE)
    result = json.loads(go.succeed("add"))
    assert [ip["address"] for ip in result["ips"]] == ["10.23.0.2/24"]
    assert go.host.leases() == ["10.23.0.2"]
    go.succeed("check")
    go.plugins = with_ours
    go.succeed("del")
    assert go.what_is_left() == []


@pytest.mark.rule("P8")
def test_an_address_plugin_that_is_not_installed_is_the_built_in_one(
    go: Go, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "bridge").symlink_to(go.plugins / "bridge")
    go.plugins = alone
    go.configure(BRIDGE)
    go.succeed("add")
    assert go.host.leases() == ["10.23.0.2"]
    go.succeed("del")
    assert go.what_is_left() == []
