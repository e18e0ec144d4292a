"""The service of ``asyncio_service.py`` on trio: the same requests, answers and end."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import signal
from pathlib import Path

import trio

import acni

MAX_LINE_BYTES = 64 << 10


class Service:
    """Answers requests. A connection that waits for one can be told to stop waiting."""

    def __init__(self, runtime: acni.Runtime, network: acni.NetworkConfig) -> None:
        self.runtime = runtime
        self.network = network
        self.is_stopping = False
        self.waiting: set[trio.CancelScope] = set()

    async def answer(self, line: bytes) -> dict[str, object]:
        """Do what a request asks for."""
        try:
            return await self._do(json.loads(line))
        except ValueError as error:
            return {"error": "BadRequest", "message": str(error), "retry": False}
        except acni.AcniError as error:
            name = type(error).__name__
            return {"error": name, "message": str(error), "retry": error.retryable}

    async def _do(self, request: object) -> dict[str, object]:
        match request:
            case {"do": "attach", "id": container_id, "netns": netns}:
                attachment = acni.Attachment(container_id=container_id, netns=netns)
                result = await self.runtime.add(self.network, attachment)
                return {"addresses": [ip.address for ip in result.ips]}
            case {"do": "detach", "id": container_id}:
                await self.runtime.delete(acni.AttachmentId(container_id), missing_ok=True)
                return {}
            case {"do": "list"}:
                records = await self.runtime.attachments()
                listed = [{"id": r.container_id, "state": r.state} for r in records]
                return {"attachments": listed}
            case _:
                raise ValueError("expected attach, detach or list")

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve a connection, one request after the other."""
        pending = b""
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):  # the client is gone
                while len(pending) < MAX_LINE_BYTES and (data := await self._receive(stream)):
                    *lines, pending = (pending + data).split(b"\n")
                    for line in lines:
                        await stream.send_all(json.dumps(await self.answer(line)).encode() + b"\n")

    async def _receive(self, stream: trio.SocketStream) -> bytes:
        """Wait for more of a request; nothing, when the client or the service is at its end."""
        data = b""
        if not self.is_stopping:
            with trio.CancelScope() as scope:
                self.waiting.add(scope)
                try:
                    data = bytes(await stream.receive_some())
                finally:
                    self.waiting.discard(scope)
        return data

    def stop(self) -> None:
        """Let each connection finish the requests it is at, and wait for no more."""
        self.is_stopping = True
        for scope in self.waiting:
            scope.cancel()


async def listen(path: Path) -> trio.SocketListener:
    """Listen on a unix socket, in the place of one that an earlier service left."""
    await trio.Path(path).unlink(missing_ok=True)
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(str(path))
    listening.listen()
    return trio.SocketListener(listening)


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal asks to end."""
    async with acni.open_runtime(
        state_dir=options.state_dir, conf_dir=options.conf_dir, plugin_dirs=options.plugin_dir
    ) as runtime:
        service = Service(runtime, await runtime.network(options.network))
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as connections, trio.open_nursery() as accepting:
                accept = functools.partial(trio.serve_listeners, handler_nursery=connections)
                accepting.start_soon(accept, service.serve, [await listen(options.socket)])
                await anext(signals)
                accepting.cancel_scope.cancel()
                service.stop()
                # What takes longer is cancelled, and undone.
                connections.cancel_scope.deadline = trio.current_time() + options.drain


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
    trio.run(serve, parse_options())
