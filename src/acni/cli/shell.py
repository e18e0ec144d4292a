"""A plan as lines for a POSIX shell: one command a plugin, with exactly the environment and the
standard input that the engine would give it.

Only ``sh``, ``env`` and the plugins are needed. Of an ADD the result of each plugin is put into the
request of the next as the engine does it: without the white space around it, and with the selected
version in front where it has none. What needs a JSON parser (a result of another version) ends the
lines instead of sending something else.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from acni.cli.rehearsal import Run
from acni.errors import ConfigError
from acni.spec.commands import Command

# A line of JSON is never EOF. `local` is no POSIX: all of it runs in a subshell, whose names nobody
# else sees.
_FUNCTIONS: Final = """\
LC_ALL=C
cd / || exit
newline='
'
blank=$(printf ' \\t\\r\\n.')
blank=${blank%.}

# The here-document, without its last newline.
text() {
  held=
  while IFS= read -r line; do held=$held$line$newline; done
  printf %s "${held%"$newline"}"
}
"""

_RESULTS: Final = """\

# $1 without the white space around it.
trim() {
  trimmed=${1#"${1%%[!$blank]*}"}
  trimmed=${trimmed%"${trimmed##*[!$blank]}"}
}

# The result of the plugin $1, which ended with $2, as acni reads it: trimmed, of the version $3.
accept() {
  [ "$2" = 0 ] || { printf '%s\\n' "$result" "$1: exit status $2" >&2; exit "$2"; }
  trim "$result"
  result=$trimmed
  case $result in
    *'"cniVersion"'*'"cniVersion"'*) trimmed= ;;
    *'"cniVersion"'*)
      trim "${result#*'"cniVersion"'}"
      trim "${trimmed#:}"
      ;;
    '{'*)
      trim "${result#'{'}"
      [ "$trimmed" = '}' ] && comma= || comma=,
      result="{\\"cniVersion\\":\\"$3\\"$comma${result#'{'}"
      return
      ;;
    *) trimmed= ;;
  esac
  case $trimmed in
    '"'"$3"'"'*) ;;
    *)
      printf '%s\\n' "$result" "$1: no result of version $3; acni would convert or refuse it" >&2
      exit 1
      ;;
  esac
}
"""


def shell_lines(runs: Sequence[Run], title: str) -> bytes:
    """Write runs as lines for a POSIX shell, to be pasted or put into a file.

    Args:
        runs: The runs, in order; each has its executable.
        title: What they are of, for the first line.

    Raises:
        ConfigError: the path of an executable cannot be given to ``env``, or a plugin would get a
            stand-in.
    """
    is_add = any(run.step.command is Command.ADD for run in runs)
    lines = [
        f"# acni plan {ascii(title)[1:-1]}: what acni would run, in this order. "
        "It keeps no record of these lines.",
        "(",
        _FUNCTIONS + (_RESULTS if is_add else ""),
        *(line for number, run in enumerate(runs, 1) for line in _run_lines(number, run)),
        *(["printf '%s\\n' \"$result\""] if is_add else []),
        ")",
        "",
    ]
    # Paths and variables may hold any bytes; texts of JSON hold no surrogates.
    return os.fsencode("\n".join(lines))


def _run_lines(number: int, run: Run) -> Iterator[str]:
    step = run.step
    if run.has_stand_in:
        raise ConfigError(
            "the namespace is gone, and its stand-in is made when acni deletes",
            place="--shell",
            expected="acni del",
            plugin=step.plugin.type,
        )
    if run.undecided:
        yield f"# In version {run.undecided}; acni would ask first."
    title = f"{step.command} {step.plugin.type}; prevResult: {run.previous}"
    yield f"# {number}. {ascii(title)[1:-1]}"
    stdin = run.request.stdin.decode()
    command = f"env -i {_assignments(run.request.environment)} {_executable(run)}"
    if step.command is not Command.ADD:
        yield f"text <<'EOF' | {command} || exit\n{stdin}\nEOF\n"
        return
    if run.placeholder is None:
        yield f"result=$(text <<'EOF' | {command}\n{stdin}\nEOF\n)"
    else:
        # It is the last member, and nothing but the object's end stands behind it.
        before, _, after = stdin.rpartition(run.placeholder)
        yield f"result=$({{ text <<'EOF'\n{before}\nEOF"
        yield f"printf '%s%s' \"$result\" {shlex.quote(after)}; }} | {command}\n)"
    version = shlex.quote(run.network.cni_version)
    yield f'accept {shlex.quote(step.plugin.type)} "$?" {version}\n'


def _assignments(environment: Mapping[str, str]) -> str:
    return " ".join(shlex.quote(f"{name}={text}") for name, text in environment.items())


def _executable(run: Run) -> str:
    path = run.plugin.path if run.plugin else ""
    if run.plugin is not None and not path:
        raise ConfigError(
            "it is built in, so no shell can run it",
            place="--shell",
            expected="--no-builtin beside it",
            plugin=run.step.plugin.type,
        )
    if not path or "=" in path:
        raise ConfigError(
            f"env cannot run {path!a}: it has a '='",
            place="--shell",
            expected="a plugin directory without '='",
            plugin=run.step.plugin.type,
        )
    return shlex.quote(path)
