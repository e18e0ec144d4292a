"""Real executables that do as they are told, record what they were asked, and hold a resource."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from attrs import define

from acni.spec.versions import SUPPORTED_VERSIONS
from acni.testing.behaviour import Behaviour, Call

# -I and -S: nothing of the caller's Python environment is looked at, and it starts in some 10 ms.
_PROGRAM = """\
#!{python} -IS
import json, os, sys, time

home, name = {home!r}, os.path.basename(sys.argv[0])
command = os.environ["CNI_COMMAND"]
stdin = sys.stdin.buffer.read()
inside = dict(
    descriptors=sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
    directory=os.getcwd(),
    signals=[line for line in open("/proc/self/status") if line.startswith(("SigBlk", "SigIgn"))],
    session=os.getsid(0) == os.getpid(),
    pid=os.getpid(),
)
call = dict(plugin=name, environment=dict(os.environ), stdin=stdin.decode(), inside=inside)
log = os.open(home + "/calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
os.write(log, (json.dumps(call) + "\\n").encode())
os.close(log)
try:
    open(home + "/paused/" + name + "." + command).read()
except FileNotFoundError:
    pass
try:
    told = json.load(open(home + "/told/" + name + "." + command))
except FileNotFoundError:
    told = dict(seconds=0, status=0, signal=0, stdout=None, stderr="", holds=True)
time.sleep(told["seconds"])
sys.stderr.write(told["stderr"])
sys.stderr.flush()
if told["signal"]:
    os.kill(os.getpid(), told["signal"])
succeeds = told["status"] == 0
if succeeds and told["holds"] and command in ("ADD", "DEL"):
    parts = (name, os.environ["CNI_CONTAINERID"], os.environ["CNI_IFNAME"])
    resource = home + "/held/" + "+".join(parts)
    if command == "ADD":
        open(resource, "w").close()
    elif os.path.exists(resource):
        os.unlink(resource)
if told["stdout"] is not None:
    sys.stdout.write(told["stdout"])
elif succeeds and command == "VERSION":
    sys.stdout.write(json.dumps(dict(cniVersion="1.1.0", supportedVersions={versions!r})))
elif succeeds and command == "ADD":
    config = json.loads(stdin)
    version = config.get("cniVersion", "0.1.0")
    ips = [dict(address="192.0.2.7/24", gateway="192.0.2.1")]
    if version in ("0.1.0", "0.2.0"):
        made = dict(cniVersion=version, ip4=dict(ip="192.0.2.7/24"))
    else:
        made = dict(cniVersion=version, ips=ips)
    sys.stdout.write(json.dumps(config.get("prevResult", made)))
sys.exit(told["status"])
"""


@define(eq=False)
class RecordingPlugins:
    """A directory of plugin executables that do as they are told.

    Attributes:
        home: The directory in which they and their notes lie.

    Example:
        >>> async def main():
        ...     async with acni.open_runtime(
        ...         state_dir=state_dir, plugin_dirs=[plugins.directory]
        ...     ) as runtime:
        ...         await runtime.add(network, attachment)
        >>> anyio.run(main)
        >>> sorted(plugins.held), [str(asked) for asked in plugins.calls]
        (['bridge/web/eth0', 'portmap/web/eth0'], ['ADD bridge', 'ADD portmap'])
    """

    home: Path

    @property
    def directory(self) -> str:
        """The plugin directory: an absolute path where ``home`` is one.

        Example:
            >>> acni.Executables().find("bridge", [plugins.directory]).type
            'bridge'
        """
        return str(self.home / "bin")

    def install(self, *plugin_types: str) -> None:
        """Make executables of these names; what they were told before stays.

        Args:
            plugin_types: The types of the plugins.

        Example:
            >>> plugins.install("tuning", "firewall")
            >>> acni.Executables().find("tuning", [plugins.directory]).type
            'tuning'
        """
        for folder in ("bin", "told", "held", "paused"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        for plugin_type in plugin_types:
            path = self.home / "bin" / plugin_type
            path.write_text(self._program())
            path.chmod(0o755)

    def _program(self) -> str:
        versions = list(SUPPORTED_VERSIONS)
        return _PROGRAM.format(python=sys.executable, home=str(self.home), versions=versions)

    def remove(self, plugin_type: str) -> None:
        """Remove an executable.

        Args:
            plugin_type: The plugin's type.

        Example:
            >>> plugins.remove("portmap")
            >>> try:
            ...     acni.Executables().find("portmap", [plugins.directory])
            ... except acni.PluginNotFound as error:
            ...     print(error.plugin)
            portmap
        """
        (self.home / "bin" / plugin_type).unlink()

    def tell(self, plugin_type: str, command: str, behaviour: Behaviour) -> None:
        """Tell a plugin how to behave on a verb from now on; untold ones succeed at once.

        Args:
            plugin_type: The plugin's type, which was installed.
            command: The verb: "ADD", "DEL", "CHECK", "GC", "STATUS" or "VERSION".
            behaviour: What it does.

        Example:
            >>> plugins.tell("portmap", "ADD", testing.Behaviour.failing(msg="no chain"))
            >>> async def main():
            ...     async with runtime_over(acni.Executables()) as runtime:
            ...         await runtime.add(network, attachment)
            >>> try:
            ...     anyio.run(main)
            ... except acni.PluginFailed as error:
            ...     print(error.msg, plugins.held)
            no chain set()
        """
        told = self.home / "told" / f"{plugin_type}.{command}"
        written = told.with_name(f"{told.name}.new")  # a plugin that runs reads all of one or other
        written.write_text(json.dumps(attrs.asdict(behaviour)))
        written.replace(told)

    @contextmanager
    def paused(self, plugin_type: str, command: str) -> Generator[None]:
        """Let every run of a plugin on a verb stand still, once it is among the calls, until the
        block is left: what happens meanwhile needs no clock.

        Args:
            plugin_type: The plugin's type, which was installed.
            command: The verb.

        Example:
            >>> async def main():
            ...     async with runtime_over(acni.Executables()) as runtime:
            ...         async with anyio.create_task_group() as tasks:
            ...             with plugins.paused("portmap", "ADD"):
            ...                 tasks.start_soon(runtime.add, network, attachment)
            ...                 while len(plugins.calls) < 2:
            ...                     await anyio.sleep(0.01)
            ...                 print(sorted(plugins.held))
            ...     print(sorted(plugins.held))
            >>> anyio.run(main)
            ['bridge/web/eth0']
            ['bridge/web/eth0', 'portmap/web/eth0']
        """
        path = self.home / "paused" / f"{plugin_type}.{command}"
        os.mkfifo(path)
        # Whoever reads a FIFO waits until nobody has it open for writing; Linux opens it so for
        # both at once without waiting for a reader (fifo(7)).
        gate = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield
        finally:
            # In this order: who found it still has a writer that closes it.
            path.unlink()
            os.close(gate)

    @property
    def calls(self) -> list[Call]:
        """What they were asked, in order.

        Example:
            >>> async def main():
            ...     async with runtime_over(acni.Executables()) as runtime:
            ...         await runtime.add(network, attachment)
            >>> anyio.run(main)
            >>> second = plugins.calls[1]
            >>> str(second), second.environment["CNI_CONTAINERID"], "prevResult" in second.config
            ('ADD portmap', 'web', True)
        """
        return [
            Call(
                plugin=call["plugin"],
                environment=call["environment"],
                stdin=call["stdin"].encode(),
            )
            for call in self.notes()
        ]

    def notes(self) -> list[dict[str, Any]]:
        """Return all that they noted: the calls, with what each saw of its own process under
        ``inside``: descriptors, directory, signals, session, pid.

        Example:
            >>> async def main():
            ...     async with runtime_over(acni.Executables()) as runtime:
            ...         await runtime.version("bridge")
            >>> anyio.run(main)
            >>> plugins.notes()[0]["inside"]["directory"]
            '/'
        """
        path = self.home / "calls"
        text = path.read_text() if path.exists() else ""
        # A line that crosses a page may be seen while only its first part is written.
        whole, _, _ = text.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    @property
    def held(self) -> set[str]:
        """The resources held: ``<type>/<container>/<ifname>``.

        Example:
            >>> plugins.held
            set()
            >>> async def main():
            ...     async with runtime_over(acni.Executables()) as runtime:
            ...         await runtime.add(network, attachment)
            >>> anyio.run(main)
            >>> sorted(plugins.held)
            ['bridge/web/eth0', 'portmap/web/eth0']
        """
        return {path.name.replace("+", "/") for path in (self.home / "held").glob("*")}
