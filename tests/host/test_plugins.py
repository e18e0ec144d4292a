"""Finding executables."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from acni.errors import ConfigError, PluginNotFound
from acni.host.plugins import find_executable, parse_plugin_dirs
from acni.spec.names import PluginType

BRIDGE = PluginType("bridge")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return _directory(tmp_path / "bin")


def test_an_executable_is_found_with_what_identifies_it(directory: Path) -> None:
    path = _executable(directory / "bridge")
    plugin = find_executable(BRIDGE, [str(directory)])
    assert (plugin.type, plugin.path, plugin.runner) == ("bridge", str(path), "executable")
    assert plugin == find_executable(BRIDGE, [str(directory)])


@pytest.mark.rule("R31")
def test_the_first_match_wins(tmp_path: Path) -> None:
    directories = [_directory(tmp_path / name) for name in ("a", "b", "c")]
    _executable(directories[1] / "bridge")
    _executable(directories[2] / "bridge")
    plugin = find_executable(BRIDGE, [str(directory) for directory in directories])
    assert plugin.path == f"{directories[1]}/bridge"


def test_a_directory_that_is_missing_is_passed_over(directory: Path) -> None:
    _executable(directory / "bridge")
    assert find_executable(BRIDGE, ["/absent", str(directory)]).path == f"{directory}/bridge"


def test_a_link_to_an_executable_is_one(directory: Path) -> None:
    _executable(directory / "real")
    (directory / "bridge").symlink_to("real")
    assert find_executable(BRIDGE, [str(directory)]).path == f"{directory}/bridge"


def _replace(path: Path) -> None:
    status = path.stat()
    path.rename(path.with_name("old"))
    os.utime(_executable(path), ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.write_text("#!/bin/sh\n# other\n"), id="size"),
        pytest.param(lambda path: os.utime(path, (1, 1)), id="time"),
        pytest.param(_replace, id="replaced"),
    ],
)
def test_the_identity_changes_with_the_executable(
    directory: Path, change: Callable[[Path], object]
) -> None:
    path = _executable(directory / "bridge")
    before = find_executable(BRIDGE, [str(directory)]).identity
    change(path)
    assert find_executable(BRIDGE, [str(directory)]).identity != before


def _make_nothing(_: Path) -> None:
    pass


def _make_unexecutable(path: Path) -> None:
    _executable(path).chmod(0o644)


def _make_directory(path: Path) -> None:
    path.mkdir()


def _make_dangling_link(path: Path) -> None:
    path.symlink_to("/absent")


def _make_loop(path: Path) -> None:
    path.symlink_to(path)


def _make_fifo(path: Path) -> None:
    os.mkfifo(path, 0o755)


def _make_writable(path: Path) -> None:
    _executable(path).chmod(0o757)


def _make_link_to_writable(path: Path) -> None:
    _make_writable(path.with_name("real"))
    path.symlink_to("real")


def _make_shared_directory(path: Path) -> None:
    _executable(path)
    path.parent.chmod(0o777)


def _make_sticky_directory(path: Path) -> None:
    _executable(path)
    path.parent.chmod(0o1777)


def _make_link_into_shared_directory(path: Path) -> None:
    shared = _directory(path.parent / "shared")
    _executable(shared / "bridge")
    shared.chmod(0o777)
    (path.parent / "between").symlink_to("shared/bridge")
    path.symlink_to("between")


WRONG = [
    pytest.param(_make_nothing, "no executable", id="nothing"),
    pytest.param(_make_unexecutable, "is not executable", id="not_executable"),
    pytest.param(_make_directory, "is no regular file", id="directory"),
    pytest.param(_make_dangling_link, "no executable", id="dangling_link"),
    pytest.param(_make_loop, "symbolic links", id="loop_of_links"),
    pytest.param(_make_fifo, "is no regular file", id="FIFO"),
    pytest.param(_make_writable, "everybody may write to .*bridge", id="world_writable"),
    pytest.param(_make_link_to_writable, "everybody may write", id="link_to_world_writable"),
    pytest.param(_make_shared_directory, r"everybody may write to .*bin\)", id="shared_directory"),
    pytest.param(_make_sticky_directory, r"everybody may write to .*bin\)", id="sticky_directory"),
    pytest.param(
        _make_link_into_shared_directory,
        r"everybody may write to .*bin/shared\)",
        id="link_into_shared_directory",
    ),
]


@pytest.mark.parametrize(("make", "reason"), WRONG)
def test_what_is_wrong_is_not_used_and_said(
    directory: Path, make: Callable[[Path], None], reason: str
) -> None:
    make(directory / "bridge")
    with pytest.raises(PluginNotFound, match=reason) as caught:
        find_executable(BRIDGE, [str(directory)])
    assert caught.value.plugin == "bridge"
    assert str(directory) in str(caught.value)


@pytest.mark.parametrize(("make", "reason"), WRONG)
def test_what_is_wrong_does_not_hide_a_good_one_further_on(
    tmp_path: Path, directory: Path, make: Callable[[Path], None], reason: str
) -> None:
    assert reason
    make(directory / "bridge")
    good = _executable(_directory(tmp_path / "good") / "bridge")
    assert find_executable(BRIDGE, [str(directory), str(good.parent)]).path == str(good)


def test_a_directory_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PluginNotFound, match="Not a directory"):
        find_executable(BRIDGE, [str(tmp_path / "file")])


@pytest.mark.parametrize(
    "directories",
    [
        pytest.param([], id="none"),
        pytest.param([""], id="empty"),
        pytest.param(["."], id="here"),
        pytest.param(["bin"], id="relative"),
        pytest.param(["/opt/cni/bin", "~/bin"], id="one_of_two"),
        pytest.param(["/a:/b"], id="two_in_one"),
        pytest.param(["/a\0b"], id="NUL"),
        pytest.param("/opt/cni/bin", id="text"),
    ],
)
def test_directories_that_plugins_could_misread_are_refused(directories: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_plugin_dirs(directories)
    assert str(caught.value.place).startswith("plugin_dirs")
    assert caught.value.expected


def test_directories_are_kept_in_order_as_text() -> None:
    given: list[str | PurePosixPath] = ["/opt/cni/bin", PurePosixPath("/usr/lib/cni")]
    assert parse_plugin_dirs(given) == ("/opt/cni/bin", "/usr/lib/cni")


def _directory(path: Path) -> Path:
    path.mkdir()
    path.chmod(0o755)
    return path


def _executable(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("of_file", "of_directory"), [(0o755, 0o755), (0o775, 0o755), (0o755, 0o775), (0o775, 0o775)]
)
def test_what_its_group_may_write_to_is_found_with_warnings(
    of_file: int, of_directory: int, directory: Path
) -> None:
    path = _executable(directory / "bridge")
    untouched = find_executable(BRIDGE, [str(directory)])
    path.chmod(of_file)
    directory.chmod(of_directory)
    found = find_executable(BRIDGE, [str(directory)])
    group = path.stat().st_gid
    assert found.warnings == tuple(
        f"the group {group} may write to {where}"
        for where, mode in ((path, of_file), (directory, of_directory))
        if mode == 0o775
    )
    assert found == untouched


def test_a_link_is_warned_of_where_it_leads(directory: Path) -> None:
    real = _directory(directory / "real")
    _executable(real / "bridge")
    real.chmod(0o775)
    (directory / "bridge").symlink_to("real/bridge")
    group = real.stat().st_gid
    found = find_executable(BRIDGE, [str(directory)])
    assert found.warnings == (f"the group {group} may write to {real}",)
