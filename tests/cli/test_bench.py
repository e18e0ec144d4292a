"""``acni bench`` as a user runs it, with recording plugins on a private host of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acni import netns
from acni.cli.parser import spell_out
from acni.testing import Behaviour, RecordingPlugins, look_for_leftovers

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.netns


@pytest.mark.parametrize(
    ("given", "full"),
    [
        pytest.param(["bench", "net"], ["bench", "chain", "net"], id="left-out"),
        pytest.param(
            ["bench", "--count", "3", "net"], ["bench", "chain", "--count", "3", "net"], id="flag"
        ),
        pytest.param(["bench", "race", "net"], ["bench", "race", "net"], id="race"),
        pytest.param(["bench", "chain", "race"], ["bench", "chain", "race"], id="in-full"),
        pytest.param(["bench", "--help"], ["bench", "--help"], id="help"),
        pytest.param(["ls"], ["ls"], id="another"),
    ],
)
def test_the_word_chain_may_be_left_out(given: list[str], full: list[str]) -> None:
    assert list(spell_out(given)) == full


def test_a_chain_is_measured_and_nothing_is_left(acni: Run, tmp_path: Path) -> None:
    before = look_for_leftovers()
    page = tmp_path / "page.html"
    done = acni("bench", "net", "--count", "4", "--at-once", "1", "--at-once", "2", "--html", page)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "net: first, second"
    for told in ("1 at once: 4 attached", "2 at once: 4 attached", "ADD: p50", "DEL: p50"):
        assert any(line.startswith(told) for line in lines)
    for lane in ("before the plugins", "first", "second", "other", "make", "delete"):
        assert any(line.startswith(f"{lane} ") for line in lines)
    assert "The ADD that took the median time" in page.read_text()
    assert look_for_leftovers() == before
    assert not (tmp_path / "state").exists()


def test_a_measurement_is_a_document_and_compares(acni: Run, tmp_path: Path) -> None:
    done = acni("bench", "net", "--count", "3", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert (document["format"], document["plugins"]) == (1, ["first", "second"])
    assert document["steps"][0]["verbs"][0]["seconds"]["count"] == 3
    assert document["is_complete"]
    assert str(tmp_path) not in done.stdout
    earlier = tmp_path / "earlier.json"
    earlier.write_text(done.stdout)
    compared = acni("bench", "net", "--count", "3", "--compare", earlier)
    assert compared.returncode == 0
    assert "all of it" in compared.stdout
    assert "note:" not in compared.stdout


@pytest.fixture
def loopback(conf_dir: Path, plugins: RecordingPlugins) -> str:
    """A network whose plugin there is in both kinds."""
    (conf_dir / "30-loopback.conf").write_text(
        '{"cniVersion":"1.0.0","name":"lo","type":"loopback"}'
    )
    plugins.install("loopback")
    return "lo"


def test_built_ins_and_executables_take_turns(
    acni: Run, loopback: str, plugins: RecordingPlugins
) -> None:
    before = look_for_leftovers()
    done = acni("bench", loopback, "-i", "lo", "--count", "7", "--against", "executable")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    said = [line for line in lines if line.startswith(("lo:", "1 at once", "beside", "AT ONCE"))]
    rates = [line.partition(",")[0] for line in said]
    assert rates[:4] == [
        *("lo: loopback", "1 at once: 7 attached and detached"),
        *("lo: loopback", "1 at once: 7 attached and detached"),
    ]
    assert (said[0], said[2]) == (
        "lo: loopback, by built-in plugins",
        "lo: loopback, by executables",
    )
    assert said[4] == "beside executables"
    assert "EXECUTABLE MS  BUILTIN MS  RATIO" in said[5]
    assert sum(line.split()[1:5] == ["ADD", "all", "of", "it"] for line in lines) == 1
    # Each turn has a cycle before it, unmeasured.
    assert [str(call) for call in plugins.calls] == ["ADD loopback", "DEL loopback"] * (7 + 3)
    assert sum(line.startswith("make ") for line in lines) == 1
    assert look_for_leftovers() == before


def test_both_kinds_are_documents_and_the_other_one_is_the_last(acni: Run, loopback: str) -> None:
    arguments = ("-i", "lo", "--count", "3", "-o", "json", "--against", "builtin")
    done = acni("bench", loopback, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    adds = [document["steps"][0]["verbs"][0] for document in documents]
    spawns = [next(one for one in add["phases"] if one["phase"] == "spawn") for add in adds]
    assert [spawn["seconds"]["p50"] > 0 for spawn in spawns] == [True, False]


def test_a_chain_of_built_ins_alone_is_measured(
    acni: Run, loopback: str, plugins: RecordingPlugins
) -> None:
    for chosen in (("--builtin",), ("--plugin-dir", "/run")):
        done = acni("bench", loopback, "-i", "lo", "--count", "1", *chosen)
        assert (done.returncode, done.stderr) == (0, "")
        assert plugins.calls == []


def test_given_namespaces_are_used_and_left_as_they_were(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins, tmp_path: Path
) -> None:
    done = acni("bench", "net", "--netns", box.path, "--count", "3", "--warm-up", "1")
    assert (done.returncode, done.stderr) == (0, "")
    calls = plugins.calls
    assert [str(call) for call in calls] == [
        *("ADD first", "ADD second", "DEL second", "DEL first")
    ] * 4
    assert {call.environment["CNI_NETNS"] for call in calls} == {box.path}
    assert list((tmp_path / "state" / "results").iterdir()) == []


def test_what_fails_is_told_and_what_is_owed_ends_with_5(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    plugins.tell("second", "ADD", Behaviour.failing(msg="no room"))
    failed = acni("bench", "net", "--count", "2")
    assert failed.returncode == 1
    assert "no room" in failed.stderr
    plugins.tell("second", "ADD", Behaviour())
    plugins.tell("first", "DEL", Behaviour.failing(msg="in use"))
    owed = acni("bench", "net", "--netns", box.path, "--count", "2")
    assert owed.returncode == 5
    assert "in use" in owed.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        pytest.param(["absent"], 3, "no configuration of that name", id="no-network"),
        pytest.param(["net", "--compare", "/dev/null"], 2, "not JSON", id="no-report"),
        pytest.param(["net", "--compare", "/absent"], 2, "cannot be read", id="no-file"),
        pytest.param(["net", "--plugin-dir", "/run"], 2, "first", id="no-plugin"),
        pytest.param(["net", "--against", "builtin"], 2, "first", id="no-built-in"),
        pytest.param(["net", "--builtin", "--against", "builtin"], 2, "beside", id="itself"),
        pytest.param(
            ["net", "--compare", "/x", "--against", "builtin"], 2, "not allowed with", id="both"
        ),
        pytest.param(["net", "--count", "0"], 2, "1 or more", id="no-count"),
        pytest.param(
            ["net", "--netns", "/run/netns/a", "--at-once", "2"], 2, "--netns", id="few-namespaces"
        ),
        pytest.param(["net", "--timeout", "0.000001"], 4, "", id="out-of-time"),
    ],
)
def test_what_cannot_be_measured_says_why(
    arguments: list[str], status: int, said: str, acni: Run
) -> None:
    done = acni("bench", *arguments)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_detaches_and_prints_what_there_is(
    environment: dict[str, str], box: netns.Namespace, plugins: RecordingPlugins, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "acni", "bench", "net", "--netns", box.path]
    with subprocess.Popen(
        [*command, "--count", "1000", "-v"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            # Its observer tells of each plugin that ended.
            steps = [process.stderr.readline() for _ in range(20)]
            process.send_signal(signal.SIGINT)
            printed = process.communicate(timeout=200)[0]
        finally:
            process.kill()
    assert any("DEL" in step for step in steps)
    assert process.returncode == 130
    assert "ended early" in printed
    assert "ADD: p50" in printed
    assert list((tmp_path / "state" / "results").iterdir()) == []
    calls = [str(call) for call in plugins.calls]
    # A DEL that the interrupt met is run again.
    assert calls.count("DEL first") >= calls.count("ADD first") > 0


def test_a_race_is_told_and_its_absence(acni: Run, plugins: RecordingPlugins) -> None:
    none = acni("bench", "race", "net", "--up-to", "2", "--rounds", "1")
    assert (none.returncode, none.stderr) == (0, "")
    assert none.stdout.splitlines() == [
        "1 at once: 1 ADDs on 1 fresh hosts, 0 failures",
        "2 at once: 2 ADDs on 1 fresh hosts, 0 failures",
        "nothing failed",
    ]
    plugins.tell("second", "ADD", Behaviour.failing(msg="chain CNI-17c3d4e5 exists"))
    alone = acni("bench", "race", "net", "--up-to", "2", "--rounds", "1", "-o", "json")
    assert alone.returncode == 1
    document = json.loads(alone.stdout)
    assert document["races"] == []
    assert document["steps"][0]["failures"][0]["message"] == "chain CNI-# exists"


def test_two_that_make_one_thing_are_a_race(
    acni: Run, conf_dir: Path, plugins: RecordingPlugins
) -> None:
    # Looks whether the chain is there, and makes it: as two firewall plugins do.
    racing = Path(plugins.directory) / "racing"
    racing.write_text(
        '#!/bin/sh\n[ "$CNI_COMMAND" = ADD ] || exit 0\n'
        "if ! [ -e /run/cni/chain ]; then\n  sleep 1\n"
        "  if ! mkdir /run/cni/chain 2>/dev/null; then\n"
        '    echo \'{"code":999,"msg":"it exists"}\'; exit 1\n  fi\n'
        'fi\necho \'{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.7/24"}]}\'\n'
    )
    racing.chmod(0o755)
    (conf_dir / "30-racing.conflist").write_text(
        '{"cniVersion":"1.0.0","name":"racing","plugins":[{"type":"racing"}]}'
    )
    arguments = ("bench", "race", "racing", "--up-to", "2", "--rounds", "1")
    raced = acni(*arguments)
    assert raced.returncode == 6, raced.stdout + raced.stderr
    assert raced.stdout.splitlines()[-1] == (
        "racing failed first at 2 at once: 1 of 2: ADD: it exists"
    )
    assert acni(*arguments, "--first-add-alone").returncode == 0
    assert list(Path("/run/cni").iterdir()) == []
