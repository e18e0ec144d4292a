"""The plan of a chain: order, prevResult and the gates of the versions."""

from __future__ import annotations

import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acni.errors import VersionUnsupported
from acni.spec import SUPPORTED_VERSIONS, Command, NetworkConfig, parse_network, plan
from acni.spec.planning import Step
from acni.spec.versions import is_at_least


def _network(version: str, *types: str, disable_check: bool = False) -> NetworkConfig:
    return parse_network(
        json.dumps(
            {
                "cniVersion": version,
                "name": "net",
                "disableCheck": disable_check,
                "plugins": [{"type": kind} for kind in types or ("a", "b", "c")],
            }
        ).encode()
    )


@pytest.mark.rule("R17", "R19", "R32", "R34", "R35", "R57")
@pytest.mark.parametrize(
    ("command", "version", "expected"),
    [
        pytest.param("ADD", "1.0.0", [(0, False), (1, True), (2, True)], id="R32 add"),
        pytest.param("ADD", "0.1.0", [(0, False), (1, True), (2, True)], id="R32 oldest add"),
        pytest.param("DEL", "1.0.0", [(2, True), (1, True), (0, True)], id="R17 R34 delete"),
        pytest.param("DEL", "0.4.0", [(2, True), (1, True), (0, True)], id="R57 first with it"),
        pytest.param("DEL", "0.3.1", [(2, False), (1, False), (0, False)], id="R57 without it"),
        pytest.param("CHECK", "1.0.0", [(0, True), (1, True), (2, True)], id="R19 R35 check"),
        pytest.param("CHECK", "0.4.0", [(0, True), (1, True), (2, True)], id="R57 first check"),
    ],
)
def test_a_plan_says_who_runs_when_and_who_gets_a_previous_result(
    command: str, version: str, expected: list[tuple[int, bool]]
) -> None:
    network = _network(version)
    steps = plan(Command(command), network)
    assert [(step.index, step.takes_previous) for step in steps] == expected
    assert all(step.command is Command(command) for step in steps)
    assert all(step.plugin is network.plugins[step.index] for step in steps)


@pytest.mark.rule("R2", "R17", "R19", "R32", "R34", "R35", "R46", "R57")
@given(
    st.sampled_from(list(Command)),
    st.sampled_from(SUPPORTED_VERSIONS),
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=8),
    st.booleans(),
)
def test_a_plan_is_the_whole_chain_or_nothing(
    command: Command, version: str, types: list[str], disable_check: bool
) -> None:
    network = _network(version, *types, disable_check=disable_check)
    if command is Command.CHECK and disable_check:
        assert plan(command, network) == ()
        return
    if command is Command.CHECK and not is_at_least(version, "0.4.0"):
        with pytest.raises(VersionUnsupported):
            plan(command, network)
        return
    if command in (Command.STATUS, Command.GC) and not is_at_least(version, "1.1.0"):
        assert plan(command, network) == ()
        return
    steps = plan(command, network)
    forward = steps[::-1] if command is Command.DEL else steps
    assert [step.index for step in forward] == list(range(len(types)))
    assert [step.plugin.type for step in forward] == types
    if command is Command.ADD:
        assert [step.takes_previous for step in forward] == [False] + [True] * (len(types) - 1)
    elif command in (Command.STATUS, Command.GC):
        assert not any(step.takes_previous for step in forward)
    else:
        assert {step.takes_previous for step in forward} == {is_at_least(version, "0.4.0")}


@pytest.mark.rule("R32", "R34")
def test_the_same_plugin_twice_in_a_chain_is_told_apart_by_its_index() -> None:
    steps = plan(Command.DEL, _network("1.0.0", "a", "a"))
    assert [(step.plugin.type, step.index) for step in steps] == [("a", 1), ("a", 0)]


@pytest.mark.rule("R57")
@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1"])
def test_check_is_refused_below_its_first_version(version: str) -> None:
    with pytest.raises(VersionUnsupported, match=r"CHECK needs 0\.4\.0") as caught:
        plan(Command.CHECK, _network(version))
    assert caught.value.network == "net"
    assert caught.value.expected == "cniVersion 0.4.0 or newer"


@pytest.mark.rule("R2")
@pytest.mark.parametrize("version", SUPPORTED_VERSIONS)
def test_disable_check_comes_before_the_version(version: str) -> None:
    """R2: success without running anything, also where the version has no CHECK."""
    assert plan(Command.CHECK, _network(version, disable_check=True)) == ()


@pytest.mark.rule("R2")
@pytest.mark.parametrize("command", [Command.ADD, Command.DEL])
def test_disable_check_concerns_check_only(command: Command) -> None:
    assert len(plan(command, _network("1.0.0", disable_check=True))) == 3


def test_a_step_is_written_with_the_names_of_its_members() -> None:
    parameters = inspect.signature(Step).parameters.values()
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.rule("R3")
@pytest.mark.parametrize("version", SUPPORTED_VERSIONS)
@pytest.mark.parametrize("written", [True, "true"])
def test_disable_gc_concerns_gc_only(version: str, written: object) -> None:
    network = parse_network(
        json.dumps(
            {"cniVersion": version, "name": "n", "disableGC": written, "plugins": [{"type": "a"}]}
        ).encode()
    )
    assert plan(Command.GC, network) == ()
    assert len(plan(Command.DEL, network)) == 1


@pytest.mark.rule("R36")
def test_gc_goes_forward_without_a_previous_result() -> None:
    steps = plan(Command.GC, _network("1.1.0"))
    assert [(step.index, step.takes_previous) for step in steps] == [
        (0, False),
        (1, False),
        (2, False),
    ]


@pytest.mark.rule("R34")
def test_a_debt_is_planned_from_the_plugin_that_is_owed() -> None:
    """R34: the delete halted at b; c is done."""
    steps = plan(Command.DEL, _network("1.0.0").up_to(1))
    assert [(step.plugin.type, step.index) for step in steps] == [("b", 1), ("a", 0)]
