"""Markdown tables made from data: the tests of other runtimes, the rules of the specification, the
plans of the verbs, what plugins print, and their habits.
"""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from acni.engine.habits import HABITS
from acni.spec.commands import RULES, Rule

_TESTS = Path(__file__).parents[1] / "tests"
_INTENDED = _TESTS / "libcni" / "intended.py"
_OF_BUILT_IN = _TESTS / "plugins" / "intended.py"
_ADMINISTRATOR = _TESTS / "plugins" / "administrator.py"
_REACHING = _TESTS / "plugins" / "reaching.py"
_PRINTED = _TESTS / "spec" / "printed.py"
_RULES = Path(__file__).parent / "rules.toml"
_PEER_TESTS = Path(__file__).parent / "peer-tests.toml"


def peer_tests() -> dict[str, str]:
    """Make the tables: which tests each peer has, what they fix, and where acni differs."""
    document = tomllib.loads(_PEER_TESTS.read_text())
    homes = {peer["name"]: _home(peer) for peer in document["peer"]}
    suites = [(suite, f"{homes[suite['peer']]}/{suite['file']}") for suite in document["suite"]]
    places = dict(place for suite, home in suites for place in _places(suite, home))
    peers = {suite["cases"][0]: suite["peer"] for suite, _ in suites}
    rows = [(peers[row["cases"][0]], _links(row["cases"], places), row) for row in document["row"]]
    tables = {
        f"peer_{name.replace('-', '_')}": _table(
            ("cases", "what they fix", "acni", "tests of acni"),
            (
                (links, row["words"], _ours(row), _tests(row.get("tests", ())))
                for peer, links, row in rows
                if peer == name
            ),
        )
        for name in homes
    }
    return tables | {
        "peer_suites": _table(
            ("peer", "file", "cases", "how many"),
            (
                (suite["peer"], f"[{suite['file']}]({home})", suite["cases"], _count(suite))
                for suite, home in suites
            ),
        ),
        "differences": _table(
            ("cases", "what libcni's tests fix", "acni"),
            (
                (links, row["words"], row["differs"])
                for peer, links, row in rows
                if peer == "libcni" and "differs" in row
            ),
        ),
    }


_CASE = re.compile(r"([A-Z])(\d+)")


def _home(peer: Mapping[str, str]) -> str:
    return f"https://github.com/{peer['repository']}/blob/{peer['commit']}"


def _places(suite: Mapping[str, Any], home: str) -> Iterator[tuple[tuple[str, str], str]]:
    (letter, first), *_ = _CASE.findall(suite["cases"])
    for number, line in enumerate(suite["lines"], int(first)):
        yield (letter, str(number)), f"{home}#L{line}"


def _links(cases: str, places: Mapping[tuple[str, str], str]) -> str:
    """Link each case to where it stands, a range to where its first one does."""
    return " ".join(f"[{part}]({places[_CASE.findall(part)[0]]})" for part in cases.split())


def _count(suite: Mapping[str, Any]) -> str:
    return str(len(suite["lines"]))


def _ours(row: Mapping[str, str]) -> str:
    if "unbound" in row:
        return f"not asked: {row['unbound']}"
    return f"otherwise: {row['differs']}" if "differs" in row else "the same"


def intended() -> dict[str, str]:
    """Make the tables of what libcni and acni make of the same result, the same configuration."""
    names = runpy.run_path(str(_INTENDED))
    return {
        f"intended_{what}": _table(
            ("given", "libcni", "acni", "because"),
            ((row.what, *row.sides(), row.reason) for row in names[what.upper()].values()),
        )
        for what in ("results", "configurations")
    }


def of_built_in() -> dict[str, str]:
    """Make the table of what the built-in address plugins do otherwise than the reference's."""
    names = runpy.run_path(str(_OF_BUILT_IN))
    rows = [("both", "always", row) for row in names["EVERYWHERE"]]
    for plugin in ("host-local", "static"):
        cases = names[plugin.upper().replace("-", "_")]
        rows += [(f"`{plugin}`", case, row) for case, row in cases.items()]
    return {
        "intended_of_built_in": _table(
            ("plugin", "case", "reference", "acni", "because"),
            ((plugin, case, row.reference, row.acni, row.reason) for plugin, case, row in rows),
        )
    }


