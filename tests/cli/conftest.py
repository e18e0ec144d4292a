"""The command as a process, with a configuration directory, recording plugins and a state directory
of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acni import netns
from acni.testing import RecordingPlugins
from tests.another_user import open_directory

Run = Callable[..., subprocess.CompletedProcess[str]]

SECRET = "c2VjcmV0"  # noqa: S105 (made up)


@pytest.fixture
def box() -> Iterator[netns.Namespace]:
    with netns.anonymous() as namespace:
        yield namespace


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory for temporary files that everybody may write to."""
    with open_directory() as directory:
        yield directory


@pytest.fixture
def conf_dir(tmp_path: Path) -> Path:
    """A directory with the network net, a broken file, and nothing else."""
    conf_dir = tmp_path / "net.d"
    conf_dir.mkdir()
    (conf_dir / "10-net.conflist").write_text(
        '{"cniVersion":"1.0.0","name":"net","x":1e2,"plugins":['
        f'{{"type":"first","n":123456789012345678901234567890,"password":"{SECRET}"}},'
        '{"type":"second","capabilities":{"portMappings":true}}]}'
    )
    (conf_dir / "20-broken.conflist").write_text('{"name":"broken","plugins":[7]}')
    return conf_dir


@pytest.fixture
def environment(tmp_path: Path, conf_dir: Path, plugins: RecordingPlugins) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "NETCONFPATH": str(conf_dir),
        "CNI_PATH": plugins.directory,
        "ACNI_STATE_DIR": str(tmp_path / "state"),
    }


@pytest.fixture
def acni(environment: dict[str, str]) -> Run:
    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "acni", *arguments],
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return run
