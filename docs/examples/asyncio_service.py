"""An asyncio service on a unix socket that attaches containers on request.

One JSON request a line, one JSON answer a line::

    {"do": "attach", "id": "web", "netns": "/run/netns/web"}   {"addresses": ["10.88.0.2/16"]}
    {"do": "detach", "id": "web"}                              {}
    {"do": "list"}                                             {"attachments": [...]}

SIGTERM and SIGINT end it: it takes no new requests, gives those under way some seconds, then
cancels them, which undoes them. What is attached stays attached; the next service knows it from the
records. Whoever may connect may attach: keep the socket in a directory that only they may enter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal

import acni


class Service:
    """Answers requests; the connections and their tasks are its own."""

    def __init__(self, runtime: acni.Runtime, network: acni.NetworkConfig) -> None:
        self.runtime = runtime
        self.network = network
        self.connections: dict[asyncio.Task[None], asyncio.StreamReader] = {}

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

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task of its own."""
        task = asyncio.create_task(self._serve(reader, writer))
        self.connections[task] = reader
        task.add_done_callback(self.connections.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self.answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the client is gone, or sent a line without an end
        finally:
            writer.close()

    async def drain(self, seconds: float) -> None:
        """Let each connection finish the request it is at; cancel what takes longer."""
        for reader in self.connections.values():
            reader.feed_eof()
        tasks = list(self.connections)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal asks to end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with acni.open_runtime(
        state_dir=options.state_dir, conf_dir=options.conf_dir, plugin_dirs=options.plugin_dir
    ) as runtime:
        service = Service(runtime, await runtime.network(options.network))
        server = await asyncio.start_unix_server(service.connected, options.socket)
        try:
            await stop.wait()
        finally:
            server.close()
            await service.drain(options.drain)


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="attach containers on request")
    parser.add_argument("socket")
    parser.add_argument("network")
    parser.add_argument("--state-dir", default="/var/lib/sandboxd/cni")
    parser.add_argument("--conf-dir", default="/etc/cni/net.d")
    parser.add_argument("--plugin-dir", nargs="+", default=["/opt/cni/bin", "/usr/lib/cni"])
    parser.add_argument("--drain", type=float, default=10.0, metavar="SECONDS")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(serve(parse_options()))
