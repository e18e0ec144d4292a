"""A control group for each run: what fails is killed whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

import acni
from acni.errors import ConfigError, PluginNotStarted
from acni.host.cgroups import Cgroup, Cgroups
from acni.host.process import Executables
from acni.host.spawn import make_spawner
from acni.spec.names import PluginType
from acni.spec.plugin import Caps, Ending, Plugin, Request, Response
from acni.testing import RecordingPlugins
from tests.host.conftest import groups, unified

# A daemon in a session of its own, which a signal to the plugin's group does not reach.
DAEMON = "setsid sleep 300 >/dev/null 2>&1 </dev/null & "


def processes(delegated: Path) -> list[int]:
    return [
        int(pid)
        for group in groups(delegated)
        for pid in (group / "cgroup.procs").read_text().split()
    ]


async def run(
    delegated: Path, script: str, *, seconds: float = 15.0, runner: Executables | None = None
) -> Response:
    path = delegated_script(script)
    plugin = Plugin(type=PluginType("p"), path=path, identity="", runner="executable")
    try:
        return await (runner or Executables(grace_seconds=0.2, cgroup=str(delegated))).run(
            plugin,
            Request(environment={"PATH": "/usr/bin:/bin"}, stdin=b""),
            deadline=anyio.current_time() + seconds,
            caps=Caps(stdout_bytes=1000),
        )
    finally:
        Path(path).unlink()


def delegated_script(script: str) -> str:
    path = Path(f"/tmp/acni-cgroup-{os.getpid()}-{time.monotonic_ns()}")
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.anyio
async def test_a_run_begins_in_a_group_of_its_own_that_goes_with_it(delegated: Path) -> None:
    response = await run(delegated, "cat /proc/self/cgroup; ls /proc/self/fd")
    own = [line for line in response.stdout.decode().splitlines() if line.startswith("0::")]
    assert f"/{delegated.name}/acni-run-" in own[0]
    assert response.stdout.decode().split()[-4:] == ["0", "1", "2", "3"]
    assert groups(delegated) == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("script", "ending"),
    [
        pytest.param(DAEMON + "exit 1", Ending.EXITED, id="fails"),
        pytest.param(DAEMON + "kill -9 $$", Ending.SIGNALLED, id="is killed"),
        pytest.param(DAEMON + "sleep 300", Ending.OUT_OF_TIME, id="hangs"),
        pytest.param(DAEMON + "yes", Ending.OVER_CAP, id="floods"),
        pytest.param(
            DAEMON + "while :; do setsid sleep 300 & done", Ending.OUT_OF_TIME, id="goes on forking"
        ),
    ],
)
async def test_of_a_run_that_failed_nothing_lives(
    delegated: Path, script: str, ending: Ending
) -> None:
    seconds = 0.3 if ending is Ending.OUT_OF_TIME else 15
    response = await run(delegated, script, seconds=seconds)
    assert response.ending is ending
    assert groups(delegated) == []


@pytest.mark.anyio
async def test_of_a_run_that_was_cancelled_nothing_lives(delegated: Path) -> None:
    with anyio.move_on_after(0.3) as scope:
        await run(delegated, DAEMON + "sleep 300")
    assert scope.cancelled_caught
    assert groups(delegated) == []


@pytest.mark.anyio
async def test_after_a_success_a_daemon_lives_and_its_group_is_removed_once_it_is_empty(
    delegated: Path,
) -> None:
    runner = Executables(cgroup=str(delegated))
    assert (await run(delegated, DAEMON + "exit 0", runner=runner)).status == 0
    (daemon,) = processes(delegated)
    assert (await run(delegated, "exit 0", runner=runner)).status == 0
    assert processes(delegated) == [daemon]
    pidfd = os.pidfd_open(daemon)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        await anyio.wait_readable(pidfd)
    finally:
        os.close(pidfd)
    assert (await run(delegated, "exit 0", runner=runner)).status == 0
    assert groups(delegated) == []


@pytest.mark.anyio
async def test_daemons_that_live_long_do_not_keep_the_groups_of_those_that_ended(
    delegated: Path,
) -> None:
    runner = Executables(cgroup=str(delegated))
    for _ in range(5):
        assert (await run(delegated, DAEMON + "exit 0", runner=runner)).status == 0
    long_lived = processes(delegated)
    assert (await run(delegated, DAEMON + "exit 0", runner=runner)).status == 0
    (ended,) = set(processes(delegated)) - set(long_lived)
    pidfd = os.pidfd_open(ended)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        await anyio.wait_readable(pidfd)
    finally:
        os.close(pidfd)
    for _ in range(3):
        assert (await run(delegated, "exit 0", runner=runner)).status == 0
    assert len(groups(delegated)) == 5


@pytest.mark.anyio
async def test_the_groups_that_a_plugin_made_itself_go_with_its_own(delegated: Path) -> None:
    script = (
        f"own=$(echo {delegated}/acni-run-*); mkdir -p $own/a/b; sleep 300 &\n"
        "echo $! > $own/a/b/cgroup.procs; exit 1"
    )
    response = await run(delegated, script)
    assert (response.ending, response.status) == (Ending.EXITED, 1)
    assert groups(delegated) == []


@pytest.mark.anyio
async def test_a_group_that_cannot_be_made_starts_nothing_and_says_why(delegated: Path) -> None:
    runner = Executables(cgroup=str(delegated))
    (delegated / "cgroup.max.descendants").write_text("0")
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(PluginNotStarted, match="no control group can be made in") as caught:
            await run(delegated, "exit 0", runner=runner)
        assert caught.value.place == "cgroup"
    assert groups(delegated) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.mark.netns
@pytest.mark.anyio
async def test_a_directory_that_vanishes_fails_an_add_which_says_why_and_is_owed_until_it_is_back(
    delegated: Path, tmp_path: Path
) -> None:
    plugins = RecordingPlugins(tmp_path / "plugins")
    plugins.install("bridge")
    network = acni.networks.from_plugins("net", {"type": "bridge"})
    within = delegated / "within"
    within.mkdir()
    with acni.netns.anonymous() as box:
        attachment = acni.Attachment(container_id="c1", netns=box)
        async with acni.open_runtime(
            state_dir=tmp_path / "state", plugin_dirs=[plugins.directory], cgroup=within
        ) as runtime:
            await runtime.add(network, attachment)
            await runtime.delete(attachment)
            within.rmdir()
            with pytest.raises(PluginNotStarted, match="No such file") as caught:
                await runtime.add(network, attachment)
            assert str(within) in caught.value.message
            assert (caught.value.plugin, caught.value.place) == ("bridge", "cgroup")
            assert caught.value.debt is not None
            within.mkdir()
            assert str((await runtime.add(network, attachment)).ipv4)
            await runtime.delete(attachment)
            assert await runtime.debts() == ()
    assert plugins.held == set()
    within.rmdir()


def test_what_an_earlier_process_left_is_removed_only_when_it_is_old_and_empty(
    delegated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (delegated / "acni-run-0").mkdir()
    (delegated / "other").mkdir()
    Cgroups(str(delegated))
    assert [group.name for group in groups(delegated)] == ["acni-run-0"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    Cgroups(str(delegated))
    assert groups(delegated) == []
    (delegated / "other").rmdir()


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        pytest.param("/tmp", "is no directory of cgroup v2", id="another file system"),
        pytest.param("/absent", "is no directory of cgroup v2", id="missing"),
        pytest.param("/etc/passwd", "is no directory of cgroup v2", id="file"),
        pytest.param("", "is not absolute", id="empty"),
        pytest.param("acni", "is not absolute", id="relative"),
    ],
)
def test_what_is_no_cgroup_is_refused(directory: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Executables(cgroup=directory)
    assert caught.value.place == "cgroup"
    assert "delegated" in str(caught.value.expected)


def test_a_relative_path_is_refused_even_where_it_leads_to_a_cgroup(
    delegated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(delegated.parent)
    with pytest.raises(ConfigError, match="is not absolute"):
        Executables(cgroup=delegated.name)


def test_the_root_of_all_cgroups_is_refused() -> None:
    mount = unified()
    if mount is None or (mount / "cgroup.kill").exists():
        pytest.skip("cannot run here: the root of cgroup v2 is not to be seen")
    with pytest.raises(ConfigError, match=r"has no cgroup\.kill"):
        Executables(cgroup=str(mount))


def test_a_cgroup_below_which_none_can_be_made_is_refused(delegated: Path) -> None:
    (delegated / "cgroup.max.descendants").write_text("0")
    with pytest.raises(ConfigError, match="temporarily unavailable") as caught:
        Executables(cgroup=str(delegated))
    assert str(delegated) in str(caught.value)
    assert groups(delegated) == []


def test_what_only_looks_like_a_cgroup_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    for name in ("cgroup.controllers", "cgroup.kill"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match="No such file"):
        Executables(cgroup=str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 2


def test_opening_leaves_no_group(delegated: Path) -> None:
    Executables(cgroup=str(delegated))
    assert groups(delegated) == []


_AS_NOBODY = """
import os, sys
from acni import ConfigError, Executables
os.setgid(65534)
os.setuid(65534)
try:
    Executables(cgroup=sys.argv[1])
