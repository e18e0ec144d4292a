"""Asking a plugin which versions it supports, and reading its answer.

(specification, section 2, "VERSION"; section 5, "Version"; rules R9, R16, R60)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from acni.errors import Facts, PluginProtocolError
from acni.spec.jsontext import (
    JsonError,
    decode,
    dump,
    is_array,
    join,
    object_members,
    spell_keys,
    spellings,
)
from acni.spec.names import PluginType
from acni.spec.plugin import Ending, Request, Response
from acni.spec.response import ended
from acni.spec.versions import SUPPORTED_VERSIONS

# Plugins older than VERSION look at these before they find that they do not know it (R60).
_DUMMY: Final = "dummy"
_KEYS: Final = spellings("cniVersion", "supportedVersions")
_BEFORE_LISTS: Final = ("0.1.0", "0.2.0")


def version_request(inherited: Mapping[str, str]) -> Request:
    """Build the request of VERSION."""
    environment = {
        **inherited,
        "CNI_COMMAND": "VERSION",
        "CNI_CONTAINERID": _DUMMY,
        "CNI_NETNS": _DUMMY,
        "CNI_IFNAME": _DUMMY,
        "CNI_ARGS": "",
        "CNI_PATH": _DUMMY,
    }
    stdin = join({"cniVersion": dump(SUPPORTED_VERSIONS[-1])})
    return Request(environment=environment, stdin=stdin.encode())


def read_versions(plugin_type: PluginType, response: Response) -> tuple[str, ...]:
    """Read the versions that a plugin says it supports, as it lists them.

    A plugin that does not know VERSION supports 0.1.0; an answer of 0.2.0 without a list means
    0.1.0 and 0.2.0 (R60). An empty list is none.

    Raises:
        PluginProtocolError: its answer is none.
        PluginError: it was ended, or never began; which, is its class.
    """
    facts: Facts = {"plugin": plugin_type, "elapsed": response.seconds}
    if response.ending is not Ending.EXITED:
        raise ended("VERSION", response, facts)
    if response.status != 0:
        if b"unknown CNI_COMMAND" in response.stdout + response.stderr:
            return _BEFORE_LISTS[:1]
        raise PluginProtocolError(f"VERSION exited with {response.status}", **facts)
    try:
        members = object_members(decode(response.stdout))
    except JsonError as error:
        raise PluginProtocolError(f"VERSION printed no JSON object: {error}", **facts) from None
    said = {key: member.value for key, member in spell_keys(members, _KEYS).items()}
    listed = said.get("supportedVersions")
    if not listed and said.get("cniVersion") == "0.2.0":
        return _BEFORE_LISTS
    if not listed or not is_array(listed) or not all(isinstance(one, str) for one in listed):
        raise PluginProtocolError("VERSION printed no list of supportedVersions", **facts)
    return tuple(listed)
