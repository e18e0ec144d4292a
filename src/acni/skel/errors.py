"""What a plugin refuses with (specification, section 5, "Error"; rule P10)."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """The specification's error codes; 100 and up are a plugin's own."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    DECODING_FAILURE = 6
    INVALID_CONFIG = 7
    TRY_AGAIN = 11
    NOT_AVAILABLE = 50
    LIMITED = 51
    # What nobody expected; the skeleton of the Go plugins prints this one, too.
    INTERNAL = 999


class PluginError(Exception):
    """A plugin's refusal: it becomes the specification's error object.

    Attributes:
        code: The specification's code, or one of the plugin's own from 100 on.
        msg: What went wrong, in a sentence, without secrets.
        details: More of it; empty where there is none.
        reason: A stable word for it, or None; an extra member of the error object.
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
