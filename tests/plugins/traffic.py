"""Connections between namespaces, and whose address the other side sees."""

from __future__ import annotations

import socket
from contextlib import closing
from ipaddress import ip_address
from typing import Final

from acni.netns import Namespace

# An answer that comes does so in less than a millisecond; nobody waits for one that should.
_SECONDS: Final = 20.0
_NO_ANSWER_SECONDS: Final = 0.4
# The kernel answers a SYN before the call that sends it returns, but on a busy machine.
BRIEFLY: Final = 0.05

TCP: Final = int(socket.SOCK_STREAM)
UDP: Final = int(socket.SOCK_DGRAM)


def seen_from(
    client: Namespace,
    server: Namespace,
    address: str,
    *,
    port: int = 7000,
    listens: int | None = None,
    kind: int = TCP,
    is_refused: bool = False,
    refused_seconds: float = _NO_ANSWER_SECONDS,
) -> str | None:
    """Connect, and return whose address the server saw; None where nobody answered.

    Args:
        client: From where.
        server: Where somebody listens.
        address: Where to.
        port: To which port.
        listens: On which port the server listens, if on another.
        kind: TCP or UDP.
        is_refused: Nobody is expected to answer, so nobody waits long.
        refused_seconds: How long, then.
    """
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    everywhere = "::" if family == socket.AF_INET6 else ""
    # Who listens everywhere answers a datagram from the address that is nearest to who asked.
    place = address if kind == UDP and listens is None else everywhere
    seconds = refused_seconds if is_refused else _SECONDS
    with (
        closing(server.call(lambda: socket.socket(family, kind))) as listener,
        closing(client.call(lambda: socket.socket(family, kind))) as caller,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((place, listens or port))
        listener.settimeout(seconds)
        caller.settimeout(seconds)
        try:
            if kind == TCP:
                listener.listen()
                caller.connect((address, port))
                accepted, peer = listener.accept()
                accepted.close()
            else:
                caller.connect((address, port))
                caller.send(b"question")
                _, peer = listener.recvfrom(100)
                listener.sendto(b"answer", peer)
                assert caller.recv(100) == b"answer"
        except OSError:
            return None
    return str(peer[0])
