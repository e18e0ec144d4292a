"""A thread that looks into network namespaces, for as long as a runtime lasts.

A thread for each look, and one of the event loop's to wait for it, cost three times what a plugin's
start does; to ask this one costs two switches.

Rule 1: it is back where it came from before it answers, or it ends: no thread of the host program
    is left in another namespace.
Rule 2: who is interrupted while it looks leaves it, with its answer, and the next one asks another
    thread.
Rule 3: what it does there waits for nothing, so it may be waited for in an event loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from attrs import Factory, define, field

from acni.errors import Busy
from acni.host import netns
from acni.host.visits import is_back

# It takes some microseconds, unless the machine stands still.
_SECONDS: Final = 30.0

_Question = Callable[[], object]


@define(eq=False, repr=False)
class _Guest:
    """One thread."""

    questions: SimpleQueue[_Question | None] = Factory(SimpleQueue[_Question | None])
    answers: SimpleQueue[object] = Factory(SimpleQueue[object])
    home: netns.Namespace = Factory(netns.own)
    thread: Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        # A daemon: nothing is lost with it, and an interpreter that ends waits for no runtime that
        # was never left.
        self.thread = Thread(target=self._serve, name="acni-visitor", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        with self.home:
            while (question := self.questions.get()) is not None:
                answer = _answer(question)
                has_come_back = is_back(self.home)
                self.answers.put(answer)
                if not has_come_back:
                    return


def _answer(question: _Question) -> object:
    answer: object
    try:
        answer = question()
    except BaseException as error:  # noqa: ASYNC103, BLE001 (raised where it was asked)
        answer = error
    return answer


@define(eq=False, repr=False)
class Visitor:
    """Looks into namespaces; one question at a time."""

    _guest: _Guest | None = field(default=None, init=False)

    def has_interface(self, namespace: netns.Namespace, ifname: str) -> bool:
        """Tell whether an interface of that name exists in a namespace.

        Raises:
            NotPermitted: this process may not enter namespaces.
            Busy: there is no descriptor left, or the machine stands still.
        """

        def look() -> bool:
            netns.enter(namespace.fd, namespace.path)
            return netns.interface_exists(ifname)

        return self._ask(look) is True

    def close(self) -> None:
        """Let the thread end."""
        guest, self._guest = self._guest, None
        if guest is not None and guest.thread.is_alive():  # in a forked child it is not there
            guest.questions.put(None)
            guest.thread.join(_SECONDS)

    def _ask(self, question: _Question) -> object:
        guest, self._guest = self._guest, None
        if guest is None or not guest.thread.is_alive():
            guest = _Guest()
        try:
            guest.questions.put(question)
            answer = guest.answers.get(timeout=_SECONDS)
        except Empty:
            guest.questions.put(None)
            raise Busy(
                f"a namespace was looked into for {_SECONDS:.0f} s", expected="another try"
            ) from None
        except BaseException:
            guest.questions.put(None)
            raise
        self._guest = guest
        if isinstance(answer, BaseException):
            raise answer
        return answer
