"""Delegating to the plugin that ``ipam.type`` names."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from acni.skel import Call, PluginError, Stopped, Verbs, make_result
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from acni.spec.result import Result
from tests.skel.asking import Probe, bounds, one_address, request, said, script

pytestmark = pytest.mark.rule("P8")

NETNS = "/proc/self/ns/net"
CONFIG = {"mtu": 1450, "ipam": {"type": "ipam"}}
ADDRESS = '{"cniVersion": "1.1.0", "ips": [{"address": "10.88.0.2/16"}]}'
# What it is given, one file for each verb.
KEEPS = 'cat >"$0.$CNI_COMMAND.stdin"; env >"$0.$CNI_COMMAND.env"\n'


def delegating(call: Call) -> Result | None:
    """A plugin that does nothing but delegate."""
    match call.command:
        case "ADD":
            return call.ipam.add()
        case "DEL":
            call.ipam.delete()
        case "CHECK":
            call.ipam.check()
        case "GC":
            call.ipam.gc()
        case _:
            call.ipam.status()
    return None


def outer(inner: Probe | None = None) -> Probe:
    return Probe(delegating, built_in={"ipam": inner.verbs()} if inner else {})


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
def test_a_built_in_gets_the_same_call(command: str) -> None:
    inner = Probe(lambda _: one_address())
    probe = outer(inner)
    config = {**CONFIG, "cni.dev/valid-attachments": []}
    assert probe.answer(request(command, config, NETNS=NETNS)).status == 0
    assert inner.calls == probe.calls


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
def test_an_executable_gets_the_same_environment_and_the_whole_configuration(
    command: str, tmp_path: Path
) -> None:
    path = script(tmp_path, "ipam", f"{KEEPS}echo '{ADDRESS}'\n")
    config = {**CONFIG, "cni.dev/valid-attachments": []}
    asked = request(command, config, NETNS=NETNS, PATH=path, ARGS="A=1")
    response = outer().answer(asked)
    assert response.status == 0
    assert (tmp_path / f"ipam.{command}.stdin").read_bytes() == asked.stdin
    environment = (tmp_path / f"ipam.{command}.env").read_text().splitlines()
    assert {f"{key}={value}" for key, value in asked.environment.items()} <= set(environment)
    if command == "ADD":
        assert said(response)["ips"] == [{"address": "10.88.0.2/16"}]


def test_a_built_in_is_taken_before_an_executable(tmp_path: Path) -> None:
    inner = Probe(lambda _: one_address())
    path = script(tmp_path, "ipam", "exit 1\n")
    assert outer(inner).answer(request("ADD", CONFIG, NETNS=NETNS, PATH=path)).status == 0


def test_an_error_is_returned_as_it_is(tmp_path: Path) -> None:
    error = '{"cniVersion": "1.1.0", "code": 103, "msg": "no room", "details": "of 254"}'
    path = script(tmp_path, "ipam", f"echo '{error}'; exit 1\n")
    response = outer().answer(request("ADD", CONFIG, NETNS=NETNS, PATH=path))
    assert said(response) == {
        "cniVersion": "1.1.0",
        "code": 103,
        "msg": "no room",
        "details": "of 254",
    }


def test_after_a_failed_add_an_executable_is_told_to_delete(tmp_path: Path) -> None:
    path = script(
        tmp_path, "ipam", f"{KEEPS}[ $CNI_COMMAND = DEL ] || echo '{{\"code\": 103}}'; exit 1\n"
    )
    response = outer().answer(request("ADD", CONFIG, NETNS=NETNS, PATH=path))
    assert said(response)["code"] == 103
    assert (tmp_path / "ipam.DEL.stdin").exists()


def test_after_a_failed_add_a_built_in_is_told_to_delete() -> None:
    def fail(call: Call) -> None:
        if call.command == "ADD":
            raise PluginError(103, "no room")
        raise PluginError(104, "nothing to delete")

    inner = Probe(fail)
    response = outer(inner).answer(request("ADD", CONFIG, NETNS=NETNS))
    assert said(response)["code"] == 103
    assert [call.command for call in inner.calls] == ["ADD", "DEL"]


def test_what_an_earlier_add_got_is_not_deleted() -> None:
    """The container lives, with that address."""

    def has_one(_: Call) -> None:
        raise PluginError(102, "it has an address", reason="already-allocated")

    inner = Probe(has_one)
    response = outer(inner).answer(request("ADD", CONFIG, NETNS=NETNS))
    assert said(response)["reason"] == "already-allocated"
    assert [call.command for call in inner.calls] == ["ADD"]


def test_what_an_add_did_can_be_deleted_by_who_goes_on(tmp_path: Path) -> None:
    def and_fails(call: Call) -> Result:
        call.ipam.add()
        call.ipam.delete()
        raise PluginError(100, "no link")

    path = script(tmp_path, "ipam", f"{KEEPS}echo '{ADDRESS}'\n")
    response = Probe(and_fails).answer(request("ADD", CONFIG, NETNS=NETNS, PATH=path))
    assert said(response)["code"] == 100
    assert "CNI_COMMAND=DEL\n" in (tmp_path / "ipam.DEL.env").read_text()


@pytest.mark.parametrize(
    ("text", "code", "msg"),
    [
        ("exit 0\n", 999, "printed no valid result"),
        ("echo '{}' >&2; exit 3\n", 999, "exited with 3"),
        ("kill -9 $$\n", 999, "SIGKILL"),
        ("head -c 2000000 /dev/zero\n", 999, "more than is taken"),
    ],
)
def test_an_executable_that_breaks_the_protocol_is_an_error(
    text: str, code: int, msg: str, tmp_path: Path
) -> None:
    path = script(tmp_path, "ipam", text)
    response = outer().answer(request("ADD", CONFIG, NETNS=NETNS, PATH=path))
    assert said(response)["code"] == code
    assert msg in said(response)["msg"]
    assert "ipam" in said(response)["msg"]


@pytest.mark.parametrize(
    ("config", "msg"),
    [
        ({}, "$.ipam.type"),
        ({"ipam": {}}, "$.ipam.type"),
        ({"ipam": {"type": "../sh"}}, "$.ipam.type"),
        ({"ipam": {"type": 1}}, "$.ipam.type"),
        ({"ipam": []}, "$.ipam"),
        (CONFIG, "ipam of $.ipam.type is missing"),
    ],
)
def test_a_plugin_that_is_not_there_is_an_error_that_names_the_place(
    config: dict[str, object], msg: str, tmp_path: Path
) -> None:
    response = outer().answer(request("ADD", config, NETNS=NETNS, PATH=str(tmp_path)))
    assert said(response)["code"] == 7
    assert msg in said(response)["msg"]


@pytest.mark.parametrize(
    ("command", "code"), [("ADD", 7), ("DEL", None), ("CHECK", 7), ("GC", 7), ("STATUS", 7)]
)
def test_a_plugin_that_delegates_is_no_delegate(command: str, code: int | None) -> None:
    """It would ask itself, and so on."""
    inner = Probe(delegating)
    config = {**CONFIG, "cni.dev/valid-attachments": []}
    response = outer(inner).answer(request(command, config, NETNS=NETNS))
    told = said(response) if response.stdout else {}
    assert told.get("code") == code
    assert "the plugin ipam of $.ipam.type" in told.get("msg", "the plugin ipam of $.ipam.type")
    assert {call.command for call in inner.calls} <= {command, "DEL"}
    assert len(inner.calls) <= 2


def test_a_built_in_that_does_not_speak_the_version_is_not_asked() -> None:
    inner = Probe()
    probe = Probe(delegating, built_in={"ipam": inner.verbs(versions=("1.0.0",))})
    assert said(probe.answer(request("ADD", CONFIG, NETNS=NETNS)))["code"] == 1
    assert inner.calls == []


def test_a_verb_that_a_built_in_does_not_have_succeeds() -> None:
    inner = Verbs(add=lambda _: make_result(), delete=lambda _: None)
    probe = Probe(delegating, built_in={"ipam": inner})
    assert probe.answer(request("STATUS", CONFIG)).status == 0


def test_an_executable_is_ended_with_its_caller(tmp_path: Path) -> None:
    path = script(tmp_path, "ipam", 'echo $$ >"$0.new"; mv "$0.new" "$0.pid"; exec sleep 60\n')
    noted = tmp_path / "ipam.pid"
    asked = request("ADD", CONFIG, NETNS=NETNS, PATH=path)
    for seconds in (0.3, 3.0, 10.0):  # more, where it was not at work by then
        begun = time.monotonic()
        with pytest.raises(Stopped):
            respond(outer().verbs(), asked, bounds=bounds(seconds), delegates=Delegates())
        assert time.monotonic() - begun < seconds + 20
        if noted.exists():
            break
    # What is out of time tells nobody to delete: whoever undoes the ADD does.
    pid = int(noted.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_executable_holds_the_guard_as_long_as_it_runs(tmp_path: Path) -> None:
    path = script(tmp_path, "ipam", f"readlink /proc/self/fd/3 >\"$0.guard\"; echo '{ADDRESS}'\n")
    held = tmp_path / "lock"
    with held.open("w") as guard:
        response = respond(
            outer().verbs(),
            request("ADD", CONFIG, NETNS=NETNS, PATH=path),
            bounds=bounds(),
            delegates=Delegates(),
            guard=guard.fileno(),
        )
    assert response.status == 0
    assert (tmp_path / "ipam.guard").read_text().strip() == str(held)


def test_the_type_is_known_before_anything_runs() -> None:
    kinds: list[str | None] = []
    probe = Probe(lambda call: kinds.append(call.ipam.type))
    probe.answer(request("DEL", CONFIG))
    probe.answer(request("DEL"))
    assert kinds == ["ipam", None]
