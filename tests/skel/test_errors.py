"""What a plugin refuses with."""

from __future__ import annotations

import pickle

from acni.skel import Code, PluginError


def test_a_refusal_carries_its_facts_and_says_them() -> None:
    error = PluginError(
        Code.INVALID_CONFIG, "no subnet", details="expected one", reason="no-subnet"
    )
    assert (error.code, error.msg, error.details) == (7, "no subnet", "expected one")
    assert str(error) == "no subnet (code 7)"


def test_it_can_be_pickled() -> None:
    error = PluginError(100, "full", reason="addresses-exhausted")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
    assert (again.code, again.msg, again.details, again.reason) == (
        100,
        "full",
        "",
        "addresses-exhausted",
    )