def firewall() -> dict[str, str]:
    """Make the tables of what becomes of an administrator's rules, and of who is seen as whom."""
    rules = runpy.run_path(str(_ADMINISTRATOR))["RULES"].items()
    ways = runpy.run_path(str(_REACHING))["WAYS"].items()
    beside = ("acni", "reference", "laid")
    return {
        "administrator": _table(
            ("", "the rule", "acni", "reference 1.1.1", "newer reference, `nftables`"),
            (
                (letter, rule.words, *(_became(getattr(rule, side)) for side in beside))
                for letter, rule in rules
            ),
        ),
        "reaching": _table(
            ("way", "seen beside the reference", "seen beside acni", "because"),
            (
                (name, f"`{way.seen}`", f"`{way.seen_beside_ours}`", way.reason)
                for name, way in ways
                if way.reason
            ),
        ),
    }


def _became(outcomes: Mapping[str, Sequence[Any]]) -> str:
    """Say what becomes of a rule: of the tools that agree in one breath."""
    tools: dict[str, list[str]] = {}
    for tool, at_each_time in outcomes.items():
        tools.setdefault(_over_time(*at_each_time), []).append(tool)
    if len(tools) == 1:
        return next(iter(tools))
    return "; ".join(f"{', '.join(names)}: {became}" for became, names in tools.items())


def _over_time(before: Any, later: Any, after: Any) -> str:
    """Say what becomes of a rule that is made before the first pod, later, and after the pod."""
    if before == later == after:
        return str(before.value)
    if before == later:
        return f"{before.value} (after the pod: {after.value})"
    if later == after:
        return f"{before.value} (later: {after.value})"
    return f"{before.value} (later: {later.value}, after the pod: {after.value})"


def rules() -> dict[str, str]:
    """Make the tables: what binds a runtime, what binds a plugin."""
    listed = tomllib.loads(_RULES.read_text())["rule"]
    columns = ("id", "text", "section", "decision", "since")
    return {
        f"{binds}_rules": _table(
            ("number", "rule", "section", "acni", "since"),
            (
                tuple(rule[column] for column in columns)
                for rule in listed
                if rule["binds"] == binds
            ),
        )
        for binds in ("runtime", "plugin")
    }


def verbs() -> dict[str, str]:
    """Make the table of the verbs: how each runs a chain."""
    head = ("verb", "order", "at an error", "`prevResult`", "since", "below", "disabled by")
    return {"verbs": _table(head, ((f"`{verb}`", *_columns(rule)) for verb, rule in RULES.items()))}


def _columns(rule: Rule) -> tuple[str, ...]:
    is_always = rule.previous_since <= rule.since
    sent = "" if is_always else f", from {rule.previous_since} on"
    return (
        "the last plugin first" if rule.is_reversed else "as written",
        "halts" if rule.halts else "goes on, and tells all",
        rule.previous.value + sent,
        rule.since,
        "" if rule.since == "0.1.0" else rule.below.value,
        f"`{rule.disabled_by}`" if rule.disabled_by else "",
    )


def answers() -> dict[str, str]:
    """Make the table of what a plugin prints, and what becomes of it."""
    names = runpy.run_path(str(_PRINTED))
    head = ("printed", "ADD, exit status 0", "VERSION, exit status 0", "any verb, another", "why")
    rows = (
        (row.words, _said(row.add, names), _said(row.version, names), _failure(row.failed), row.why)
        for row in names["TABLE"]
    )
    return {"answers": _table(head, rows)}


def habits() -> dict[str, str]:
    """Make the table of what experience says of plugins."""
    head = ("plugin", "asked twice", "stand-in", "needs its arguments", "at once", "evidence")
    rows = (
        (
            f"`{habit.plugin}`",
            _yes(habit.retries),
            _yes(habit.needs_stand_in),
            _yes(habit.needs_arguments),
            str(habit.limit or ""),
            habit.evidence,
        )
        for habit in HABITS
    )
    return {"habits": _table(head, rows)}


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _said(read: Any, names: dict[str, Any]) -> str:
    if isinstance(read, names["Broken"]):
        return f"refused: {read}"
    if isinstance(read, tuple):
        return f"versions {', '.join(read)}"
    return "a result without addresses" if read == "none" else "a result"


def _failure(failed: Any) -> str:
    if isinstance(failed, str):
        return failed
    code, msg = failed
    return f"code {code if code is not None else 'none'}, msg {msg!a}"


def _tests(tests: Iterable[str]) -> str:
    return ", ".join(f"`{test.removeprefix('tests/')}`" for test in tests)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")
