"""Where acni behaves otherwise than libcni, on purpose: each side by side."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from attrs import define, evolve

from acni import (
    Attachment,
    AttachmentExists,
    AttachmentNotFound,
    InvalidName,
    NetworkConfig,
    PluginFailed,
    PluginNotFound,
    Runtime,
    netns,
    open_runtime,
    parse_network,
)
from acni.testing import Behaviour, RecordingPlugins
from tests.libcni.conftest import Judge, JudgeError

pytestmark = [pytest.mark.anyio, pytest.mark.netns]


@define(eq=False)
class Sides:
    """Both runtimes over the same plugins: libcni with its cache, acni with its state directory."""

    libcni: Judge
    acni: Runtime
    plugins: RecordingPlugins
    seen: int = 0

    def configure(self, **members: object) -> NetworkConfig:
        chain = [{"type": name} for name in ("first", "second", "third")]
        document = {"cniVersion": "1.0.0", "name": "net", "plugins": chain} | members
        text = json.dumps(document)
        self.libcni.configure(text)
        return parse_network(text.encode())

    def asked(self) -> list[str]:
        """Return what plugins were asked since the last time."""
        calls = [str(call) for call in self.plugins.calls]
        new, self.seen = calls[self.seen :], len(calls)
        return new


@pytest.fixture
async def sides(
    judge: Judge, plugins: RecordingPlugins, tmp_path: Path, state_dir: Path
) -> AsyncIterator[Sides]:
    libcni = judge.with_plugins(plugins.directory).with_cache(tmp_path / "cache")
    async with open_runtime(state_dir=state_dir, plugin_dirs=[plugins.directory]) as runtime:
        yield Sides(libcni, runtime, plugins)


@pytest.fixture
def attachment() -> Iterator[Attachment]:
    with netns.anonymous() as box:
        yield Attachment(container_id="c1", netns=box.path)


CHAIN = ["first", "second", "third"]
ADD = [f"ADD {name}" for name in CHAIN]
DEL = [f"DEL {name}" for name in CHAIN[::-1]]


@pytest.mark.rule("R2")
async def test_disabled_checks_succeed_whatever_the_version(
    sides: Sides, attachment: Attachment
) -> None:
    """R2: libcni looks at the version first."""
    network = sides.configure(cniVersion="0.3.1", disableCheck=True)
    await sides.libcni.add(attachment)
    with pytest.raises(JudgeError, match="does not support the CHECK command"):
        await sides.libcni.check(attachment)
    await sides.acni.add(network, attachment)
    await sides.acni.check(attachment)
    assert sides.asked() == ADD * 2


@pytest.mark.rule("R18")
async def test_what_was_never_added_cannot_be_checked(sides: Sides, attachment: Attachment) -> None:
    """R18: libcni asks the plugins, without a result."""
    sides.configure()
    await sides.libcni.check(attachment)
    assert sides.asked() == ["CHECK first", "CHECK second", "CHECK third"]
    with pytest.raises(AttachmentNotFound):
        await sides.acni.check(attachment)
    assert sides.asked() == []


@pytest.mark.rule("R15")
async def test_what_is_attached_is_not_added_again(sides: Sides, attachment: Attachment) -> None:
    """R15: libcni runs the chain again and forgets the first result."""
    network = sides.configure()
    await sides.libcni.add(attachment)
    await sides.libcni.add(attachment)
    assert sides.asked() == ADD * 2
    await sides.acni.add(network, attachment)
    with pytest.raises(AttachmentExists):
        await sides.acni.add(network, attachment)
    assert sides.asked() == ADD


@pytest.mark.rule("R28", "R46")
async def test_a_failed_add_is_undone(sides: Sides, attachment: Attachment) -> None:
    """R28, R46: libcni leaves that to its caller."""
    network = sides.configure()
    sides.plugins.tell("second", "ADD", Behaviour.failing(7, "no"))
    with pytest.raises(JudgeError, match="no"):
        await sides.libcni.add(attachment)
    assert sides.asked() == ["ADD first", "ADD second"]
    assert sides.plugins.held == {"first/c1/eth0"}
    with pytest.raises(PluginFailed, match="no"):
        await sides.acni.add(network, attachment)
    assert sides.asked() == ["ADD first", "ADD second", *DEL]
    assert sides.plugins.held == set()


@pytest.mark.rule("R32")
async def test_a_missing_plugin_is_missed_before_anything_runs(
    sides: Sides, attachment: Attachment
) -> None:
    """R32: libcni misses it when its turn comes."""
    network = sides.configure()
    sides.plugins.remove("second")
    with pytest.raises(JudgeError, match="second"):
        await sides.libcni.add(attachment)
    assert sides.asked() == ["ADD first"]
    with pytest.raises(PluginNotFound):
        await sides.acni.add(network, attachment)
    assert sides.asked() == []


async def test_a_dead_path_is_never_passed_on(
    sides: Sides, attachment: Attachment, clean_host: None
) -> None:
    """Design, 4: libcni passes it; a plugin may make a regular file there."""
    network = sides.configure()
    with netns.create("box") as box:
        pod = Attachment(container_id="c2", netns=box.path)
        await sides.libcni.add(pod)
        await sides.acni.add(network, pod)
    await sides.libcni.delete(pod)
    await sides.acni.delete(pod)
    assert sides.asked() == [*ADD, *ADD, *DEL, *DEL]
    paths = [call.environment["CNI_NETNS"] for call in sides.plugins.calls[6:]]
    assert paths == [pod.netns] * 3 + [""] * 3


async def test_a_path_that_is_no_namespace_is_refused(sides: Sides, tmp_path: Path) -> None:
    """Design, 4: libcni leaves that to the plugins."""
    network = sides.configure()
    pod = Attachment(container_id="c3", netns=str(tmp_path))
    await sides.libcni.add(pod)
    with pytest.raises(InvalidName):
        await sides.acni.add(network, pod)
    assert sides.asked() == ADD


@pytest.mark.rule("R20")
async def test_the_arguments_of_a_check_and_a_delete_are_those_of_the_add(
    sides: Sides, attachment: Attachment
) -> None:
    """R20: libcni takes the caller's."""
    network = sides.configure(plugins=[{"type": "first", "capabilities": {"mac": True}}])
    mac = "02:00:00:00:00:01"
    with_arguments = evolve(attachment, cni_args={"K": "V"}, capability_args={"mac": mac})
    await sides.libcni.add(with_arguments)
    await sides.libcni.check(attachment)
    await sides.libcni.delete(attachment)
    await sides.acni.add(network, with_arguments)
    await sides.acni.check(attachment)
    await sides.acni.delete(attachment)
    given = [
        (call.environment["CNI_ARGS"], call.config.get("runtimeConfig"))
        for call in sides.plugins.calls
    ]
    theirs = ("K=V", {"mac": mac})
    assert given == [theirs, ("", None), ("", None), theirs, theirs, theirs]
