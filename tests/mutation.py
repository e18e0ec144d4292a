"""Break each rule once and see whether its tests notice: ``nox -s mutation``, ``nox -s mutation --
R34``.

For each change of ``sabotage.toml`` the sources are copied, the copy is changed, and the rule's
tests run against it. Killed: one of them failed. Survived: none did, and the rule's tests have to
be mended. No proof: they could not even be run, so the change has to be mended. Before all that
the same tests must pass on the sources as they are.
"""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeAlias

import pytest
from attrs import frozen

TESTS: Final = Path(__file__).parent
CHECKOUT: Final = TESTS.parent

_AT_ONCE: Final = 2
# The tests of one rule that pass take some seconds; each has a bound of its own.
_SECONDS: Final = 300.0

_VERDICTS: Final[Mapping[int | None, str]] = {
    pytest.ExitCode.OK: "SURVIVED",
    pytest.ExitCode.TESTS_FAILED: "killed",
}

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@frozen(kw_only=True)
class Rule:
    """A rule of ``docs/rules.toml``.

    Attributes:
        id: Its number: R1 to R63 are of the specification, P1 to P12 what it asks of plugins.
        binds: "runtime" or "plugin".
        text: What it says.
        section: Where, in the specification.
        decision: What acni does.
        since: "now", or what brings it.
    """

    id: str
    binds: str
    text: str
    section: str
    decision: str
    since: str

    @property
    def is_due(self) -> bool:
        """Tell whether acni keeps it."""
        return self.since == "now"


@frozen(kw_only=True)
class Sabotage:
    """A change of the sources that breaks a rule.

    Attributes:
        rule: The rule's number.
        file: The file, in ``src``.
        before: What stands there, once.
        after: What takes its place.
    """

    rule: str
    file: str
    before: str
    after: str

    def apply(self, sources: Path) -> None:
        """Change the file in a copy of the sources."""
        path = sources / self.file
        text = path.read_text()
        if text.count(self.before) != 1:
            raise ValueError(f"{self.file} does not have it once: {self.before}")
        path.write_text(text.replace(self.before, self.after))

    def __str__(self) -> str:
        return f"{self.rule} ({self.file}: {self.before.strip()[:60]})"


def read_rules() -> tuple[Rule, ...]:
    """Read the rules, in their order."""
    document = tomllib.loads((CHECKOUT / "docs" / "rules.toml").read_text())
    return tuple(Rule(**rule) for rule in document["rule"])


def read_sabotages() -> tuple[Sabotage, ...]:
    """Read the changes, in the order of their file."""
    document = tomllib.loads((TESTS / "sabotage.toml").read_text())
    return tuple(Sabotage(**sabotage) for sabotage in document["sabotage"])


def all_tests() -> Iterator[tuple[str, Function]]:
    """Iterate over the test functions and the files that have them, without importing any."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function) and node.name.startswith("test_"):
                yield str(path.relative_to(CHECKOUT)), node


def rules_of(function: Function) -> tuple[str, ...]:
    """Return the rules that a test function is marked with."""
    calls = (node for node in function.decorator_list if isinstance(node, ast.Call))
    markers = (call for call in calls if ast.unparse(call.func) == "pytest.mark.rule")
    return tuple(ast.literal_eval(argument) for marker in markers for argument in marker.args)


def files_of_rules() -> Mapping[str, tuple[str, ...]]:
    """Find the files with tests of each rule; those of the cheapest room come first."""
    files: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for path, function in all_tests():
        for rule in rules_of(function):
            files[rule][path] = None
    return {rule: tuple(sorted(paths, key=_cost)) for rule, paths in files.items()}


def _cost(path: str) -> int:
    """Say how late a file is run: pure functions, then doubles, then processes, then libcni."""
    rooms = ("spec", "engine", "store", "host", "cli", "libcni")
    room = path.split("/")[1]
    return rooms.index(room) if room in rooms else len(rooms)


def main(chosen: Sequence[str]) -> int:
    """Try the changes of the chosen rules, by default of all; return the exit status."""
    sabotages = [each for each in read_sabotages() if not chosen or each.rule in chosen]
    unknown = set(chosen) - {each.rule for each in sabotages}
    if unknown:
        print(f"no sabotage of {', '.join(sorted(unknown))}")
        return 2
    started = time.monotonic()
    if not _pass_as_they_are([each.rule for each in sabotages]):
        return 1
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        verdicts = list(threads.map(_try, sabotages))
    killed = verdicts.count("killed")
    seconds = time.monotonic() - started
    print(f"{killed} of {len(verdicts)} killed in {seconds:.0f} s")
    return 0 if killed == len(verdicts) else 1


def _pass_as_they_are(rules: Iterable[str]) -> bool:
    wanted = list(dict.fromkeys(rules))
    status, output = _run_tests(wanted, CHECKOUT / "src", seconds=_SECONDS * 4)
    if status != pytest.ExitCode.OK:
        print(output, f"the tests of {', '.join(wanted)} do not pass as they are", sep="\n")
    return status == pytest.ExitCode.OK


def _try(sabotage: Sabotage) -> str:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="acni-mutation-") as directory:
        sources = Path(directory) / "src"
        shutil.copytree(CHECKOUT / "src", sources)
        try:
            sabotage.apply(sources)
        except ValueError as error:
            status, output = None, str(error)
        else:
            status, output = _run_tests([sabotage.rule], sources, seconds=_SECONDS)
    verdict = _VERDICTS.get(status, "NO PROOF")
    failed = [line for line in output.splitlines() if line.startswith("FAILED ")]
    why = failed[0] if verdict == "killed" and failed else output
    print(f"{verdict} {sabotage} in {time.monotonic() - started:.1f} s\n    {why}", flush=True)
    return verdict


def _run_tests(rules: Sequence[str], sources: Path, *, seconds: float) -> tuple[int | None, str]:
    """Run the tests of rules against sources; the exit status is None when time ran out."""
    of_rules = files_of_rules()
    files = sorted({path for rule in rules for path in of_rules.get(rule, ())}, key=_cost)
    options = [option for rule in rules for option in ("--rule", rule)]
    pytest_command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    with tempfile.TemporaryDirectory(prefix="acni-mutation-") as directory:
        # What a change makes hypothesis find is not for the checkout's own tests.
        own = {"PYTHONPATH": str(sources), "HYPOTHESIS_STORAGE_DIRECTORY": directory}
        process = subprocess.Popen(
            [*pytest_command, f"--basetemp={directory}/pytest", *options, *files],
            cwd=CHECKOUT,
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return None, f"{output}\nout of time after {seconds:.0f} s\n"
    return process.returncode, output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
