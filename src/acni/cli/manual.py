"""``acni man``: the manual page, made from the parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Final

from acni.cli.parser import build_parser
from acni.cli.words import Verb, Word, walk

_STATUSES: Final = (
    ("0", "done"),
    ("1", "the operation failed and nothing is owed"),
    ("2", "usage, configuration, or refused before anything ran"),
    ("3", "not found"),
    ("4", "out of time, and nothing is owed"),
    ("5", "cleanup is owed, whatever else happened"),
    ("6", "check found a difference"),
    ("75", "try again later"),
    ("130, 143", "ended by SIGINT or SIGTERM, after the undo"),
)
_ENVIRONMENT: Final = (
    ("NETCONFPATH", "the directory of network configurations"),
    ("CNI_PATH", "the plugin directories, separated by colons"),
    ("ACNI_STATE_DIR", "the state directory"),
    ("CNI_IFNAME", "the interface in the container"),
    ("CNI_ARGS", "pairs K=V, separated by semicolons"),
    ("CAP_ARGS", "capability arguments: a JSON object"),
)
_FILES: Final = (
    ("/etc/cni/net.d", "network configurations"),
    ("/opt/cni/bin, /usr/lib/cni", "plugins"),
    ("/var/lib/cni", "the state directory: results/ as other runtimes write it, acni/ of its own"),
)


def manual(arguments: argparse.Namespace) -> int:
    """Print the manual page."""
    print("\n".join(manual_lines(walk(build_parser(), "acni"))))
    return 0


def manual_lines(command: Verb) -> Iterator[str]:
    """Write the manual page in roff's man macros."""
    summary = command.help.partition("\n")[0]
    yield f'.TH ACNI 1 "" "acni {_text(version("acni"))}" "User Commands"'
    yield from (".SH NAME", f"acni \\- {_text(summary[:1].lower() + summary[1:].rstrip('.'))}")
    yield from (".SH SYNOPSIS", ".B acni", r"\fIVERB\fR [\fIARGUMENT\fR ...]")
    yield from (".SH DESCRIPTION", _text(summary))
    yield "Data goes to standard output, everything else to standard error."
    yield ".SH VERBS"
    for verb in command.all_verbs():
        if verb is not command and not verb.verbs:
            yield from _verb_lines(verb)
    yield ".SH OPTIONS"
    yield from _tagged((_flag(word), word.help) for word in command.flags)
    for heading, entries in (
        ("EXIT STATUS", _STATUSES),
        ("ENVIRONMENT", _ENVIRONMENT),
        ("FILES", _FILES),
    ):
        yield f".SH {heading}"
        yield from _tagged((rf"\fB{_text(term)}\fR", text) for term, text in entries)


def _verb_lines(verb: Verb) -> Iterator[str]:
    places = " ".join(map(_place, verb.places))
    aliases = f" (or {', '.join(verb.names[1:])})" if verb.names[1:] else ""
    yield f".SS {_text(' '.join(verb.path))} {places}".rstrip()
    yield _text(f"{verb.help[:1].upper()}{verb.help[1:]}{aliases}.")
    yield from _tagged((_place(word), word.help) for word in verb.places)
    yield from _tagged(
        (_flag(word), word.help) for word in verb.flags if "--help" not in word.flags
    )


def _place(word: Word) -> str:
    name = rf"\fI{_text(word.value)}\fR" + (" ..." if word.is_repeated else "")
    return f"[{name}]" if word.is_optional else name


def _flag(word: Word) -> str:
    value = rf" \fI{_text(word.value)}\fR" if word.value else ""
    return ", ".join(rf"\fB{_text(flag)}\fR{value}" for flag in word.flags)


def _tagged(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    for tag, text in entries:
        yield from (".TP", tag, _text(text))


def _text(text: str) -> str:
    """Escape what roff would act on."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
