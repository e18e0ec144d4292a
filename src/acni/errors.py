"""The error tree, split by who must act.

::

    AcniError
    ├── InvalidName             the caller: a name, path or argument is not allowed       (2)
    ├── ConfigError             whoever wrote the configuration                           (2)
    ├── VersionUnsupported      no version in common, or a verb the version lacks         (2)
    ├── PluginNotFound          no executable in the plugin directories                   (2)
    ├── AttachmentExists        the attachment is there already                           (2)
    ├── NetnsInUse              the interface name is taken in that namespace             (2)
    ├── HostChanged             the record belongs to another host network namespace      (2)
    ├── AttachmentNotFound      no record knows it                                        (3)
    ├── NetworkNotFound         no configuration has that name                            (3)
    ├── NetnsChanged            another namespace stands behind the path                  (6)
    ├── PluginError             something a plugin did
    │   ├── PluginFailed        it said no: code, msg and details are its own             (1)
    │   │   ├── CheckFailed     its CHECK found a difference                              (6)
    │   │   ├── NotReady        its STATUS said so: codes 50 and 51                       (1)
    │   │   └── TryAgain        code 11                                                   (75)
    │   ├── PluginProtocolError what it printed is no valid response                      (1)
    │   ├── PluginNotStarted    the kernel refused to start it                            (1)
    │   ├── PluginTimeout       it ran out of time                                        (4)
    │   ├── PluginKilled        a signal that we did not send ended it                    (1)
    │   ├── PluginOverflow      it printed more than is taken                             (1)
    │   └── PluginLost          somebody else reaped it: its exit status is unknown       (1)
    ├── CleanupIncomplete       a delete did not finish and is owed                       (5)
    ├── GCFailed                a gc's failures, as an exception group                    (1)
    ├── StoreError              the state directory cannot be read or written             (1)
    ├── NotPermitted            this process lacks a right, or the machine a feature      (2)
    ├── Busy                    a wait reached its bound                                  (75)
    └── RuntimeClosed           the runtime was left                                      (1)

The number is the exit status of the command. An ADD that fails was undone before its error is
raised; ``error.rollback`` says what was deleted, and ``error.debt`` what could not be. An undo's
failure never replaces the first error.

Example:
    >>> try:
    ...     acni.parse_network(b'{"name": "dbnet"}')
    ... except acni.AcniError as error:
    ...     print(type(error).__name__, error.place, error.exit_status)
    ConfigError $.plugins 2
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self, Unpack

    from acni.events import Debt, RollbackFinished

__all__ = [
    "AcniError",
    "AttachmentExists",
    "AttachmentNotFound",
    "Busy",
    "CheckFailed",
    "CleanupIncomplete",
    "ConfigError",
    "GCFailed",
    "HostChanged",
    "InvalidName",
    "NetnsChanged",
    "NetnsInUse",
    "NetworkNotFound",
    "NotPermitted",
    "NotReady",
    "PluginError",
    "PluginFailed",
    "PluginKilled",
    "PluginLost",
    "PluginNotFound",
    "PluginNotStarted",
    "PluginOverflow",
    "PluginProtocolError",
    "PluginTimeout",
    "RuntimeClosed",
    "StoreError",
    "TryAgain",
    "VersionUnsupported",
]


def printable(text: str) -> str:
    """Escape what a terminal would act on or UTF-8 cannot write: a plugin's words, a file's name
    and a caller's argument are not ours.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Facts(TypedDict, total=False):
    """What an error can know. Each is an attribute of the error, None where it is unknown."""

    verb: str | None
    network: str | None
    container_id: str | None
    ifname: str | None
    plugin: str | None
    index: int | None
    code: int | None
    msg: str | None
    details: str | None
    stderr: str | None
    elapsed: float | None
    reason: str | None
    place: str | None
    expected: str | None
    rollback: RollbackFinished | None
    debt: Debt | None


