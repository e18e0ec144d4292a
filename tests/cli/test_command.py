"""The command as a user runs it: a process, its arguments and environment, what it prints and how
it exits.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from acni import netns
from acni.testing import Behaviour, RecordingPlugins

pytestmark = pytest.mark.netns

Run = Callable[..., subprocess.CompletedProcess[str]]

SECRET = "c2VjcmV0"  # noqa: S105 (made up)


PORTS = '[{"hostPort":1,"containerPort":2,"protocol":"udp","hostIP":"::1"}]'


def test_an_attachment_from_add_to_del(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    plugins.tell("second", "ADD", Behaviour(stdout='{"cniVersion":"1.0.0","y":1e2,"ips":[]}'))
    added = acni("add", "net", box.path, "--cap", f"portMappings={PORTS}", "--arg", "K=V")
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout == '{"cniVersion":"1.0.0","y":1e2,"ips":[]}\n'
    container_id = "cnitool-" + hashlib.sha512(box.path.encode()).digest()[:10].hex()
    assert plugins.calls[0].environment["CNI_CONTAINERID"] == container_id
    assert plugins.calls[1].config["runtimeConfig"] == {"portMappings": json.loads(PORTS)}
    assert plugins.calls[1].environment["CNI_ARGS"] == "K=V"

    listed = json.loads(acni("ls", "-o", "json").stdout)
    assert [(row["state"], row["container_id"]) for row in listed] == [("attached", container_id)]
    assert listed[0]["ports"] == ["[::1]:1:2/udp"]
    assert acni("check", "net", box.path).returncode == 0
    assert acni("check", "--container-id", container_id).returncode == 0
    assert acni("del", "--container-id", container_id).returncode == 0
    assert plugins.held == set()
    assert acni("ls", "-o", "jsonl").stdout == ""
    again = acni("del", "--container-id", container_id)
    assert again.returncode == 3
    assert acni("delete", "net", box.path).returncode == 0


def test_the_variables_of_cnitool_are_read(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    caps = json.dumps({"portMappings": [{"hostPort": 2}]})
    added = acni("add", "net", box.path, CNI_IFNAME="eth7", CNI_ARGS="A=1;B=2", CAP_ARGS=caps)
    assert added.returncode == 0
    call = plugins.calls[1]
    assert call.environment["CNI_IFNAME"] == "eth7"
    assert call.environment["CNI_ARGS"] == "A=1;B=2"
    assert call.config["runtimeConfig"] == {"portMappings": [{"hostPort": 2}]}


def test_a_failed_add_tells_a_person_what_happened(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    plugins.tell("second", "ADD", Behaviour(status=1, stdout='{"code":7,"msg":"no"}', stderr="s3"))
    failed = acni("add", "net", box.path, "--container-id", "c1")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "add, c1/eth0, network net, plugin second: ADD failed with code 7: no" in failed.stderr
    assert "undone    second, first" in failed.stderr
    assert "owed      nothing" in failed.stderr
    assert "try       " in failed.stderr
    assert "s3" not in failed.stderr
    assert "Traceback" not in failed.stderr
    verbose = acni("add", "net", box.path, "--container-id", "c1", "-v")
    assert "stderr    s3" in verbose.stderr
    assert "DEL   first" in verbose.stderr
    quiet = acni("add", "net", box.path, "--container-id", "c1", "-q")
    assert "try       " not in quiet.stderr


def test_what_a_plugin_says_cannot_steer_the_terminal(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    said = {"code": 7, "msg": "a\x1b[2Jb\nacni: forged"}
    plugins.tell("first", "ADD", Behaviour(status=1, stdout=json.dumps(said)))
    failed = acni("add", "net", box.path)
    assert "\x1b" not in failed.stderr
    assert "a\\x1b[2Jb\\nacni: forged" in failed.stderr


def test_a_failed_add_tells_a_machine_what_happened(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    plugins.tell("second", "ADD", Behaviour.failing(7, "no", "because"))
    plugins.tell("first", "DEL", Behaviour.failing())
    failed = acni("add", "net", box.path, "--container-id", "c1", "-o", "json")
    assert failed.returncode == 5
    assert failed.stderr == ""
    document = json.loads(failed.stdout)
    ours = document.pop("acni")
    assert document == {"cniVersion": "1.1.0", "code": 7, "msg": "no", "details": "because"}
    assert (ours["error"], ours["verb"], ours["plugin"]) == ("PluginFailed", "add", "second")
    assert ours["rolledBack"] == ["second"]
    assert ours["debt"]["plugin"] == "first"
    listed = acni("ls").stdout.splitlines()
    assert listed[1].startswith("owed")
    plugins.tell("first", "DEL", Behaviour())
    assert acni("del", "--container-id", "c1").returncode == 0


@pytest.mark.parametrize(
    ("behaviour", "arguments", "status"),
    [
        pytest.param(Behaviour(stdout="rubbish"), (), 1, id="rubbish"),
        pytest.param(Behaviour(stdout=""), (), 1, id="nothing"),
        pytest.param(Behaviour(signal=signal.SIGKILL), (), 1, id="killed"),
        pytest.param(Behaviour(seconds=30), ("--timeout", "0.3"), 4, id="out of time"),
        pytest.param(Behaviour.failing(11), (), 75, id="try again"),
    ],
)
def test_what_a_plugin_does_gives_an_exit_status_and_no_traceback(
    behaviour: Behaviour,
    arguments: tuple[str, ...],
    status: int,
    acni: Run,
    box: netns.Namespace,
    plugins: RecordingPlugins,
) -> None:
    plugins.tell("second", "ADD", behaviour)
    failed = acni("add", "net", box.path, *arguments)
    assert failed.returncode == status
    assert "Traceback" not in failed.stderr
    assert plugins.held == set()
    assert json.loads(acni("ls", "-o", "json").stdout) == []


@pytest.mark.parametrize("verb", ["add", "check", "del"])
@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        pytest.param(("net", "/run/x", "--container-id", "../x"), "container ID", id="id"),
        pytest.param(("net", "/run/x", "--container-id", ""), "container ID", id="empty id"),
        pytest.param(("net", "/run/x", "--container-id", "c\n"), "container ID", id="newline"),
        pytest.param(("../net", "/run/x"), "network name", id="network"),
        pytest.param(("net", "/run/x", "-i", "eth0123456789012"), "interface", id="long ifname"),
        pytest.param(("net", "/run/x", "-i", "a/b"), "interface", id="ifname"),
        pytest.param(("net", "/run/x", "--plugin-dir", "bin"), "plugin_dirs", id="plugin dir"),
    ],
)
def test_a_bad_name_is_refused_on_every_verb_before_anything_runs(
    verb: str,
    arguments: tuple[str, ...],
    place: str,
    acni: Run,
    plugins: RecordingPlugins,
    tmp_path: Path,
) -> None:
    refused = acni(verb, *arguments)
    assert refused.returncode == 2
    assert place in refused.stderr
    assert "Traceback" not in refused.stderr
    assert plugins.calls == []
    assert not (tmp_path / "state" / "results").exists() or place == "network name"


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        pytest.param(("add", "other", "/run/x"), 3, "20-broken.conflist", id="no such network"),
        pytest.param(("add", "broken", "/run/x"), 2, "$.plugins[0]", id="broken network"),
        pytest.param(("add", "net", "/nowhere"), 2, "/nowhere", id="no such namespace"),
        pytest.param(("add", "net", "/etc/passwd"), 2, "is no namespace", id="no namespace"),
        pytest.param(("add", "net", "/proc/self/ns/mnt"), 2, "another kind", id="kind"),
        pytest.param(("add", "net", "/proc/self/ns/net"), 2, "own", id="the runtime's own"),
        pytest.param(("check", "net", "/run/x"), 3, "no record", id="check of nothing"),
        pytest.param(("inspect", "c1"), 3, "no record", id="inspect nothing"),
        pytest.param(("add", "net"), 2, "NETNS", id="usage"),
        pytest.param(("del",), 2, "--container-id", id="del of nothing"),
        pytest.param(("add", "net", "/run/x", "--arg", "K"), 2, "CNI_ARGS", id="argument"),
        pytest.param(("add", "net", "/run/x", "--cap", "a={"), 2, "--cap a", id="capability"),
    ],
)
def test_what_is_refused_names_the_place_and_writes_nothing(
    arguments: tuple[str, ...],
    status: int,
    text: str,
    acni: Run,
    plugins: RecordingPlugins,
    tmp_path: Path,
) -> None:
    refused = acni(*arguments)
    assert refused.returncode == status
    assert text in refused.stderr
    assert "Traceback" not in refused.stderr
    assert plugins.calls == []
    results = tmp_path / "state" / "results"
    assert not results.exists() or not list(results.iterdir())


@pytest.mark.parametrize("what", ["missing", "not executable", "a directory"])
def test_a_plugin_that_cannot_run_is_named(
    what: str, acni: Run, box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    plugins.remove("second")
    path = Path(plugins.directory) / "second"
    if what == "not executable":
        path.write_text("")
    elif what == "a directory":
        path.mkdir()
    refused = acni("add", "net", box.path)
    assert refused.returncode == 2
    assert "plugin second" in refused.stderr
    assert plugins.calls == []


def test_a_config_that_is_gone_does_not_keep_a_record_from_being_deleted(
    acni: Run, box: netns.Namespace, environment: dict[str, str]
) -> None:
    assert acni("add", "net", box.path).returncode == 0
    (Path(environment["NETCONFPATH"]) / "10-net.conflist").unlink()
    assert acni("del", "net", box.path).returncode == 0
    assert acni("del", "net", box.path).returncode == 3


def test_inspect_shows_the_record_and_hides_secrets(acni: Run, box: netns.Namespace) -> None:
    acni("add", "net", box.path, "--container-id", "c1", "--arg", "TOKEN=hidden")
    shown = acni("inspect", "c1")
    assert shown.returncode == 0
    document = json.loads(shown.stdout)
    assert document["config"]["plugins"][0]["password"] != SECRET
    assert SECRET not in shown.stdout
    assert document["cniArgs"][0][0] == "TOKEN"
    assert document["cniArgs"][0][1] != "hidden"
    open_ = acni("inspect", "c1", "--show-secrets", "-o", "json").stdout
    assert SECRET in open_
    assert '"x":1e2' in open_
    assert "123456789012345678901234567890" in open_
    assert json.loads(open_)[0]["cniArgs"] == [["TOKEN", "hidden"]]


def test_inspect_hides_arguments_and_keeps_to_one_line(
    acni: Run, box: netns.Namespace, conf_dir: Path
) -> None:
    (conf_dir / "30-args.conflist").write_text(
        '{"cniVersion":"1.0.0","name":"args","plugins":[{"type":"first",\n"args":{"cni":"in-args"},'
        '\n"x":{\n},"capabilities":{"a":true}}]}'
    )
    words = ("args", box.path, "--container-id", "c1", "--cap", 'a="in-cap"')
    assert acni("add", *words).returncode == 0
    hidden = acni("inspect", "c1").stdout
    assert "in-args" not in hidden
    assert "in-cap" not in hidden
    shown = acni("inspect", "c1", "--show-secrets", "-o", "jsonl").stdout
    assert "in-args" in shown
    assert "in-cap" in shown
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_undoes_and_then_ends(
    number: signal.Signals,
    environment: dict[str, str],
    box: netns.Namespace,
    plugins: RecordingPlugins,
) -> None:
    plugins.tell("second", "ADD", Behaviour(seconds=30))
    process = subprocess.Popen(
        [sys.executable, "-m", "acni", "add", "net", box.path],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    give_up = time.monotonic() + 20
    while len(plugins.notes()) < 2 and time.monotonic() < give_up:
        time.sleep(0.01)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=200)
    assert process.returncode == 128 + number
    assert b"Traceback" not in stderr
    assert [str(call) for call in plugins.calls][-2:] == ["DEL second", "DEL first"]
    assert plugins.held == set()


def test_namespaces_are_created_used_and_deleted(acni: Run, clean_host: None) -> None:
    created = acni("netns", "create", "box")
    assert (created.returncode, created.stdout) == (0, "/run/netns/box\n")
    assert acni("netns", "create", "box").returncode == 2
    inside = acni("netns", "run", "box", "--", "ip", "-o", "link")
    assert inside.returncode == 0
    assert inside.stdout.count("\n") >= 1
    assert "lo:" in inside.stdout
    assert acni("netns", "run", "box").returncode == 2
    assert acni("netns", "run", "nowhere", "true").returncode == 2
    assert acni("netns", "delete", "box").returncode == 0
    assert acni("netns", "delete", "box").returncode == 2
    assert acni("netns", "create", "../box").returncode == 2


def test_a_reader_that_goes_away_gives_no_traceback(environment: dict[str, str]) -> None:
    script = f"{sys.executable} -m acni --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("ls", "-o", "json"), id="ls"),
        pytest.param(("networks",), id="networks"),
        pytest.param(("plan", "add", "net", "/run/x", "-o", "json"), id="plan"),
        pytest.param(("man",), id="man"),
        pytest.param(("--help",), id="help"),
        pytest.param(("--version",), id="version"),
    ],
)
def test_an_output_that_is_full_is_an_error_without_a_traceback(
    words: tuple[str, ...], environment: dict[str, str]
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "acni", *words],
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 74
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("odd", [b"\xff", b"\xc3\xa9", b"a\nb", b"--", b"", b"\x1b[2J"])
@pytest.mark.parametrize(
    "words",
    [
        ("inspect",),
        ("status",),
        ("validate",),
        ("version",),
        ("plan", "add", "net"),
        ("plan", "del", "net", "/run/x", "--container-id"),
        ("plan", "add", "net", "/run/x", "--shell", "--show-secrets", "--plugin-dir"),
        ("debt", "retry", "--container-id"),
        ("networks", "--conf-dir"),
        ("ls", "--state-dir"),
        ("completion",),
    ],
    ids=" ".join,
)
def test_no_argument_gives_a_traceback(
    words: tuple[str, ...], odd: bytes, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "acni", *words, odd],
        env=environment | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 2, 3)
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr


def modules_of(*arguments: str) -> set[str]:
    program = (
        "import sys\n"
        "from acni.cli import main\n"
        "main(sys.argv[1:])\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_help_loads_neither_a_loop_nor_attrs() -> None:
    heavy = {"anyio", "asyncio", "attrs", "attr", "cattrs", "trio", "typing", "importlib.metadata"}
    assert modules_of("--help") & (heavy | {"shutil"}) == set()


def test_what_only_looks_at_files_loads_neither_a_loop_nor_an_engine(tmp_path: Path) -> None:
    heavy = {"anyio", "asyncio", "cattrs", "trio", "logging", "acni.engine.engine"}
    for words in (
        ("ls", "--state-dir", str(tmp_path)),
        ("inspect", "nobody", "--state-dir", str(tmp_path)),
        ("networks", "--conf-dir", str(tmp_path)),
    ):
        assert modules_of(*words) & heavy == set(), words


@pytest.mark.parametrize(("words", "is_own"), [("", True), ("['networks']", False)])
def test_only_a_process_of_its_own_keeps_what_was_loaded_for_good(words: str, is_own: bool) -> None:
    program = (
        "import gc, sys\n"
        "from acni.cli import main\n"
        f"main({words})\n"
        "seldom = gc.get_threshold()[0] > 10_000\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 0, seldom, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "networks"], capture_output=True, text=True, check=True
    )
    assert done.stderr.split()[-3:] == ["True", str(is_own), str(is_own)]


def test_a_verb_whose_module_has_the_name_of_another_runs_in_a_process_of_its_own(
    acni: Run,
) -> None:
    """``acni.cli.gc`` is the name ``gc`` of the package once it is loaded."""
    done = acni("gc", "net", "--all")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_the_package_s(acni: Run) -> None:
    assert acni("--version").stdout == f"acni {version('acni')}\n"


def test_a_signal_that_leaves_something_owed_says_so(
    environment: dict[str, str], box: netns.Namespace, plugins: RecordingPlugins
) -> None:
    """5 comes before 143: cleanup is owed, whatever else happened."""
    plugins.tell("second", "ADD", Behaviour(seconds=30))
    plugins.tell("first", "DEL", Behaviour.failing(7, "no"))
    process = subprocess.Popen(
        [sys.executable, "-m", "acni", "add", "net", box.path],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    give_up = time.monotonic() + 20
    while len(plugins.notes()) < 2 and time.monotonic() < give_up:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 5
    assert stdout == ""
    assert "ended by SIGTERM" in stderr
    assert "undone    second" in stderr
    assert "the delete of first" in stderr


def test_a_file_that_is_no_record_hides_no_other(
    acni: Run, box: netns.Namespace, tmp_path: Path
) -> None:
    acni("add", "net", box.path, "--container-id", "c1")
    (tmp_path / "state" / "results" / "zz-x-c1-eth0").write_text("rubbish")
    shown = acni("inspect", "c1")
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["containerId"] == "c1"
    assert "zz-x-c1-eth0" in shown.stderr
    assert acni("del", "--container-id", "c1").returncode == 0


def test_what_an_undo_could_not_record_is_owed_all_the_same(
    acni: Run, box: netns.Namespace, plugins: RecordingPlugins, tmp_path: Path
) -> None:
    """Something stands in its place when the debt is to be written."""
    state = tmp_path / "state"
    acni("ls")
    plugins.tell("second", "ADD", Behaviour.failing(7, "no"))
    plugins.tell("first", "DEL", Behaviour.failing(8, "neither"))
    environment = {"ACNI_STATE_DIR": str(state)}
    with ThreadPoolExecutor(1) as thread:
        with plugins.paused("second", "ADD"):
            adding = thread.submit(acni, "add", "net", box.path, **environment)
            give_up = time.monotonic() + 20
            while not plugins.held and time.monotonic() < give_up:
                time.sleep(0.01)
            (container,) = {held.split("/")[1] for held in plugins.held}
            (state / "results" / f"net-{container}-eth0").mkdir()
        failed = adding.result()
    assert failed.returncode == 5
    assert "neither" in failed.stderr
    listed = acni("debt", "list", "-o", "jsonl", **environment)
    assert json.loads(listed.stdout)["plugin"] == "first"
    plugins.tell("first", "DEL", Behaviour())
    assert "settled" in acni("recover", **environment).stdout
    assert plugins.held == set()


@pytest.mark.parametrize(
    ("redirection", "status"), [(">&-", 0), (">/dev/full", 74), ("2>&-", 0), (">&- 2>&-", 0)]
)
def test_a_place_that_takes_no_output_gives_no_traceback(
    redirection: str, status: int, environment: dict[str, str], box: netns.Namespace
) -> None:
    command = f"{sys.executable} -m acni add net {box.path} {redirection}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "undone" not in done.stderr
