"""What a plugin's error says of what the kernel refused."""

from __future__ import annotations

import errno

import pytest

from acni.netlink.errors import NetlinkError, NotSupported
from acni.plugins.refusals import doing
from acni.skel import PluginError


@pytest.mark.rule("P10")
@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        pytest.param(NetlinkError(errno.EPERM), 5, "not-permitted", id="forbidden"),
        pytest.param(NetlinkError(errno.ENOBUFS), 11, None, id="busy"),
        pytest.param(NetlinkError(errno.EINVAL), 5, None, id="wrong"),
        pytest.param(NotSupported(errno.EOPNOTSUPP), 100, "kernel-feature", id="unknown"),
    ],
)
def test_what_the_kernel_refuses_says_of_what_and_why(
    error: NetlinkError, code: int, reason: str | None
) -> None:
    with pytest.raises(PluginError, match="making it: ") as raised, doing("making it"):
        raise error
    assert (raised.value.code, raised.value.reason) == (code, reason)


def test_what_is_no_refusal_of_the_kernel_stays_as_it_is() -> None:
    with pytest.raises(OSError, match="no file") as raised, doing("making it"):
        raise FileNotFoundError("no file")
    assert type(raised.value) is FileNotFoundError
