"""What a plugin refuses with (specification, section 5, "Error"; rule P10)."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Final

# What the machine lacks just now; by the next try it may have it.
_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN})


class Code(IntEnum):
    """The specification's error codes; 100 and up are a plugin's own.

    Attributes:
        INCOMPATIBLE_VERSION: The version of the request is not spoken.
        UNSUPPORTED_FIELD: A member of the configuration is not supported.
        UNKNOWN_CONTAINER: The container is not known, or is gone.
        INVALID_ENVIRONMENT: A variable is missing or not allowed.
        IO_FAILURE: Something could not be read, written or done.
        DECODING_FAILURE: Standard input is not what it should be.
        INVALID_CONFIG: The configuration is not allowed.
        INVALID_NETNS: The container's namespace is the plugin's own; libcni's, not the
            specification's.
        TRY_AGAIN: By the next try it may succeed: :class:`acni.TryAgain <acni.errors.TryAgain>`.
        NOT_AVAILABLE: STATUS: no ADD can succeed.
        LIMITED: The same, and containers of the network may have lost connectivity.
        INTERNAL: What nobody expected.

    Example:
        >>> skel.Code.TRY_AGAIN
        <Code.TRY_AGAIN: 11>
    """

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    DECODING_FAILURE = 6
    INVALID_CONFIG = 7
    INVALID_NETNS = 8
    TRY_AGAIN = 11
    NOT_AVAILABLE = 50
    LIMITED = 51
    # What nobody expected; the skeleton of the Go plugins prints this one, too.
    INTERNAL = 999


def code_of(number: int | None) -> Code:
    """Return the code of what the machine refused, by its errno."""
    return Code.TRY_AGAIN if number in _PASSING else Code.IO_FAILURE


class PluginError(Exception):
    """A plugin's refusal: it becomes the specification's error object.

    Attributes:
        code: The specification's code, or one of the plugin's own from 100 on.
        msg: What went wrong, in a sentence, without secrets.
        details: More of it; empty where there is none.
        reason: A stable word for it, or None; an extra member of the error object.

    The runtime's caller gets :class:`acni.PluginFailed <acni.errors.PluginFailed>`.

    Example:
        >>> def add(call):
        ...     raise skel.PluginError(skel.Code.TRY_AGAIN, "the switch restarts", reason="restart")
        >>> verbs = skel.Verbs(add=add, delete=lambda call: None)
        >>> async def main():
        ...     with acni.BuiltIns(plugins={"mine": verbs}) as runner:
        ...         async with runtime_over(runner) as runtime:
        ...             local = acni.networks.from_plugins("local", {"type": "mine"})
        ...             try:
        ...                 await runtime.add(local, attachment)
        ...             except acni.TryAgain as error:
        ...                 return error.msg, error.reason
        >>> anyio.run(main)
        ('the switch restarts', 'restart')
    """

    def __init__(
        self, code: int, msg: str, *, details: str = "", reason: str | None = None
    ) -> None:
        super().__init__(code, msg, details, reason)
        self.code: int = int(code)
        self.msg = msg
        self.details = details
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _remade, (self.code, self.msg, self.details, self.reason)

    def __str__(self) -> str:
        return f"{self.msg} (code {self.code})"


def _remade(code: int, msg: str, details: str, reason: str | None) -> PluginError:
    return PluginError(code, msg, details=details, reason=reason)
