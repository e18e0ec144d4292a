"""A process that publishes ports of many containers at once, and lets them be picked.

Called with its number, and how many containers; prints the ports.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from tests.plugins.answering import Answer, ask_ours, make_request

_AT_ONCE = 8


def publish(process: int, number: int) -> Answer:
    """Publish a port of a container, each second one at one address of the host."""
    at = {"hostIP": "192.0.2.1"} if number % 2 else {}
    ips = [
        {"address": f"10.9.{process}.{number}/16"},
        {"address": f"fd00:9::{process}:{number}/64"},
    ]
    configuration = {
        "cniVersion": "1.0.0",
        "name": "net",
        "runtimeConfig": {"portMappings": [{"hostPort": 0, "containerPort": 80, **at}]},
        "prevResult": {"cniVersion": "1.0.0", "ips": ips},
    }
    request = make_request("ADD", configuration, container_id=f"c{process}-{number}")
    return ask_ours("portmap", request)


def main() -> None:
    process, containers = map(int, sys.argv[1:])
    sys.stdin.read()  # until all are there
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = threads.map(lambda number: publish(process, number), range(1, containers + 1))
        for answer in answers:
            assert answer.status == 0, answer
            print(answer.printed["portMappings"][0]["hostPort"])


if __name__ == "__main__":
    main()
