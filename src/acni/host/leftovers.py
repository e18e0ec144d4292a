"""What plugins leave on a host: links, named namespaces, firewall rules, address leases; taken
twice and compared.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from attrs import frozen

from acni.host.netns import NAMED

LEASES: Final = "/var/lib/cni/networks"

_SAVES: Final = ("iptables-save", "ip6tables-save")
_COUNTERS: Final = re.compile(r"\[\d+:\d+\]")


@frozen(kw_only=True)
class Leftovers:
    """What was found on a host at one moment.

    Attributes:
        links: The names of the links in the calling thread's network namespace.
        namespaces: The named network namespaces.
        rules: The lines of iptables-save and ip6tables-save, without counters.
        leases: host-local's files, as ``<network>/<address>``, its bookkeeping left out.

    Example:
        >>> testing.look_for_leftovers().links
        frozenset({...'lo'...})
    """

    links: frozenset[str]
    namespaces: frozenset[str]
    rules: tuple[str, ...]
    leases: frozenset[str]

    def beyond(self, earlier: Leftovers) -> list[str]:
        """Describe what is here now and was not, or was and is not, in lines; empty when both are
        equal.

        Args:
            earlier: What was found then.

        Example:
            >>> before = testing.look_for_leftovers()
            >>> with netns.create("box"):
            ...     testing.look_for_leftovers().beyond(before)
            ['new namespace: box']
            >>> testing.look_for_leftovers().beyond(before)
            []
        """
        return [
            *_differences("link", self.links, earlier.links),
            *_differences("namespace", self.namespaces, earlier.namespaces),
            *_differences("rule", self.rules, earlier.rules),
            *_differences("lease", self.leases, earlier.leases),
        ]


def look_for_leftovers() -> Leftovers:
    """Look at this host. Rules are left out where the programs that list them are not installed.

    Example:
        >>> before = testing.look_for_leftovers()
        >>> result = call("add", network, attachment)
        >>> testing.look_for_leftovers().beyond(before)  # a double makes nothing
        []
    """
    return Leftovers(
        links=frozenset(name for _, name in socket.if_nameindex()),
        namespaces=frozenset(os.listdir(NAMED)) if os.path.isdir(NAMED) else frozenset(),
        rules=tuple(line for program in _SAVES for line in _rules(program)),
        leases=frozenset(_leases()),
    )


def _rules(program: str) -> list[str]:
    path = shutil.which(program)
    if path is None:
        return []
    saved = subprocess.run(
        [path], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True
    )
    lines = (_COUNTERS.sub("", line).strip() for line in saved.stdout.splitlines())
    return [f"{program}: {line}" for line in lines if line and not line.startswith("#")]


def _leases() -> list[str]:
    # last_reserved_ip.N and lock are host-local's bookkeeping: they stay after the last lease.
    paths = Path(LEASES).glob("*/*")
    return [
        f"{path.parent.name}/{path.name}"
        for path in paths
        if path.name != "lock" and not path.name.startswith("last_")
    ]


def _differences(what: str, now: Iterable[str], earlier: Iterable[str]) -> list[str]:
    # Counted: a rule can be there twice.
    new, missing = Counter(now) - Counter(earlier), Counter(earlier) - Counter(now)
    return [f"new {what}: {name}" for name in sorted(new.elements())] + [
        f"missing {what}: {name}" for name in sorted(missing.elements())
    ]
