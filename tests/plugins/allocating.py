"""A process that adds containers of one range, one after the other: by the reference or by ours.

Called with the kind, a directory, a prefix for the containers' names, how many, and the ``ipam``;
prints the address of each, or the code of its refusal.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.plugins.answering import Node, ask_ours, ask_reference


def main() -> None:
    kind, directory, prefix, number, ipam = sys.argv[1:]
    node = Node(Path(directory), ask={"reference": ask_reference, "ours": ask_ours}[kind])
    sys.stdin.read()  # until all are there
    for at in range(int(number)):
        answer = node.run("ADD", json.loads(ipam), container_id=f"{prefix}-{at}")
        print(answer.printed["code"] if answer.status else answer.addresses[0])


if __name__ == "__main__":
    main()