except ConfigError as error:
    print(error.place, error.message)
"""


def test_a_cgroup_that_was_delegated_to_another_is_refused(delegated: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, delegated],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    ).stdout
    assert printed == f"cgroup '{delegated}': Permission denied\n"


@pytest.mark.parametrize("cgroup", ["", "relative", "/absent", "/a\0b", b"/bytes"])
@pytest.mark.anyio
async def test_a_runtime_is_not_opened_over_what_is_no_cgroup(tmp_path: Path, cgroup: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        async with acni.open_runtime(state_dir=tmp_path / "state", cgroup=cgroup):
            raise AssertionError("opened")
    assert caught.value.place == "cgroup"
    assert caught.value.expected


@pytest.mark.anyio
async def test_ending_a_run_in_a_group_needs_no_more_descriptors(delegated: Path) -> None:
    runner = Executables(grace_seconds=0.2, cgroup=str(delegated))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []

    class Taking:
        """Leaves no descriptor once the process is started."""

        def spawn(self, *arguments: Any) -> None:
            make_spawner().spawn(*arguments)
            while True:
                try:
                    taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
                except OSError:
                    return

    runner._spawner = Taking()
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        response = await run(delegated, DAEMON + "exit 1", runner=runner)
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (response.ending, response.status) == (Ending.EXITED, 1)
    assert groups(delegated) == []


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [pytest.param("asyncio", id="asyncio")])
async def test_a_group_that_a_native_cancellation_left_is_removed_by_a_later_run(
    delegated: Path,
) -> None:
    runner = Executables(cgroup=str(delegated))
    assert runner._cgroups is not None
    cgroup = runner._cgroups.make()
    sleeper = _sleeper_in(cgroup)
    ending = asyncio.create_task(runner._cgroups.end(cgroup))
    await asyncio.sleep(0)
    ending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ending
    cgroup.close()
    _wait_for(sleeper)
    assert (await run(delegated, "exit 0", runner=runner)).status == 0
    assert groups(delegated) == []


@pytest.mark.anyio
async def test_a_runner_of_ones_own_and_a_cgroup_exclude_each_other(
    delegated: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        async with acni.open_runtime(
            state_dir=tmp_path / "state", runner=Executables(), cgroup=delegated
        ):
            raise AssertionError("opened")
    assert caught.value.place == "cgroup"


def _sleeper_in(cgroup: Cgroup) -> subprocess.Popen[bytes]:
    sleeper = subprocess.Popen(["sleep", "60"])
    (Path(cgroup.path) / "cgroup.procs").write_text(str(sleeper.pid))
    return sleeper


def _wait_for(sleeper: subprocess.Popen[bytes]) -> None:
    """Reap it: it was killed with its group."""
    assert sleeper.wait(timeout=200) == -signal.SIGKILL
