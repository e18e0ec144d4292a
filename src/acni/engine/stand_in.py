"""A stand-in for a container's network namespace that is gone: a fresh one with a link of the same
name and the same addresses, for plugins that look there for what they are to undo on the host.

Rule 1: it lives as long as its block, also when that is left while it is still being made.
Rule 2: the link is one end of a veth pair, which every kernel has that ran those plugins; the
    dummy device is a module that many lack. It stays down, and its other end beside it.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from attrs import Factory, define

from acni.errors import Busy, machine_error
from acni.host import netns
from acni.host.netns import Namespace

Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_NO_ROOM: Final = (errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN)
_PEERS: Final = ("peer0", "peer1")  # one of them is not the link's own name


@define(eq=False, repr=False)
class StandIn:
    """A stand-in; as a context manager it is gone at the end of the block."""

    _namespace: Namespace | None = None
    _is_over: bool = False
    # Guards both: a native cancellation of asyncio leaves the block while a thread still makes it.
    _lock: threading.Lock = Factory(threading.Lock)

    def make(self, ifname: str, addresses: Sequence[Address]) -> str:
        """Make it; in a thread, for links wait for a lock of the kernel's.

        Args:
            ifname: The name of the link.
            addresses: Its addresses.

        Returns:
            The path at which others can open it as long as the block lasts.

        Raises:
            Busy: this process, or the machine, has no room for it.
            NotPermitted: this process may not make namespaces or links, or the kernel has none of
                this kind.
        """
        with self._lock:
            if self._is_over:
                return ""
            self._namespace = netns.anonymous()
            try:
                self._namespace.call(lambda: _make_link(ifname, addresses))
            except OSError as error:
                raise machine_error(error, "a stand-in for a namespace") from error
            except ImportError as error:  # what there was to read it with ran out
                raise Busy(
                    f"{error}", place="a stand-in for a namespace", expected="room for one more"
                ) from error
            return self._namespace.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._is_over = True
            if self._namespace is not None:
                self._namespace.close()


def _make_link(ifname: str, addresses: Sequence[Address]) -> None:
    # Few deletes come here, and each cold command would pay a tenth of its start for loading these.
    from acni.netlink.addresses import add  # noqa: PLC0415
    from acni.netlink.links import Peer, new_veth  # noqa: PLC0415
    from acni.netlink.lookup import index_of  # noqa: PLC0415
    from acni.netlink.sockets import open_here  # noqa: PLC0415

    peer = next(name for name in _PEERS if name != ifname)
    with netns.own() as here, open_here() as netlink:
        netlink.request(new_veth(ifname, peer=Peer(name=peer, netns_fd=here.fd)))
        index = index_of(netlink, ifname)
        given = netlink.exchange([add(address, index=index) for address in addresses])
        for verdict in given.verdicts:
            # Addresses are what a plugin printed; one that no link can have was on none.
            if verdict.code in _NO_ROOM:
                raise OSError(verdict.code, os.strerror(verdict.code))
