"""The nouns of a plugin in this process: what it is called with, what it is, what it delegates to.

(specification, section 2, "CNI operations"; section 4)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from attrs import field, frozen

from acni.host.visits import visiting
from acni.skel.bounds import Bounds
from acni.skel.kept import Kept
from acni.skel.reading import Fields
from acni.spec.attachment import AttachmentId
from acni.spec.commands import Command
from acni.spec.jsontext import fold_key
from acni.spec.result import Result
from acni.spec.versions import SUPPORTED_VERSIONS


@frozen(kw_only=True)
class OpenNetns:
    """The container's network namespace, open for the length of a call.

    Attributes:
        path: What CNI_NETNS says: the ``sandbox`` of an interface (P9).
        fd: Our descriptor.

    Example:
        >>> called(lambda call: call.netns.path == attachment.netns)
        True
    """

    path: str
    fd: int

    @contextmanager
    def entered(self) -> Generator[None]:
        """Be in it, with the calling thread, for the length of the block.

        Only a thread that runs plugins may: it is looked after that it is back before anything else
        uses it. Sockets that were made inside stay there.

        Raises:
            NotPermitted: this process may not enter namespaces.
            Busy: there is no descriptor left.

        Example:
            >>> import socket
            >>> def add(call):
            ...     with call.netns.entered():
            ...         return socket.if_nameindex()[0]
            >>> called(add)
            (1, 'lo')
        """
        with visiting(self.fd, path=self.path):
            yield


class Delegate(Protocol):
    """The plugin that another one delegates to (specification, section 4; rule P8).

    It gets the same environment, but for the verb, and the whole configuration. All of them raise
    :class:`acni.skel.PluginError` with what it said, as it said it.

    Example:
        >>> static = {"type": "static", "addresses": [{"address": "192.0.2.9/24"}]}
        >>> def add(call):
        ...     given = call.ipam.add()
        ...     return skel.make_result(ips=given.ips)
        >>> called(add, ipam=static).ipv4
        IPv4Address('192.0.2.9')
    """

    @property
    def type(self) -> str | None:
        """Its type; None where the configuration names none.

        Example:
            >>> called(lambda call: call.ipam.type, ipam={"type": "host-local"})
            'host-local'
        """
        ...

    def add(self) -> Result:
        """Let it add. After its failure it was told to delete, unless the attachment has its
        address already (the reason ``already-allocated``): that is an earlier ADD's.

        Example:
            >>> static = {"type": "static", "addresses": [{"address": "192.0.2.9/24"}]}
            >>> called(lambda call: [ip.address for ip in call.ipam.add().ips], ipam=static)
            ['192.0.2.9/24']
        """
        ...

    def delete(self) -> None:
        """Let it delete; also what an ADD that goes wrong afterwards does.

        Example:
            >>> static = {"type": "static", "addresses": [{"address": "192.0.2.9/24"}]}
            >>> called(lambda call: call.ipam.delete(), ipam=static)
        """
        ...

    def check(self) -> None:
        """Let it check.

        Example:
            >>> def check(call):
            ...     try:
            ...         call.ipam.check()
            ...     except skel.PluginError as error:
            ...         return error.msg
            >>> called(check, ipam={"type": "static"})
            'no prevResult at $.prevResult'
        """
        ...

    def gc(self) -> None:
        """Let it collect garbage.

        Example:
            >>> called(lambda call: call.ipam.gc(), ipam={"type": "static"})
        """
        ...

    def status(self) -> None:
        """Ask it whether it is ready.

        Example:
            >>> called(lambda call: call.ipam.status(), ipam={"type": "static"})
        """
        ...


# A container's own, as all else in a configuration is not.
PREVIOUS: Final = fold_key("prevResult")

Parsed = TypeVar("Parsed")

Leave = Callable[[Callable[[], object]], None]


PutBack = Callable[[], object]


def do_now(function: Callable[[], object]) -> None:
    """Leave a function to nobody."""
    function()


def say_nothing(warning: str) -> None:
    """Tell nobody."""


@frozen(kw_only=True)
class Call:
    """One call of a plugin, parsed once at the border.

    Attributes:
        command: The verb.
        container_id: CNI_CONTAINERID; empty for STATUS and GC.
        ifname: CNI_IFNAME; empty for STATUS and GC.
        netns: The container's namespace; None where CNI_NETNS is empty, and on a DEL also where it
            leads to no namespace any more.
        args: The pairs of CNI_ARGS.
        plugin_dirs: CNI_PATH.
        cni_version: The version of the request.
        network: The network's name.
        fields: The request configuration, read with its places.
        previous: ``prevResult``, or None.
        valid: GC's ``cni.dev/valid-attachments``; None with every other verb. An empty set is not
            None: then nothing is valid.
        bounds: How long it may go on.
        ipam: What ``ipam.type`` names.
        leave: Leaves a function to another thread, which only waits: the kernel takes 15 to 20 ms
            for the memory of a link that is gone already. What it raises nobody sees.
        warn: Says something on standard error, of a verb that succeeds.
        kept: Lends what is dear to make and to unmake, and is kept from call to call.
        is_alone: No runtime of ours is around, as in an executable: nobody but the host can tell
            what the plugin made before.
        texts: The configuration as it is written, without ``prevResult``; None where it is not.

    Example:
        >>> called(lambda call: f"{call.command} {call.container_id} {call.ifname}")
        'ADD web eth0'
        >>> called(lambda call: call.fields.number("mtu", 1500, least=68, most=65535), mtu=9000)
        9000
    """

    command: Command
    container_id: str
    ifname: str
    netns: OpenNetns | None
    args: Mapping[str, str] = field(repr=False)
    plugin_dirs: tuple[str, ...]
    cni_version: str
    network: str
    fields: Fields = field(repr=False)
    previous: Result | None
    valid: frozenset[AttachmentId] | None
    bounds: Bounds
    ipam: Delegate
    leave: Leave = field(default=do_now, repr=False)
    warn: Callable[[str], None] = field(default=say_nothing, repr=False)
    kept: Kept = field(factory=Kept, repr=False)
    is_alone: bool = False
    texts: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)

    @property
    def config(self) -> Mapping[str, object]:
        """The request configuration, as it was written.

        Example:
            >>> called(lambda call: call.config["mtu"], mtu=9000)
            9000
        """
        return self.fields.value

    def parsed(self, parse: Callable[[Fields, str], Parsed]) -> Parsed:
        """Return what a function makes of the configuration without ``prevResult``, and of its
        version. For as long as these are the same text it is done once, and not for each container.

        Args:
            parse: The function, the same one each time. What it returns is not to be changed.

        Example:
            >>> def parse_mtu(fields, cni_version):
            ...     return fields.number("mtu", 1500, least=68, most=65535)
            >>> called(lambda call: call.parsed(parse_mtu), mtu=9000)
            9000
        """

        def parse_own() -> Parsed:
            own = {key: one for key, one in self.config.items() if fold_key(key) != PREVIOUS}
            return parse(Fields(own), self.cni_version)

        if self.texts is None:
            return parse_own()
        return self.kept.parsed((parse, self.cni_version, self.texts), parse_own)


@frozen(kw_only=True)
class Verbs:
    """A plugin.

    Attributes:
        add: Adds, and returns the result in any version: it is converted to the request's.
        delete: Deletes; succeeds again, and where something is missing (P3).
        check: Raises where something is not as the ADD left it (P4); None where there is nothing
            to check.
        gc: Frees what is not of ``call.valid`` (P6); None where it keeps nothing.
        status: Raises where an ADD could not succeed (P5); None where it is always ready.
        versions: The versions that it speaks.
        restore: Looks what of an ADD somebody else has taken away, as by ``nft flush ruleset``, and
            changes nothing; returns what puts it back, or None where all is there. No verb of the
            specification: the runtime asks in its own process, with CHECK's call but for the
            namespace. None where nobody can take anything away.

    Example:
        >>> def check(call):
        ...     raise skel.PluginError(100, "nothing of it is there")
        >>> verbs = skel.Verbs(add=lambda call: call.previous, delete=print, check=check)
        >>> acni.BuiltIns(plugins={"mine": verbs}).find("mine", []).runner
        'builtin'
    """

    add: Callable[[Call], Result]
    delete: Callable[[Call], None]
    check: Callable[[Call], None] | None = None
    gc: Callable[[Call], None] | None = None
    status: Callable[[Call], None] | None = None
    versions: tuple[str, ...] = SUPPORTED_VERSIONS
    restore: Callable[[Call], PutBack | None] | None = None
