#!/usr/bin/env python3
"""hostsfile: a file for each pod, its addresses and its name, as `dnsmasq --hostsdir` reads it."""

import os
import sys
from pathlib import Path

from acni.skel import Call, Code, PluginError, Verbs, main
from acni.spec import Result


def file_of(call: Call) -> Path:
    """Name the pod's file; no container ID has a plus."""
    return Path(call.fields.required_text("directory"), f"{call.container_id}+{call.ifname}")


def result_before(call: Call) -> Result:
    """Return what the plugins before it answered."""
    if call.previous is None:
        raise PluginError(Code.INVALID_CONFIG, "hostsfile comes after a plugin with addresses")
    return call.previous


def lines_of(call: Call) -> str:
    """Write a line for each address."""
    return "".join(f"{ip.ip.ip} {call.container_id}\n" for ip in result_before(call).ips)


def add(call: Call) -> Result:
    """Name the pod."""
    file_of(call).write_text(lines_of(call))
    return result_before(call)


def delete(call: Call) -> None:
    """Forget it, however often one is told."""
    file_of(call).unlink(missing_ok=True)


def check(call: Call) -> None:
    """Look whether the pod is named as it was."""
    file = file_of(call)
    if not file.exists() or file.read_text() != lines_of(call):
        raise PluginError(100, f"{file} does not name the pod")


def gc(call: Call) -> None:
    """Forget all but the valid ones."""
    valid = {f"{one.container_id}+{one.ifname}" for one in call.valid or ()}
    for file in Path(call.fields.required_text("directory")).iterdir():
        if file.name not in valid:
            file.unlink(missing_ok=True)


def status(call: Call) -> None:
    """Look whether an ADD could write."""
    directory = call.fields.required_text("directory")
    if not os.access(directory, os.W_OK):
        raise PluginError(Code.NOT_AVAILABLE, f"{directory} cannot be written")


VERBS = Verbs(add=add, delete=delete, check=check, gc=gc, status=status)

if __name__ == "__main__":
    sys.exit(main(VERBS))
