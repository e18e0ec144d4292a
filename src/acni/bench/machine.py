"""What figures depend on, besides the code: told with them, without names or paths."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

from attrs import frozen


@frozen(kw_only=True)
class Machine:
    """A machine, as far as figures depend on it.

    Attributes:
        kernel: The kernel's release.
        architecture: The processor's.
        cpus: How many this process may use.
        python: The implementation and version of Python.
        acni: The version of acni.
    """

    kernel: str
    architecture: str
    cpus: int
    python: str
    acni: str


def this_machine() -> Machine:
    """Describe the machine that this runs on."""
    system = os.uname()
    return Machine(
        kernel=system.release,
        architecture=system.machine,
        cpus=len(os.sched_getaffinity(0)),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        acni=version("acni"),
    )
