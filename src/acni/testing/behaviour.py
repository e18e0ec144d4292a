"""What a plugin double can be told, and what it records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from acni.spec.versions import SUPPORTED_VERSIONS


@frozen(kw_only=True)
class Behaviour:
    """What a double does when it is run.

    Attributes:
        seconds: How long it takes.
        status: Its exit status.
        signal: The signal that ends it instead, or 0.
        stdout: What it prints; None: on a successful ADD the previous result, or a result with an
            address for the first of a chain; on VERSION all versions; nothing otherwise.
        stderr: What it writes there.
        holds: A successful ADD takes its resource, and a successful DEL lets it go.

    Example:
        >>> told = testing.Behaviour(stdout='{"ips": []}', stderr="a warning")
        >>> scripted.tell("bridge", "ADD", told)
        >>> call("add", network.up_to(0), attachment).ips
        ()
    """

    seconds: float = 0.0
    status: int = 0
    signal: int = 0
    stdout: str | None = None
    stderr: str = ""
    holds: bool = True

    @classmethod
    def failing(cls, code: int = 999, msg: str = "told to fail", details: str = "") -> Behaviour:
        """Fail as a plugin does: an error object on standard output, and exit status 1
        (specification, section 5, "Error").

        Args:
            code: The error's code.
            msg: The error's message.
            details: More about it.

        Example:
            >>> plugins.tell("bridge", "DEL", testing.Behaviour.failing(code=11, msg="try later"))
            >>> testing.Behaviour.failing(code=11, msg="try later").stdout
            '{"code": 11, "msg": "try later", "details": ""}'
        """
        return cls(status=1, stdout=json.dumps({"code": code, "msg": msg, "details": details}))


@frozen(kw_only=True)
class Call:
    """One run of a double.

    Attributes:
        plugin: The plugin's type.
        environment: All of its environment.
        stdin: What it read.

    Example:
        >>> result = call("add", network, attachment)
        >>> asked = scripted.calls[0]
        >>> str(asked), asked.environment["CNI_CONTAINERID"]
        ('ADD bridge', 'web')
    """

    plugin: str
    environment: Mapping[str, str] = field(repr=False)
    stdin: bytes = field(repr=False)

    @property
    def command(self) -> str:
        """CNI_COMMAND (specification, section 2, "Parameters").

        Example:
            >>> result = call("add", network, attachment)
            >>> scripted.calls[0].command == "ADD"
            True
        """
        return self.environment["CNI_COMMAND"]

    @property
    def config(self) -> dict[str, Any]:
        """What the plugin was to do: its request configuration (specification, section 3, "Deriving
        request configuration from plugin configuration").

        Example:
            >>> result = call("add", network, attachment)
            >>> scripted.calls[0].config
            {'cniVersion': '1.1.0', 'name': 'dbnet', 'type': 'bridge'}
        """
        config: dict[str, Any] = json.loads(self.stdin)
        return config

    def __str__(self) -> str:
        return f"{self.command} {self.plugin}"


def default_output(command: str, stdin: bytes) -> str:
    """Make what a double that was told nothing prints."""
    match command:
        case "ADD":
            return _default_result(stdin)
        case "VERSION":
            return json.dumps(
                {"cniVersion": SUPPORTED_VERSIONS[-1], "supportedVersions": SUPPORTED_VERSIONS}
            )
        case _:
            return ""


def _default_result(stdin: bytes) -> str:
    config = json.loads(stdin)
    version = config.get("cniVersion", "0.1.0")
    if "prevResult" in config:
        return json.dumps(config["prevResult"])
    if version in ("0.1.0", "0.2.0"):
        return json.dumps({"cniVersion": version, "ip4": {"ip": "192.0.2.7/24"}})
    ips = [{"address": "192.0.2.7/24", "gateway": "192.0.2.1"}]
    if version.startswith("0."):
        ips[0]["version"] = "4"
    return json.dumps({"cniVersion": version, "ips": ips})
