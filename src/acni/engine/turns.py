"""Who waits for whom: one operation at a time for each container, in order of arrival within a
runtime, whichever runtimes share the state directory (specification, section 3, "Lifecycle &
Ordering": "must not invoke parallel operations for the same container"; rules R26, R27, R47, R58).

Rule 1: in this order: the container's queue in the process, the gate, the container's lock, and
    claims: who loses one of those is refused, at once or soon; then, of a network to
    which nothing was attached in this boot, the first ADD's; then the places of `admission`. A
    garbage collection has the gate alone, so who only waits for a container's turn is not in its
    way.
Rule 2: all waiting of an operation together is bounded.
Rule 3: what this runtime could not bring to an end keeps its container locked, and its claims:
    others would not see that something of it is open, as they do when this runtime is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from functools import partial
from typing import Final, Literal

import anyio
import anyio.lowlevel
from attrs import Factory, define, field

from acni.errors import AcniError, AttachmentExists, NetnsInUse, StoreError
from acni.host.netns import NetnsIdentity
from acni.host.queues import Queues
from acni.spec.names import ContainerId, IfName, is_of_one_attachment
from acni.store.locks import Locks
from acni.store.records import Records
from acni.store.waiting import Watch, bounded, nobody_known

Kind = Literal["record", "interface"]
Claim = AbstractAsyncContextManager[bool]

# A killed runtime's locks go with its process, and what that forked.
_CLAIM_SECONDS: Final = 1.0
# More names are of no help to whoever is refused.
_MOST_NAMED: Final = 3


def describe_holder(records: Records, boot: str, container_id: str) -> str:
    """Say who works on a container: whose journal has something of it open."""
    at_work = (doing for doing, container in _under_way(records, boot) if container == container_id)
    doing = next(at_work, None)
    return nobody_known() if doing is None else f"{doing} it"


def describe_operations(records: Records, boot: str) -> str:
    """Say what is under way, as far as that can be told."""
    said = [f"{doing} {container}" for doing, container in _under_way(records, boot)]
    more = [f"and {len(said) - _MOST_NAMED} more"] if len(said) > _MOST_NAMED else []
    return ", ".join(said[:_MOST_NAMED] + more) or nobody_known()


def _under_way(records: Records, boot: str) -> Iterator[tuple[str, str]]:
    """Iterate over what living runtimes have open: who does what, and to which container."""
    with contextlib.suppress(StoreError):
        for slot in records.slots(boot):
            if slot.is_alive and slot.opener:
                for intent in slot.intents:
                    verb = "adding" if intent.verb == "add" else "deleting"
                    yield f"process {slot.opener.pid} is {verb}", intent.container_id


def _never(_: str) -> bool:
    return False


def _nobody(_: str) -> str:
    return nobody_known()


@define(eq=False, repr=False)
class Turns:
    """The turns of one runtime's operations.

    Attributes:
        locks: Those of the state directory; None where it cannot be written to, and so by nobody.
        wait_seconds: How long an operation waits in all.
        is_open: Tells whether something of a container is open that this runtime began.
        describe: Says who works on a container, as far as that can be told.
    """

    locks: Locks | None
    wait_seconds: float
    is_open: Callable[[str], bool] = _never
    describe: Callable[[str], str] = _nobody
    _queues: Queues[ContainerId] = Factory(Queues[ContainerId])
    # What stayed claimed of a container.
    _claims: dict[ContainerId, set[tuple[Kind, str]]] = field(
        factory=dict[ContainerId, "set[tuple[Kind, str]]"], init=False
    )

    @asynccontextmanager
    async def of_container(
        self, container_id: ContainerId, watch: Watch = nullcontext
    ) -> AsyncGenerator[float]:
        """Wait for a container's turn and hold it; yields when the operation's waiting ends.

        Args:
            container_id: The container.
            watch: Entered for each wait.

        Raises:
            Busy: the turn did not come in time.
            StoreError: the state directory cannot be locked.
        """
        until = anyio.current_time() + self.wait_seconds
        await self._take(container_id, until, watch)
        try:
            if self.locks is None:
                yield until
                return
            async with (
                self.locks.gate.shared(until=until, watch=watch),
                self._lock(self.locks, container_id, until, watch),
            ):
                yield until
        finally:
            if not self.is_open(container_id):
                self._drop_claims(container_id)
            self._queues.give_back(container_id)

    @asynccontextmanager
    async def first_add(
        self, network: str, is_over: Callable[[str], bool], until: float, watch: Watch
    ) -> AsyncGenerator[None]:
        """Hold off other ADDs to a network to which none has succeeded yet, unless one has when it
        is our turn.

        Args:
            network: The network's name.
            is_over: Tells whether one has by then.
            until: When waiting ends, on the loop's clock.
            watch: Entered while another one goes on.

        Raises:
            Busy: the one before it went on until then.
            StoreError: the state directory cannot be locked.
        """
        async with AsyncExitStack() as held:
            if self.locks is not None:
                alone = self.locks.first_add(network, until=until, watch=watch)
                await held.enter_async_context(alone)
                if is_over(network):
                    await held.aclose()
            yield

    def is_guarded(self, name: str) -> bool:
        """Tell whether a plugin holds the guard of that name.

        Raises:
            StoreError: that cannot be told.
        """
        return self.locks is not None and self.locks.is_guarded(name)

    @asynccontextmanager
    async def alone(self, seconds: float, describe: Callable[[], str]) -> AsyncGenerator[None]:
        """Hold off every operation on an attachment.

        Args:
            seconds: How long to wait for those that are under way.
            describe: Says which they are.

        Raises:
            Busy: some of them went on for so long.
            StoreError: the state directory cannot be locked.
        """
        if self.locks is None:
            yield
            return
        until = anyio.current_time() + seconds
        async with self.locks.gate.exclusive(until=until, describe=describe):
            yield

    @asynccontextmanager
    async def of_container_alone(self, container_id: ContainerId) -> AsyncGenerator[None]:
        """Have a container's turn where every operation is held off: only a runtime that could not
        bring something of it to an end may have it.

        Raises:
            Busy: one has.
            StoreError: the state directory cannot be locked.
        """
        if self.locks is None:
            yield
            return
        until = anyio.current_time() + _CLAIM_SECONDS
        async with self._lock(self.locks, container_id, until):
            yield

    def _lock(
        self, locks: Locks, container_id: ContainerId, until: float, watch: Watch = nullcontext
    ) -> AbstractAsyncContextManager[None]:
        return locks.container(
            container_id,
            until=until,
            describe=partial(self.describe, container_id),
            stays=partial(self.is_open, container_id),
            watch=watch,
        )

    def claim_record(self, name: str, container_id: ContainerId) -> Claim:
        """Claim the file name of a record, where another attachment can have it: two can map to one
        (``a-b`` with ``c``, ``a`` with ``b-c``).

        Raises:
            AttachmentExists: another attachment claims it.
            StoreError: the state directory cannot be locked.
        """
        if is_of_one_attachment(name):
            return nullcontext(True)  # whose it is has the container's turn
        return self._claim(
            container_id,
            "record",
            name,
            lambda: AttachmentExists(
                f"another attachment is just being given the record {name}",
                expected="another network name or container ID",
            ),
        )

    def claim_interface(
        self, identity: NetnsIdentity, ifname: IfName, container_id: ContainerId
    ) -> Claim:
        """Claim an interface in a namespace. The loser is refused before it runs anything: its undo
        would delete the winner's interface.

        Raises:
            NetnsInUse: another operation claims it.
            StoreError: the state directory cannot be locked.
        """
        return self._claim(
            container_id,
            "interface",
            f"{identity.kind}:{identity.id}/{ifname}",
            lambda: NetnsInUse(
                f"another container is just being given {ifname} in that namespace",
                place="netns",
                expected="a namespace of its own for each container",
            ),
        )

    def _claim(
        self,
        container_id: ContainerId,
        kind: Kind,
        name: str,
        refusal: Callable[[], AcniError],
    ) -> Claim:
        if self.locks is None:
            return nullcontext(True)

        def stays() -> bool:
            is_open = self.is_open(container_id)
            if is_open:
                self._claims.setdefault(container_id, set()).add((kind, name))
            return is_open

        seconds = min(self.wait_seconds, _CLAIM_SECONDS)
        return self.locks.claim(kind, name, seconds=seconds, refusal=refusal, stays=stays)

    def _drop_claims(self, container_id: ContainerId) -> None:
        for kind, name in self._claims.pop(container_id, ()):
            if self.locks is not None:
                self.locks.drop_claim(kind, name)

    async def _take(self, container_id: ContainerId, until: float, watch: Watch) -> None:
        # No turn of the loop where it is free: who comes with many others has let one pass.
        await anyio.lowlevel.checkpoint_if_cancelled()
        if self._queues.try_take(container_id):
            return
        what = "another operation of this runtime on the container went on"
        with bounded(until, what, partial(self.describe, container_id), watch):
            await self._queues.take(container_id)
