"""What a run leaves: what plugins hold, what they did, and what the state directory says of it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

from attrs import frozen

from acni.store.spares import MOST_FREE
from tests.crash.scenarios import PLUGINS, Ground

ATTACHMENT: Final = "c1-eth0"

# Whatever else a state directory holds once nothing is attached and nothing owed, is litter.
_FURNITURE: Final = re.compile(
    r"results|acni(/FORMAT|/journal(/\d{3}(\.1)?)?|/spare(/\d{3})?|/debts|/quarantine|/first(/[0-9a-f]{64})?"
    r"|/lock(/gate|/types|/[0-9a-f]{2})?)?"
)
_SPARE: Final = re.compile(r"acni/spare/\d{3}/[^/]+")
_KEPT: Final = re.compile(r"acni/quarantine/[^/]+")


def make_ground(root: Path, plugin: Path) -> Ground:
    """Make a world with its plugins below a directory, and name a state directory there."""
    ground = Ground(root / "state", root / "world")
    for room in ("plugins", "told", "said", *(f"held/{name}" for name in PLUGINS)):
        (ground.world / room).mkdir(parents=True)
    (ground.world / "log").touch()
    for name in PLUGINS:
        (ground.world / "plugins" / name).hardlink_to(plugin)
    return ground


def tell(ground: Ground, told: Mapping[str, str]) -> None:
    """Tell plugins what to do: "second.DEL" to "fail"."""
    for path in (ground.world / "told").iterdir():
        path.unlink()
    for whom, words in told.items():
        (ground.world / "told" / whom).write_text(words)


def let_succeed(ground: Ground) -> None:
    """Let what plugins were told to refuse succeed from now on."""
    for path in (ground.world / "told").iterdir():
        if path.read_text() == "fail":
            path.unlink()


def copy_ground(source: Ground, target: Ground) -> None:
    """Put one ground in place of another."""
    for room in ("state_dir", "world"):
        copied, place = getattr(source, room), getattr(target, room)
        shutil.rmtree(place, ignore_errors=True)
        with suppress(FileNotFoundError):
            # A plugin is linked: the kernel refuses to run a file that was just written.
            shutil.copytree(copied, place, copy_function=_copy)


def _copy(source: str, target: str) -> None:
    if "/plugins/" in source:
        os.link(source, target)
    else:
        shutil.copyfile(source, target)
        shutil.copymode(source, target)


@frozen
class Note:
    """What a plugin wrote down.

    Attributes:
        what: "start", "end", "overlap": another one worked for the container; "twice": an ADD of
            what is held.
        verb: Its verb.
        plugin: Its name.
        attachment: For whom.
        netns: "yes" when it had a namespace, else "no".
        previous: Whom its previous result named; "-" when nobody.
        pid: Its process.
        runtime: Whose it is, where its runtime says so; else "-".
        at: When, on the monotonic clock.
        beside: The process that worked for the container, or in a GC's way; 0 when none did.
    """

    what: str
    verb: str
    plugin: str
    attachment: str
    netns: str
    previous: str
    pid: int
    runtime: str
    at: float
    beside: int

    @classmethod
    def parse(cls, line: str) -> Note:
        """Read a line of the log."""
        words = (word.rpartition("=")[2] for word in line.split())
        what, verb, plugin, attachment, netns, previous, pid, runtime, at, beside = words
        return cls(
            what,
            verb,
            plugin,
            attachment,
            netns,
            previous,
            pid=int(pid),
            runtime=runtime,
            at=float(at),
            beside=int(beside),
        )


@frozen
class Seen:
    """What there is at one moment.

    Attributes:
        held: What plugins hold: "first/c1-eth0".
        notes: What they did so far.
        said: What callers were told.
        states: The state of each record, by its file's name; "bad" for a file that is none.
        files: All that the state directory holds.
    """

    held: frozenset[str]
    notes: tuple[Note, ...]
    said: frozenset[str]
    states: Mapping[str, str]
    files: frozenset[str]

    @property
    def attached(self) -> frozenset[str]:
        """Name the attachments that are recorded as such: "c1-eth0"."""
        states = self.states.items()
        return frozenset(name.removeprefix("net-") for name, state in states if state == "attached")

    def is_whole(self, attachment: str) -> bool:
        """Tell whether an attachment is recorded, and every plugin holds what it needs."""
        return attachment in self.attached and held_by(attachment) <= self.held

    def about_what_is_held(self, *, may_be_less: bool) -> Iterator[str]:
        """Complain where what is held and what is known differ, once nothing is under way.

        Args:
            may_be_less: A caller was told that the attachment is not to be relied on.
        """
        if unknown := self.held.difference(*map(held_by, self.attached)):
            yield f"held and unknown: {_listed(unknown)}"
        for attachment in sorted(self.attached):
            if not may_be_less and not self.is_whole(attachment):
                held = self.held & held_by(attachment)
                yield f"attached is {attachment}, but held is only: {_listed(held)}"
        if owed := {name for name, state in self.states.items() if state != "attached"}:
            yield f"still owed or bad: {_listed(owed)}"

    def about_the_plugins(self) -> Iterator[str]:
        """Complain of plugins that met, and of an ADD of what was held."""
        for note in self.notes:
            if note.what == "overlap":
                yield f"{note.verb} of {note.plugin} while another plugin ran"
            elif note.what == "twice":
                yield f"ADD of {note.plugin}, which held it already"

    def about_the_order(self) -> Iterator[str]:
        """Complain of a plugin that is asked to let go again after the one before it was."""
        notes = self.notes_of("ADD", "DEL")
        for attachment in dict.fromkeys(note.attachment for note in notes):
            of_it = (note for note in notes if note.attachment == attachment)
            for earlier, later in pairwise(of_it):
                places = [PLUGINS.index(note.plugin) for note in (earlier, later)]
                if earlier.verb == later.verb == "DEL" and places[0] < places[1]:
                    yield f"DEL of {later.plugin} again after that of {earlier.plugin} began"

    def about_what_was_said(self) -> Iterator[str]:
        """Complain of what a caller was told and is not so."""
        is_to_last = "attached" in self.said and "detaching" not in self.said
        if is_to_last and not self.is_whole(ATTACHMENT):
            yield "the caller was told that it is attached"
        if "detached" in self.said and (self.held or self.states):
            yield "the caller was told that it is detached"
        if "collected" in self.said and self.states.keys() != {f"net-{ATTACHMENT}"}:
            yield f"the caller was told that the rest is collected: {_listed(set(self.states))}"

    def about_litter(self, *, keeps: bool) -> Iterator[str]:
        """Complain of what lies in the state directory when nothing should."""
        rest = {name for name in self.files if not _FURNITURE.fullmatch(name)}
        spare = {name for name in rest if _SPARE.fullmatch(name)}
        kept = {name for name in rest if keeps and _KEPT.fullmatch(name)}
        slots = {name.split("/")[2] for name in spare}
        if len(spare) > len(slots) * MOST_FREE:
            yield f"litter: {len(spare)} spare files"
        if rest := rest - spare - kept:
            yield f"litter: {_listed(rest)}"

    def notes_of(self, *verbs: str) -> Sequence[Note]:
        """Return the beginnings of the runs of verbs."""
        return [note for note in self.notes if note.what == "start" and note.verb in verbs]


def held_by(attachment: str) -> frozenset[str]:
    """Name what plugins hold of what is attached."""
    return frozenset(f"{plugin}/{attachment}" for plugin in PLUGINS)


def look(ground: Ground) -> Seen:
    """Look at what there is."""
    held = ground.world / "held"
    results = ground.state_dir / "results"
    return Seen(
        held=frozenset(str(path.relative_to(held)) for path in held.glob("*/*")),
        notes=tuple(map(Note.parse, (ground.world / "log").read_text().splitlines())),
        said=frozenset(path.name for path in (ground.world / "said").iterdir()),
        states={path.name: _state(path) for path in results.glob("*")},
        files=frozenset(
            str(path.relative_to(ground.state_dir)) for path in ground.state_dir.rglob("*")
        ),
    )


def _state(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["acni"]["state"])
    except (OSError, ValueError, KeyError, TypeError):
        return "bad"


def _listed(names: frozenset[str] | set[str]) -> str:
    return ", ".join(sorted(names))
