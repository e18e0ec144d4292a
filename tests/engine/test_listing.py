"""What acni ls knows of each record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acni import Attachment, AttachmentId, CleanupIncomplete, NetworkConfig, netns
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
