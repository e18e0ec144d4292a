"""The fork server: a process with everything imported that forks for each run of a scenario.

A run costs some milliseconds that way, and its process may be ended at any point. The server takes
requests on its standard input and answers them on its standard output, a line of JSON each. It is
the reaper of what a run leaves behind, so that it knows what still lives.

Started with the shim preloaded: ``python -m tests.crash.server <shim>``.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import anyio
import trio  # noqa: F401 (what a run needs is imported before it is forked)
from attrs import asdict, frozen

from acni import AcniError
from tests.crash.points import Fault, Mode, Pair, Point, Shim
from tests.crash.scenarios import BESIDE, SCENARIOS, Beside, Ground, described_ground

_PR_SET_CHILD_SUBREAPER: Final = 36
_CHUNK: Final = 1 << 16

# Between the server and the runtime beside the one that is struck.
_BEGUN: Final = b"."
_END: Final = b"!"


def main(shim_path: str) -> None:
    """Serve requests until there are no more."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    shim = Shim(shim_path)
    for line in sys.stdin:
        request = json.loads(line)
        answer = _ANSWERS[request.pop("do")](shim, **request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _import(_: Shim, modules: list[str]) -> None:
    """Import what a run imported: the next ones find it there."""
    for module in modules:
        with suppress(ImportError):
            importlib.import_module(module)


def _run(
    shim: Shim,
    *,
    scenario: str,
    loop: str,
    ground: dict[str, str],
    fault: Any,
    seconds: float,
    beside: str | None = None,
) -> dict[str, Any]:
    """Run a scenario in a process of its own, beside another one; say how they ended."""
    place = described_ground(ground)
    if beside is None:
        return _run_alone(shim, scenario, loop, place, fault, seconds)
    other = _Other.start(beside, loop, place, seconds)
    try:
        answer = _run_alone(shim, scenario, loop, place, fault, seconds)
    finally:
        wrong = other.end(seconds)
    return {**answer, "beside": wrong}


def _run_alone(
    shim: Shim, scenario: str, loop: str, ground: Ground, fault: Any, seconds: float
) -> dict[str, Any]:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _be_the_run(shim, write_end, scenario, loop, ground, fault and _fault(fault))
    os.close(write_end)
    try:
        aside = None
        is_to_pause = fault is not None and _fault(fault).mode is Mode.PAUSE
        if is_to_pause and _is_stopped(pid, read_end, seconds):
            aside = _run_alone(shim, "work_aside", loop, ground, None, seconds)
            os.kill(pid, signal.SIGCONT)
        report, is_hung = _read_until_dead(pid, read_end, seconds)
    finally:
        os.close(read_end)
    if is_hung:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return {
        "is_hung": is_hung,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "report": json.loads(report) if report and not is_hung else None,
        **_about_aside(aside),
    }


def _is_stopped(pid: int, read_end: int, seconds: float) -> bool:
    """Wait until a run stands still; tell whether it does, and did not come to its end instead."""
    until = time.monotonic() + seconds
    waiting = os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG
    while time.monotonic() < until:
        found = os.waitid(os.P_PID, pid, waiting)
        if found is not None:
            return found.si_code == os.CLD_STOPPED
        if select.select([read_end], [], [], 0.001)[0]:  # it reports, and so is at its end
            return False
    return False


def _about_aside(aside: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Say whether somebody worked aside, and what went wrong with that."""
    if aside is None:
        return {}
    wrong = "it hangs" if aside["is_hung"] else (aside["report"] or {}).get("traceback", "it died")
    return {"was_paused": True, "beside": wrong}


@frozen
class _Other:
    """A runtime beside the one that is struck.

    Attributes:
        pid: Its process.
        said: Where it says that it has begun, and then what went wrong.
        told: Where it is told to end.
    """

    pid: int
    said: int
    told: int

    @classmethod
    def start(cls, beside: str, loop: str, ground: Ground, seconds: float) -> _Other:
        """Start it, and wait until it has begun."""
        said, says = os.pipe()
        is_told, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(said)
            os.close(told)
            _be_the_other(says, is_told, beside, loop, ground)
        os.close(says)
        os.close(is_told)
        select.select([said], [], [], seconds)
        return cls(pid, said, told)

    def end(self, seconds: float) -> str:
        """Let it come to its end, and return what went wrong."""
        with suppress(BrokenPipeError):
            os.write(self.told, _END)
        try:
            said, is_hung = _read_until_dead(self.pid, self.said, seconds)
        finally:
            os.close(self.said)
            os.close(self.told)
        if is_hung:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        if is_hung:
            return "it hangs"
        if status:
            return f"status {status}"
        return said.decode().lstrip(_BEGUN.decode())


def _be_the_other(says: int, is_told: int, beside: str, loop: str, ground: Ground) -> None:
    """Work beside the one that is struck, and end this process."""
    os.set_blocking(is_told, False)

    def is_to_end() -> bool:
        with suppress(BlockingIOError):
            return bool(os.read(is_told, 1))
        return False

    def ready() -> None:
        os.write(says, _BEGUN)

    other = Beside(ready, is_to_end)
    try:
        _run_on(loop, other.work, ground, BESIDE[beside])
    except BaseException as error:  # noqa: BLE001, ASYNC103 (whatever it is, it is reported)
        os.write(says, "".join(traceback.format_exception(error)).encode())
    os._exit(0)


def _read_until_dead(pid: int, read_end: int, seconds: float) -> tuple[bytes, bool]:
    """Read what a run says until it ends; tell whether it did not in time."""
    until = time.monotonic() + seconds
    report = b""
    pidfd = os.pidfd_open(pid)
    try:
        waiting = select.poll()
        for fd in (pidfd, read_end):
            waiting.register(fd, select.POLLIN)
        while (left := until - time.monotonic()) > 0:
            ready = [fd for fd, _ in waiting.poll(left * 1000)]
            if read_end in ready:
                chunk = os.read(read_end, _CHUNK)
                report += chunk
                if not chunk:
                    waiting.unregister(read_end)
            elif pidfd in ready:
                return report, False
        return report, True
    finally:
        os.close(pidfd)


def _be_the_run(
    shim: Shim, write_end: int, scenario: str, loop: str, ground: Ground, fault: Fault | None
) -> None:
    """Run a scenario, say how it went, and end this process."""
    report: dict[str, Any] = {"error": None, "is_ours": True, "traceback": ""}
    report |= {"descriptors": [], "children": False}
    hits: Mapping[Pair, int] = {}
    if ground.host:
        ground.enter_host()

    async def run() -> None:
        nonlocal hits
        before = _descriptors()
        shim.start(str(ground.state_dir), str(ground.world), str(ground.leases), fault)
        try:
            await SCENARIOS[scenario](ground)
        finally:
            hits = shim.stop()
            report["descriptors"] = sorted((_descriptors() - before).elements())
            report["children"] = _children()

    try:
        _run_on(loop, run)
    except BaseException as error:  # noqa: BLE001, ASYNC103 (whatever it is, it is reported)
        report["error"] = type(error).__name__
        report["is_ours"] = isinstance(error, AcniError)
        report["traceback"] = "".join(traceback.format_exception(error))
    report["hits"] = [[*asdict(pair).values(), n] for pair, n in hits.items()]
    report["modules"] = list(sys.modules)  # in the order of their imports
    with os.fdopen(write_end, "w") as stream:
        json.dump(report, stream)
    os._exit(0)


def _run_on(loop: str, function: Callable[..., Awaitable[None]], *args: object) -> None:
    uses_uvloop = loop == "uvloop"
    options = {"use_uvloop": True} if uses_uvloop else {}
    backend = "asyncio" if uses_uvloop else loop
    anyio.run(function, *args, backend=backend, backend_options=options)


def _descriptors() -> Counter[str]:
    """Count the descriptors of this process by where they lead."""
    found: Counter[str] = Counter()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found[str(fd.readlink())] += 1
    return found


def _children() -> bool:
    """Tell whether this process has a child, alive or not."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _fault(described: Any) -> Fault:
    call, path, n, mode, error = described
    return Fault(Point(Pair(call, path), n), Mode(mode), error)


def _wait(_: Shim, seconds: float) -> int:
    """Wait for what runs have left alive, for so long; end the rest and say how many that were."""
    until = time.monotonic() + seconds
    while _reap() and time.monotonic() < until:
        time.sleep(0.001)
    ended = set()
    while left := _reap():
        for pid in left:
            ended.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
    return len(ended)


def _reap() -> list[int]:
    """Reap what is dead; return the children that live."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return []
        if pid == 0:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
            return [int(child) for child in children.split()]


_ANSWERS: Final[Mapping[str, Callable[..., Any]]] = {"import": _import, "run": _run, "wait": _wait}

if __name__ == "__main__":
    main(sys.argv[1])
