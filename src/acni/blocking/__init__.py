"""acni without an event loop: the same names, without ``await``, from any thread.

:func:`open_runtime` starts a thread with an event loop of its own, and each call is done there
while its caller waits. Any number of threads may call at once. Every call takes a ``timeout``, in
seconds: when it is over, what was under way is cancelled and undone, and then
:class:`TimeoutError` is raised, later by what the undo takes, which :class:`acni.Timeouts` bounds.

Ctrl-C, and whatever else a signal handler raises in a thread that waits, cancels its call, and is
raised when what it did is undone or owed. A second one is raised at once: the undo goes on, and
leaving the runtime waits for it. In a worker thread of a running loop (``anyio.to_thread``) the
cancellation of the task that waits for the thread does the same.

A runtime that nobody leaves is left when the interpreter ends. Observers are called in the
runtime's own thread, in which nothing can call the runtime.

Example:
    >>> with acni.blocking.open_runtime(
    ...     state_dir=state_dir, conf_dir=conf_dir, plugin_dirs=[plugins.directory]
    ... ) as runtime:
    ...     result = runtime.add(runtime.network("dbnet"), attachment, timeout=30)
    ...     runtime.delete(attachment.id)
    >>> result.ipv4
    IPv4Address('192.0.2.7')
"""

from acni.blocking.runtime import Box, Runtime, open_runtime

__all__ = ["Box", "Runtime", "open_runtime"]
