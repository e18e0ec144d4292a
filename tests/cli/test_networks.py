from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.rule("R54")
def test_every_file_is_used_lost_or_broken_and_says_why(acni: Run, conf_dir: Path) -> None:
    late = '{"cniVersion":"0.4.0","name":"net","type":"third"}'
    (conf_dir / "05-early.conf").write_text(late)  # lists come first, whatever their names
    (conf_dir / "10-net2.conflist").write_text(
        '{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"third"}]}'
    )
    (conf_dir / "30-torn.json").write_text('{"name":"torn",')
    (conf_dir / "net").mkdir()
    (conf_dir / "net" / "tune.conf").write_text('{"type":"third"}')
    (conf_dir / "readme.txt").write_text("no configuration")
    listed = acni("networks", "-o", "json")
    assert (listed.returncode, listed.stderr) == (0, "")
    files = {Path(row["file"]).name: row for row in json.loads(listed.stdout)}
    states = {name: (row["state"], row["network"]) for name, row in files.items()}
    assert states == {
        "10-net.conflist": ("used", "net"),
        "10-net2.conflist": ("lost", "net"),
        "05-early.conf": ("lost", "net"),
        "20-broken.conflist": ("broken", "broken"),
        "30-torn.json": ("broken", ""),
    }
    assert files["10-net.conflist"]["version"] == "1.0.0"
    assert files["10-net.conflist"]["plugins"] == [
        {"type": "first", "source": f"{conf_dir}/10-net.conflist"},
        {"type": "second", "source": f"{conf_dir}/10-net.conflist"},
        {"type": "third", "source": f"{conf_dir}/net/tune.conf"},
    ]
    assert "10-net.conflist has that name" in files["05-early.conf"]["reason"]
    assert "$.plugins[0]" in files["20-broken.conflist"]["reason"]

    assert len(acni("networks", "-o", "jsonl").stdout.splitlines()) == 5
    table = acni("networks").stdout.splitlines()
    assert table[0].split() == ["STATE", "NETWORK", "VERSION", "PLUGINS", "FILE", "REASON"]
    assert table[1].split()[:4] == ["used", "net", "1.0.0", "first,second,third"]
    assert f"drop-ins: third is {conf_dir}/net/tune.conf" in table[1]


@pytest.mark.parametrize("output", ["human", "json"])
def test_a_directory_that_is_not_there_is_refused(output: str, acni: Run) -> None:
    refused = acni("networks", "--conf-dir", "/nowhere", "-o", output)
    assert refused.returncode == 2
    assert "/nowhere" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr


def test_names_cannot_steer_the_terminal(acni: Run, conf_dir: Path) -> None:
    (conf_dir / "a\x1b[2J.json").write_text("[")
    assert "\x1b" not in acni("networks").stdout
