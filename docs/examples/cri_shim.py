"""The network part of a CRI runtime: what RunPodSandbox, StopPodSandbox and PodSandboxStatus do.

acni's errors become status codes of gRPC by one table.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import anyio
from anyio import to_thread

import acni
from acni import netns

# What undoing a sandbox may take: a delete's bound, and a margin.
UNDO_SECONDS = 90.0


class Code(enum.IntEnum):
    """Status codes, with gRPC's numbers."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    INTERNAL = 13
    UNAVAILABLE = 14


# The nearest class of an error decides.
CODES: dict[type, Code] = {
    acni.InvalidName: Code.INVALID_ARGUMENT,
    acni.ConfigError: Code.FAILED_PRECONDITION,
    acni.VersionUnsupported: Code.FAILED_PRECONDITION,
    acni.PluginNotFound: Code.FAILED_PRECONDITION,
    acni.NetworkNotFound: Code.FAILED_PRECONDITION,
    acni.HostChanged: Code.FAILED_PRECONDITION,
    acni.NetnsInUse: Code.FAILED_PRECONDITION,
    acni.AttachmentExists: Code.ALREADY_EXISTS,
    acni.AttachmentNotFound: Code.NOT_FOUND,
    acni.NotPermitted: Code.PERMISSION_DENIED,
    acni.PluginTimeout: Code.DEADLINE_EXCEEDED,
    acni.TryAgain: Code.UNAVAILABLE,
    acni.NotReady: Code.UNAVAILABLE,
    acni.Busy: Code.UNAVAILABLE,
    acni.RuntimeClosed: Code.UNAVAILABLE,
    acni.AcniError: Code.INTERNAL,
}


class RpcError(Exception):
    """What a call answers instead of a response."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: acni.AcniError) -> Code:
    """Find the status code of an error."""
    if error.reason == "addresses-exhausted":
        return Code.RESOURCE_EXHAUSTED
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


@contextmanager
def rpc_errors() -> Iterator[None]:
    """Turn acni's errors into the call's."""
    try:
        yield
    except acni.AcniError as error:
        raise RpcError(code_of(error), str(error)) from error


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What kubelet says of a pod."""

    id: str
    namespace: str
    name: str
    uid: str
    ports: Sequence[acni.PortMapping] = ()


class PodNetwork:
    """Gives pods their network, in a namespace at ``/run/netns/cni-<id>``."""

    def __init__(self, runtime: acni.Runtime, network: acni.NetworkConfig) -> None:
        self.runtime = runtime
        self.network = network

    async def run_pod_sandbox(self, sandbox: Sandbox) -> list[str]:
        """Make the pod's namespace and attach it; return its addresses. Nothing stays if it fails,
        but what is owed and the namespace that its delete needs.
        """
        pod = {"NAMESPACE": sandbox.namespace, "NAME": sandbox.name, "UID": sandbox.uid}
        with rpc_errors():
            namespace = await to_thread.run_sync(netns.create, f"cni-{sandbox.id}")
            namespace.close()
            try:
                attachment = acni.Attachment(
                    container_id=sandbox.id,
                    netns=namespace.path,
                    cni_args={f"K8S_POD_{key}": value for key, value in pod.items()}
                    | {"IgnoreUnknown": "1", "K8S_POD_INFRA_CONTAINER_ID": sandbox.id},
                    capability_args={"portMappings": list(sandbox.ports)},
                )
                result = await self.runtime.add(self.network, attachment)
            except BaseException as error:
                with anyio.move_on_after(UNDO_SECONDS, shield=True):
                    try:
                        await self.stop_pod_sandbox(sandbox.id)
                    except RpcError as unfinished:
                        error.add_note(f"the namespace stays: {unfinished}")
                raise
        return [ip.address for ip in result.ips]

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        """Detach the pod and take its namespace away; well done, if that was done before."""
        with rpc_errors():
            await self.runtime.delete(acni.AttachmentId(sandbox_id), missing_ok=True)
            with suppress(acni.InvalidName):  # it is gone
                await to_thread.run_sync(netns.delete, f"cni-{sandbox_id}")

    async def pod_sandbox_status(self, sandbox_id: str) -> dict[str, object]:
        """Tell whether the pod's network is ready, and its addresses."""
        with rpc_errors():
            records = await self.runtime.attachments(container_id=sandbox_id)
        if not records:
            raise RpcError(Code.NOT_FOUND, f"no sandbox {sandbox_id}")
        is_ready = all((record.state, record.netns) == ("attached", "ok") for record in records)
        addresses = [address for record in records for address in record.addresses]
        return {"state": "READY" if is_ready else "NOTREADY", "ips": addresses}
