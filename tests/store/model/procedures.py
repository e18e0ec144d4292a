"""The protocol: what a runtime does, step by step.

Each `yield` is a request: one step, before which the runtime may be killed and everybody else may
run. A procedure knows of the world only what its requests were answered; it ends by naming the one
that it goes on as, or None. So where a runtime stands is a name, arguments and answers, and it is
replayed, not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from attrs import Factory, define

from tests.store.model.journal import GONE, OWED
from tests.store.model.recovery import Job
from tests.store.model.world import ATTACHED, DEBT, Case, Frame, Procedure, Record

Request = tuple[Any, ...]
Seen = tuple[Any, ...]
"""What happened: "step", a runtime, its request, the answer and the state after it; "ended", a
plugin and its answer; "started", "killed" or "idle", a runtime; "torn", a slot.
"""
Steps = Generator[Request, Any, Procedure | None]


@define(eq=False)
class Protocol:
    """The procedures of a case.

    Attributes:
        case: The case.
        seen: Where it is said what happens, by whoever drives the store along; for each successor
            of a state anew. None where nobody does.
    """

    case: Case
    seen: list[Seen] | None = None
    _asked: dict[tuple[Procedure, tuple[Any, ...]], Request] = Factory(
        dict[tuple[Procedure, tuple[Any, ...]], Request]
    )

    def ask(self, procedure: Procedure, heard: tuple[Any, ...]) -> Request:
        """Return the next request of a procedure that heard these answers, or ("goto", what it
        goes on as).
        """
        key = procedure, heard
        if key not in self._asked:
            self._asked[key] = self._replayed(procedure, heard)
        return self._asked[key]

    def say(self, *happened: Any) -> None:
        """Say what happens."""
        if self.seen is not None:
            self.seen.append(happened)

    def _replayed(self, procedure: Procedure, heard: tuple[Any, ...]) -> Request:
        name, *arguments = procedure
        steps = _PROCEDURES[name](self.case, *arguments)
        try:
            request = next(steps)
            for answer in heard:
                request = steps.send(answer)
        except StopIteration as end:
            return "goto", end.value
        return request


def _enter(case: Case, attachment: int, *, is_gated: bool = True) -> Generator[Request, Any, bool]:
    """Take an attachment's turn; the answer is whether it could be had."""
    if case.scenario.left.gcs and is_gated:
        yield "lock", "gate"
        yield ("gc guard",)  # an orphan GC plugin still goes by an old valid set
    return bool((yield "lock", ("container", case.scenario.containers[attachment])))


def _operation(case: Case, attachment: int, run: str) -> Steps:
    """Begin a verb of one attachment."""
    if not (yield from _enter(case, attachment)):
        return None
    return "prepare", attachment, (run, attachment), None


def _prepare(
    case: Case, attachment: int, then: Procedure, otherwise: Procedure | None, *passed: int
) -> Steps:
    """Settle what is owed here, which is looked up under the container's lock; but for operations
    of which it could not be noted that they ended, and whose end is found the same again.
    """
    job = yield "look", attachment, passed
    if job is None:
        return then
    return "settle", job, ("prepare", attachment, then, otherwise, *passed), otherwise


def _settle(case: Case, job: Job, then: Procedure, otherwise: Procedure | None) -> Steps:
    if not case.has("no_guard"):
        yield "guard", job.attachment  # an orphan plugin of this container may still run
    match job.how:
        case "quarantine":
            yield "quarantine", job.attachment
            return then
        case "end":
            if (yield from _noted(case, job.slot, ("end", job.operation, job.outcome))):
                return then
            # Once something else stands in the record's place, recovery would not end it so.
            is_sure = job.outcome == ATTACHED or case.has("unnoted_end_passed_over")
            return _but(then, job.operation) if is_sure else otherwise
        case "record" if not case.has("debt_retry_unjournaled"):
            if not (yield "append", ("del", job.operation, job.next)):
                return otherwise
        case "delete":
            # In a dead slot nobody knows whether anything can be noted.
            is_tried = job.slot >= 0 and not case.has("remains_not_tried")
            is_fit = not is_tried or (yield from _noted(case, job.slot, job.noted))
            # Before the first DEL, as for an ADD that failed.
            if is_fit and job.is_add:
                is_fit = yield "retire", job.attachment, job.operation
            if not is_fit:
                return otherwise
        case _:
            pass
    what = job.attachment, job.operation
    return "take_down", *what, job.next, job.address, job.slot, then, otherwise


def _but(then: Procedure | None, operation: int) -> Procedure | None:
    """Go on; in the same turn an operation whose end could not be noted is not asked for again."""
    return (*then, operation) if then is not None and then[0] == "prepare" else then


def _noted(case: Case, slot: int, frame: Frame | None) -> Generator[Request, Any, bool]:
    """Note something in a slot, one's own where that is below zero; the answer is whether it is."""
    if slot < 0:
        return bool((yield "append", frame))
    if case.has("written_without_byte"):
        stands = yield "read", slot
        return bool((yield "append", frame, slot, stands))
    return bool((yield "append", frame, slot))


