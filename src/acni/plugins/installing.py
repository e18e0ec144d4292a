"""The built-in plugins put into a plugin directory: one script, and a link to it for each of them.

The script starts the Python that it was made by without looking for other packages (``-I -S``: no
``site``, and nothing of PYTHONPATH and its like, which a runtime may have), and names the
directories in which acni and what it needs are. So the start is as short as it can be, the script
runs in a virtual environment that nobody activated, and no variable of the runtime changes what it
loads.

Rule 1: what another has put there is not touched, unless that is asked for.
Rule 2: each file appears whole, and takes the place of its predecessor at once: a runtime may be
    starting it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

from acni.plugins.catalog import BUILT_IN

SCRIPT: Final = "acni-plugin"
# What is imported, beside the standard library.
_PACKAGES: Final = ("acni", "attr", "attrs")
_MARK: Final = "# Made by `acni-plugin install`."
# The kernel reads so much of the first line (BINPRM_BUF_SIZE of Linux 5.1; before it was 128).
_MAX_FIRST_LINE: Final = 127
_MODE: Final = 0o755


class InstallError(Exception):
    """Something in the way, or a Python that cannot be named."""


def install(directory: str, *, is_forced: bool = False) -> tuple[str, ...]:
    """Put the built-in plugins into a directory.

    Args:
        directory: Where runtimes look for plugins; it is made where it is not there.
        is_forced: Whether what others have put there is replaced.

    Returns:
        What was made: paths.

    Raises:
        InstallError: somebody else's file is in the way, or a directory, whether forced or not;
            nothing was changed.
        OSError: it cannot be written.
    """
    names = [SCRIPT, *BUILT_IN]
    if directories := [name for name in names if _is_directory(os.path.join(directory, name))]:
        message = f"{directory} has {', '.join(directories)} of somebody else: no file replaces"
        raise InstallError(f"{message} a directory")
    taken = [name for name in names if not (is_forced or _is_free(os.path.join(directory, name)))]
    if taken:
        message = f"{directory} has {', '.join(taken)} of somebody else: --force replaces them"
        raise InstallError(message)
    text = script(sys.executable, _package_directories())
    os.makedirs(directory, exist_ok=True)
    _put_file(os.path.join(directory, SCRIPT), text)
    for name in BUILT_IN:
        _put_link(os.path.join(directory, name), SCRIPT)
    return tuple(os.path.join(directory, name) for name in names)


def script(python: str, directories: Sequence[str]) -> str:
    """Write the script.

    Args:
        python: The interpreter's absolute path.
        directories: Where packages are, in the order in which they are looked for.

    Raises:
        InstallError: no first line of a script can name the interpreter.
    """
    first = f"#!{python} -IS"
    if not os.path.isabs(python) or " " in python or len(os.fsencode(first)) > _MAX_FIRST_LINE:
        raise InstallError(f"a script cannot name the interpreter {python!a}")
    return f"""{first}
{_MARK}
import sys

sys.path += {list(directories)!a}
from acni.plugins.__main__ import main

main()
"""


def _package_directories() -> list[str]:
    """Name the directories in which the packages are, each once."""
    found: dict[str, None] = {}
    for package in _PACKAGES:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise InstallError(f"the package {package} is no directory")
        (home, *_) = spec.submodule_search_locations
        found[os.path.dirname(os.path.abspath(home))] = None
    return list(found)


def _is_free(path: str) -> bool:
    """Tell whether nothing is there, or what we made."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            return os.readlink(path) == SCRIPT
        return stat.S_ISREG(mode) and _MARK.encode() in _beginning(path)
    except FileNotFoundError:
        return True


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _beginning(path: str) -> bytes:
    """Read where our mark would be. What was a file may be another thing by now: a pipe would be
    waited for.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        return file.read(len(_MARK) + 1024)


def _put_file(path: str, text: str) -> None:
    fresh = f"{path}.{os.getpid()}"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with open(fd, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(fresh, _MODE)  # whatever the umask
        os.replace(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise


def _put_link(path: str, target: str) -> None:
    fresh = f"{path}.{os.getpid()}"
    os.symlink(target, fresh)
    try:
        os.replace(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise
