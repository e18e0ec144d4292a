"""The frozen values that a runtime tells its observers.

An event names the operation (verb, network, container ID, interface name) and carries ``at``, a
monotonic time in seconds. No event holds CNI_ARGS, ``args``, capability arguments or what a plugin
wrote on standard error.
"""

from __future__ import annotations

from attrs import frozen

__all__ = [
    "Debt",
    "DebtForgotten",
    "DebtRecorded",
    "DebtSettled",
    "Event",
    "OperationFinished",
    "OperationStarted",
    "PluginFinished",
    "PluginStarted",
    "RecordQuarantined",
    "RollbackFinished",
    "RollbackStarted",
]


@frozen(kw_only=True)
class Debt:
    """A delete that is still owed.

    Attributes:
        network: The network's name.
        container_id: The attachment's container ID.
        ifname: The attachment's interface name.
        plugin: The plugin whose DEL is owed next; those before it in the chain follow.
        cause: Why it is owed, in one line.
    """

    network: str
    container_id: str
    ifname: str
    plugin: str
    cause: str


@frozen(kw_only=True)
class Event:
    """What every event has.

    Attributes:
        at: Monotonic time in seconds (``time.monotonic``).
        verb: "add", "delete", "check", "status", "settle" or "forget".
        network: The network's name; empty where only the record will tell it.
        container_id: The attachment's container ID; empty where there is none.
        ifname: The attachment's interface name; empty where there is none.
    """

    at: float
    verb: str
    network: str
    container_id: str
    ifname: str


@frozen(kw_only=True)
class OperationStarted(Event):
    """An operation was asked for; it may still wait for others on its container."""


@frozen(kw_only=True)
class OperationFinished(Event):
    """An operation ended.

    Attributes:
        error: The name of the error's class, or None.
    """

    error: str | None


@frozen(kw_only=True)
class PluginStarted(Event):
    """A plugin is about to be run.

    Attributes:
        command: "ADD", "DEL", "CHECK" or "STATUS".
        plugin: The plugin's type.
        index: Its place in the chain, from 0.
    """

    command: str
    plugin: str
    index: int


@frozen(kw_only=True)
class PluginFinished(Event):
    """A plugin's run ended.

    Attributes:
        command: "ADD", "DEL", "CHECK" or "STATUS".
        plugin: The plugin's type.
        index: Its place in the chain, from 0.
        seconds: How long the run took.
        error: The name of the error's class, or None.
    """

    command: str
    plugin: str
    index: int
    seconds: float
    error: str | None


@frozen(kw_only=True)
class RollbackStarted(Event):
    """A failed or cancelled ADD is being undone."""


@frozen(kw_only=True)
class RollbackFinished(Event):
    """The undo of an ADD ended.

    Attributes:
        deleted: The plugins whose DEL succeeded, in the order they ran.
        debt: What could not be deleted and is now recorded as owed, or None.
        error: Why the undo stopped, in one line, or None.
    """

    deleted: tuple[str, ...]
    debt: Debt | None
    error: str | None


@frozen(kw_only=True)
class DebtRecorded(Event):
    """A delete that did not finish is now owed, durably.

    Attributes:
        debt: What is owed.
    """

    debt: Debt


@frozen(kw_only=True)
class DebtSettled(Event):
    """What was owed was deleted.

    Attributes:
        debt: What was owed.
    """

    debt: Debt


@frozen(kw_only=True)
class DebtForgotten(Event):
    """What was owed was given up by a person's word: no plugin ran.

    Attributes:
        debt: What was owed.
        reason: What the person said.
    """

    debt: Debt
    reason: str


@frozen(kw_only=True)
class RecordQuarantined(Event):
    """A file that was no record stood in the way of a delete that succeeded; it is kept aside.

    Attributes:
        name: Its name in ``results/``.
    """

    name: str