def _take_down(
    case: Case,
    attachment: int,
    operation: int,
    index: int,
    address: int | None,
    slot: int,
    then: Procedure | None,
    otherwise: Procedure | None,
) -> Steps:
    """DEL of the plugins from ``index`` down: the one function of delete, undo and settling."""
    if index < 0:
        return (yield from _retire(case, attachment, operation, slot, then, otherwise))
    if index == 0 and case.has("record_retired_before_last_del"):
        yield "remove", attachment, operation
    is_done, _ = yield "run", "del", operation, index, address
    if is_done:
        is_noted = yield from _noted(case, slot, ("deleted", operation, index))
        # Never the next DEL before the last one is noted; after the last one the end says it, too.
        if is_noted or index == 0 or case.has("next_del_before_note"):
            what = attachment, operation, index - 1, address, slot
            return "take_down", *what, then, otherwise
        index -= 1
    if (yield "debt", attachment, Record(DEBT, operation, address, index)):
        yield from _noted(case, slot, ("end", operation, OWED))
    return otherwise


def _retire(
    case: Case,
    attachment: int,
    operation: int,
    slot: int,
    then: Procedure | None,
    otherwise: Procedure | None,
) -> Steps:
    if not (yield "remove", attachment, operation):
        return otherwise
    is_noted = yield from _noted(case, slot, ("end", operation, GONE))
    return then if is_noted else _but(then, operation)


def _add(case: Case, attachment: int) -> Steps:
    if case.has("first_add_settles_others"):
        # As first written: a network's first ADD settles the old records of all others.
        yield "lock", "first"
        for other in case.scenario.attachments:
            if (yield "old", other):
                yield "lock", ("container", case.scenario.containers[other])
                return "prepare", other, ("add", attachment), None
    if case.scenario.shares_interfaces:
        yield "lock", ("netns", case.scenario.namespaces[attachment])
    if not (yield "guards", attachment):
        return None
    operation = yield "begin", attachment
    if operation is None:
        return None
    if not case.has("begin_not_synced"):
        yield ("sync",)
    return "chain", attachment, operation, 0, None


def _chain(case: Case, attachment: int, operation: int, index: int, address: int | None) -> Steps:
    """ADD of the plugins from ``index`` on, then the record; or all of it undone."""
    if index < case.scenario.chain:
        is_done, result = yield "run", "add", operation, index, address
        address = result if is_done else address
        if is_done and (yield "append", ("step", operation, address)):
            return "chain", attachment, operation, index + 1, address
    elif (yield "append", ("named", operation)) and (
        yield "record", attachment, Record(ATTACHED, operation, address)
    ):
        yield "append", ("end", operation, ATTACHED)
        yield "tell", operation
        return None
    # Failed or cancelled: the record may be there or not.
    if not case.has("undo_keeps_record") and not (yield "retire", attachment, operation):
        return None
    return "take_down", attachment, operation, case.scenario.chain - 1, address, -1, None, None


def _delete(case: Case, attachment: int) -> Steps:
    scenario = case.scenario
    found = yield "found", attachment  # from here on the caller counts it as deleted
    if found is None and scenario.shares_interfaces:
        # The caller's configuration and namespace: claimed as for an ADD.
        if not case.has("bare_del_without_netns_lock"):
            yield "lock", ("netns", scenario.namespaces[attachment])
        found = yield "bare", attachment
    if found is None:
        return None
    operation, address = found
    is_noted = yield "append", ("del", operation, scenario.chain - 1)
    if not is_noted and not case.has("unnoted_delete_runs"):
        return None
    return "take_down", attachment, operation, scenario.chain - 1, address, -1, None, None


def _recover(case: Case, attachment: int) -> Steps:
    """Settle what is left of every attachment."""
    yield ("unlock",)
    if attachment == len(case.scenario.containers):
        return None
    job: Job | None = None
    if case.has("slot_read_before_lock"):
        job = yield "look", attachment
    if case.has("slot_adopted_by_one"):
        yield "lock", "adopter"
    after = "recover", attachment + 1
    if not (yield from _enter(case, attachment, is_gated=not case.has("recovery_without_gate"))):
        return after
    if job is not None:
        return "settle", job, after, after
    return "prepare", attachment, after, after


def _gc(case: Case, attachment: int) -> Steps:
    if attachment == 0:
        yield "lock", "GATE"
        yield ("gc guard",)  # an orphan of the last one
    yield ("let go",)
    if attachment < len(case.scenario.containers):
        after, one = ("gc", attachment + 1), ("gc_one", attachment)
        # Only who could not bring something to an end has a container now, or is just ending.
        if not (yield "lock", ("container", case.scenario.containers[attachment])):
            return after
        if case.has("gc_passes_over_the_dying") and (yield "is ending", attachment):
            return one
        return "prepare", attachment, one, after
    yield "run", "gc", -1, 0, None  # one plugin stands for the chain
    return None


def _gc_one(case: Case, attachment: int) -> Steps:
    after = "gc", attachment + 1
    record = yield "not kept", attachment
    if record is None:
        return after
    last = case.scenario.chain - 1
    if not (yield "append", ("del", record.operation, last)):
        return after
    return "take_down", attachment, record.operation, last, record.address, -1, after, after


_PROCEDURES: Final[dict[str, Callable[..., Steps]]] = {
    "operation": _operation,
    "prepare": _prepare,
    "settle": _settle,
    "take_down": _take_down,
    "add": _add,
    "chain": _chain,
    "delete": _delete,
    "recover": _recover,
    "gc": _gc,
    "gc_one": _gc_one,
}
