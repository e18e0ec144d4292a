"""A state directory full of records of attachments that somebody made before."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import acni
from acni import blocking, netns
from acni.testing import ScriptedRunner

_NETWORK: Final = acni.parse_network(
    b'{"cniVersion":"1.0.0","name":"other","plugins":[{"type":"bridge"}]}'
)


def fill(state_dir: Path, count: int) -> None:
    """Make a state directory with so many records, as an ADD of each would have left them."""
    with (
        netns.anonymous() as box,
        blocking.open_runtime(
            state_dir=state_dir,
            plugin_dirs=["/plugins"],
            runner=ScriptedRunner(),
            durability="process",
        ) as runtime,
    ):
        runtime.add(_NETWORK, acni.Attachment(container_id="c0", netns=box.path))
        (first,) = (state_dir / "results").iterdir()
        text = first.read_bytes()
    for number in range(1, count):
        path = first.with_name(first.name.replace("c0", f"c{number}"))
        path.write_bytes(text.replace(b'"c0"', f'"c{number}"'.encode()))
        path.chmod(0o600)
