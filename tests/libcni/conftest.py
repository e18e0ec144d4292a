"""libcni as the judge: a program over it, built once, and the pods and host of the other tests with
real plugins.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve, frozen

from acni import Attachment
from acni.testing.pytest_plugin import CANNOT_RUN
from tests.netns.conftest import PLUGINS, host, make_pod, outside, pods

__all__ = ["host", "make_pod", "outside", "pods"]

GOPATH = Path("/usr/share/gocode")
PACKAGE = "src/github.com/containernetworking/cni/libcni"


@frozen(kw_only=True)
class Judge:
    """A runtime built on libcni, with a configuration file and a cache directory."""

    program: Path
    list_file: Path
    cache: Path
    plugin_dir: str = PLUGINS

    def configure(self, text: str) -> None:
        """Write the configuration that it is run with from now on."""
        self.list_file.write_text(text)

    def with_plugins(self, directory: str) -> Judge:
        return evolve(self, plugin_dir=directory)

    def with_cache(self, directory: Path) -> Judge:
        return evolve(self, cache=directory)

    async def add(self, attachment: Attachment) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(await self._run("add", attachment))
        return result

    async def check(self, attachment: Attachment, *options: str) -> None:
        await self._run("check", attachment, *options)

    async def delete(self, attachment: Attachment, *options: str) -> None:
        await self._run("del", attachment, *options)

    async def cached(self, attachment: Attachment) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(await self._run("cached", attachment))
        return document

    async def _run(self, verb: str, attachment: Attachment, *options: str) -> str:
        flags = {
            "list": self.list_file,
            "plugins": self.plugin_dir,
            "cache": self.cache,
            "id": attachment.container_id,
            "netns": attachment.netns,
            "ifname": attachment.ifname,
            "args": ";".join("=".join(pair) for pair in attachment.cni_args.items()),
            "capabilities": json.dumps(dict(attachment.capability_args)),
        }
        arguments = [f"-{name}={value}" for name, value in flags.items()]
        done = await anyio.run_process(
            [str(self.program), verb, *arguments, *options],
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise JudgeError(done.stderr.decode().strip())
        return done.stdout.decode()


class JudgeError(Exception):
    """libcni returned an error."""


@pytest.fixture(scope="session")
def judge_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = shutil.which("go")
    if go is None or not (GOPATH / PACKAGE).is_dir():
        pytest.skip(f"{CANNOT_RUN} no golang-go, or no golang-github-appc-cni-dev")
    directory = tmp_path_factory.mktemp("judge")
    environment = {"GO111MODULE": "off", "GOPATH": str(GOPATH), "GOFLAGS": "", "CGO_ENABLED": "0"}
    if "HOME" not in os.environ:  # where Go keeps what it compiled: a first build takes 10 s
        environment["GOCACHE"] = str(directory / "cache")
    done = subprocess.run(
        [go, "build", "-o", str(directory / "judge"), str(Path(__file__).with_name("judge.go"))],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory / "judge"


@pytest.fixture
def judge(judge_program: Path, state_dir: Path, tmp_path: Path) -> Judge:
    """libcni with acni's state directory as its cache."""
    return Judge(program=judge_program, list_file=tmp_path / "10-net.conflist", cache=state_dir)
