"""The service of ``asyncio_service.py`` without an event loop: a thread for each connection, and
the same requests, answers and end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import socket
import threading
import time
from pathlib import Path

import acni
from acni.blocking import Runtime, open_runtime

MAX_LINE_BYTES = 64 << 10


class Service:
    """Answers requests, each connection in a thread of its own."""

    def __init__(self, runtime: Runtime, network: acni.NetworkConfig) -> None:
        self.runtime = runtime
        self.network = network
        self.connections: dict[socket.socket, threading.Thread] = {}

    def answer(self, line: bytes) -> dict[str, object]:
        """Do what a request asks for."""
        try:
            return self._do(json.loads(line))
        except ValueError as error:
            return {"error": "BadRequest", "message": str(error), "retry": False}
        except acni.RuntimeClosed:  # it took too long for who is ending: the client is hung up on
            raise
        except acni.AcniError as error:
            name = type(error).__name__
            return {"error": name, "message": str(error), "retry": error.retryable}

    def _do(self, request: object) -> dict[str, object]:
        match request:
            case {"do": "attach", "id": container_id, "netns": netns}:
                attachment = acni.Attachment(container_id=container_id, netns=netns)
                result = self.runtime.add(self.network, attachment)
                return {"addresses": [ip.address for ip in result.ips]}
            case {"do": "detach", "id": container_id}:
                self.runtime.delete(acni.AttachmentId(container_id), missing_ok=True)
                return {}
            case {"do": "list"}:
                records = self.runtime.attachments()
                listed = [{"id": r.container_id, "state": r.state} for r in records]
                return {"attachments": listed}
            case _:
                raise ValueError("expected attach, detach or list")

    def accept(self, listening: socket.socket) -> None:
        """Serve connections until a signal's handler raises."""
        while True:
            connection, _ = listening.accept()
            thread = threading.Thread(target=self._serve, args=[connection])
            self.connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        gone = (ConnectionError, acni.RuntimeClosed)
        with contextlib.suppress(*gone), connection, connection.makefile("rb") as lines:
            while line := lines.readline(MAX_LINE_BYTES):
                connection.sendall(json.dumps(self.answer(line)).encode() + b"\n")
        del self.connections[connection]

    def drain(self, seconds: float) -> None:
        """Let each connection finish the request it is at, for as long as that; what takes longer
        is cancelled and undone when the runtime is left.
        """
        connections = list(self.connections.items())
        for connection, _ in connections:
            with contextlib.suppress(OSError):  # the client is gone
                connection.shutdown(socket.SHUT_RD)
        deadline = time.monotonic() + seconds
        for _, thread in connections:
            thread.join(max(deadline - time.monotonic(), 0))


def stop(number: int, frame: object) -> None:
    """End what the main thread waits for; the handler of both signals."""
    raise KeyboardInterrupt


def serve(options: argparse.Namespace) -> None:
    """Serve until a signal asks to end."""
    signal.signal(signal.SIGTERM, stop)
    with (
        open_runtime(
            state_dir=options.state_dir, conf_dir=options.conf_dir, plugin_dirs=options.plugin_dir
        ) as runtime,
        socket.socket(socket.AF_UNIX) as listening,
    ):
        service = Service(runtime, runtime.network(options.network))
        options.socket.unlink(missing_ok=True)  # an earlier service left it
        listening.bind(str(options.socket))
        listening.listen()
        with contextlib.suppress(KeyboardInterrupt):
            service.accept(listening)
        listening.close()
        service.drain(options.drain)


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="attach containers on request")
    parser.add_argument("socket", type=Path)
    parser.add_argument("network")
    parser.add_argument("--state-dir", default="/var/lib/sandboxd/cni")
    parser.add_argument("--conf-dir", default="/etc/cni/net.d")
    parser.add_argument("--plugin-dir", nargs="+", default=["/opt/cni/bin", "/usr/lib/cni"])
    parser.add_argument("--drain", type=float, default=10.0, metavar="SECONDS")
    return parser.parse_args()


if __name__ == "__main__":
    serve(parse_options())
