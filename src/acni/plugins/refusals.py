"""What the plugins that change the kernel refuse with, and the kernel's words in its place.

(specification, section 5, "Error"; rule P1)
"""

from __future__ import annotations

import errno
from types import TracebackType
from typing import Final

from attrs import frozen

from acni.netlink.errors import NetlinkError, NotSupported
from acni.skel.errors import Code, PluginError, code_of
from acni.spec.reasons import INTERFACE_EXISTS

KERNEL_LACKS: Final = 100
IPV6_DISABLED: Final = 103
DIFFERS: Final = 105

_FORBIDDEN: Final = frozenset({errno.EPERM, errno.EACCES, errno.EROFS})


@frozen
class doing:  # noqa: N801 (read as a statement)
    """Says in a plugin's error what the kernel refused, of what is done in its block.

    Attributes:
        what: What is to be done, as in "making the bridge cni0".
    """

    what: str

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, NetlinkError):
            raise kernel_refusal(error, self.what) from error


def kernel_refusal(error: NetlinkError, what: str) -> PluginError:
    """Make the error of something that the kernel refused."""
    code, reason = int(code_of(error.errno)), None
    if isinstance(error, NotSupported):
        code, reason = KERNEL_LACKS, "kernel-feature"
    elif error.errno in _FORBIDDEN:
        reason = "not-permitted"
    return PluginError(code, f"{what}: {error.strerror}", reason=reason)


def kernel_lacks(what: str) -> PluginError:
    """Make the error of a feature that this kernel does not have."""
    return PluginError(KERNEL_LACKS, f"this kernel has no {what}", reason="kernel-feature")


def interface_exists(ifname: str, details: str = "") -> PluginError:
    """Make the error of an interface that is there already (P1)."""
    message = f"CNI_IFNAME: an interface {ifname} already exists"
    return PluginError(Code.INVALID_ENVIRONMENT, message, details=details, reason=INTERFACE_EXISTS)


def ipv6_disabled(what: str) -> PluginError:
    """Make the error of an address that IPv6 does not take."""
    message = f"{what}: IPv6 is disabled there"
    details = "net.ipv6.conf.<interface>.disable_ipv6 is 1, or this kernel has no IPv6"
    return PluginError(IPV6_DISABLED, message, details=details, reason="ipv6-disabled")


def differs(message: str, reason: str) -> PluginError:
    """Make the error of a CHECK that finds what an ADD did not leave."""
    return PluginError(DIFFERS, message, reason=reason)
