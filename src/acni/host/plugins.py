"""Finding a plugin's executable in the plugin directories.

Directories are absolute, the first match wins, and neither a directory nor a file that everybody
may write to is used (CVE-2024-33522 was a plugin directory under an attacker's control). One that
its group may write to is used; what was found says so, and the engine warns of it once.

(specification, section 3, "Attachment Parameters": the search path; rules R7, R31, R32)
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from typing import Final

from acni.errors import ConfigError, PluginNotFound
from acni.host.files import parse_path
from acni.spec.names import PluginType
from acni.spec.plugin import Plugin

# The kinds of runner that acni has.
EXECUTABLE: Final = "executable"
BUILTIN: Final = "builtin"


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
            file = os.stat(path)
            places = {path: file} | {where: os.stat(where) for where in _homes(directory, path)}
        except OSError as error:
            refusal = "" if isinstance(error, FileNotFoundError) else f"{path}: {error.strerror}"
        else:
            refusal = _refusal(path, places)
            if not refusal:
                return Plugin(
                    type=plugin_type,
                    path=path,
                    identity=_identity(file),
                    runner=EXECUTABLE,
                    warnings=_warnings(places),
                )
        if refusal:
            refusals.append(refusal)
    seen = f" ({'; '.join(refusals)})" if refusals else ""
    raise PluginNotFound(
        f"no executable in {', '.join(directories)}{seen}",
        plugin=plugin_type,
        expected="a regular, executable file that not everybody may write to",
    )


def is_there(plugin_type: PluginType, directories: Sequence[str]) -> bool:
    """Tell whether there is anything of a plugin's name, though it may be none that is used."""
    return any(os.path.lexists(f"{directory}/{plugin_type}") for directory in directories)


def added_by_another(plugin_type: PluginType, added_by: str) -> PluginNotFound:
    """Make the error of a plugin that an ADD had run by another kind of runner."""
    return PluginNotFound(
        f"it was added by a plugin of the kind {added_by!a}, which is not run here",
        plugin=plugin_type,
        expected="a runner of the same kind",
    )


def _homes(directory: str, path: str) -> tuple[str, ...]:
    """Return the directories in which the executable can be replaced: the plugin directory, and for
    a link the one that it leads into.
    """
    if not os.path.islink(path):
        return (directory,)
    return (directory, os.path.dirname(os.path.realpath(path)))


def _refusal(path: str, places: Mapping[str, os.stat_result]) -> str:
    if not stat.S_ISREG(places[path].st_mode):
        return f"{path} is no regular file"
    for where, status in places.items():
        if status.st_mode & stat.S_IWOTH:
            return f"everybody may write to {where}"
    if not os.access(path, os.X_OK):
        return f"{path} is not executable"
    return ""


def _warnings(places: Mapping[str, os.stat_result]) -> tuple[str, ...]:
    return tuple(
        f"the group {status.st_gid} may write to {where}"
        for where, status in places.items()
        if status.st_mode & stat.S_IWGRP
    )


def _identity(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}:{status.st_mtime_ns}:{status.st_size}"
