"""The ``acni`` command: cnitool's language, and on from there.

Data goes to standard output, everything else to standard error. What a verb needs is imported when
it is called: ``acni --help`` loads neither anyio nor attrs.
"""

from __future__ import annotations

import argparse

# By another name: the verb `gc` is a module of this package, and takes the name.
import gc as garbage
import io
import os
import sys
from collections.abc import Callable, Sequence

from acni.cli.parser import build_parser, spell_out

_Verb = Callable[[argparse.Namespace], int]

# EX_IOERR of sysexits.h.
_UNWRITTEN = 74
# After so many objects garbage is looked for; by default after 700 or 2,000. A loop makes 8,000 of
# them when it is loaded.
_OBJECTS = 50_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        argv: The arguments; by default the process's own.

    Returns:
        0 done; 1 failed, nothing owed; 2 refused before anything ran; 3 not found; 4 out of time; 5
        cleanup is owed; 6 check found a difference; 74 done, but the output could not be written;
        75 try again later; 130 and 143 ended by SIGINT and SIGTERM, after the undo.
    """
    words = spell_out(sys.argv[1:] if argv is None else argv)
    _open_closed()
    _write_utf8()
    try:
        status = _obey(words, is_own_process=argv is None)
        sys.stdout.flush()
    except KeyboardInterrupt:  # in a verb that runs nothing, so that there is nothing to undo
        return 130
    except BrokenPipeError:
        return _give_up_output(141)
    except OSError as error:
        if error.filename is not None:  # not the output, which has no name here
            raise
        print(f"acni: done, but the output cannot be written: {error}", file=sys.stderr)
        return _give_up_output(_UNWRITTEN)
    return status


def _obey(words: Sequence[str], *, is_own_process: bool) -> int:
    try:
        arguments = build_parser(words[0] if words else None).parse_args(words)
    except SystemExit as end:  # argparse has said all there is to say
        return int(end.code or 0)
    verb = _loaded_for_good(arguments.verb) if is_own_process else arguments.verb()
    return verb(arguments)


def _loaded_for_good(load: Callable[[], _Verb]) -> _Verb:
    """Load a verb in a process of its own: of what is loaded nothing becomes garbage, and looking
    through it again and again was a seventh of a cold ``acni add``. The loop is loaded by the verb.
    """
    garbage.disable()
    try:
        return load()
    finally:
        garbage.freeze()
        garbage.set_threshold(_OBJECTS)
        garbage.enable()


def _give_up_output(status: int) -> int:
    """Forget what was not written; Python would try, and complain, again at exit."""
    sys.stdout = None
    return status


def _open_closed() -> None:
    """Give streams that the caller closed a place to go: no verb fails on its words."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _write_utf8() -> None:
    """Make data UTF-8 whatever the locale; bytes that the environment held go out as they came."""
    stdout: object = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
