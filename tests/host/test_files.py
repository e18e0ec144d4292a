"""Reading files that somebody else may have put there."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from acni.errors import ConfigError
from acni.host.files import parse_path, read_regular, upwards


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_a_regular_file_is_read_whole_up_to_the_bound(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    assert read_regular(str(tmp_path / "file"), max_bytes=100) == b"x" * size


def test_a_file_in_an_open_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert read_regular("file", max_bytes=100, dir_fd=directory) == b"content"
    finally:
        os.close(directory)


def test_a_link_is_followed_only_where_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(str(tmp_path / "link"), max_bytes=100, follow=True) == b"content"
    with pytest.raises(OSError, match="link") as caught:
        read_regular(str(tmp_path / "link"), max_bytes=100)
    assert caught.value.errno == errno.ELOOP


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize(
    ("make", "number"),
    [
        pytest.param(lambda _: None, errno.ENOENT, id="nothing"),
        pytest.param(os.mkfifo, errno.EINVAL, id="FIFO"),
        pytest.param(lambda path: path.mkdir(), errno.EINVAL, id="directory"),
        pytest.param(_make_socket, errno.ENXIO, id="socket"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), errno.EINVAL, id="device"),
        pytest.param(lambda path: path.symlink_to("/absent"), errno.ENOENT, id="dangling_link"),
        pytest.param(lambda path: path.symlink_to(path), errno.ELOOP, id="loop_of_links"),
        pytest.param(lambda path: path.write_bytes(b"x" * 101), errno.EFBIG, id="too_large"),
        pytest.param(lambda path: path.symlink_to("/proc/self/maps"), errno.EFBIG, id="sizeless"),
    ],
)
def test_what_is_no_small_regular_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], object], number: int
) -> None:
    make(tmp_path / "wrong")
    with pytest.raises(OSError, match=r".") as caught:
        read_regular(str(tmp_path / "wrong"), max_bytes=100, follow=True)
    assert caught.value.errno == number


def test_a_file_whose_size_is_not_told_is_read_whole() -> None:
    expected = Path("/proc/sys/kernel/ostype").read_bytes()
    assert read_regular("/proc/sys/kernel/ostype", max_bytes=100) == expected


class Elsewhere:
    def __fspath__(self) -> str:
        return "/elsewhere"


@pytest.mark.parametrize("value", ["/elsewhere", Path("/elsewhere"), Elsewhere()])
def test_a_path_is_text_or_what_says_its_path(value: object) -> None:
    assert parse_path(value, "state_dir") == "/elsewhere"


@pytest.mark.parametrize("value", ["", "a\0b", "\ud800", b"/bytes", None, 7])
def test_what_is_no_path_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="state_dir"):
        parse_path(value, "state_dir")


def test_a_path_is_followed_upwards_to_the_root() -> None:
    assert list(upwards("/var/lib/cni")) == ["/var/lib/cni", "/var/lib", "/var", "/"]
