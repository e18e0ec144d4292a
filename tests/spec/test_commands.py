"""What a plugin is asked to do, and the table of how each verb runs a chain."""

from __future__ import annotations

import inspect

import pytest

from acni.spec.commands import RULES, Command, Previous, Rule


@pytest.mark.rule("R36")
def test_every_verb_has_a_rule() -> None:
    assert set(RULES) == set(Command)
    assert [command for command, rule in RULES.items() if rule.is_reversed] == [Command.DEL]
    assert [command for command, rule in RULES.items() if not rule.halts] == [Command.GC]
    assert [command for command, rule in RULES.items() if rule.has_result] == [Command.ADD]
    on_attachments = [command for command, rule in RULES.items() if rule.is_on_attachment]
    assert on_attachments == [Command.ADD, Command.DEL, Command.CHECK]
    assert RULES[Command.ADD].previous is Previous.PREDECESSOR


def test_the_verbs_are_the_words_of_the_specification() -> None:
    assert [str(command) for command in Command] == ["ADD", "DEL", "CHECK", "STATUS", "GC"]


def test_a_rule_is_written_with_the_names_of_its_members() -> None:
    parameters = inspect.signature(Rule).parameters.values()
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}