class AcniError(Exception):
    """The root of everything that acni raises on purpose.

    Attributes:
        message: What happened, without the facts below; one line, as is ``str()``, in which what
            does not print is escaped. The facts are as they came.
        verb: The verb of the runtime that was under way: "add", "delete", "check".
        network: The network's name.
        container_id: The attachment's container ID.
        ifname: The attachment's interface name.
        plugin: The ``type`` of the plugin concerned.
        index: Its place in the network's ``plugins``, from 0.
        code: The plugin's error code (specification, section 5, "Error").
        msg: The plugin's ``msg``.
        details: The plugin's ``details``.
        stderr: The last of what the plugin wrote on standard error; may hold secrets.
        elapsed: Seconds the plugin ran, its spawn included, the wait for its start not.
        reason: A stable word where one is known ("addresses-exhausted"): nobody matches text.
        place: Where in the caller's input: a file with a JSON path, or a parameter's name.
        expected: What was expected there.
        rollback: What the undo of a failed ADD did.
        debt: The delete that is still owed.

    Example:
        >>> scripted.tell("portmap", "ADD", testing.Behaviour.failing(msg="no chain"))
        >>> try:
        ...     call("add", network, attachment)
        ... except acni.AcniError as error:
        ...     print(error)
        add, web/eth0, network dbnet, plugin portmap: ADD failed with code 999: no chain
    """

    exit_status: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    verb: str | None = None
    network: str | None = None
    container_id: str | None = None
    ifname: str | None = None
    plugin: str | None = None
    index: int | None = None
    code: int | None = None
    msg: str | None = None
    details: str | None = None
    stderr: str | None = None
    elapsed: float | None = None
    reason: str | None = None
    place: str | None = None
    expected: str | None = None
    rollback: RollbackFinished | None = None
    debt: Debt | None = None

    def __init__(self, message: str, **facts: Unpack[Facts]) -> None:
        # Only the message goes to args: pickle then calls cls(message) and restores the facts from
        # __dict__.
        self.message: str = printable(message)
        super().__init__(self.message)
        self.learn(**facts)

    def learn(self, **facts: Unpack[Facts]) -> Self:
        """Take in facts that were unknown where the error was raised; what is known stays.

        Example:
            >>> error = acni.ConfigError("no subnet", place="subnets")
            >>> str(error.learn(network="dbnet", place="here"))
            'network dbnet, subnets: no subnet'
        """
        for name, value in facts.items():
            if getattr(self, name) is None:
                setattr(self, name, value)
        return self

    def __str__(self) -> str:
        subject = printable(self._subject())
        return f"{subject}: {self.message}" if subject else self.message

    def _subject(self) -> str:
        attachment = f"{self.container_id}/{self.ifname}" if self.container_id else ""
        where = f"network {self.network}" if self.network else ""
        plugin = f"plugin {self.plugin}" if self.plugin else ""
        return ", ".join(
            word for word in (self.verb, attachment, where, plugin, self.place) if word
        )


class InvalidName(AcniError):
    """A container ID, network, interface or plugin name, CNI_ARGS or a namespace path is not
    allowed. Nothing ran.

    Example:
        >>> try:
        ...     acni.AttachmentId("../web")
        ... except acni.InvalidName as error:
        ...     print(error.place)
        container ID
    """

    exit_status = 2


class ConfigError(AcniError):
    """A configuration cannot be understood; ``place`` and ``expected`` say where and why. Nothing
    ran.

    Example:
        >>> try:
        ...     acni.parse_network(b"{}")
        ... except acni.ConfigError as error:
        ...     print(error.place, "-", error.expected)
        $.name - a name
    """

    exit_status = 2


class VersionUnsupported(AcniError):
    """No version of the specification in common, or the version lacks the verb. Nothing ran.

    Example:
        >>> try:
        ...     acni.networks.from_plugins("loop", {"type": "loopback"}, version="9.0.0")
        ... except acni.VersionUnsupported as error:
        ...     print(error.expected)
        one of 0.1.0, ..., 1.1.0
    """

    exit_status = 2


class PluginNotFound(AcniError):
    """No executable of that type in the plugin directories. On ADD nothing ran; a delete halts
    there.

    Example:
        >>> scripted.remove("portmap")
        >>> try:
        ...     call("add", network, attachment)
        ... except acni.PluginNotFound as error:
        ...     print(error.plugin, scripted.calls)
        portmap []
    """

    exit_status = 2


