"""The versions of the specification, and which of those a configuration offers is used.

Rule 1: exactly the seven released versions count; no version at all means 0.1.0.
Rule 2: well-formed versions that we do not know are skipped, malformed ones are an error (R9);
    nothing left is an error that names what was offered.
Rule 3: the highest that is left is selected. Where more than one is offered, that is the highest
    which every plugin of the chain supports.

(specification, section 1, "Version considerations")
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from acni.errors import ConfigError, VersionUnsupported

SUPPORTED_VERSIONS: Final = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""The versions of the specification that acni speaks, the oldest first.

Example:
    >>> network.cni_version in spec.SUPPORTED_VERSIONS, spec.SUPPORTED_VERSIONS[-1]
    (True, '1.1.0')
"""

# Versions whose results have the same shape: between these, writing another number is the whole
# conversion.
RESULT_SHAPES: Final = (("0.1.0", "0.2.0"), ("0.3.0", "0.3.1", "0.4.0"), ("1.0.0", "1.1.0"))

_VERSION: Final = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.\-]+)?(\+[0-9A-Za-z.\-]+)?"
)


def is_at_least(version: str, minimum: str) -> bool:
    """Tell whether a supported version is not older than another supported one."""
    return SUPPORTED_VERSIONS.index(version) >= SUPPORTED_VERSIONS.index(minimum)


def have_same_shape(one: str, other: str) -> bool:
    """Tell whether results of two supported versions have the same shape."""
    return any(one in shape and other in shape for shape in RESULT_SHAPES)


def offered_versions(offered: Iterable[str], place: str) -> tuple[str, ...]:
    """Return the supported versions among those that a configuration offers, the oldest first.

    Args:
        offered: ``cniVersion`` and ``cniVersions`` together; empty texts count as absent.
        place: Where they stand, for the errors.

    Raises:
        ConfigError: one of them is no version.
        VersionUnsupported: none of them is supported.
    """
    named = [version for version in offered if version]
    for version in named:
        if not _VERSION.fullmatch(version):
            raise ConfigError(
                f"{ascii(version)[:40]} is no version",
                place=place,
                expected="a version such as 1.0.0",
            )
    if not named:
        return SUPPORTED_VERSIONS[:1]
    known = tuple(version for version in SUPPORTED_VERSIONS if version in named)
    if not known:
        raise VersionUnsupported(
            f"no supported version among {', '.join(version[:40] for version in named[:10])}",
            place=place,
            expected="one of " + ", ".join(SUPPORTED_VERSIONS),
        )
    return known


def common_version(offered: Sequence[str], answers: Iterable[Collection[str]]) -> str | None:
    """Return the highest version that is offered and that every plugin supports, or None.

    Args:
        offered: Supported versions, the oldest first.
        answers: For each plugin of the chain, what it lists.
    """
    common = set(offered).intersection(*answers)
    return next((version for version in reversed(offered) if version in common), None)
