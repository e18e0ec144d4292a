"""DNS settings from a resolv.conf(5)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acni.plugins.resolvconf import parse_resolv_conf, read_resolv_conf


def test_what_is_known_is_collected_and_the_rest_left_out() -> None:
    found = parse_resolv_conf(
        "nameserver 192.0.2.1\r\n  nameserver\t192.0.2.2 extra\n#nameserver 192.0.2.3\n"
        "; domain no.example\ndomain a.example\ndomain b.example\nsearch a b\nsearch c\n"
        "options ndots:2 rotate\nnameserver\nsortlist 1.2.3.4\n\n"
    )
    assert found.nameservers == ("192.0.2.1", "192.0.2.2")
    assert found.domain == "b.example"
    assert found.search == ("a", "b", "c")
    assert found.options == ("ndots:2", "rotate")


def test_an_empty_file_says_nothing() -> None:
    found = parse_resolv_conf("")
    assert (found.nameservers, found.domain, found.search, found.options) == ((), None, (), ())


def test_a_link_is_followed_as_resolv_conf_often_is_one(tmp_path: Path) -> None:
    (tmp_path / "stub").write_bytes(b"nameserver 192.0.2.1\nsearch \xff\n")
    (tmp_path / "resolv.conf").symlink_to("stub")
    assert read_resolv_conf(str(tmp_path / "resolv.conf")).nameservers == ("192.0.2.1",)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "resolv.conf")
    with pytest.raises(OSError, match="not a regular file"):
        read_resolv_conf(str(tmp_path / "resolv.conf"))
