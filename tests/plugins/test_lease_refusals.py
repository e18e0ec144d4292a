"""What is wrong with the place of leases has a stable word, and says what is to be mended."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from acni.plugins.lease_refusals import (
    io_failure,
    no_place,
    reading_resolv_conf,
    working_in,
)
from acni.skel import PluginError


def failed(number: int, name: str | None = "lock") -> OSError:
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize(
    ("number", "reason", "to_mend"),
    [
        (errno.EACCES, "data-dir-not-writable", "let who runs plugins write: /leases/net/lock,"),
        (errno.EPERM, "data-dir-not-writable", "write"),
        (errno.EROFS, "data-dir-not-writable", "not read-only"),
        (errno.ENOTDIR, "data-dir-occupied", "move away"),
        (errno.EISDIR, "data-dir-occupied", "move away"),
        (errno.ELOOP, "data-dir-occupied", "move away"),
        (errno.ENOSPC, "data-dir-full", "make room"),
        (errno.EDQUOT, "data-dir-full", "make room"),
        (errno.EIO, "data-dir-failed", "look at the file system of /leases/net/lock"),
        (errno.ESTALE, "data-dir-failed", "look"),
    ],
)
def test_what_stays_until_somebody_mends_it_says_what(
    number: int, reason: str, to_mend: str
) -> None:
    error = io_failure("/leases/net", failed(number))
    assert (error.code, error.reason) == (5, reason)
    assert to_mend in error.details
    assert error.msg == f"/leases/net: {os.strerror(number)} (lock)"


def test_what_the_machine_lacks_just_now_is_tried_again() -> None:
    error = io_failure("/leases/net", failed(errno.EMFILE))
    assert (error.code, error.reason, error.details) == (11, "machine-busy", "")


def test_an_error_that_names_no_file_is_the_directorys() -> None:
    with pytest.raises(PluginError) as caught, working_in("/leases/net"):
        raise failed(errno.EIO, None)
    assert caught.value.msg == f"/leases/net: {os.strerror(errno.EIO)}"
    assert caught.value.details == "look at the file system of /leases/net"


def test_a_file_of_dns_settings_is_no_directory_of_leases() -> None:
    with pytest.raises(PluginError) as caught, reading_resolv_conf("/etc/none"):
        raise failed(errno.ENOENT, "/etc/none")
    assert (caught.value.code, caught.value.reason) == (5, "resolv-conf-unreadable")
    assert "$.ipam.resolvConf" in caught.value.details


def test_where_leases_could_be_written_nothing_is_said(tmp_path: Path) -> None:
    assert no_place(str(tmp_path)) is None
    (tmp_path / "file").touch()
    for place, reason in (("file", "data-dir-occupied"),):
        refusal = no_place(str(tmp_path / place))
        assert refusal is not None
        assert (refusal.code, refusal.reason) == (50, reason)
