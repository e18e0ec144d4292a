"""What is the same in each verb of the plugins that have elements, without a kernel."""

from __future__ import annotations

import errno
import os

import pytest

from acni.plugins.elementkeeping import if_there_is_netfilter, put_back_all
from acni.skel.errors import PluginError


@pytest.mark.parametrize("code", [errno.EPROTONOSUPPORT, errno.EOPNOTSUPP], ids=os.strerror)
def test_without_netfilter_it_goes_on_behind_the_block(code: int) -> None:
    def refuse() -> None:
        raise OSError(code, os.strerror(code))

    done: list[str] = []
    with if_there_is_netfilter():
        refuse()
        done.append("in the block")
    done.append("behind it")
    assert done == ["behind it"]


@pytest.mark.parametrize(
    "error", [OSError(errno.EPERM, "no"), PluginError(100, "no netfilter")], ids=["kernel", "own"]
)
def test_what_is_refused_otherwise_is_told(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, if_there_is_netfilter():
        raise error
    assert raised.value is error


def test_all_that_is_missing_is_put_back() -> None:
    done: list[str] = []
    put_back = put_back_all([None, lambda: done.append("one"), lambda: done.append("other")])
    assert put_back is not None
    put_back()
    assert done == ["one", "other"]


def test_where_nothing_is_missing_there_is_nothing_to_put_back() -> None:
    assert put_back_all([None, None]) is None
    assert put_back_all([]) is None
