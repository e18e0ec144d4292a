"""The nouns of the seam between the engine and whatever runs a plugin: what is run, asked and
answered.

(specification, section 2, "CNI operations")
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

from acni.spec.names import PluginType


@frozen(kw_only=True)
class Plugin:
    """A plugin that was found.

    Attributes:
        type: The name it was looked for by.
        path: Its executable.
        identity: Changes whenever the executable does (device, inode, modification time, size).
        runner: Which kind of runner found it; a record keeps it, so that the same kind deletes.
    """

    type: PluginType
    path: str
    identity: str
    runner: str


@frozen(kw_only=True)
class Request:
    """What one plugin run is given.

    Attributes:
        environment: The complete environment, CNI_COMMAND and the other parameters included.
        stdin: The request configuration.
    """

    environment: Mapping[str, str] = field(repr=False)
    stdin: bytes = field(repr=False)


@frozen(kw_only=True)
class Caps:
    """How much output of one run is taken.

    Attributes:
        stdout_bytes: The cap of standard output.
        stderr_bytes: Of standard error, the last so many bytes are kept.
        ends_at_cap: Standard output over its cap ends the run at once; otherwise the rest is
            dropped.
    """

    stdout_bytes: int = 1 << 20
    stderr_bytes: int = 64 << 10
    ends_at_cap: bool = True


class Ending(Enum):
    """How a run ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    OUT_OF_TIME = "out of time"
    OVER_CAP = "over its cap"
    NOT_STARTED = "not started"
    LOST = "exit status lost"


@frozen(kw_only=True)
class Response:
    """What a run yielded.

    Attributes:
        ending: How it ended.
        status: The exit status (exited), the signal (signalled), the errno (not started); otherwise
            0.
        stdout: What was printed, up to the cap.
        stderr: The last of what was written there.
        seconds: How long the run took.
    """

    ending: Ending
    status: int = 0
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)
    seconds: float = 0.0
