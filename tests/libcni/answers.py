"""What libcni and acni answer to the same question, side by side."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
from attrs import frozen

from tests.libcni.intended import Kind


@frozen
class Refused:
    """What is no value to one side.

    Attributes:
        why: Its words.
    """

    why: str


def encoded(raw: bytes) -> str:
    """Write bytes as the judge's questions have them: they need not be UTF-8."""
    return base64.b64encode(raw).decode()


def ask(program: Path, verb: str, questions: Iterable[Mapping[str, object]]) -> list[Any]:
    """Ask libcni many questions in one process; each answer is a value or Refused."""
    done = subprocess.run(
        [str(program), verb],
        input="\n".join(map(json.dumps, questions)),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = map(json.loads, done.stdout.splitlines())
    return [
        answer["value"] if "value" in answer else Refused(answer["error"]) for answer in answers
    ]


def kind_of(libcni: object, acni: object) -> Kind | None:
    """Tell how the sides differ; None: not at all."""
    match isinstance(libcni, Refused), isinstance(acni, Refused):
        case True, False:
            return Kind.LIBCNI_REFUSES
        case False, True:
            return Kind.ACNI_REFUSES
        case False, False if libcni != acni:
            return Kind.OTHER_VALUE
        case _:
            return None


class Case(Protocol):
    """A question."""

    @property
    def defect(self) -> str | None:
        """What is wrong with acni's answer, or None."""


def parameters(cases: Iterable[Case]) -> list[Any]:
    """Make one parameter of each case; what is a defect of acni is expected to fail."""
    return [
        pytest.param(
            case,
            id=str(case),
            marks=[pytest.mark.xfail(reason=case.defect)] if case.defect else [],
        )
        for case in cases
    ]


def shown(raw: bytes) -> str:
    """Shorten bytes for the name of a test."""
    text = raw.decode(errors="replace")
    return ascii(text if len(text) <= 100 else f"{text[:40]}...{text[-50:]}")[1:-1]
