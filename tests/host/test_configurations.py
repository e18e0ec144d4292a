"""Reading a configuration directory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from acni.errors import AcniError, ConfigError, InvalidName, NetworkNotFound
from acni.host.configurations import MAX_CONFIG_BYTES, load_configurations, load_network


def _list(name: str, *plugin_types: str, **members: object) -> str:
    plugins = [{"type": plugin_type} for plugin_type in plugin_types]
    return json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": plugins, **members})


def _single(name: str, plugin_type: str) -> str:
    return json.dumps({"cniVersion": "1.0.0", "name": name, "type": plugin_type})


def _types(directory: Path, name: str) -> list[str]:
    return [plugin.type for plugin in load_network(directory, name).plugins]


def test_every_network_is_loaded_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "10-pods.conflist").write_text(_list("pods", "bridge", "portmap"))
    (tmp_path / "20-loop.conf").write_text(_single("loop", "loopback"))
    (tmp_path / "30-other.json").write_text(_single("other", "ptp"))
    found = load_configurations(tmp_path)
    assert list(found.networks) == ["pods", "loop", "other"]
    assert found.broken == ()
    assert found.network("pods").source == f"{tmp_path}/10-pods.conflist"
    assert _types(tmp_path, "pods") == ["bridge", "portmap"]
    assert _types(tmp_path, "loop") == ["loopback"]


@pytest.mark.rule("R54")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("10-a.conflist", "20-a.conflist", id="sorted_by_name"),
        pytest.param("100-a.conflist", "20-a.conflist", id="by_bytes_not_by_number"),
        pytest.param("B.conflist", "a.conflist", id="capitals_first"),
        pytest.param("90-a.conflist", "10-a.conf", id="lists_before_single_plugins"),
        pytest.param("10-a.conf", "20-a.json", id="conf_and_json_together"),
        pytest.param("10-a.json", "20-a.conf", id="json_and_conf_together"),
    ],
)
def test_of_files_with_one_name_the_first_wins(tmp_path: Path, first: str, second: str) -> None:
    for file, plugin_type in ((second, "later"), (first, "earlier")):
        is_list = file.endswith(".conflist")
        text = _list("pods", plugin_type) if is_list else _single("pods", plugin_type)
        (tmp_path / file).write_text(text)
    assert _types(tmp_path, "pods") == ["earlier"]


@pytest.mark.parametrize(
    "file", ["README.md", "pods.conflist.bak", "pods.conflist~", "conflist", "pods.CONFLIST"]
)
def test_files_with_other_endings_are_not_looked_at(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text(_list("pods", "bridge"))
    found = load_configurations(tmp_path)
    assert (found.networks, found.broken) == ({}, ())


def test_a_file_may_be_a_link(tmp_path: Path) -> None:
    """Kubernetes mounts configurations as links."""
    (tmp_path / "real").write_text(_list("pods", "bridge"))
    (tmp_path / "pods.conflist").symlink_to("real")
    assert _types(tmp_path, "pods") == ["bridge"]


@pytest.fixture
def drop_ins(tmp_path: Path) -> Path:
    (tmp_path / "10.conflist").write_text(_list("pods", "bridge"))
    (tmp_path / "pods").mkdir()
    return tmp_path / "pods"


@pytest.mark.rule("R4")
def test_drop_ins_are_appended_in_the_order_of_their_names(tmp_path: Path, drop_ins: Path) -> None:
    for number in ("20", "10", "30"):
        (drop_ins / f"{number}.conf").write_text(json.dumps({"type": f"p{number}"}))
    (drop_ins / "40.json").write_text("only .conf is one")
    (drop_ins / "50.conf").mkdir()
    assert _types(tmp_path, "pods") == ["bridge", "p10", "p20", "p30"]


@pytest.mark.rule("R4")
def test_a_list_may_live_of_drop_ins_alone(tmp_path: Path, drop_ins: Path) -> None:
    (tmp_path / "10.conflist").write_text(_list("pods"))
    (drop_ins / "10.conf").write_text(json.dumps({"type": "bridge"}))
    assert _types(tmp_path, "pods") == ["bridge"]


def test_a_single_plugin_has_no_drop_ins(tmp_path: Path, drop_ins: Path) -> None:
    (tmp_path / "10.conflist").unlink()
    (tmp_path / "10.conf").write_text(_single("pods", "bridge"))
    (drop_ins / "10.conf").write_text(json.dumps({"type": "tuning"}))
    assert _types(tmp_path, "pods") == ["bridge"]


@pytest.mark.rule("R4")
def test_a_list_that_wants_only_its_own_plugins_does_not_even_read_others(
    tmp_path: Path, drop_ins: Path
) -> None:
    (tmp_path / "10.conflist").write_text(_list("pods", "bridge", loadOnlyInlinedPlugins=True))
    os.mkfifo(drop_ins / "10.conf")
    assert _types(tmp_path, "pods") == ["bridge"]


@pytest.mark.rule("R5")
@pytest.mark.parametrize(
    ("make", "place"),
    [
        pytest.param(lambda path: path.write_text("{"), "10.conf: $", id="torn"),
        pytest.param(lambda path: path.write_text("{}"), "10.conf: $.type", id="no_type"),
        pytest.param(os.mkfifo, "10.conf", id="FIFO"),
        pytest.param(lambda path: path.symlink_to("/absent"), "10.conf", id="dangling_link"),
    ],
)
def test_a_broken_drop_in_breaks_its_network_alone(
    tmp_path: Path, drop_ins: Path, make: Callable[[Path], object], place: str
) -> None:
    make(drop_ins / "10.conf")
    (tmp_path / "20.conflist").write_text(_list("good", "bridge"))
    assert list(load_configurations(tmp_path).networks) == ["good"]
    with pytest.raises(ConfigError) as caught:
        load_network(tmp_path, "pods")
    assert caught.value.place == f"{drop_ins}/{place}"


@pytest.mark.rule("R1")
@pytest.mark.parametrize("name", ["..", ".", "../pods", "", "pods/../pods", "a\0b", "\ud800"])
def test_drop_ins_are_looked_for_only_below_the_directory(
    tmp_path: Path, drop_ins: Path, name: str
) -> None:
    os.mkfifo(drop_ins / "10.conf")
    os.mkfifo(tmp_path / "10.conf")
    (tmp_path / "20.conflist").write_text(_list(name, "bridge"))
    broken = dict(load_configurations(tmp_path).broken)
    error = broken[f"{tmp_path}/20.conflist"]
    assert isinstance(error, AcniError)
    assert "name" in str(error.place) or "JSON" in str(error.expected)


def _make_too_large(path: Path) -> None:
    path.write_text(_list("broken", "bridge", padding="x" * MAX_CONFIG_BYTES * 2))


BROKEN = [
    pytest.param(lambda path: path.touch(), ConfigError, id="empty"),
    pytest.param(lambda path: path.write_text(_list("broken", "x")[:-5]), ConfigError, id="torn"),
    pytest.param(lambda path: path.write_bytes(b"\xff\xfe{}"), ConfigError, id="no_UTF8"),
    pytest.param(lambda path: path.write_text("[" * 100_000), ConfigError, id="deep"),
    pytest.param(lambda path: path.write_text("[]"), ConfigError, id="no_object"),
    pytest.param(lambda path: path.write_text(_list("a/b", "x")), InvalidName, id="bad_name"),
    pytest.param(lambda path: path.write_text(_list("a", "../x")), InvalidName, id="bad_type"),
    pytest.param(lambda path: path.write_text('{"name": 5}'), InvalidName, id="number_as_name"),
    pytest.param(os.mkfifo, ConfigError, id="FIFO"),
    pytest.param(lambda path: path.symlink_to("/dev/zero"), ConfigError, id="device"),
    pytest.param(lambda path: path.symlink_to("/absent"), ConfigError, id="dangling_link"),
    pytest.param(lambda path: path.symlink_to(path), ConfigError, id="loop_of_links"),
    pytest.param(_make_too_large, ConfigError, id="two_mebibytes"),
]


@pytest.mark.parametrize(("make", "error"), BROKEN)
def test_a_broken_file_is_reported_and_stops_no_other(
    tmp_path: Path, make: Callable[[Path], object], error: type[AcniError]
) -> None:
    make(tmp_path / "10-broken.conflist")
    (tmp_path / "20-good.conflist").write_text(_list("good", "bridge"))
    assert _types(tmp_path, "good") == ["bridge"]
    [(path, found)] = load_configurations(tmp_path).broken
    assert path == f"{tmp_path}/10-broken.conflist"
    assert type(found) is error
    assert str(found.place).startswith(path)
    assert found.expected
    with pytest.raises(NetworkNotFound, match=r"there are: good; not readable: .*10-broken"):
        load_network(tmp_path, "other")


def test_asking_for_a_broken_network_raises_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "10.conflist").write_text(_list("other", "../x"))
    (tmp_path / "20.conflist").write_text(_list("pods", "bridge", disableCheck="perhaps"))
    with pytest.raises(ConfigError, match="true or false") as caught:
        load_network(tmp_path, "pods")
    assert caught.value.place == f"{tmp_path}/20.conflist: $.disableCheck"


def test_a_directory_that_is_named_like_a_file_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "pods.conflist").mkdir()
    (tmp_path / "pods.conf").mkdir()
    found = load_configurations(tmp_path)
    assert (found.networks, found.broken) == ({}, ())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda _: None, "No such file", id="missing"),
        pytest.param(lambda path: path.touch(), "Not a directory", id="file"),
        pytest.param(lambda path: path.symlink_to(path), "symbolic links", id="loop_of_links"),
    ],
)
def test_a_directory_that_cannot_be_listed_is_an_error(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    make(tmp_path / "net.d")
    with pytest.raises(ConfigError, match=reason) as caught:
        load_network(tmp_path / "net.d", "pods")
    assert caught.value.place == f"{tmp_path}/net.d"


def test_an_empty_directory_has_no_network(tmp_path: Path) -> None:
    with pytest.raises(NetworkNotFound, match="there is none") as caught:
        load_network(tmp_path, "pods")
    assert caught.value.network == "pods"
    assert str(tmp_path) in str(caught.value)
    found = load_configurations(tmp_path)
    assert (found.networks, found.lost, found.broken) == ({}, (), ())


def test_a_file_name_may_be_any_bytes(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.conflist"
    Path(os.fsdecode(path)).write_text("{")
    (tmp_path / "good.conflist").write_text(_list("good", "bridge"))
    found = load_configurations(tmp_path)
    assert [os.fsencode(broken) for broken, _ in found.broken] == [path]
    assert list(found.networks) == ["good"]
