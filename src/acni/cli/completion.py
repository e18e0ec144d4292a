"""``acni completion``: completions for bash, zsh and fish, made from the parser."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from acni.cli.parser import build_parser
from acni.cli.words import Verb, Word, walk

# What a value is called in the usage tells where its candidates come from.
_DIRECTORY: Final = "DIR"
_FILES: Final = ("FILE", "NETNS")
_NETWORK: Final = "NET"

# The first two columns of `acni networks` are the state and the name.
_NETWORKS: Final = (
    'acni networks -q 2>/dev/null | while read -r a b _; do [ "$a" = used ] && echo "$b"; done'
)

_BASH: Final = """\
# bash completion for acni, made by: acni completion bash
_acni_among() {{
  mapfile -t COMPREPLY < <(compgen "$@" -- "${{COMP_WORDS[COMP_CWORD]}}")
}}

_acni() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
  local verb=acni place=0 i
  COMPREPLY=()
  # Which verb it is, and how many of its positional arguments are there.
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$verb ${{COMP_WORDS[i]}}" in
{verbs}
{skipped}
      "$verb -"*) ;;
      *) ((place++)) ;;
    esac
  done
  case "$verb $before" in
{values}
  esac
  if [[ $word == -* ]]; then
    case $verb in
{flags}
    esac
    return
  fi
  case "$verb $place" in
{places}
  esac
}}
complete -F _acni acni
"""


def completion(arguments: argparse.Namespace) -> int:
    """Print the completions of a shell."""
    print(_SHELLS[arguments.shell](walk(build_parser(), "acni")), end="")
    return 0


def bash(command: Verb) -> str:
    """Write the completions for bash."""
    verbs = list(command.all_verbs())
    return _BASH.format(
        verbs="\n".join(_bash_verbs(verbs)),
        skipped="\n".join(_bash_skipped(verbs)),
        values="\n".join(_bash_values(verbs)),
        flags="\n".join(_bash_flags(verbs)),
        places="\n".join(_bash_places(verbs)),
    )


def _bash_verbs(verbs: Iterable[Verb]) -> Iterator[str]:
    for verb in verbs:
        for below in verb.verbs:
            words = "|".join(shlex.quote(" ".join((*verb.path, name))) for name in below.names)
            yield f"      {words}) verb={shlex.quote(' '.join(below.path))} place=0 ;;"


def _bash_skipped(verbs: Iterable[Verb]) -> Iterator[str]:
    """A flag that takes a value: neither is a positional argument."""
    for verb in verbs:
        if patterns := [_pattern(verb, flag) for word in _valued(verb) for flag in word.flags]:
            yield f"      {'|'.join(patterns)}) ((i++)) ;;"


def _bash_values(verbs: Iterable[Verb]) -> Iterator[str]:
    for verb in verbs:
        for word in _valued(verb):
            patterns = "|".join(_pattern(verb, flag) for flag in word.flags)
            yield f"    {patterns})\n      {_bash_candidates(word)}\n      return\n      ;;"


def _bash_flags(verbs: Iterable[Verb]) -> Iterator[str]:
    for verb in verbs:
        flags = " ".join(flag for word in verb.flags for flag in word.flags)
        yield f"      {shlex.quote(' '.join(verb.path))}) {_bash_words(flags)} ;;"


def _bash_places(verbs: Iterable[Verb]) -> Iterator[str]:
    for verb in verbs:
        if verb.verbs:
            names = " ".join(below.names[0] for below in verb.verbs)
            yield f"    {_pattern(verb, '0')}) {_bash_words(names)} ;;"
        for place, word in enumerate(verb.places):
            pattern = shlex.quote(" ".join(verb.path) + " ")
            pattern += "*" if word.is_repeated else str(place)
            yield f"    {pattern}) {_bash_candidates(word)} ;;"


def _bash_candidates(word: Word) -> str:
    if word.choices:
        return _bash_words(" ".join(word.choices))
    if word.value == _NETWORK:
        return f'_acni_among -W "$({_NETWORKS})"'
    kinds = {_DIRECTORY: "-d", **dict.fromkeys(_FILES, "-f")}
    if word.value in kinds:
        return f"compopt -o filenames; _acni_among {kinds[word.value]}"
    return ":"


def _bash_words(words: str) -> str:
    return f"_acni_among -W {shlex.quote(words)}"


def zsh(command: Verb) -> str:
    """Write the completions for zsh."""
    functions = "\n".join(_zsh_function(verb) for verb in reversed(list(command.all_verbs())))
    return f'#compdef acni\n# made by: acni completion zsh\n{functions}\n_acni "$@"\n'


def _zsh_function(verb: Verb) -> str:
    specifications = [*_zsh_flags(verb), *_zsh_places(verb)]
    dispatch = ""
    if verb.verbs:
        specifications += [f"1:verb:(({_zsh_verbs(verb)}))", "*::argument:->below"]
        cases = "\n".join(
            f"    {'|'.join(below.names)}) {_zsh_name(below)} ;;" for below in verb.verbs
        )
        dispatch = f"\n  [[ $state == below ]] && case $line[1] in\n{cases}\n  esac"
    quoted = " \\\n    ".join(shlex.quote(text) for text in specifications)
    return (
        f"{_zsh_name(verb)}() {{\n  local state line\n"
        f"  _arguments -C \\\n    {quoted}{dispatch}\n}}\n"
    )


def _zsh_name(verb: Verb) -> str:
    return "_" + "_".join(verb.path)


def _zsh_verbs(verb: Verb) -> str:
    return " ".join(f'{below.names[0]}\\:"{_zsh_text(below.help)}"' for below in verb.verbs)


def _zsh_flags(verb: Verb) -> Iterator[str]:
    for word in verb.flags:
        for flag in word.flags:
            value = f":{word.value}:{_zsh_action(word)}" if word.value else ""
            yield f"{'*' if word.is_repeated else ''}{flag}[{_zsh_text(word.help)}]{value}"


def _zsh_places(verb: Verb) -> Iterator[str]:
    for place, word in enumerate(verb.places, 1):
        where = "*" if word.is_repeated else f"{place}"
        separator = "::" if word.is_optional and not word.is_repeated else ":"
        yield f"{where}{separator}{word.value}:{_zsh_action(word)}"


def _zsh_action(word: Word) -> str:
    if word.choices:
        return f"({' '.join(word.choices)})"
    if word.value == _NETWORK:
        return f"($({_NETWORKS}))"
    return {_DIRECTORY: "_files -/", **dict.fromkeys(_FILES, "_files")}.get(word.value, " ")


def _zsh_text(text: str) -> str:
    return "".join(f"\\{c}" if c in '[]:"\\' else c for c in text)


def fish(command: Verb) -> str:
    """Write the completions for fish."""
    lines = [line for verb in command.all_verbs() for line in _fish_lines(verb)]
    return "\n".join(["# made by: acni completion fish", "complete -c acni -f", *lines, ""])


def _fish_lines(verb: Verb) -> Iterator[str]:
    condition = _fish_condition(verb)
    for below in verb.verbs:
        yield f"{condition} -a {below.names[0]} -d {_fish_quote(below.help)}"
    for word in verb.flags:
        names = " ".join(
            f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in word.flags
        )
        value = f" -x{_fish_candidates(word)}" if word.value else ""
        yield f"{condition} {names}{value} -d {_fish_quote(word.help)}"
    for word in verb.places:
        if candidates := _fish_candidates(word):
            yield f"{condition}{candidates}"


def _fish_condition(verb: Verb) -> str:
    if len(verb.path) == 1:
        return "complete -c acni -n __fish_use_subcommand"
    seen = [f"__fish_seen_subcommand_from {' '.join(verb.names)}"]
    if len(verb.path) > 2:  # noqa: PLR2004 (an action below a verb)
        seen.insert(0, f"__fish_seen_subcommand_from {verb.path[1]}")
    if verb.verbs:
        names = " ".join(below.names[0] for below in verb.verbs)
        seen.append(f"not __fish_seen_subcommand_from {names}")
    return f"complete -c acni -n {_fish_quote('; and '.join(seen))}"


def _fish_candidates(word: Word) -> str:
    if word.choices:
        return f" -a {_fish_quote(' '.join(word.choices))}"
    if word.value == _NETWORK:
        return f" -a {_fish_quote(f'(sh -c {shlex.quote(_NETWORKS)})')}"
    files = dict.fromkeys(_FILES, "(__fish_complete_path)")
    kinds = {_DIRECTORY: "(__fish_complete_directories)", **files}
    return f" -a {_fish_quote(kinds[word.value])}" if word.value in kinds else ""


def _fish_quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _valued(verb: Verb) -> Iterator[Word]:
    return (word for word in verb.flags if word.value)


def _pattern(verb: Verb, word: str) -> str:
    return shlex.quote(" ".join((*verb.path, word)))


_SHELLS: Final[Mapping[str, Callable[[Verb], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}
