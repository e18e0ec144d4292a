"""Rights without root: who gets them, and why others do not."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from acni.host.user_namespace import APPARMOR, LIMITS, USERNS_CLONE, find_obstacle, read_settings
from tests.another_user import USER, as_another_user

USERS = LIMITS[0]

OBSTACLES = [
    pytest.param(errno.EPERM, {USERNS_CLONE: "0"}, USERNS_CLONE, id="debian"),
    pytest.param(errno.EPERM, {APPARMOR: "1"}, APPARMOR, id="ubuntu"),
    pytest.param(errno.EACCES, {APPARMOR: "1"}, APPARMOR, id="ubuntu's map"),
    pytest.param(errno.ENOSPC, {USERS: "0", USERNS_CLONE: "0"}, USERS, id="limit of users"),
    pytest.param(errno.EUSERS, {USERS: "0"}, USERS, id="limit of an old kernel"),
    pytest.param(errno.ENOSPC, {LIMITS[1]: "0"}, LIMITS[1], id="limit of networks"),
    pytest.param(errno.ENOSPC, {LIMITS[2]: "0"}, LIMITS[2], id="limit of mounts"),
    pytest.param(errno.ENOSPC, {USERS: "7"}, "", id="limit reached"),
    pytest.param(errno.EPERM, {USERS: "0"}, "", id="a limit that is not the reason"),
    pytest.param(errno.EPERM, {USERNS_CLONE: "1", APPARMOR: "0"}, "", id="a sandbox"),
    pytest.param(errno.EPERM, {}, "", id="nothing known"),
    pytest.param(errno.EINVAL, {}, "", id="another error"),
]


@pytest.mark.parametrize(("number", "settings", "setting"), OBSTACLES)
def test_the_setting_that_forbids_it_is_named(
    number: int, settings: Mapping[str, str], setting: str
) -> None:
    found = find_obstacle(OSError(number, os.strerror(number)), settings)
    assert found.setting == setting
    if setting:
        assert found.why == f"the setting {setting} is {settings[setting]}"
        assert f"sysctl {setting}=" in found.expected
    else:
        assert found.why == os.strerror(number)
        assert "namespaces" in found.expected


def test_the_settings_of_this_kernel_are_read() -> None:
    settings = read_settings()
    for name in LIMITS:
        assert settings[name] == Path("/proc/sys", *name.split(".")).read_text().strip()
        assert int(settings[name]) >= 0


@pytest.mark.netns
def test_any_user_is_root_in_a_namespace_of_its_own_and_nothing_more_outside() -> None:
    program = """if True:
        import os
        from acni.host.libc import CLONE_NEWNET
        from acni.host.user_namespace import enter_user_namespace
        before = os.readlink("/proc/self/ns/net")
        enter_user_namespace(CLONE_NEWNET)
        assert (os.getuid(), os.getgid(), os.getgroups()) == (0, 0, []), os.getgroups()
        assert os.readlink("/proc/self/ns/net") != before
        assert open("/proc/self/setgroups").read().strip() == "deny"
        print(open("/proc/self/uid_map").read().split(), open("/proc/self/gid_map").read().split())
        try:
            open("/proc/sys/kernel/hostname", "w").write("mine")
        except PermissionError:
            print("no more")
    """
    argv = as_another_user(sys.executable, "-c", program)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    own = ["0", str(USER), "1"]
    assert done.stdout.splitlines() == [f"{own} {own}", "no more"]
