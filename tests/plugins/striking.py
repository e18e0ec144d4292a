"""An ADD that goes wrong wherever it can: at each message to the kernel, and at each place where it
asks whether it may go on.
"""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import define, field

from acni.netlink.nftables import SUBSYSTEM
from acni.netlink.wire import KernelWire
from acni.plugins.catalog import BUILT_IN
from acni.skel import Bounds, Stopped
from acni.skel.delegation import Delegates
from acni.skel.respond import respond
from acni.spec import Request
from tests.plugins.answering import Answer, Ask, ask_ours
from tests.plugins.hosts import Host, Seen, host_of

Stays = Callable[[Seen], Seen]
Prepare = Callable[[Host], object]

_MOST: Final = 40
_NO_SUBSYSTEM: Final = 200


@define(eq=False)
class Failing:
    """A socket's ``send`` that fails, once it was called so often.

    Attributes:
        number: Which call fails, from 1.
        after: Whether the kernel hears it all the same.
        of: Only messages of this subsystem of netfilter count; None, all.
        calls: How many there were.
    """

    number: int
    after: bool = False
    of: int | None = None
    calls: int = field(default=0, init=False)

    def given(self, send: Any) -> Any:
        def sending(wire: KernelWire, data: bytes) -> None:
            is_counted = self.of in (None, _subsystem_of(data))
            self.calls += is_counted
            if not is_counted or self.calls != self.number:
                send(wire, data)
                return
            if self.after:
                send(wire, data)
            raise OSError(errno.ENOBUFS, "as the test wants it")

        return sending


def _subsystem_of(data: bytes) -> int:
    _, kind = struct.unpack_from("=IH", data)
    return int(kind) >> 8


def of_no_nf_tables(send: Any) -> Any:
    """Return a socket's ``send`` to a kernel that is built without nf_tables: what it says of a
    number that it has nothing for.
    """

    def sending(wire: KernelWire, data: bytes) -> None:
        length, kind = struct.unpack_from("=IH", data)
        if kind >> 8 == SUBSYSTEM and length == len(data):
            data = data[:4] + struct.pack("=H", _NO_SUBSYSTEM << 8 | kind & 255) + data[6:]
        send(wire, data)

    return sending


@define(eq=False)
class _Impatient(Bounds):
    """Bounds that are over when they were asked so often."""

    number: int = 0
    asked: int = field(default=0, init=False)

    def check(self) -> None:
        self.asked += 1
        if self.asked == self.number:
            self.stop()
        super().check()


@define(eq=False)
class Striking:
    """Strikes an ADD, each time on another host.

    Attributes:
        config: What is added.
        tmp_path: Where leases lie.
        monkeypatch: Replaces what sends.
        stays: Leaves out of what is seen what stays on purpose.
        prepare: Prepares a host.
    """

    config: Mapping[str, Any]
    tmp_path: Path
    monkeypatch: pytest.MonkeyPatch
    stays: Stays = lambda seen: seen
    prepare: Prepare = lambda _: None

    def at_each_message(self, *, after: bool) -> int:
        """Fail each send of an ADD, before or after the kernel has heard it; return how many
        there are.
        """
        for number in range(1, _MOST):
            failing = Failing(number, after)
            with self._host(ask_ours, number) as (host, before):
                with self.monkeypatch.context() as patch:
                    patch.setattr(KernelWire, "send", failing.given(KernelWire.send))
                    answer = host.run("ADD", self.config)
                if failing.calls < number:
                    assert answer.status == 0, answer
                    return failing.calls
                # Where it is heeded all the same there is nothing to refuse.
                if answer.status:
                    assert answer.printed["code"] in (5, 11), answer
                    self._require_nothing(host, before, f"whose message {number} failed")
                    assert host.leases() == []
        raise AssertionError("it never came to an end")

    def at_each_question(self) -> int:
        """Stop an ADD wherever it asks whether it may go on; return how often it does.

        The address is the runtime's to undo: it is out of time.
        """
        for number in range(1, _MOST):
            bounds = _Impatient(time.monotonic() + 60, number=number)

            def ask(plugin: str, request: Request, bounds: Bounds = bounds) -> Answer:
                delegates = Delegates(built_in=BUILT_IN)
                respond(BUILT_IN[plugin], request, bounds=bounds, delegates=delegates)
                return Answer(0, {})

            with self._host(ask, number) as (host, before):
                try:
                    host.run("ADD", self.config)
                except Stopped:
                    self._require_nothing(host, before, f"stopped at question {number}")
                    assert host.run("DEL", self.config, ask=ask_ours).status == 0
                    assert host.leases() == []
                else:
                    return bounds.asked
        raise AssertionError("it never came to an end")

    @contextmanager
    def _host(self, ask: Ask, number: int) -> Iterator[tuple[Host, Seen]]:
        with host_of(ask, self.tmp_path / str(number)) as host:
            host.container("c1")
            self.prepare(host)
            yield host, host.see()

    def _require_nothing(self, host: Host, before: Seen, words: str) -> None:
        left, was = self.stays(host.see()), self.stays(before)
        assert left == was, f"left by an ADD {words}: {sorted(left.keys() ^ was.keys())}"