class AttachmentExists(AcniError):
    """The attachment, or another one with the same record name, is there already. Nothing ran.

    Example:
        >>> result = call("add", network, attachment)
        >>> try:
        ...     call("add", network, attachment)
        ... except acni.AttachmentExists as error:
        ...     print(error.container_id, error.network)
        web dbnet
    """

    exit_status = 2


class NetnsInUse(AcniError):
    """The interface name is taken in that namespace. Nothing ran.

    Example:
        >>> result = call("add", network, attachment)
        >>> try:
        ...     call("add", network, acni.Attachment(container_id="db", netns=attachment.netns))
        ... except acni.NetnsInUse as error:
        ...     print(error.message)
        container web holds eth0 in /proc/...
    """

    exit_status = 2


class HostChanged(AcniError):
    """The record was made from another host network namespace of this boot. Nothing ran.

    Example:
        >>> with netns.anonymous() as other_host:
        ...     result = other_host.call(lambda: call("add", network, attachment))
        >>> try:
        ...     call("delete", attachment.id)
        ... except acni.HostChanged as error:
        ...     print(error.container_id, scripted.held == {"bridge/web/eth0", "portmap/web/eth0"})
        web True
    """

    exit_status = 2


class AttachmentNotFound(AcniError):
    """No record knows the attachment. Nothing ran.

    Example:
        >>> try:
        ...     call("delete", acni.AttachmentId("nobody"))
        ... except acni.AttachmentNotFound as error:
        ...     print(error.container_id, error.exit_status)
        nobody 3
    """

    exit_status = 3


class NetworkNotFound(AcniError):
    """No configuration has that network name. Nothing ran.

    Example:
        >>> try:
        ...     acni.load_network(conf_dir, "blue")
        ... except acni.NetworkNotFound as error:
        ...     print(error.message)
        no configuration of that name in ...; there are: dbnet
    """

    exit_status = 3


class NetnsChanged(AcniError):
    """Another network namespace, or none, stands behind the recorded path. Nothing ran.

    Example:
        >>> with netns.anonymous() as box:
        ...     result = call("add", network, acni.Attachment(container_id="db", netns=box))
        >>> try:
        ...     call("check", acni.AttachmentId("db"))
        ... except acni.NetnsChanged as error:
        ...     print(error.container_id, error.exit_status)
        db 6
    """

    exit_status = 6


class PluginError(AcniError):
    """Something a plugin did. A failed ADD was undone; see ``rollback`` and ``debt``.

    Example:
        >>> scripted.tell("portmap", "ADD", testing.Behaviour.failing(msg="no chain"))
        >>> try:
        ...     call("add", network, attachment)
        ... except acni.PluginError as error:
        ...     print(error.plugin, error.index, error.rollback.deleted, error.debt)
        portmap 1 ('portmap', 'bridge') None
    """


class PluginFailed(PluginError):
    """The plugin exited non-zero; ``code``, ``msg`` and ``details`` are what it said.

    Example:
        >>> scripted.tell("bridge", "ADD", testing.Behaviour.failing(code=7, msg="bad ipam"))
        >>> try:
        ...     call("add", network, attachment)
        ... except acni.PluginFailed as error:
        ...     print(error.code, error.msg)
        7 bad ipam
    """


class CheckFailed(PluginFailed):
    """A plugin's CHECK found a difference (specification, section 2, "CHECK").

    Example:
        >>> result = call("add", network, attachment)
        >>> scripted.tell("bridge", "CHECK", testing.Behaviour.failing(msg="eth0 is gone"))
        >>> try:
        ...     call("check", attachment.id)
        ... except acni.CheckFailed as error:
        ...     print(error.plugin, error.msg)
        bridge eth0 is gone
    """

    exit_status = 6


class NotReady(PluginFailed):
    """A plugin's STATUS said that it cannot serve ADD (specification, section 2, "STATUS").

    Example:
        >>> scripted.tell("bridge", "STATUS", testing.Behaviour.failing(code=50, msg="no daemon"))
        >>> try:
        ...     call("status", network)
        ... except acni.NotReady as error:
        ...     print(error.code, error.msg)
        50 no daemon
    """


