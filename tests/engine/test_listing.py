"""What acni ls knows of each record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acni import Attachment, AttachmentId, CleanupIncomplete, NetworkConfig, PortMapping, netns
from acni.engine.listing import list_records
from acni.host.host import this_host
from acni.store.records import Records
from acni.testing import Behaviour, ScriptedRunner
from tests.engine.conftest import make_network

pytestmark = [pytest.mark.anyio, pytest.mark.netns]


async def test_every_file_is_listed_with_what_it_means(
    opened: Any, scripted: ScriptedRunner, network: NetworkConfig, state_dir: Path
) -> None:
    results = state_dir / "results"
    with netns.anonymous() as standing:
        async with opened() as runtime:
            for container_id in ("attached", "debt", "earlier", "foreign", "gone"):
                with netns.anonymous() as ending:
                    path = standing.path if container_id != "gone" else ending.path
                    ifname = f"e-{container_id}"
                    await runtime.add(
                        network, Attachment(container_id=container_id, netns=path, ifname=ifname)
                    )
            scripted.tell("second", "DEL", Behaviour.failing(5, "busy"))
            with pytest.raises(CleanupIncomplete):
                await runtime.delete(AttachmentId("debt", "e-debt"))
        for container_id in ("earlier", "foreign"):
            path_ = results / f"net-{container_id}-e-{container_id}"
            record = json.loads(path_.read_text())
            record["acni"]["boot"] = "another"
            if container_id == "foreign":
                del record["acni"]
            path_.write_text(json.dumps(record))
        (results / "torn").write_text("{")
        records = Records.look(str(state_dir))
        rows = {row.container_id or row.network: row for row in list_records(records, this_host())}
        records.close()
    assert {name: (row.state, row.netns) for name, row in rows.items()} == {
        "attached": ("attached", "ok"),
        "debt": ("owed", "ok"),
        "earlier": ("earlier boot", "gone"),
        "foreign": ("foreign", "ok"),
        "gone": ("attached", "gone"),
        "torn": ("unreadable", ""),
    }
    assert rows["attached"].addresses == ("192.0.2.7/24",)
    assert "busy" in rows["debt"].reason
    assert "no record" in rows["torn"].reason


async def test_what_is_listed_can_be_of_one_container_or_one_network(
    opened: Any, network: NetworkConfig
) -> None:
    other = make_network("other")
    with netns.anonymous() as first, netns.anonymous() as second:
        async with opened() as runtime:
            await runtime.add(network, Attachment(container_id="c1", netns=first.path))
            await runtime.add(other, Attachment(container_id="c1", netns=first.path, ifname="eth1"))
            await runtime.add(network, Attachment(container_id="c2", netns=second.path))
            listed = {
                "all": await runtime.attachments(),
                "c1": await runtime.attachments(container_id="c1"),
                "net": await runtime.attachments(network="net"),
                "c2 on other": await runtime.attachments(container_id="c2", network="other"),
            }
    assert {
        what: [(row.container_id, row.ifname, row.network, row.addresses) for row in rows]
        for what, rows in listed.items()
    } == {
        "all": [*ON_NET, ON_OTHER],
        "c1": [ON_NET[0], ON_OTHER],
        "net": ON_NET,
        "c2 on other": [],
    }


ON_NET = [(name, "eth0", "net", ("192.0.2.7/24",)) for name in ("c1", "c2")]
ON_OTHER = ("c1", "eth1", "other", ("192.0.2.7/24",))


WEB = PortMapping(host=8080, container=80)
DNS = PortMapping(host=0, container=53, protocol="udp", host_ip="127.0.0.1")
PICKED = PortMapping(host=61234, container=53, protocol="udp", host_ip="127.0.0.1")
SAID = [
    {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
    {"hostPort": 61234, "containerPort": 53, "protocol": "udp", "hostIP": "127.0.0.1"},
]


@pytest.mark.parametrize("is_usual", [True, False], ids=["usual", "unusual"])
@pytest.mark.parametrize(
    ("said", "takes", "ports"),
    [
        (SAID, True, (WEB, PICKED)),
        (SAID, False, (WEB, PICKED)),
        # Which one was picked is not known.
        (None, True, (WEB,)),
        (None, False, ()),
    ],
    ids=["said", "said by another one", "asked for", "not taken"],
)
async def test_ports_are_listed_as_the_result_says_them_or_as_they_were_asked_for(
    opened: Any,
    scripted: ScriptedRunner,
    state_dir: Path,
    said: object,
    takes: bool,
    ports: tuple[PortMapping, ...],
    is_usual: bool,
) -> None:
    last = {"type": "third", "capabilities": {"portMappings": takes}}
    network = make_network(plugins=[{"type": "first"}, last])
    result = {"cniVersion": "1.0.0", "ips": [{"address": "192.0.2.7/24"}]}
    printed = json.dumps(result | ({"portMappings": said} if said else {}))
    scripted.tell("third", "ADD", Behaviour(stdout=printed))
    with netns.anonymous() as box:
        async with opened() as runtime:
            asked = {"portMappings": [WEB, DNS]}
            await runtime.add(
                network, Attachment(container_id="c1", netns=box.path, capability_args=asked)
            )
            if not is_usual:
                path = state_dir / "results" / "net-c1-eth0"
                path.write_text(path.read_text().replace("{", "{" + " " * (64 << 10), 1))
            (row,) = await runtime.attachments()
    assert row.ports == ports
