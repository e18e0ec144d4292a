"""What this process may do to the network that it is in."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path
from typing import Final

from acni.host import netns

_NS_GET_USERNS: Final = 0xB701  # include/uapi/linux/nsfs.h
# include/uapi/linux/capability.h: to change the network, to make and enter namespaces.
_NEEDED: Final = (1 << 12) | (1 << 21)


def owns_network() -> bool:
    """Tell whether this process may change its own network namespace, and make others beside it.

    The capabilities alone do not tell: whoever makes a user namespace has them all, but not over
    the network namespace that was there before. Its owner is one that only a process in it, or in
    one above, is shown (ioctl_nsfs(2)).
    """
    found = re.search(
        r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE
    )
    if found is None or int(found[1], 16) & _NEEDED != _NEEDED:
        return False
    with netns.own() as own:
        try:
            os.close(fcntl.ioctl(own.fd, _NS_GET_USERNS))
        except PermissionError:
            return False
    return True
