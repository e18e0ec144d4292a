"""Observers that are ready made.

:func:`trace` writes what a runtime does as a file that ui.perfetto.dev and chrome://tracing draw:
one lane for each container.

Example:
    >>> import json
    >>> with acni.observe.trace(state_dir.with_suffix(".json")) as tracer:
    ...     async def main():
    ...         async with runtime_over(scripted, observers=[tracer]) as runtime:
    ...             await runtime.add(network, attachment)
    ...     anyio.run(main)
    >>> drawn = json.loads(state_dir.with_suffix(".json").read_text())["traceEvents"]
    >>> [event["name"] for event in drawn if event["ph"] == "B"]
    ['add', 'ADD bridge', 'ADD portmap']
"""

from acni.observe.trace import Trace, trace

__all__ = ["Trace", "trace"]
