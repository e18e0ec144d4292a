"""Finding a plugin's executable in the plugin directories.

Directories are absolute, the first match wins, and neither a directory nor a file that everybody
may write to is used (CVE-2024-33522 was a plugin directory under an attacker's control). One that
its group may write to is used, with a warning.

(specification, section 3, "Attachment Parameters": the search path; rules R7, R31, R32)
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence
from typing import Final

from acni.errors import ConfigError, PluginNotFound
from acni.host.files import parse_path
from acni.spec.names import PluginType
from acni.spec.plugin import Plugin

EXECUTABLE: Final = "executable"

_LOG: Final = logging.getLogger("acni.host")


def parse_plugin_dirs(directories: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Parse plugin directories: absolute, without the ``:`` that separates them in CNI_PATH.

    Raises:
        ConfigError: one of them is not, or there is none (the plugins' skeleton refuses an empty
            CNI_PATH).
    """
    if isinstance(directories, str):
        raise ConfigError(
            "text, where a sequence of paths was expected",
            place="plugin_dirs",
            expected="a sequence",
        )
    parsed = tuple(
        parse_path(directory, f"plugin_dirs[{index}]")
        for index, directory in enumerate(directories)
    )
    if not parsed:
        raise ConfigError(
            "no plugin directory", place="plugin_dirs", expected="at least one directory"
        )
    for index, directory in enumerate(parsed):
        if not directory.startswith("/") or ":" in directory:
            raise ConfigError(
                f"{directory!a} is not allowed",
                place=f"plugin_dirs[{index}]",
                expected="an absolute path without ':'",
            )
    return parsed


def find_executable(plugin_type: PluginType, directories: Sequence[str]) -> Plugin:
    """Find the executable of a plugin.

    Raises:
        PluginNotFound: no directory holds one; says why what was seen was passed over.
    """
    refusals: list[str] = []
    for directory in directories:
        path = f"{directory}/{plugin_type}"
        try:
            status = os.stat(path)
            refusal = _refusal(path, status) or _shared_directory(directory)
        except OSError as error:
            refusal = "" if isinstance(error, FileNotFoundError) else f"{path}: {error.strerror}"
        else:
            if not refusal:
                _warn_of_group(path, status)
                return Plugin(
                    type=plugin_type, path=path, identity=_identity(status), runner=EXECUTABLE
                )
        if refusal:
            refusals.append(refusal)
    seen = f" ({'; '.join(refusals)})" if refusals else ""
    raise PluginNotFound(
        f"no executable in {', '.join(directories)}{seen}",
        plugin=plugin_type,
        expected="a regular, executable file that not everybody may write to",
    )


def _refusal(path: str, status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is no regular file"
    if status.st_mode & stat.S_IWOTH:
        return f"everybody may write to {path}"
    if not os.access(path, os.X_OK):
        return f"{path} is not executable"
    return ""


def _shared_directory(directory: str) -> str:
    return (
        f"everybody may write to {directory}" if os.stat(directory).st_mode & stat.S_IWOTH else ""
    )


def _warn_of_group(path: str, status: os.stat_result) -> None:
    if status.st_mode & stat.S_IWGRP:
        _LOG.warning("the group %d may write to the plugin %s", status.st_gid, path)


def _identity(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}:{status.st_mtime_ns}:{status.st_size}"
