"""What acni does not know passes through it as it was written, digit by digit."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from acni import open_runtime, parse_network
from acni.testing import Behaviour, RecordingPlugins

if TYPE_CHECKING:
    from tests.netns.conftest import Host, Pod

pytestmark = [pytest.mark.anyio, pytest.mark.netns]

# A number of 30 digits, which no float holds; 1e2, which Python would write as 100.0; a text with
# an escape that needs none; nesting; spaces.
ODD = (
    '"com.example/serial": 123456789012345678901234567890',
    '"com.example/factor":1e2',
    '"com.example/text": "\\u0041 \\/ é"',
    '"com.example/deep": {"b": [1.50, -0, {"a":  null}], "a": true}',
)
MEMBERS = ", ".join(ODD)

CONFIGURATION = f"""{{
  "cniVersion": "1.0.0", "name": "net", {MEMBERS},
  "plugins": [
    {{"type": "bridge", "bridge": "br0", "isGateway": true, {MEMBERS},
      "ipam": {{"type": "host-local", "subnet": "10.22.0.0/24", {MEMBERS}}}}},
    {{"type": "firewall", {MEMBERS}}},
    {{"type": "LAST", {MEMBERS}}}
  ]
}}"""

# A plugin that adds unknown members to the previous result: real plugins print what they know only.
ANNOTATE = f"""#!{sys.executable} -IS
import json, os, sys
if os.environ["CNI_COMMAND"] == "ADD":
    result = json.dumps(json.load(sys.stdin)["prevResult"])
    sys.stdout.buffer.write((result[:-1] + ", " + {MEMBERS!r} + "}}").encode())
"""


async def test_unknown_members_pass_by_real_plugins(
    host: Host, pods: tuple[Pod, Pod], tmp_path: Path
) -> None:
    pod, neighbour = pods
    annotate = tmp_path / "bin" / "annotate"
    annotate.parent.mkdir()
    annotate.write_text(ANNOTATE)
    annotate.chmod(0o755)
    configuration = CONFIGURATION.replace("LAST", "annotate")
    network = parse_network(configuration.encode())
    async with open_runtime(
        state_dir=host.state_dir, plugin_dirs=[annotate.parent, "/usr/lib/cni"]
    ) as runtime:
        result = await runtime.add(network, pod.attachment())
        assert _all_odd(result.raw, times=1)
        record = (host.state_dir / "results" / "net-a-eth0").read_text()
        assert _all_odd(record, times=1)
        assert result.raw in record
        config = base64.b64decode(json.loads(record)["config"]).decode()
        # The list, three plugins, one address plugin.
        assert _all_odd(config, times=5)

        # The bridge and the firewall are sent the odd result, and find everything.
        await runtime.check(pod.attachment().id)
        answers = (await runtime.add(network, neighbour.attachment())).ipv4
        assert await pod.pings(answers)
        for each in pods:
            await runtime.delete(each.attachment().id)
    assert host.look().leases == set()
    assert host.records() == []


async def test_requests_hold_unknown_members_as_they_were_written(
    host: Host, pods: tuple[Pod, Pod], plugins: RecordingPlugins
) -> None:
    pod, _ = pods
    printed = (
        f'{{ "cniVersion": "1.0.0", "ips": [{{"address": "192.0.2.7/24", {MEMBERS}}}], {MEMBERS} }}'
    )
    plugins.tell("first", "ADD", Behaviour(stdout=printed))
    plugins.tell("second", "ADD", Behaviour(stdout=printed))
    configuration = f"""{{"cniVersion": "1.0.0", "name": "net", {MEMBERS}, "plugins": [
        {{"type": "first", {MEMBERS}, "ipam": {{{MEMBERS}}}}}, {{"type": "second", {MEMBERS}}}]}}"""
    async with open_runtime(state_dir=host.state_dir, plugin_dirs=[plugins.directory]) as runtime:
        result = await runtime.add(parse_network(configuration.encode()), pod.attachment())
        assert _all_odd(result.raw, times=2)
        await runtime.check(pod.attachment().id)
        await runtime.delete(pod.attachment().id)

    # Each plugin's own members, those of its ipam, and two of each in the previous result.
    expected = {
        "ADD first": 2,
        "ADD second": 1 + 2,
        "CHECK first": 2 + 2,
        "CHECK second": 1 + 2,
        "DEL second": 1 + 2,
        "DEL first": 2 + 2,
    }
    assert [str(call) for call in plugins.calls] == list(expected)
    for call in plugins.calls:
        assert _all_odd(call.stdin.decode(), times=expected[str(call)]), call


def _all_odd(text: str, *, times: int) -> bool:
    """Tell whether each odd value stands in a text so many times, and nothing that resembles it."""
    values = [member.partition(":")[2].strip() for member in ODD]
    keys = [member.partition(":")[0] for member in ODD]
    return all(text.count(value) == times for value in values) and all(
        text.count(key) == times for key in keys
    )
