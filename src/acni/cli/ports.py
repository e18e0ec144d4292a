"""A port of the host that leads to a container, as people write it."""

from __future__ import annotations

import re
from typing import Any, Final

from acni.errors import ConfigError
from acni.spec.capabilities import PortMapping

_WRITTEN: Final = re.compile(
    r"(?:(?:(?:\[(?P<six>[^\]]+)\]|(?P<four>[^:\[\]]+)):)?(?P<host>[0-9]{0,5}):)?"
    r"(?P<container>[0-9]{1,5})(?:/(?P<protocol>[a-zA-Z]+))?",
    re.ASCII,
)
_EXPECTED: Final = "[[IP:]HOSTPORT:]PORT[/PROTOCOL], such as 8080:80 or 127.0.0.1:5353:53/udp"


def parse_port(text: str) -> PortMapping:
    """Parse ``[[IP:]HOSTPORT:]PORT[/PROTOCOL]``. Without HOSTPORT it is 0, by which one is picked;
    an address of IPv6 stands in brackets.

    Raises:
        ConfigError: it is none.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        message = f"{text[:80]!a} is no port; expected {_EXPECTED}"
        raise ConfigError(message, place="--publish", expected=_EXPECTED)
    given: dict[str, Any] = {
        "host": int(found["host"] or 0),
        "container": int(found["container"]),
        "protocol": (found["protocol"] or "tcp").lower(),
        "host_ip": found["six"] or found["four"],
    }
    return PortMapping(**given)