class TryAgain(PluginFailed):
    """The plugin answered code 11, "Try again later" (specification, section 5, "Error").

    Example:
        >>> scripted.tell("bridge", "ADD", testing.Behaviour.failing(code=11, msg="locked"))
        >>> try:
        ...     call("add", network, attachment)
        ... except acni.AcniError as error:
        ...     print(type(error).__name__, error.retryable)
        TryAgain True
    """

    exit_status = 75
    retryable = True


class PluginProtocolError(PluginError):
    """What the plugin printed is no valid response.

    Example:
        >>> scripted.tell("bridge", "ADD", testing.Behaviour(stdout="done"))
        >>> try:
        ...     call("add", network, attachment)
        ... except acni.PluginProtocolError as error:
        ...     print(error.message)
        ADD printed no valid result: ... (it printed 'done')
    """


class PluginNotStarted(PluginError):
    """The kernel refused to start the executable, or to make a control group for its run.

    Example:
        >>> size = (conf_dir / "bridge").write_text("no program")
        >>> (conf_dir / "bridge").chmod(0o755)
        >>> async def main():
        ...     runner = acni.Executables()
        ...     async with runtime_over(runner, plugin_dirs=[conf_dir]) as runtime:
        ...         await runtime.add(network.up_to(0), attachment)
        >>> try:
        ...     anyio.run(main)
        ... except acni.PluginNotStarted as error:
        ...     print(error.message)
        could not be started: Exec format error (ENOEXEC)
    """


class PluginTimeout(PluginError):
    """The plugin ran out of time; its process group is gone.

    Example:
        >>> scripted.tell("bridge", "ADD", testing.Behaviour(seconds=60))
        >>> async def main():
        ...     async with runtime_over(scripted, timeouts=acni.Timeouts(add=0.01)) as runtime:
        ...         await runtime.add(network, attachment)
        >>> try:
        ...     anyio.run(main)
        ... except acni.PluginTimeout as error:
        ...     print(error.plugin, error.elapsed < 60)
        bridge True
    """

    exit_status = 4


class PluginKilled(PluginError):
    """A signal that acni did not send ended the plugin; its process group is gone.

    Example:
        >>> scripted.tell("bridge", "ADD", testing.Behaviour(signal=9))
        >>> try:
        ...     call("add", network, attachment)
        ... except acni.PluginKilled as error:
        ...     print(error.message)
        ADD was ended by SIGKILL
    """


class PluginOverflow(PluginError):
    """The plugin printed more than is taken; its process group is gone.

    Example:
        >>> scripted.tell("bridge", "ADD", testing.Behaviour(stdout="." * 2**21))
        >>> try:
        ...     call("add", network, attachment)
        ... except acni.PluginOverflow as error:
        ...     print(error.message)
        ADD printed more than is taken
    """


class PluginLost(PluginError):
    """Somebody else reaped the plugin: its exit status is unknown, which is never taken for
    success.

    Example:
        >>> step = spec.plan(spec.Command.ADD, network)[0]
        >>> try:
        ...     spec.read_response(step, spec.Response(ending=spec.Ending.LOST), "1.1.0")
        ... except acni.PluginLost as error:
        ...     print(error.plugin)
        bridge
    """


class CleanupIncomplete(AcniError):
    """A delete did not finish; ``debt`` is recorded and the next delete or add resumes it.

    Example:
        >>> result = call("add", network, attachment)
        >>> scripted.tell("portmap", "DEL", testing.Behaviour.failing(msg="in use"))
        >>> try:
        ...     call("delete", attachment.id)
        ... except acni.CleanupIncomplete as error:
        ...     print(error.debt.plugin, call("debts") == (error.debt,))
        portmap True
    """

    exit_status = 5


