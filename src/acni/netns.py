"""Network namespaces for callers: ``create``, ``anonymous``, ``open``, ``from_pid``, ``identity``,
``pin``, ``unpin``, ``delete``, ``run``.

Plain functions; a :class:`Namespace` is a context manager.

Example:
    >>> with netns.create("box") as box:
    ...     netns.run(box, ["true"], timeout=5).returncode
    0
"""

from acni.host.netns import (
    Namespace,
    NetnsIdentity,
    anonymous,
    create,
    delete,
    from_pid,
    identity,
    open,  # noqa: A004 (read as netns.open)
    pin,
    run,
    unpin,
)

__all__ = [
    "Namespace",
    "NetnsIdentity",
    "anonymous",
    "create",
    "delete",
    "from_pid",
    "identity",
    "open",
    "pin",
    "run",
    "unpin",
]
