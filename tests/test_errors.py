"""The error tree: each carries its facts, says them, and pickles."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path
from typing import Any

import pytest

import acni
from acni import errors
from acni.events import Debt, RollbackFinished

CLASSES = [getattr(errors, name) for name in errors.__all__]
DEBT = Debt(network="net", container_id="c1", ifname="eth0", plugin="first", cause="why")

EXIT_STATUS = {
    2: """InvalidName ConfigError VersionUnsupported PluginNotFound AttachmentExists NetnsInUse
          HostChanged NotPermitted""",
    3: "AttachmentNotFound NetworkNotFound",
    6: "NetnsChanged CheckFailed",
    4: "PluginTimeout",
    5: "CleanupIncomplete",
    75: "TryAgain Busy",
    1: """AcniError PluginError PluginFailed PluginProtocolError PluginNotStarted PluginKilled
          PluginOverflow PluginLost NotReady GCFailed StoreError RuntimeClosed""",
}


def make(kind: type[acni.AcniError], **facts: Any) -> acni.AcniError:
    """Make an error; a group has others in it."""
    if kind is errors.GCFailed:
        return errors.GCFailed("what", [errors.Busy("first"), errors.StoreError("second")], **facts)
    return kind("what", **facts)


def test_a_gc_that_failed_is_a_group_of_which_each_error_can_be_caught() -> None:
    failures = [errors.Busy("first"), errors.StoreError("second"), errors.Busy("third")]
    error = errors.GCFailed("all", failures, verb="gc", network="net")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert [str(one) for one in again.exceptions] == ["first", "second", "third"]
    busy, rest = error.split(errors.Busy)
    assert isinstance(busy, errors.GCFailed)
    assert isinstance(rest, errors.GCFailed)
    assert (busy.exceptions, busy.network) == ((failures[0], failures[2]), "net")
    assert rest.exceptions == (failures[1],)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_pickles_with_all_its_facts(kind: type[acni.AcniError]) -> None:
    rollback = RollbackFinished(
        at=1.0,
        verb="add",
        network="net",
        container_id="c1",
        ifname="eth0",
        deleted=("second",),
        debt=DEBT,
        error="why",
    )
    facts = {"verb": "add", "plugin": "first", "index": 0, "code": 7}
    error = make(kind, **facts, rollback=rollback, debt=DEBT)
    error.add_note("a note")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert type(again) is kind
    assert again.__dict__ == error.__dict__
    assert str(again) == str(error)


def test_every_class_of_the_tree_has_its_exit_status() -> None:
    said = {name: status for status, names in EXIT_STATUS.items() for name in names.split()}
    assert {kind.__name__: kind.exit_status for kind in CLASSES} == said


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = errors.__doc__ or ""
    for kind in CLASSES:
        assert f"{kind.__name__} " in drawn or f"{kind.__name__}\n" in drawn
        assert kind.__doc__


def test_a_fact_that_is_known_stays_and_one_that_is_not_is_learned() -> None:
    error = errors.PluginFailed("no", plugin="first")
    error.learn(plugin="other", verb="add")
    assert (error.plugin, error.verb, error.network) == ("first", "add", None)


def test_an_error_says_whom_it_is_about() -> None:
    error = errors.PluginFailed(
        "no", verb="add", container_id="c1", ifname="eth0", network="net", plugin="first"
    )
    assert str(error) == "add, c1/eth0, network net, plugin first: no"
    assert str(errors.ConfigError("no", place="f: $.x")) == "f: $.x: no"


# Kinds that are only ever raised as one of their kinds.
ABSTRACT = {"AcniError", "PluginError"}


def test_each_error_is_expected_by_a_test_that_goes_through_the_public_surface() -> None:
    """An error of the tree that nothing raises is not part of the surface."""
    rooms = ("engine", "cli", "netns", "host", "store", "spec")
    files = [file for room in rooms for file in (Path(__file__).parent / room).glob("test_*.py")]
    assert files
    used = {
        node.id
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))  # an import is no Name
        if isinstance(node, ast.Name)
    }
    assert {kind.__name__ for kind in CLASSES} - ABSTRACT - used == set()
