"""Attachments: a container's interface on a network, named and with its arguments.

An attachment is identified by container ID and interface name, over all networks (specification,
section 3: "an attachment may be uniquely identified by the (CNI_CONTAINERID, CNI_IFNAME) tuple").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from attrs import Factory, field, frozen

from acni.errors import ConfigError
from acni.spec.arguments import parse_args
from acni.spec.capabilities import capability_text
from acni.spec.jsontext import JsonError, join, require_bounds
from acni.spec.names import (
    ContainerId,
    IfName,
    NetnsPath,
    parse_cni_args,
    parse_container_id,
    parse_ifname,
    parse_netns_path,
)


@frozen
class AttachmentId:
    """The identity of an attachment.

    Attributes:
        container_id: The container's ID.
        ifname: The interface's name in the container.

    Raises:
        InvalidName: one of them is not allowed.

    Example:
        >>> identity = acni.AttachmentId("web")
        >>> str(identity), identity == acni.AttachmentId("web", "eth0")
        ('web/eth0', True)
    """

    container_id: ContainerId = field(converter=parse_container_id)
    ifname: IfName = field(converter=parse_ifname, default=IfName("eth0"))

    def __str__(self) -> str:
        return f"{self.container_id}/{self.ifname}"


def _capability_texts(capability_args: object) -> Mapping[str, str]:
    if not isinstance(capability_args, Mapping):
        raise ConfigError(
            f"no mapping but {type(capability_args).__name__}",
            place="capability_args",
            expected="a mapping of capability names to JSON values",
        )
    if not capability_args:
        return {}
    given = cast("Mapping[object, object]", capability_args)
    texts = dict(map(_capability_text, given.items()))
    try:
        require_bounds(join(texts))  # together: a record keeps them as one document
    except JsonError as error:
        expected = "less of them"
        raise ConfigError(str(error), place="capability_args", expected=expected) from None
    return texts


def _capability_text(argument: tuple[object, object]) -> tuple[str, str]:
    name, value = argument
    place = f"capability_args[{name!a}]"
    if not isinstance(name, str):
        raise ConfigError("no text", place=place, expected="a capability's name")
    try:
        return name, capability_text(value)
    except JsonError as error:
        raise ConfigError(str(error), place=place, expected="a JSON value") from None


def _require_existing(_: object, __: object, value: object) -> None:
    if value not in ("refuse", "adjust"):
        expected = "'refuse' or 'adjust'"
        raise ConfigError(f"{value!r} is not allowed", place="existing", expected=expected)


@frozen(kw_only=True)
class Attachment:
    """What a runtime asks for when it adds a container to a network.

    Attributes:
        container_id: The container's ID.
        netns: The container's network namespace: its absolute path, the ID of a process in it, or
            an object with that ``path``, such as :class:`acni.netns.Namespace`. Kept as the path.
        ifname: The interface to create in it.
        cni_args: The pairs of CNI_ARGS.
        args: A JSON object that is merged into the ``args`` of every plugin configuration, see
            :meth:`acni.NetworkConfig.with_args`; copied when the attachment is made.
        capability_args: Capability arguments: capability name to JSON value (CONVENTIONS.md,
            "Dynamic Plugin specific fields"), in which :class:`acni.PortMapping` and
            :class:`acni.Bandwidth` may stand; a plugin gets those it declares.
        existing: "refuse" an interface of that name that is there already, or "adjust" it: for
            chains that only change one. ``lo`` always may be there. When it was there, an undo
            never lets a plugin touch the namespace.
        id: The attachment's identity, over all networks (specification, section 3).

    Raises:
        InvalidName: a name, the path or CNI_ARGS is not allowed.
        ConfigError: ``args`` or capability arguments are no mapping of text, or have no JSON form.

    Example:
        >>> attachment = acni.Attachment(
        ...     container_id="web",
        ...     netns="/run/netns/web",
        ...     capability_args={"portMappings": [acni.PortMapping(host=8080, container=80)]},
        ... )
        >>> attachment.id
        AttachmentId(container_id='web', ifname='eth0')
    """

    container_id: ContainerId = field(converter=parse_container_id)
    netns: NetnsPath = field(converter=parse_netns_path)
    ifname: IfName = field(converter=parse_ifname, default=IfName("eth0"))
    cni_args: Mapping[str, str] = field(
        converter=parse_cni_args, factory=dict[str, str], repr=False
    )
    args: Mapping[str, Any] = field(converter=parse_args, factory=dict[str, Any], repr=False)
    capability_args: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)
    existing: Literal["refuse", "adjust"] = field(default="refuse", validator=_require_existing)
    id: AttachmentId = field(
        init=False,
        repr=False,
        eq=False,
        default=Factory(lambda self: AttachmentId(self.container_id, self.ifname), True),
    )
    capability_texts: Mapping[str, str] = field(
        init=False,
        repr=False,
        eq=False,
        default=Factory(lambda self: _capability_texts(self.capability_args), True),
    )
