"""The ``acni`` command as a user runs it, on Debian's plugins."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import frozen

if TYPE_CHECKING:
    from tests.netns.conftest import Host, Pod

# The command has a loop of its own: that of the test only waits for it.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
    pytest.mark.netns,
]

# The number is none that a float holds, and 1e2 none that Python would write.
ODD = '"com.example/serial": 123456789012345678901234567890, "com.example/factor": 1e2'
NET = f"""{{
  "cniVersion": "1.0.0", "name": "net", {ODD}, "plugins": [
    {{"type": "bridge", "bridge": "br0", "isGateway": true, "ipMasq": true, {ODD},
      "ipam": {{"type": "host-local", "subnet": "10.22.0.0/24"}}}},
    {{"type": "firewall"}}
  ]
}}"""
REFUSED = """{
  "cniVersion": "1.0.0", "name": "refused", "plugins": [
    {"type": "bridge", "bridge": "br0", "isGateway": true, "ipMasq": true,
     "ipam": {"type": "host-local", "subnet": "10.23.0.0/24"}},
    {"type": "tuning", "sysctl": {"net.ipv4.conf.all.acni": "1"}}
  ]
}"""
PORTS = """{
  "cniVersion": "1.0.0", "name": "ports", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": true,
     "ipam": {"type": "host-local", "subnet": "10.24.0.0/24"}},
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}"""


@frozen
class Acni:
    """The command with a user's environment."""

    environment: dict[str, str]

    async def __call__(
        self, *arguments: str, status: int = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it and expect an exit status."""
        done = await anyio.run_process(
            [sys.executable, "-m", "acni", *arguments],
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        stdout, stderr = done.stdout.decode(), done.stderr.decode()
        said = f"acni {' '.join(arguments)}: {done.returncode}\n{stdout}\n{stderr}"
        assert done.returncode == status, said
        assert "Traceback" not in stderr, said
        return subprocess.CompletedProcess(arguments, done.returncode, stdout, stderr)


@pytest.fixture
def acni(host: Host, tmp_path: Path) -> Acni:
    conf_dir = tmp_path / "net.d"
    conf_dir.mkdir()
    for name, text in (("net", NET), ("refused", REFUSED), ("ports", PORTS)):
        (conf_dir / f"10-{name}.conflist").write_text(text)
    return Acni(
        {
            "PATH": os.environ["PATH"],
            "NETCONFPATH": str(conf_dir),
            "CNI_PATH": "/usr/lib/cni",
            "ACNI_STATE_DIR": str(host.state_dir),
        }
    )


async def test_the_life_of_an_attachment(acni: Acni, host: Host, pods: tuple[Pod, Pod]) -> None:
    await acni("add", "net", pods[1].namespace.path, "--container-id", "b")
    path = (await acni("netns", "create", "box")).stdout.strip()
    assert path == "/run/netns/box"
    assert "exists" in (await acni("netns", "create", "box", status=2)).stderr
    await acni("check", "--container-id", "c1", status=3)
    before = host.look()

    added = await acni("add", "net", path, "--container-id", "c1")
    result = json.loads(added.stdout)
    assert [ip["address"] for ip in result["ips"]] == ["10.22.0.3/24"]
    program = "import sys; from acni.cli.ping import ping; sys.exit(ping(sys.argv[1]) is None)"
    await acni("netns", "run", path, "--", sys.executable, "-c", program, "10.22.0.2")
    assert "10.22.0.3/24" in (await acni("netns", "run", "box", "ip", "addr")).stdout

    await acni("check", "--container-id", "c1")
    await acni("check", "net", path, "--container-id", "c1")
    refused = await acni("add", "net", path, "--container-id", "c1", status=2)
    assert "acni del detaches it" in refused.stderr
    other = await acni("add", "net", path, "--container-id", "c2", "-o", "json", status=2)
    assert json.loads(other.stdout)["acni"]["error"] == "NetnsInUse"

    listed = (await acni("ls")).stdout.splitlines()
    assert [line.split()[:5] for line in listed[1:]] == [
        ["attached", "b", "eth0", "net", "10.22.0.2/24"],
        ["attached", "c1", "eth0", "net", "10.22.0.3/24"],
    ]
    documents = json.loads((await acni("ls", "-o", "json")).stdout)
    assert [document["container_id"] for document in documents] == ["b", "c1"]
    inspected = (await acni("inspect", "c1")).stdout
    assert inspected.count(ODD.partition(",")[0].partition(": ")[2]) == 2
    # An ID in hexadecimal may hold 1e2, too.
    assert len(re.findall('factor": ?1e2', inspected)) == 2
    assert json.loads(inspected)["result"] == result
    await acni("inspect", "nobody", status=3)

    await acni("del", "net", path, "--container-id", "c1")
    assert host.look() == before
    # Again: the configuration stands in for the record; without one there is nothing to go by.
    await acni("del", "net", path, "--container-id", "c1")
    await acni("del", "--container-id", "c1", status=3)
    await acni("check", "--container-id", "c1", status=3)
    await acni("netns", "delete", "box")
    await acni("netns", "delete", "box", status=2)
    await acni("del", "--container-id", "b")
    assert len((await acni("ls")).stdout.splitlines()) == 1
    assert host.records() == []
    assert host.look().leases == set()


async def test_the_container_id_of_cnitool_is_the_default(
    acni: Acni, host: Host, pods: tuple[Pod, Pod]
) -> None:
    pod, _ = pods
    await acni("add", "net", pod.namespace.path, CNI_IFNAME="net1")
    assert pod.namespace.has_interface("net1")
    # What `printf /run/netns/a | sha512sum` begins with: ten bytes.
    assert host.records() == ["net-cnitool-a145bc1ace582bff43bd-net1"]
    await acni("check", "net", pod.namespace.path, "-i", "net1")
    await acni("del", "net", pod.namespace.path, "-i", "net1")
    assert host.records() == []
    assert not pod.namespace.has_interface("net1")


async def test_a_host_port_given_on_the_command_line_is_reached(
    acni: Acni, host: Host, pods: tuple[Pod, Pod]
) -> None:
    pod, _ = pods
    ports = json.dumps([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}])
    await acni(
        "add", "ports", pod.namespace.path, "--container-id", "a", "--cap", f"portMappings={ports}"
    )
    with pod.serving(80):
        assert await host.asks("127.0.0.1", 8080) == "a hello"
        await acni("del", "--container-id", "a")
        assert await host.asks("127.0.0.1", 8080) == "ConnectionRefusedError"


async def test_a_refused_add_is_undone_and_says_so(
    acni: Acni, host: Host, pods: tuple[Pod, Pod]
) -> None:
    pod, _ = pods
    before_anything = host.look()
    done = await acni("add", "refused", pod.namespace.path, "--container-id", "a", status=1)
    assert "undone    tuning, bridge" in done.stderr
    assert "owed      nothing" in done.stderr
    before = host.look()

    done = await acni(
        "add", "refused", pod.namespace.path, "--container-id", "a", "-o", "json", status=1
    )
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["code"] == 999
    assert document["acni"]["plugin"] == "tuning"
    assert document["acni"]["rolledBack"] == ["tuning", "bridge"]
    assert document["acni"]["debt"] is None
    assert host.look() == before
    assert before.leases == before_anything.leases
    assert host.records() == []
    assert not pod.namespace.has_interface("eth0")


async def test_check_finds_an_interface_that_was_taken_away(
    acni: Acni, host: Host, pods: tuple[Pod, Pod]
) -> None:
    pod, neighbour = pods
    await acni("add", "net", pod.namespace.path, "--container-id", "a")
    pod.ip("link", "del", "eth0")
    done = await acni("check", "--container-id", "a", "-o", "json", status=6)
    assert json.loads(done.stdout)["acni"]["error"] == "CheckFailed"
    await acni("del", "--container-id", "a")

    await acni("add", "ports", neighbour.namespace.path, "--container-id", "b")
    await acni("netns", "delete", "b")
    done = await acni("check", "--container-id", "b", "-o", "json", status=6)
    assert json.loads(done.stdout)["acni"]["error"] == "NetnsChanged"
    assert "gone" in (await acni("ls")).stdout
    await acni("del", "--container-id", "b")
    assert host.records() == []
    assert host.look().leases == set()


REFUSED_COMMANDS = [
    pytest.param(["add", "absent", "/run/netns/a"], 3, "NETCONFPATH", id="no-such-network"),
    pytest.param(["add", "net", "/run/netns/absent"], 2, "No such file", id="no-such-namespace"),
    pytest.param(["add", "net", "/proc/self/ns/net"], 2, "own network", id="the-hosts-namespace"),
    pytest.param(
        ["add", "net", "/run/netns/a", "-i", "a/b"], 2, "interface name", id="interface-name"
    ),
    pytest.param(
        ["add", "net", "/run/netns/a", "--plugin-dir", "/run", "--no-builtin"],
        2,
        "CNI_PATH",
        id="plugin",
    ),
    pytest.param(["netns", "run", "absent", "true"], 2, "No such file", id="run-nowhere"),
    pytest.param(["netns", "run", "a", "absent"], 1, "No such file", id="run-no-program"),
]


@pytest.mark.parametrize(("arguments", "status", "said"), REFUSED_COMMANDS)
async def test_what_is_refused_runs_nothing(
    arguments: list[str],
    status: int,
    said: str,
    acni: Acni,
    host: Host,
    pods: tuple[Pod, Pod],
) -> None:
    before = host.look()
    done = await acni(*arguments, status=status)
    assert said in done.stderr
    assert host.look() == before
    assert not pods[0].namespace.has_interface("eth0")
