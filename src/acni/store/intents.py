"""What a journal says: the operations that were begun, how far each came, and how it ended.

Pure: frames in, values out; values in, facts of a frame out.

Kinds of frames: `open` (who writes from here on), `begin` (an ADD or a delete is about to run its
first plugin, and all that is needed to undo or to finish it), `step` (a plugin's result, or that it
let go), `named` (the record is about to get its name), `end`, and `since` (what stands before a
number is void: a newer segment repeats it).

An operation has the ID of its attachment: the delete of an attachment that this journal saw begin
takes over its entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, get_args

from attrs import Factory, define, evolve, field, frozen

from acni.errors import StoreError
from acni.host.processes import ProcessIdentity
from acni.store.frames import Frame
from acni.store.record import Record, read_record
from acni.store.spares import is_spare_name
from acni.store.values import number_at, text_at

Verb = Literal["add", "delete"]
Outcome = Literal["attached", "gone", "owed"]

_VERBS: Final = frozenset(get_args(Verb))
_OUTCOMES: Final = frozenset(get_args(Outcome))


@frozen(kw_only=True)
class Intent:
    """One operation as the journal has it.

    Attributes:
        operation: Its ID: the attachment's.
        verb: "add" or "delete".
        container_id: The container, to find it by.
        record: The record's text without what happened since, as :func:`~acni.store.record.
            read_record` reads it.
        next: The place of the plugin whose DEL comes next if it is undone or gone on with.
        result: The text of the last plugin's result of an ADD.
        spare: The file that is to become the record of an ADD.
        is_named: It was about to be renamed.
        until: When its plugins are out of time, in seconds on CLOCK_BOOTTIME.
        boot: The boot in which it was begun.
        outcome: How it ended, or None.
    """

    operation: str
    verb: Verb
    container_id: str
    record: str = field(repr=False)
    next: int
    result: str | None = field(default=None, repr=False)
    spare: str | None = None
    is_named: bool = False
    until: float
    boot: str
    outcome: Outcome | None = None

    def begin(self) -> Mapping[str, object]:
        """Write the facts of the frame that begins it, or repeats it as it stands."""
        return {
            "kind": "begin",
            "operation": self.operation,
            "verb": self.verb,
            "container_id": self.container_id,
            "record": self.record,
            "next": self.next,
            "result": self.result,
            "spare": self.spare,
            "is_named": self.is_named,
            "until": self.until,
            "boot": self.boot,
            "outcome": self.outcome,
        }


def record_of(intent: Intent) -> Record:
    """Return what an operation is about, as far as it came: up to the plugin that is next, with the
    last result.

    Raises:
        StoreError: it cannot be read, or is another operation's.
    """
    # Whatever JSON can write may stand there, half a character too.
    record = read_record(None, intent.record.encode(errors="surrogatepass"))
    provenance = record.provenance
    is_its_own = provenance is not None and provenance.operation == intent.operation
    is_in_chain = -1 <= intent.next < len(record.network.plugins)
    if not (is_its_own and is_in_chain and record.container_id == intent.container_id):
        raise StoreError(
            "is another operation's record", place="acni/journal", expected="its own record"
        )
    return evolve(record.up_to(intent.next), result=intent.result or record.result)


def step_facts(operation: str, index: int, result: str | None) -> Mapping[str, object]:
    """Write the facts of a step: a plugin's result, or without one that it let go."""
    return {"kind": "step", "operation": operation, "index": index, "result": result}


def named_facts(operation: str) -> Mapping[str, object]:
    """Write the facts of an ADD whose spare file is about to become its record."""
    return {"kind": "named", "operation": operation}


def end_facts(operation: str, outcome: Outcome) -> Mapping[str, object]:
    """Write the facts of an operation's end."""
    return {"kind": "end", "operation": operation, "outcome": outcome}


def open_facts(opener: ProcessIdentity, boot: str) -> Mapping[str, object]:
    """Write the facts of who writes from here on."""
    return {
        "kind": "open",
        "boot": boot,
        "pid": opener.pid,
        "started": opener.started,
        "pid_namespace": opener.pid_namespace,
    }


def since_facts(number: int) -> Mapping[str, object]:
    """Write the facts of a new segment that repeats what is open of the old one."""
    return {"kind": "since", "number": number}


@define
class Ledger:
    """What frames say in all.

    Attributes:
        intents: The operations by ID, ended ones too.
        opener: Who wrote last, or None.
        boot: In which boot that was.
        since: What has a smaller number is void.
        is_corrupt: Some frames were good and meant nothing.
    """

    intents: dict[str, Intent] = Factory(dict[str, Intent])
    opener: ProcessIdentity | None = None
    boot: str = ""
    since: int = 0
    is_corrupt: bool = False

    def take(self, facts: Mapping[str, Any]) -> None:
        """Take in a frame."""
        try:
            self._take(facts)
        except (KeyError, TypeError, ValueError, OverflowError):
            self.is_corrupt = True

    def _take(self, facts: Mapping[str, Any]) -> None:
        match facts["kind"]:
            case "begin":
                intent = _intent(facts)
                self.intents[intent.operation] = intent
            case "step":
                index, result = number_at(facts, "index"), _result_at(facts)
                self._change(facts, lambda intent: advanced(intent, index, result))
            case "named":
                self._change(facts, lambda intent: evolve(intent, is_named=True))
            case "end":
                outcome: Outcome = _one_of(_OUTCOMES, facts["outcome"])
                self._change(facts, lambda intent: evolve(intent, outcome=outcome))
            case "open":
                self.opener, self.boot = _opener(facts), text_at(facts, "boot")
            case "since":
                pass
            case unknown:
                raise ValueError(unknown)

    def _change(self, facts: Mapping[str, Any], change: Callable[[Intent], Intent]) -> None:
        intent = self.intents.get(facts["operation"])
        if intent is not None:  # else its begin stood in a frame that is gone
            self.intents[intent.operation] = change(intent)


def advanced(intent: Intent, index: int, result: str | None) -> Intent:
    """Return an operation after a step."""
    if result is None:
        return evolve(intent, next=index - 1)
    return evolve(intent, result=result)


def replay(frames: Iterable[Frame]) -> Ledger:
    """Read what frames say, in the order of their numbers."""
    ordered = sorted(frames, key=lambda frame: frame.number)
    ledger = Ledger(since=max((_since(frame) for frame in ordered), default=0))
    for frame in ordered:
        if frame.number >= ledger.since:
            ledger.take(frame.facts)
    return ledger


def is_open(intent: Intent, boot: str) -> bool:
    """Tell whether something may be held of which only the journal knows.

    An ADD that ended in an earlier boot counts: its record was not synced, and may not be there.
    """
    return intent.outcome is None or (intent.outcome == "attached" and intent.boot != boot)


def _since(frame: Frame) -> int:
    number = frame.facts.get("number")
    if frame.facts.get("kind") != "since" or not isinstance(number, int):
        return 0
    return number if number <= frame.number else 0  # it says nothing of what comes after it


def _intent(facts: Mapping[str, Any]) -> Intent:
    outcome = facts["outcome"]
    return Intent(
        operation=text_at(facts, "operation"),
        verb=_one_of(_VERBS, facts["verb"]),
        container_id=text_at(facts, "container_id"),
        record=text_at(facts, "record"),
        next=number_at(facts, "next"),
        result=_result_or_none_at(facts),
        spare=None if facts["spare"] is None else _spare_at(facts, "spare"),
        is_named=facts["is_named"] is True,
        until=_seconds(facts["until"]),
        boot=text_at(facts, "boot"),
        outcome=None if outcome is None else _one_of(_OUTCOMES, outcome),
    )


def _opener(facts: Mapping[str, Any]) -> ProcessIdentity:
    return ProcessIdentity(
        pid=number_at(facts, "pid"),
        started=number_at(facts, "started"),
        pid_namespace=text_at(facts, "pid_namespace"),
    )


def _result_at(facts: Mapping[str, Any]) -> str | None:
    if facts["result"] is None:
        return None
    text = text_at(facts, "result")
    text.encode()  # half a character could not be written into a record
    return text


def _result_or_none_at(facts: Mapping[str, Any]) -> str | None:
    """Read the result of what was begun; without one it can be undone as well."""
    try:
        return _result_at(facts)
    except (TypeError, ValueError):
        return None


def _seconds(value: object) -> float:
    seconds = float(value) if isinstance(value, (int, float)) else math.nan
    if not math.isfinite(seconds):
        raise ValueError(value)
    return seconds


def _spare_at(facts: Mapping[str, Any], key: str) -> str:
    name = text_at(facts, key)
    if not is_spare_name(name):  # it is renamed to and from: it must not lead elsewhere
        raise ValueError(name)
    return name


def _one_of(words: frozenset[str], value: Any) -> Any:
    if value not in words:
        raise ValueError(value)
    return value
