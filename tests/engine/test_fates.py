"""What a gc decides: a table, and the names that nobody can read."""

from __future__ import annotations

from typing import Final

import pytest
from attrs import evolve

from acni import AttachmentId
from acni.engine.fates import Calling, Fate, fate_of, possible_ids
from acni.host.host import Host
from acni.host.netns import NetnsIdentity
from acni.spec.names import NetworkName
from acni.store.record import Record
from tests.store.test_record import DEBT, PROVENANCE, RECORD

HERE: Final = Host(boot=PROVENANCE.boot, netns=PROVENANCE.host_netns)
LATER: Final = PROVENANCE.sequence + 1
FOREIGN: Final = evolve(RECORD, provenance=None)
CHANGED: Final = evolve(FOREIGN, result='{"ips":[]}')
EARLIER: Final = evolve(RECORD, provenance=evolve(PROVENANCE, boot="earlier"))
ELSEWHERE: Final = evolve(
    RECORD, provenance=evolve(PROVENANCE, host_netns=NetnsIdentity("cookie", "other"))
)
NO_FOREIGN: Final = Calling(sequence=LATER)
WITH_FOREIGN: Final = Calling(sequence=LATER, foreign={FOREIGN.name: FOREIGN})


@pytest.mark.rule("R23", "R59")
@pytest.mark.parametrize(
    ("record", "calling", "by_nobody", "by_caller"),
    [
        pytest.param(RECORD, NO_FOREIGN, "delete", "keep", id="attached before"),
        pytest.param(RECORD, Calling(sequence=LATER - 1), "keep", "keep", id="attached meanwhile"),
        pytest.param(DEBT, NO_FOREIGN, "delete", "delete", id="owed"),
        pytest.param(DEBT, Calling(sequence=0), "delete", "delete", id="owed since"),
        pytest.param(EARLIER, NO_FOREIGN, "delete", "delete", id="of an earlier boot"),
        pytest.param(EARLIER, Calling(sequence=0), "delete", "delete", id="of one that went on"),
        pytest.param(ELSEWHERE, NO_FOREIGN, "delete", "keep", id="of another host"),
        pytest.param(FOREIGN, NO_FOREIGN, "skip", "skip", id="another writer's"),
        pytest.param(FOREIGN, WITH_FOREIGN, "delete", "keep", id="another writer's, meant"),
        pytest.param(CHANGED, WITH_FOREIGN, "keep", "keep", id="another writer's, changed since"),
        pytest.param(
            FOREIGN, Calling(sequence=LATER, foreign={}), "keep", "keep", id="another writer's, new"
        ),
        pytest.param(RECORD, WITH_FOREIGN, "delete", "keep", id="ours, beside another's"),
    ],
)
def test_what_becomes_of_a_record(
    record: Record, calling: Calling, by_nobody: Fate, by_caller: Fate
) -> None:
    other = AttachmentId("another")
    assert fate_of(record, {other}, calling, HERE) == by_nobody
    assert fate_of(record, {record.id, other}, calling, HERE) == by_caller


@pytest.mark.rule("R59")
def test_a_file_that_cannot_be_read_may_be_of_any_attachment_that_its_name_can_mean() -> None:
    found = possible_ids(NetworkName("net-a"), "net-a-c-1-eth-0")
    assert [str(one) for one in found] == ["c/1-eth-0", "c-1/eth-0", "c-1-eth/0"]
    assert list(possible_ids(NetworkName("net"), "net-c1")) == []
    assert list(possible_ids(NetworkName("net"), "net--x-..")) == []
