"""A judge of traces by the rules of the Trace Event Format, and what a valid one draws.

It knows the format and nothing of acni: the members that each phase needs, slices that nest in each
lane, begun ones that end, names for all processes and lanes. Where viewers differ the stricter one
counts: Perfetto takes no object without its end, reads ``tid`` as 32 bits, and puts slices into
order by time alone.
"""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

from attrs import Factory, define, frozen

Raw = dict[str, Any]

# The members of each phase beside ph, name and pid, and what is allowed besides.
NEEDED: Final = {
    "B": {"cat", "tid", "ts"},
    "E": {"cat", "tid", "ts"},
    "X": {"cat", "tid", "ts", "dur"},
    "i": {"cat", "tid", "ts", "s"},
}
NAMING: Final = {"process_name", "thread_name"}


@define(eq=False)
class Slice:
    """A slice, or an instant, as it is drawn."""

    name: str
    category: str
    begun: int
    ended: int | None
    args: Raw
    inside: list[Slice] = Factory(list["Slice"])

    def names(self) -> list[str]:
        return [one.name for one in self.inside]

    def all(self) -> Iterator[Slice]:
        yield self
        for one in self.inside:
            yield from one.all()

    @property
    def length(self) -> int:
        assert self.ended is not None
        return self.ended - self.begun


@frozen
class Drawing:
    """What a trace draws.

    Attributes:
        lanes: What lies in each lane, outermost, in order.
        text: The file.
    """

    lanes: dict[str, list[Slice]]
    text: str

    def all(self, category: str) -> list[Slice]:
        every = (one for lane in self.lanes.values() for top in lane for one in top.all())
        return [one for one in every if one.category == category]


class Malformed(AssertionError):
    """A trace is against the format."""


def require(holds: object, why: str, event: object = None) -> None:
    if not holds:
        raise Malformed(f"{why}: {event}")


def read(path: Path, *, died: bool = False) -> Drawing:
    """Judge a file and return what it draws; in one of a process that died things may be open."""
    return judge(path.read_text(), died=died)


def judge(text: str, *, died: bool = False) -> Drawing:
    document = json.loads(text, parse_constant=_no_number)
    require(set(document) == {"traceEvents", "displayTimeUnit", "otherData"}, "members", document)
    require(document["displayTimeUnit"] in ("ms", "ns"), "unit")
    require(all(isinstance(said, str) for said in document["otherData"].values()), "otherData")
    processes: set[int] = set()
    lanes: dict[tuple[int, int], tuple[str, list[Raw]]] = {}
    for event in document["traceEvents"]:
        _check_members(event)
        if event["name"] == "process_name":
            require(event["pid"] not in processes, "a process named twice", event)
            processes.add(event["pid"])
            continue
        require(event["pid"] in processes, "of a process without a name", event)
        lane = event["pid"], event["tid"]
        if event["ph"] == "M":
            require(lane not in lanes, "a lane named twice", event)
            lanes[lane] = event["args"]["name"], []
        else:
            require(lane in lanes, "in a lane without a name", event)
            lanes[lane][1].append(event)
    require(processes, "no process")
    names = [name for name, _ in lanes.values()]
    require(len(set(names)) == len(names), "two lanes of one name", names)
    drawn = {name: _Lane(died).draw(events) for name, events in lanes.values()}
    return Drawing(drawn, text)


def _no_number(text: str) -> NoReturn:
    raise Malformed(f"no number of JSON: {text}")


def _check_members(event: Raw) -> None:
    require(isinstance(event.get("name"), str) and event["name"], "no name", event)
    require(_is_number(event.get("pid"), below=1 << 32), "no process", event)
    args = event.get("args", {})
    require(isinstance(args, dict), "args", event)
    require(all(isinstance(said, str | int) for said in args.values()), "args", event)
    members = set(event) - {"ph", "name", "pid", "args"}
    if event.get("ph") == "M":
        require(event["name"] in NAMING, "unknown metadata", event)
        require(isinstance(args.get("name"), str) and args["name"], "names nothing", event)
        require(members == ({"tid"} if event["name"] == "thread_name" else set()), "more", event)
    else:
        require(event.get("ph") in NEEDED, "unknown phase", event)
        require(members == NEEDED[event["ph"]], "members of the phase", event)
        require(isinstance(event["cat"], str) and event["cat"], "no category", event)
        require(_is_number(event["ts"]), "no time", event)
        require(_is_number(event.get("dur", 0)), "no duration", event)
        require(event.get("s", "t") in ("g", "p", "t"), "unknown scope", event)
    require(_is_number(event.get("tid", 1), below=1 << 32), "no thread", event)


def _is_number(value: object, below: int = 1 << 53) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


@define(eq=False)
class _Lane:
    died: bool
    open: list[Slice] = Factory(list[Slice])
    drawn: list[Slice] = Factory(list[Slice])

    def draw(self, events: list[Raw]) -> list[Slice]:
        times = [event["ts"] for event in events]
        require(times == sorted(times), "times go back", times)
        for event in events:
            self._close_complete(event["ts"])
            getattr(
                self, {"B": "_begin", "E": "_end", "X": "_complete", "i": "_instant"}[event["ph"]]
            )(event)
        self._close_complete(None)
        require(self.died or not self.open, "what began did not end", self.open)
        return self.drawn

    def _close_complete(self, until: int | None) -> None:
        """Leave complete slices that are over; the others have to be begun ones."""
        while self.open and (ended := self.open[-1].ended) is not None:
            if until is not None and ended > until:
                return
            self.open.pop()

    def _begin(self, event: Raw) -> None:
        require(not self.open or self.open[-1].ended is None, "begun in a complete one", event)
        self.open.append(self._put(event, None))

    def _end(self, event: Raw) -> None:
        require(self.open, "ends what did not begin", event)
        ended = self.open.pop()
        require(ended.ended is None, "ends before what is in it", event)
        require((ended.name, ended.category) == (event["name"], event["cat"]), "another", event)
        ended.ended = event["ts"]
        ended.args |= event.get("args", {})

    def _complete(self, event: Raw) -> None:
        until = event["ts"] + event["dur"]
        for outer in self.open:
            require(outer.ended is None or until <= outer.ended, "overlaps", event)
        self.open.append(self._put(event, until))

    def _instant(self, event: Raw) -> None:
        self._put(event, event["ts"])

    def _put(self, event: Raw, until: int | None) -> Slice:
        drawn = Slice(event["name"], event["cat"], event["ts"], until, event.get("args", {}))
        (self.open[-1].inside if self.open else self.drawn).append(drawn)
        return drawn


def categories(drawing: Drawing) -> dict[str, int]:
    """Count slices by category."""
    counts: defaultdict[str, int] = defaultdict(int)
    for lane in drawing.lanes.values():
        for top in lane:
            for one in top.all():
                counts[one.category] += 1
    return dict(counts)


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A file system with room for one page of a file."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(directory)]
    subprocess.run(mount, check=True, timeout=20)
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True, timeout=20)
