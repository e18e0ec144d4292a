"""All built-in plugins as one program: ``acni-plugin``, and ``python -m acni.plugins``.

Which one it is says the name that it was called by, a link's or a copy's, or else its first
argument. ``acni-plugin install DIRECTORY`` makes the links that a runtime looks for.

A runtime starts it for each call: what does not belong to the plugin that is asked is not imported.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

_USAGE = """\
usage: acni-plugin PLUGIN                 be this plugin; a runtime calls it
       acni-plugin install [--force] DIR  put all of them into a plugin directory
       acni-plugin --help | --version

A link to it that has the name of a plugin is that plugin.
plugins: {plugins}
"""
_REFUSED = 2


def main() -> None:
    """Be the plugin that is asked for, and end."""
    # A process of milliseconds has no garbage to look for.
    gc.disable()
    status = run(sys.argv)
    for name in ("stdout", "stderr"):
        if (stream := getattr(sys, name)) is not None:  # the caller closed it
            with suppress(OSError):
                stream.flush()
    # Nothing is left to write or to close: the kernel takes down in no time what Python takes
    # milliseconds for.
    os._exit(status)


def run(argv: Sequence[str]) -> int:
    """Be the plugin that is asked for.

    Args:
        argv: The program's name and its arguments.

    Returns:
        The exit status.
    """
    from acni.plugins.catalog import BUILT_IN  # noqa: PLC0415 (not before garbage is left alone)

    name, words = os.path.basename(argv[0]), tuple(argv[1:])
    plugin = name if name in BUILT_IN else words[0] if words else ""
    if plugin in BUILT_IN:
        return _be(plugin)
    match words:
        case ["install", *rest]:
            return _install(rest)
        case ["--version"]:
            return _print_version()
        case ["--help" | "-h"]:
            return _print(_usage())
        case _ if os.environ.get("CNI_COMMAND"):
            known = ", ".join(BUILT_IN)
            return _refuse(f"acni has no plugin {(plugin or name)[:40]!a}, but {known}")
        case _:
            print(_usage(), end="", file=sys.stderr)
            return _REFUSED


def _be(plugin: str) -> int:
    from acni.errors import PluginNotFound  # noqa: PLC0415 (`install` needs none of it)
    from acni.plugins.catalog import BUILT_IN  # noqa: PLC0415 (as above)
    from acni.skel.executable import main as be  # noqa: PLC0415 (as above)

    try:
        verbs = BUILT_IN[plugin]
    except PluginNotFound as error:
        return _refuse(error.message)
    return be(verbs, delegates=BUILT_IN)


def _install(words: Sequence[str]) -> int:
    from acni.plugins.installing import InstallError, install  # noqa: PLC0415 (as above)

    directories = [word for word in words if word != "--force"]
    if len(directories) != 1 or directories[0].startswith("-"):
        print(_usage(), end="", file=sys.stderr)
        return _REFUSED
    try:
        made = install(directories[0], is_forced="--force" in words)
    except InstallError as error:
        print(f"acni-plugin: {error}", file=sys.stderr)
        return _REFUSED
    except OSError as error:
        print(f"acni-plugin: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return _print("".join(f"{path}\n" for path in made))


def _print_version() -> int:
    from importlib.metadata import version  # noqa: PLC0415 (as above)

    return _print(f"acni-plugin {version('acni')}\n")


def _refuse(message: str) -> int:
    """Answer a runtime that gets no plugin."""
    from acni.skel.errors import Code, PluginError  # noqa: PLC0415 (as above)
    from acni.skel.respond import refuse  # noqa: PLC0415 (as above)

    _print(refuse(PluginError(Code.INTERNAL, message)).stdout.decode() + "\n")
    return 1


def _print(text: str) -> int:
    """Print something; return the exit status."""
    try:
        print(text, end="", flush=True)
    except OSError as error:
        with suppress(OSError):
            print(f"acni-plugin: standard output: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _usage() -> str:
    from acni.plugins.catalog import BUILT_IN  # noqa: PLC0415 (as above)

    return _USAGE.format(plugins=", ".join(BUILT_IN))


if __name__ == "__main__":
    main()
