"""Settings: their names, which of them may be set, and reading and writing them."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni import netns
from acni.plugins.sysctls import (
    Sysctl,
    is_same,
    parse_sysctl,
    put_back_all,
    read_all,
    require_allowed,
    write_all,
)
from acni.skel import PluginError
from acni.skel.reading import Fields

pytestmark = pytest.mark.netns

SOMAXCONN = "core/somaxconn"


def parsed(key: str, ifname: str = "eth0") -> str:
    return parse_sysctl(Fields({}, "$.sysctl"), key, "1", ifname).path


@pytest.mark.parametrize(
    ("key", "ifname", "path"),
    [
        ("net.core.somaxconn", "eth0", SOMAXCONN),
        ("net/core/somaxconn", "eth0", SOMAXCONN),
        ("/net/core/somaxconn", "eth0", SOMAXCONN),
        ("net.ipv4.conf.IFNAME.arp_ignore", "eth0", "ipv4/conf/eth0/arp_ignore"),
        ("net.ipv4.conf.IFNAME.arp_ignore", "eth0.5", "ipv4/conf/eth0.5/arp_ignore"),
        ("net.ipv4.neigh.IFNAME.IFNAME", "eth0", "ipv4/neigh/eth0/IFNAME"),
    ],
)
def test_a_name_is_a_path_below_net(key: str, ifname: str, path: str) -> None:
    assert parsed(key, ifname) == path


@pytest.mark.parametrize(
    "key",
    [
        "",
        "net",
        "net.",
        "kernel.hostname",
        "kernel/../net/core/somaxconn",
        "net/../kernel/hostname",
        "net/..",
        "net.core..somaxconn",
        "net/core/a\0b",
        "IFNAME.core.somaxconn",
        "net." + "a" * 200,
    ],
)
def test_what_is_no_setting_of_a_network_is_refused(key: str) -> None:
    with pytest.raises(PluginError) as raised:
        parsed(key)
    assert (raised.value.code, raised.value.msg.startswith("no setting")) == (7, True)


@given(st.text(alphabet="net./IFNAME0\0~"), st.sampled_from(["eth0", "a.b", "net", "..a"]))
def test_no_name_leads_out_of_net(key: str, ifname: str) -> None:
    try:
        path = parsed(f"net.{key}", ifname)
    except PluginError:
        return
    assert os.path.normpath(f"/proc/sys/net/{path}") == f"/proc/sys/net/{path}"


def sysctl(key: str) -> Sysctl:
    return parse_sysctl(Fields({}), key, "1", "eth0")


def test_without_a_list_everything_is_allowed(tmp_path: Path) -> None:
    require_allowed([sysctl("net.core.somaxconn")], str(tmp_path / "allowlist.conf"))


@pytest.mark.parametrize(
    ("lines", "key", "is_allowed"),
    [
        ("net.core.somaxconn", "net.core.somaxconn", True),
        ("\n  net.core.somaxconn \n\n", "net.core.somaxconn", True),
        ("^net\\.ipv4\\.conf\\.IFNAME\\.", "net.ipv4.conf.IFNAME.arp_ignore", True),
        # As it is configured, not as it is put in.
        ("^net\\.ipv4\\.conf\\.eth0\\.", "net.ipv4.conf.IFNAME.arp_ignore", False),
        ("^net\\.core\\.somaxconn$", "net/core/somaxconn", False),
        ("somaxconn", "net.core.somaxconn", True),
        ("net.core.rmem_max\nsomaxconn", "net.core.somaxconn", True),
        ("^somaxconn", "net.core.somaxconn", False),
        ("", "net.core.somaxconn", False),
    ],
)
def test_what_no_line_of_the_list_is_found_in_is_refused(
    lines: str, key: str, is_allowed: bool, tmp_path: Path
) -> None:
    path = tmp_path / "allowlist.conf"
    path.write_text(lines)
    if is_allowed:
        require_allowed([sysctl(key)], str(path))
        return
    with pytest.raises(PluginError) as raised:
        require_allowed([sysctl(key)], str(path))
    assert (raised.value.code, raised.value.reason) == (108, "sysctl-not-allowed")
    require_allowed([], str(path))


@pytest.mark.parametrize("content", [b"net(", b"[[:alpha:]]", b"\xff", b"\\pN", b"[[a]"])
def test_a_list_that_cannot_be_understood_allows_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "allowlist.conf"
    path.write_bytes(b"net.core.somaxconn\n" + content)
    with pytest.raises(PluginError) as raised:
        require_allowed([sysctl("net.core.somaxconn")], str(path))
    assert (raised.value.code, raised.value.reason) == (5, "allow-list-unreadable")


def test_a_list_that_cannot_be_read_allows_nothing(tmp_path: Path) -> None:
    with pytest.raises(PluginError) as raised:
        require_allowed([], str(tmp_path))
    assert raised.value.reason == "allow-list-unreadable"


def test_a_list_that_is_a_link_to_nothing_allows_nothing(tmp_path: Path) -> None:
    (tmp_path / "list").symlink_to(tmp_path / "gone")
    (tmp_path / "place").symlink_to(tmp_path / "gone")
    for path in (tmp_path / "list", tmp_path / "place" / "list"):
        with pytest.raises(PluginError) as raised:
            require_allowed([], str(path))
        assert raised.value.reason == "allow-list-unreadable"


@pytest.fixture
def box() -> Iterator[netns.Namespace]:
    with netns.anonymous() as box:
        yield box


def test_settings_are_written_read_and_put_back(box: netns.Namespace) -> None:
    before = box.call(lambda: read_all([SOMAXCONN]))
    box.call(lambda: write_all([(SOMAXCONN, "500")]))
    assert box.call(lambda: read_all([SOMAXCONN])) == {SOMAXCONN: "500"}
    assert box.call(lambda: put_back_all(before.items())) == []
    assert box.call(lambda: read_all([SOMAXCONN])) == before


def test_what_can_be_written_only_is_not_read(box: netns.Namespace) -> None:
    assert box.call(lambda: read_all(["ipv4/route/flush", SOMAXCONN])).keys() == {SOMAXCONN}


def test_what_is_refused_names_the_setting(box: netns.Namespace) -> None:
    for values in ([("ipv4/nothing", "1")], [(SOMAXCONN, "many")]):
        with pytest.raises(PluginError) as raised:
            box.call(partial(write_all, values))
        assert raised.value.code == 5
        assert raised.value.msg.startswith(f"net/{values[0][0]}: ")
    with pytest.raises(PluginError):
        box.call(lambda: read_all(["ipv4/nothing"]))


def test_putting_back_goes_on_and_tells_what_was_refused(box: netns.Namespace) -> None:
    ignored = "ipv4/conf/lo/arp_ignore"
    values = [("ipv4/nothing", "1"), (SOMAXCONN, "many"), (ignored, "1")]
    refused = box.call(lambda: put_back_all(values))
    assert [one.partition(":")[0] for one in refused] == [f"net/{SOMAXCONN}"]
    assert box.call(lambda: read_all([ignored])) == {ignored: "1"}


def test_a_list_that_was_empty_is_empty_again(box: netns.Namespace) -> None:
    ports = "ipv4/ip_local_reserved_ports"
    box.call(lambda: write_all([(ports, "80")]))
    assert box.call(lambda: put_back_all([(ports, "")])) == []
    assert box.call(lambda: read_all([ports])) == {ports: ""}


def test_putting_back_is_tried_again_where_the_machine_is_short_of_something() -> None:
    """With a limit on descriptors that leaves none."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        with pytest.raises(PluginError) as raised:
            put_back_all([(SOMAXCONN, "500")])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert raised.value.code == 11


def test_values_are_the_same_whatever_stands_between_their_numbers() -> None:
    assert is_same("20000\t30000", "20000 30000")
    assert not is_same("1", "11")
