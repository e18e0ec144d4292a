"""What ``nft`` says the kernel has: an independent reader of the rules."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from acni.netns import Namespace


def nft(box: Namespace, *words: str, given: str = "") -> str:
    """Run ``nft`` inside a namespace; return what it prints."""
    command = ["nft", *words]
    run = box.call(
        lambda: subprocess.run(
            command, input=given, capture_output=True, timeout=30, check=False, text=True
        )
    )
    assert run.returncode == 0, (words, run.stderr)
    return run.stdout


def listed(box: Namespace, kind: str) -> list[Any]:
    """Return all tables, chains, sets, maps or rules."""
    said = json.loads(nft(box, "-j", "list", "ruleset"))["nftables"]
    return [one[kind] for one in said if kind in one]


def all_elements(box: Namespace) -> dict[str, list[Any]]:
    """Return the elements of each set and map, by its name."""
    said = json.loads(nft(box, "-j", "list", "ruleset"))["nftables"]
    found = (one[kind] for one in said for kind in ("set", "map") if kind in one)
    return {one["name"]: one.get("elem", []) for one in found}


def elements_of(box: Namespace, name: str) -> list[Any]:
    """Return the elements of a set or a map."""
    return all_elements(box)[name]


def rules_of(box: Namespace, table: str = "acni") -> str:
    """Return a table as ``nft`` writes it."""
    return nft(box, "list", "table", "inet", table)
