"""ADDs through the engine with one of its parts exchanged for a double that does nothing, or with
one more; what of it costs how much is the difference.

``python parts.py ORDER``: a JSON line, like every peer's, of which only the own processor time
means something.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio

from harness.doubles import WAYS, adds
from phases import Meter, print_phase


def main(order: dict[str, Any]) -> None:
    """Carry out an order."""
    before = Meter()
    way = WAYS[order["peer"]]
    Path(order["state"]).mkdir()
    own = anyio.run(adds, way, order["state"], "process", order["at_once"], order["count"])
    spent = Meter().since(before)
    print_phase("add", [0.0] * order["count"], Meter(spent.wall, own * order["count"], 0.0, 0.0))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
