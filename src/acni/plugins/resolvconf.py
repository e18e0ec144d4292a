"""The DNS settings of a resolv.conf(5), which ``resolvConf`` of host-local names.

(the reference's plugins/ipam/host-local/dns.go)
"""

from __future__ import annotations

from typing import Final

from acni.host.files import read_regular
from acni.spec.result import Dns

_MAX_BYTES: Final = 1 << 20
_LEAST_WORDS: Final = 2


def read_resolv_conf(path: str) -> Dns:
    """Read the DNS settings of a file.

    Raises:
        OSError: it cannot be read, is no regular file or is too large.
    """
    raw = read_regular(path, max_bytes=_MAX_BYTES, follow=True)
    return parse_resolv_conf(raw.decode("utf-8", "replace"))


def parse_resolv_conf(text: str) -> Dns:
    """Parse the DNS settings of a text; of two domains the last counts, everything else adds up."""
    found: dict[str, list[str]] = {"nameserver": [], "domain": [], "search": [], "options": []}
    for line in text.split("\n"):
        words = line.split()
        if len(words) < _LEAST_WORDS or words[0][0] in "#;":
            continue
        keyword, *values = words
        if keyword in ("nameserver", "domain"):
            found[keyword].append(values[0])
        elif keyword in found:
            found[keyword] += values
    return Dns(
        nameservers=tuple(found["nameserver"]),
        domain=found["domain"][-1] if found["domain"] else None,
        search=tuple(found["search"]),
        options=tuple(found["options"]),
    )
