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
        path: Its executable; empty where it has none.
        identity: Changes whenever the executable does (device, inode, modification time, size).
        runner: Which kind of runner found it, "executable" or "builtin" with those of acni; a
            record keeps it, so that the same kind deletes.
        warnings: What a person should know of it, a line each: that its group may write to it, for
            instance. With others it is still the same plugin.
        replaces: Why it is not the plugin that would have been preferred; empty where it is.

    Example:
        >>> plugin = scripted.find("bridge", ["/opt/cni/bin"])
        >>> plugin.path, plugin.runner
        ('/opt/cni/bin/bridge', 'scripted')
    """

    type: PluginType
    path: str
    identity: str
    runner: str
    warnings: tuple[str, ...] = field(default=(), eq=False)
    replaces: str = field(default="", eq=False)


@frozen(kw_only=True)
class Request:
    """What one plugin run is given.

    Attributes:
        environment: The complete environment, CNI_COMMAND and the other parameters included.
        stdin: The request configuration.

    Example:
        >>> request = spec.Request(
        ...     environment={"CNI_COMMAND": "VERSION"}, stdin=b'{"cniVersion":"1.0.0"}'
        ... )
        >>> request  # neither is shown: they may hold secrets
        Request()
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

    Example:
        >>> caps = spec.Caps(stdout_bytes=4096)
        >>> caps.stdout_bytes, caps.stderr_bytes
        (4096, 65536)
    """

    stdout_bytes: int = 1 << 20
    stderr_bytes: int = 64 << 10
    ends_at_cap: bool = True


class Ending(Enum):
    """How a run ended.

    Example:
        >>> [ending.value for ending in spec.Ending]
        ['exited', 'signalled', 'out of time', 'over its cap', 'not started', 'exit status lost']
    """

    EXITED = "exited"
    SIGNALLED = "signalled"
    OUT_OF_TIME = "out of time"
    OVER_CAP = "over its cap"
    NOT_STARTED = "not started"
    LOST = "exit status lost"


@frozen(kw_only=True)
class Times:
    """Where the time of a run went, in seconds; all but the run itself.

    Of the process runner's. Where nothing was started, or the exit status was lost, all are 0; of
    an executable that was busy and tried again, they are the last try's.

    Attributes:
        queue: Waiting for its turn to be started, before the time that ``seconds`` counts; the
            deadline is moved by it.
        spawn: From its turn until the process exists: pipes, control group and the spawn itself.
            The first part of ``seconds``; the deadline is not moved by it.
        read: Reading what was left of its output after its exit. A part of ``seconds``; what was
            read while it ran is not in it.

    Example:
        >>> spec.Response(ending=spec.Ending.EXITED).times
        Times(queue=0.0, spawn=0.0, read=0.0)
    """

    queue: float = 0.0
    spawn: float = 0.0
    read: float = 0.0


@frozen(kw_only=True)
class Response:
    """What a run yielded.

    Attributes:
        ending: How it ended.
        status: The exit status (exited), the signal (signalled), the errno (not started); otherwise
            0.
        stdout: What was printed, up to the cap.
        stderr: The last of what was written there.
        seconds: How long the run took, from its turn to be started until nothing of it that had to
            end was left: with ``times.spawn``, ``times.read``, the grace of one that was ended and
            the end of its control group, without ``times.queue``. 0 where nothing was started or
            the exit status was lost.
        times: What of it was no run, and how long it waited before.

    Example:
        >>> step = spec.plan(spec.Command.DEL, network)[0]
        >>> succeeded = spec.Response(ending=spec.Ending.EXITED)
        >>> spec.read_response(step, succeeded, network.cni_version) is None
        True
    """

    ending: Ending
    status: int = 0
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)
    seconds: float = 0.0
    times: Times = Times()
