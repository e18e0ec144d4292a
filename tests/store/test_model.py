"""The protocol of the store, its locks and recovery keeps its promises, whatever happens when; and
without any one of its rules it does not.

:mod:`tests.store.test_model_paths` drives the store itself along paths of it.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.model.flaws import FLAWS
from tests.store.model.scenarios import QUICK, WHOLE
from tests.store.model.search import explore

pytestmark = pytest.mark.deep


@pytest.fixture(autouse=True)
def without_collection() -> Iterator[None]:
    """A search makes no cycles, only millions of objects that each collection would look at."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("name", QUICK)
def test_no_promise_is_broken(name: str) -> None:
    found = explore(QUICK[name])
    assert found.trace is None, str(found)
    assert found.states > 100


@pytest.mark.crash(only_whole=True)
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", sorted(WHOLE.keys() - QUICK.keys()))
def test_no_promise_is_broken_in_larger_worlds(name: str) -> None:
    found = explore(WHOLE[name])
    assert found.trace is None, str(found)


@pytest.mark.parametrize("name", FLAWS)
def test_without_one_of_its_rules_a_promise_is_broken(name: str) -> None:
    found = explore(QUICK[FLAWS[name].scenario], name)
    assert found.trace is not None
    assert found.trace[-1].startswith(f"=> {FLAWS[name].broken}:"), str(found)


def test_what_breaks_a_promise_is_found_by_a_shortest_trace() -> None:
    found = explore(QUICK["a chain of three, power cut"], "begin_not_synced")
    assert found.trace == (
        "A: add 0",
        "A: lock ('container', 0)",
        "A: begin 0",
        "A: run add 0 0 None",
        "plugin 0, add of op0: ok, address 0",
        "power cut",
        "=> I1: op0 holds something and is noted nowhere",
    )


def test_every_flaw_that_can_be_put_in_is_one_that_is_found() -> None:
    sources = (Path(__file__).parent / "model").glob("*.py")
    names = {name for path in sources for name in re.findall(r'has\("(\w+)"\)', path.read_text())}
    assert names == FLAWS.keys()
