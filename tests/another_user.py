"""A program run by a user who is not root: one without a name, a home and a file of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import anyio
import pytest

import acni

USER: Final = 65534

# The first user here, the same one outside, and how many there are (user_namespaces(7)).
_FIRST, _, _COUNT = Path("/proc/self/uid_map").read_text().split()[:3]


def as_another_user(*argv: str) -> list[str]:
    """Return the command that runs a program as that user; ends the test where there is none."""
    if int(_FIRST) + int(_COUNT) <= USER:
        pytest.skip("cannot run here: there is no user but root")
    if not all(map(_is_open_to_all, (sys.executable, acni.__file__, anyio.__file__))):
        pytest.skip("cannot run here: another user may not run this Python, or import acni")
    number = str(USER)
    return ["setpriv", "--reuid", number, "--regid", number, "--clear-groups", *argv]


def _is_open_to_all(path: str) -> bool:
    """Tell whether everybody may come to a file, and to what it is a link to."""
    return all(
        above.stat().st_mode & 0o001
        for way in (Path(path).absolute(), Path(path).resolve())
        for above in way.parents
    )


def without_rights(*argv: str) -> list[str]:
    """Return the command that runs a program as root without any capability, in whatever user
    namespace it is started.
    """
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *argv]


@contextmanager
def open_directory() -> Iterator[Path]:
    """Make a directory that everybody may write to. It lies beside pytest's, which each session of
    tests that begins keeps to itself again.
    """
    with tempfile.TemporaryDirectory(prefix="acni-open-") as made:
        directory = Path(made)
        directory.chmod(0o777)
        yield directory
