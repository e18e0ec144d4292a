"""What a caller may set of a runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, Literal, cast

from attrs import Attribute, field, frozen

from acni.errors import ConfigError
from acni.spec.names import parse_plugin_type

# What plugins inherit, besides CNI_* and the trace variables. No proxies (containerd's broke
# calico), never LD_*, PYTHON*, NOTIFY_SOCKET, LISTEN_*.
INHERITED: Final = ("PATH", "HOME", "LANG", "TZ", "XDG_RUNTIME_DIR", "DBUS_SYSTEM_BUS_ADDRESS")

# Passed on as libcni does it (W3C Trace Context; OpenTelemetry's convention for environment
# variables).
TRACE: Final = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")

# Plugins call iptables, nft and sysctl, which Debian keeps in sbin.
DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# What a begun ADD survives.
Durability = Literal["power", "process"]


def _require_positive(_: object, attribute: Attribute[float], value: object) -> None:
    if not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise ConfigError(
            f"{value!r} is not allowed",
            place=f"timeouts.{attribute.name}",
            expected="seconds, more than 0 and finite",
        )


def _seconds(default: float) -> float:
    return field(default=default, validator=_require_positive)


@frozen(kw_only=True)
class Timeouts:
    """Bounds, in seconds.

    Attributes:
        wait: All waiting before the first plugin of an operation: for others on the container, for
            gc, for the first ADD to a network, for a place. Each later plugin may wait for its
            place as long. gc itself waits ten seconds of it at most.
        add: All plugins of an ADD.
        delete: All plugins of a delete.
        check: All plugins of a check.
        gc: All of a gc but its wait: what dead runtimes left and the deletes have half of it, the
            plugins' GC the rest, evenly.
        status: All plugins of a status.
        version: A plugin's answer to VERSION.
        undo: All plugins of a failed ADD's undo.
        grace: Between SIGTERM and SIGKILL for a plugin that is out of time.

    Example:
        >>> bounds = acni.Timeouts(add=20, wait=5)
        >>> async def main():
        ...     async with runtime_over(scripted, timeouts=bounds) as runtime:
        ...         return await runtime.add(network, attachment)
        >>> anyio.run(main).ipv4
        IPv4Address('192.0.2.7')
    """

    wait: float = _seconds(60.0)
    add: float = _seconds(150.0)
    delete: float = _seconds(60.0)
    check: float = _seconds(30.0)
    gc: float = _seconds(120.0)
    status: float = _seconds(30.0)
    version: float = _seconds(10.0)
    undo: float = _seconds(60.0)
    grace: float = _seconds(2.0)


def _count(least: int, default: int) -> int:
    def require_count(_: object, attribute: Attribute[int], value: object) -> None:
        _require_count(value, least, f"limits.{attribute.name}")

    return field(default=default, validator=require_count)


def _require_count(value: object, least: int, place: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(
            f"{value!a} is not allowed", place=place, expected=f"a whole number, {least} or more"
        )


def _require_counts(_: object, __: object, value: object) -> None:
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{value!a} is not allowed", place="limits.per_type", expected="numbers by plugin type"
        )
    for plugin_type, count in cast("Mapping[object, object]", value).items():
        parse_plugin_type(plugin_type)
        _require_count(count, 1, f"limits.per_type[{plugin_type!a}]")


@frozen(kw_only=True)
class Limits:
    """How much goes on at once.

    What undoes is never refused, and waits for nothing that adds.

    Attributes:
        plugins: How many plugins a runtime runs at once to add, to check or to ask; and as many to
            delete and to collect. The undo of an ADD waits for none of them.
        per_type: How many plugins of a type run at once, by type; all runtimes on a state directory
            are counted together, and should say the same. What undoes goes first. Others are not
            limited.
        queue: How many adds, checks and status wait, for their container or for a place; one more
            is refused.
        stdout_bytes: How much of a plugin's output is taken; more ends an ADD.
        stderr_bytes: How much is kept of what it writes aside: the last of it.
        first_add_alone: Of the adds to a network one runs at a time, until one has succeeded in
            this boot: plugins race each other to make what the whole network shares.

    Raises:
        ConfigError, InvalidName: a number or a type is not allowed.

    Example:
        >>> limits = acni.Limits(plugins=16, per_type={"firewall": 1})
        >>> async def main():
        ...     async with runtime_over(scripted, limits=limits) as runtime:
        ...         return await runtime.add(network, attachment)
        >>> anyio.run(main).ipv4
        IPv4Address('192.0.2.7')
    """

    plugins: int = _count(1, 64)
    per_type: Mapping[str, int] = field(factory=dict[str, int], validator=_require_counts)
    queue: int = _count(0, 10_000)
    stdout_bytes: int = _count(1, 1 << 20)
    stderr_bytes: int = _count(0, 64 << 10)
    first_add_alone: bool = True


def plugin_environment(inherit: Sequence[str], environment: Mapping[str, str]) -> Mapping[str, str]:
    """Build what every plugin's environment holds besides the parameters.

    Args:
        inherit: Names taken over from this process's environment, where set.
        environment: What is set on top.

    Raises:
        ConfigError: a name or a value cannot stand in an environment, or is one of the protocol's.
    """
    if isinstance(inherit, str):
        raise ConfigError("text", place="inherit", expected="a sequence of names")
    inherited = {name: os.environ[name] for name in (*inherit, *TRACE) if name in os.environ}
    for name, value in environment.items():
        if not name or not _can_be_passed(name) or not _can_be_passed(value):
            raise _bad_variable(name)
        if "=" in name or name.startswith("CNI_"):
            raise _bad_variable(name)
    merged = {**inherited, **environment}
    return merged if merged.get("PATH") else {**merged, "PATH": DEFAULT_PATH}


def _bad_variable(name: object) -> ConfigError:
    return ConfigError(
        f"{name!a} is not allowed",
        place="environment",
        expected="names without '=', not beginning with CNI_, and text without NUL",
    )


def trace_environment(trace: Mapping[str, str]) -> Mapping[str, str]:
    """Build the variables that carry a trace to the plugins, from W3C's names in lower case.

    Raises:
        ConfigError: a name is none of the three, or a value cannot be passed on.
    """
    for name, value in trace.items():
        if name.upper() not in TRACE or not _can_be_passed(value):
            raise ConfigError(
                f"{name!a} is not allowed",
                place="trace",
                expected=f"text under {', '.join(known.lower() for known in TRACE)}",
            )
    return {name.upper(): value for name, value in trace.items()}


def _can_be_passed(text: object) -> bool:
    try:
        return isinstance(text, str) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
