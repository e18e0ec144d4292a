"""How long a verb may go on: until it is out of time, or is told to stop.

A thread cannot be killed, so a verb asks between its steps. Each step is bounded by itself.
"""

from __future__ import annotations

import time

from attrs import define, field


class Stopped(BaseException):
    """A verb is to end: it is out of time, or who called it was cancelled.

    No Exception, so that no ``except Exception`` of a plugin goes on regardless. What catches it to
    clean up raises it again.

    Example:
        >>> bounds = skel.Bounds(deadline=0.0)
        >>> try:
        ...     bounds.check()
        ... except skel.Stopped as stopped:
        ...     print(isinstance(stopped, Exception))
        False
    """


@define(eq=False)
class Bounds:
    """The time of one call of a plugin; asked by its thread, ended by another.

    Attributes:
        deadline: When it is out of time, on ``time.monotonic``'s clock.

    Example:
        >>> import time
        >>> bounds = skel.Bounds(deadline=time.monotonic() + 60)
        >>> 0 < bounds.seconds_left() <= 60
        True
    """

    deadline: float
    _is_stopped: bool = field(default=False, init=False)

    def check(self) -> None:
        """Go on, or not.

        Raises:
            Stopped: it is out of time, or was told to stop.

        Example:
            >>> def add(call):
            ...     for _ in range(3):
            ...         call.bounds.check()
            ...     return "all three steps"
            >>> called(add)
            'all three steps'
        """
        if self.is_over():
            raise Stopped

    def is_over(self) -> bool:
        """Tell whether it is out of time, or was told to stop.

        Example:
            >>> called(lambda call: call.bounds.is_over())
            False
        """
        return self._is_stopped or time.monotonic() >= self.deadline

    def seconds_left(self) -> float:
        """Return how long it may go on, in seconds; 0 where it is over.

        Example:
            >>> called(lambda call: call.bounds.seconds_left() > 0)
            True
        """
        return 0.0 if self._is_stopped else max(0.0, self.deadline - time.monotonic())

    def stop(self) -> None:
        """Tell it to stop; from any thread, any number of times. Who runs the plugin does that.

        Example:
            >>> import time
            >>> bounds = skel.Bounds(deadline=time.monotonic() + 60)
            >>> bounds.stop()
            >>> bounds.is_over(), bounds.seconds_left()
            (True, 0.0)
        """
        self._is_stopped = True
