"""What was before, written down as the reference does, and read as it does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from acni.plugins.owners import Owner
from acni.plugins.tuning_backup import (
    Backup,
    collect,
    forget,
    held_by_others,
    is_of_another,
    is_writable,
    load,
    save,
)
from acni.plugins.tuning_traits import Traits
from acni.skel import PluginError
from acni.spec.attachment import AttachmentId

TRAITS = Traits(
    mac=bytes.fromhex("0a0000000001"),
    promiscuous=False,
    mtu=1500,
    all_multicast=True,
    queue_length=0,
)


def owner(container_id: str = "c1", ifname: str = "eth0", network: str = "net") -> Owner:
    return Owner(network, AttachmentId(container_id, ifname))


def backup(of: Owner, sysctls: dict[str, str] | None = None, namespace: str = "one") -> Backup:
    return Backup(owner=of, namespace=namespace, traits=TRAITS, sysctls=sysctls or {})


def names(place: str) -> list[str]:
    return sorted(path.name for path in Path(place).iterdir())


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "not" / "there")


def test_what_is_saved_is_loaded_and_forgotten(place: str) -> None:
    saved = backup(owner(), {"core/somaxconn": "4096"})
    assert load(place, owner()) is None
    assert save(place, saved, owner()) == saved
    assert load(place, owner()) == saved
    assert names(place) == ["c1_eth0.json"]
    for _ in range(2):
        forget(place, owner())
        assert names(place) == []


def test_it_stands_where_the_reference_looks_as_the_reference_reads_it(place: str) -> None:
    save(place, backup(owner()), owner())
    path = Path(place, "c1_eth0.json")
    said = json.loads(path.read_text())
    assert said.pop("acni")["network"] == "net"
    assert said == {
        "mac": "0a:00:00:00:00:01",
        "promisc": False,
        "mtu": 1500,
        "allmulti": True,
        "txQLen": 0,
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_the_reference_wrote_is_read(place: str) -> None:
    Path(place).mkdir(parents=True)
    Path(place, "c1_eth0.json").write_text('{\n "mac": "0a:00:00:00:00:01",\n "mtu": 1500\n}')
    found = load(place, owner())
    assert found == Backup(owner=None, traits=Traits(mac=TRAITS.mac, mtu=1500))
    assert found is not None
    assert not is_of_another(found, owner())


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"mtu": "x"}', b'{"acni": {"network": "net"}}', b"\xff", b"[" * 9000],
)
def test_what_is_torn_is_as_good_as_none(content: bytes, place: str) -> None:
    Path(place).mkdir(parents=True)
    Path(place, "c1_eth0.json").write_bytes(content)
    assert load(place, owner()) is None
    save(place, backup(owner()), owner())
    assert load(place, owner()) == backup(owner())


@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_none(content: bytes) -> None:
    path = Path("/run/cni/c1_eth0.json")
    path.write_bytes(content)
    assert load("/run/cni", owner()) is None or json.loads(content) is not None
    path.unlink()


def test_what_somebody_put_in_the_way_is_neither_followed_nor_waited_for(place: str) -> None:
    Path(place).mkdir(parents=True)
    path = Path(place, "c1_eth0.json")
    os.mkfifo(path)
    assert load(place, owner()) is None
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert load(place, owner()) is None


def test_a_file_of_another_attachment_is_that_ones(place: str) -> None:
    one, other = owner("a", "b_c"), owner("a_b", "c")
    save(place, backup(one), one)
    found = load(place, other)
    assert found is not None
    assert is_of_another(found, other)
    with pytest.raises(PluginError) as raised:
        save(place, backup(other), other)
    assert raised.value.reason == "backup-of-another"
    assert load(place, one) == backup(one)


def test_what_was_before_the_first_change_in_a_namespace_counts(place: str) -> None:
    first = evolve(backup(owner(), {"a": "1"}), traits=Traits(mtu=1500))
    second = evolve(
        backup(owner(), {"a": "2", "b": "3"}), traits=Traits(mtu=1400, promiscuous=False)
    )
    save(place, first, owner())
    both = save(place, second, owner())
    assert both.traits == Traits(mtu=1500, promiscuous=False)
    assert both.sysctls == {"a": "1", "b": "3"}
    assert load(place, owner()) == both
    elsewhere = evolve(second, namespace="two")
    assert save(place, elsewhere, owner()) == elsewhere


def test_settings_are_held_by_other_interfaces_of_the_container(place: str) -> None:
    assert held_by_others(place, owner(), "one") == {}
    for other, value in (
        (owner(), "1"),
        (owner(ifname="net1", network="other"), "2"),
        (owner("c1_x"), "3"),
        (owner("c2"), "4"),
    ):
        save(place, backup(other, {"a": value}), other)
    Path(place, "c1_torn.json").write_text("{")
    Path(place, "c1_theirs.json").write_text('{"mtu": 1500}')
    assert held_by_others(place, owner(), "one") == {"a": "2"}
    assert held_by_others(place, owner("c2"), "one") == {}
    assert held_by_others(place, owner(), "two") == {}


def collected(place: str, *valid: AttachmentId) -> list[PluginError]:
    def is_alive(one: Backup) -> bool:
        return one.namespace == "alive"

    return list(collect(place, "net", frozenset(valid), is_alive=is_alive))


@pytest.mark.rule("P6")
def test_only_what_is_not_valid_of_the_network_is_collected(place: str) -> None:
    kept = [owner(), owner("c3", network="other")]
    for one in (*kept, owner("c2"), owner("c1", "net1")):
        save(place, backup(one), one)
    save(place, backup(owner("c4"), namespace="alive"), owner("c4"))
    Path(place, "c9_eth0.json").write_text('{"mtu": 1500}')
    assert collected(place, owner().attachment) == []
    assert names(place) == ["c1_eth0.json", "c3_eth0.json", "c4_eth0.json", "c9_eth0.json"]
    assert collected(place + "/no") == []


def test_a_place_that_cannot_be_written_is_told(place: str) -> None:
    Path(place).parent.mkdir()
    Path(place).write_text("a file")
    assert not is_writable(place)
    with pytest.raises(PluginError) as raised:
        save(place, backup(owner()), owner())
    assert (raised.value.code, raised.value.reason) == (5, "data-dir-occupied")
    assert load(place, owner()) is None
    forget(place, owner())
    Path(place).unlink()
    assert is_writable(place)
    with pytest.raises(PluginError):
        save(place, backup(owner()), owner("c" * 250))
    assert names(place) == []
