"""On what was measured: enough to tell two machines apart, nothing that names one."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_PYTHON_PACKAGES: Final = ("acni", "anyio", "trio", "uvloop")
_DEBIAN_PACKAGES: Final = {
    "golang-go": "Go",
    "golang-github-appc-cni-dev": "libcni",
    "golang-github-containerd-go-cni-dev": "go-cni",
    "containernetworking-plugins": "Debian's plugins",
}


def describe_machine(directory: Path) -> dict[str, str]:
    """Describe the machine, a directory's file system, and the versions of what is compared."""
    memory = int(_line("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20)
    return {
        "processor": _line("/proc/cpuinfo", "model name"),
        "processors": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": file_system(directory),
        "system": _line("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "Python": platform.python_version(),
        **dict(_python_versions()),
        **dict(_debian_versions()),
    }


def file_system(directory: Path) -> str:
    """Name the file system that a directory lies on."""
    command = ["stat", "--file-system", "--format=%T", str(directory)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=20)
    # What stat calls ext2/ext3 is any of the three.
    name = done.stdout.decode().strip()
    return "ext4" if name == "ext2/ext3" else name


def _line(path: str, name: str, separator: str = ":") -> str:
    for line in Path(path).read_text().splitlines():
        label, found, value = line.partition(separator)
        if found and label.strip() == name:
            return value.strip()
    return "unknown"


def _python_versions() -> Iterator[tuple[str, str]]:
    for name in _PYTHON_PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            yield name, version(name)


def _debian_versions() -> Iterator[tuple[str, str]]:
    for package, name in _DEBIAN_PACKAGES.items():
        if found := debian_version(package):
            yield name, found


def debian_version(package: str) -> str:
    """Return the version of a package of Debian that is installed; nothing where it is not."""
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", package]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=20)
    except FileNotFoundError:
        return ""
    status, _, found = done.stdout.decode().partition(" ")
    return found if status == "installed" else ""
