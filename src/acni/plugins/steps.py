"""Messages to the kernel that are sent together, each told apart when one is refused."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from attrs import frozen

from acni.netlink.errors import refusal
from acni.netlink.messages import Message
from acni.netlink.sockets import Netlink
from acni.plugins.refusals import doing, ipv6_disabled


@frozen
class Step:
    """A message, and what it is for.

    Attributes:
        message: The message.
        what: What it does, for errors.
        as_good: The errno that is as good: there is one already, or none any more.
        is_ipv6: Whether it needs IPv6.
    """

    message: Message
    what: str
    as_good: int = 0
    is_ipv6: bool = False


def take(netlink: Netlink, steps: Sequence[Step], *, what: str) -> None:
    """Take all steps at once; the kernel heeds each by itself.

    Args:
        netlink: The socket of the namespace.
        steps: What is done.
        what: All of it in words.

    Raises:
        PluginError: one was refused, the first that was.
    """
    with doing(what):
        verdicts = netlink.exchange([step.message for step in steps]).verdicts
    for index, (step, verdict) in enumerate(zip(steps, verdicts, strict=True)):
        if verdict.code in (0, step.as_good):
            continue
        if step.is_ipv6 and verdict.code in (errno.EACCES, errno.EOPNOTSUPP):
            raise ipv6_disabled(step.what)
        with doing(step.what):
            raise refusal(index, verdicts)