class GCFailed(AcniError, ExceptionGroup[AcniError]):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Something of a gc failed; ``exceptions`` has all of it, ``debt`` the first delete that is
    owed since. Everything else of the gc was done.

    Example:
        >>> result = call("add", network, attachment)
        >>> scripted.tell("portmap", "DEL", testing.Behaviour.failing(msg="in use"))
        >>> scripted.tell("bridge", "GC", testing.Behaviour.failing(msg="no leases"))
        >>> async def main():
        ...     async with runtime_over(scripted) as runtime:
        ...         (await runtime.gc(network, keep=[])).raise_for_failures()
        >>> try:
        ...     anyio.run(main)
        ... except acni.GCFailed as error:
        ...     print([failure.msg for failure in error.exceptions], error.debt.plugin)
        ['in use', 'no leases'] portmap
    """

    args: tuple[object, ...]
    # Over the group's own, which nobody can set.
    message: str = ""  # pyright: ignore[reportIncompatibleMethodOverride]

    def __new__(  # noqa: D102
        cls, message: str, failures: Sequence[AcniError], **_: Unpack[Facts]
    ) -> Self:
        return super().__new__(cls, message, failures)

    def __init__(self, message: str, failures: Sequence[AcniError], **facts: Unpack[Facts]) -> None:
        super().__init__(message, **facts)
        self.args = (self.message, tuple(failures))  # what pickle makes it of again

    def derive(self, failures: Sequence[AcniError]) -> GCFailed:  # type: ignore[override]
        """Make a group of some of the failures, as ``except*`` does.

        Args:
            failures: Those.

        Example:
            >>> group = acni.GCFailed("two", [acni.Busy("a"), acni.StoreError("b")], verb="gc")
            >>> busy, rest = group.split(acni.Busy)
            >>> [str(error) for error in rest.exceptions], rest.verb
            (['b'], 'gc')
        """
        return GCFailed(self.message, failures, verb=self.verb, network=self.network)


class StoreError(AcniError):
    """The state directory or a file in it cannot be read or written. An ADD was undone; a
    delete can be repeated.

    Example:
        >>> state_dir.mkdir()
        >>> state_dir.chmod(0o777)
        >>> try:
        ...     call("attachments")
        ... except acni.StoreError as error:
        ...     print(error.message, "-", error.expected)
        others may write to it - a directory of root's or our own, writable by its owner only
    """


class NotPermitted(AcniError):
    """This process lacks a right, or the machine a feature, that the operation needs. Nothing
    ran.

    Example:
        >>> try:
        ...     with netns.anonymous() as box:
        ...         print("made")
        ... except acni.NotPermitted as error:
        ...     print(error.expected)
        made
    """

    exit_status = 2


class Busy(AcniError):
    """A wait for another operation reached its bound, or no descriptor is left. Nothing ran.

    Example:
        >>> scripted.tell("bridge", "ADD", testing.Behaviour(seconds=60))
        >>> async def main():
        ...     async with runtime_over(scripted, timeouts=acni.Timeouts(wait=0.01)) as runtime:
        ...         async with anyio.create_task_group() as tasks:
        ...             tasks.start_soon(runtime.add, network, attachment)
        ...             await anyio.wait_all_tasks_blocked()
        ...             try:
        ...                 await runtime.delete(attachment.id)
        ...             except acni.Busy as error:
        ...                 print(error.retryable)
        ...             tasks.cancel_scope.cancel()
        >>> anyio.run(main)
        True
    """

    exit_status = 75
    retryable = True


class RuntimeClosed(AcniError):
    """The runtime was left: an operation under way was undone or is owed, a new one is refused.

    Example:
        >>> async def main():
        ...     async with runtime_over(scripted) as runtime:
        ...         pass
        ...     await runtime.add(network, attachment)
        >>> try:
        ...     anyio.run(main)
        ... except acni.RuntimeClosed as error:
        ...     print(error.expected)
        an open runtime
    """


def machine_error(error: OSError, place: str) -> AcniError:
    """Make a typed error of what the kernel said about something that is nobody's input.

    Args:
        error: What it said.
        place: What was asked for.
    """
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN):
        return Busy(f"{error.strerror}", place=place, expected="room for one more")
    expected = "root, or the capabilities that namespaces need"
    return NotPermitted(f"{error.strerror}", place=place, expected=expected)
