"""The fork server as tests use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from attrs import astuple, define, frozen

from tests.crash.points import Fault, Pair
from tests.crash.scenarios import Ground

CHECKOUT: Final = Path(__file__).parents[2]
LOOPS: Final = ("asyncio", "trio")

# A run takes some 20 ms, a second more where a daemon is waited for, and more on a busy machine.
RUN_SECONDS: Final = 90.0


@frozen(kw_only=True)
class Run:
    """How a run ended.

    Attributes:
        is_hung: It did not, in time, and was ended.
        signal: The signal that ended it, or 0.
        error: The class of the error that it ended with, or None.
        is_ours: The error is an AcniError.
        traceback: Of the error.
        hits: How often each pair was met; empty for a run that was ended.
        left: What it left open, and whether children.
        fault: What struck it.
        beside: What went wrong with the runtime beside it; empty when nothing did, or none was.
        was_paused: It was stopped, while another one worked, and continued.
    """

    is_hung: bool
    signal: int
    error: str | None
    is_ours: bool
    traceback: str
    hits: Mapping[Pair, int]
    left: Sequence[str]
    fault: Fault | None
    beside: str
    was_paused: bool

    @property
    def is_ended(self) -> bool:
        """Tell whether something ended it before it came to its own end."""
        return self.is_hung or self.signal != 0


@define(eq=False)
class ForkServer:
    """Runs scenarios, each in a process of its own that starts with everything imported."""

    _requests: IO[str]
    _answers: IO[str]

    def run(
        self,
        scenario: str,
        loop: str,
        ground: Ground,
        fault: Fault | None = None,
        *,
        beside: str | None = None,
    ) -> Run:
        """Run a scenario, with a fault or without.

        Args:
            scenario: Its name.
            loop: The loop.
            ground: Where.
            fault: What strikes it.
            beside: What another runtime works on meanwhile; None for no other runtime.
        """
        answer = self._ask(
            do="run",
            scenario=scenario,
            loop=loop,
            ground=ground.described(),
            fault=_flat(fault),
            seconds=RUN_SECONDS,
            beside=beside,
        )
        report = answer["report"] or _NO_REPORT
        left = list(report["descriptors"]) + ["children"] * report["children"]
        return Run(
            is_hung=answer["is_hung"],
            signal=answer["signal"],
            error=report["error"],
            is_ours=report["is_ours"],
            traceback=report["traceback"],
            hits={Pair(call, path): n for call, path, n in report["hits"]},
            left=left,
            fault=fault,
            beside=answer.get("beside", ""),
            was_paused=answer.get("was_paused", False),
        )

    def warm(self, loop: str, ground: Ground, scenario: str) -> None:
        """Import what a run imports by itself, so that the next ones need not."""
        answer = self._ask(
            do="run",
            scenario=scenario,
            loop=loop,
            ground=ground.described(),
            fault=None,
            seconds=RUN_SECONDS,
        )
        self._ask(do="import", modules=answer["report"]["modules"])

    def wait(self, seconds: float) -> int:
        """Wait for what runs left alive; end what then still lives and say how many that were."""
        return int(self._ask(do="wait", seconds=seconds))

    def _ask(self, **request: Any) -> Any:
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        answer = self._answers.readline()
        if not answer:
            raise RuntimeError("the fork server ended; its standard error says why")
        return json.loads(answer)


_NO_REPORT: Final[Mapping[str, Any]] = {
    "error": None,
    "is_ours": True,
    "traceback": "",
    "hits": [],
    "descriptors": [],
    "children": False,
}


def _flat(fault: Fault | None) -> Sequence[object] | None:
    if fault is None:
        return None
    return [*astuple(fault.point.pair), fault.point.n, int(fault.mode), fault.error]


@contextmanager
def serving(
    shim: Path, log: Path, *, sources: Path = CHECKOUT / "src", prefix: Sequence[str] = ()
) -> Generator[ForkServer]:
    """Start a fork server.

    Args:
        shim: The shim.
        log: Where its standard error goes.
        sources: Where it finds acni.
        prefix: A command that runs it: strace.
    """
    command = [*prefix, sys.executable, "-m", "tests.crash.server", str(shim)]
    environment = {"PYTHONPATH": str(sources), "LD_PRELOAD": str(shim)}
    with (
        log.open("ab") as errors,
        subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield ForkServer(process.stdin, process.stdout)
        finally:
            process.stdin.close()
