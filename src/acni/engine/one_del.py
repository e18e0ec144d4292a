"""One plugin's DEL, with what is known of its habits.

Rule 1: where the namespace is gone, or is another one by now, CNI_NETNS is empty, but for the
    plugins that look in it for what they are to undo on the host: they get a stand-in. What is of
    an earlier boot gets none, for nothing of it is left on the host, unless it fails without.
Rule 2: a DEL that failed is run again at once, once, where that is known to pass: code 11, a
    signal, and the plugins of the table. A second DEL may succeed because the first one threw away
    what it knew; so whatever else failed is left to be looked at, and a success after a failure
    keeps the first error in its event.

(specification, section 2, "DEL"; rule R45)
"""

from __future__ import annotations

from typing import Final

import anyio
from attrs import define

from acni.engine.chain import Chain
from acni.engine.habits import habit_of
from acni.engine.stand_in import Address, StandIn
from acni.errors import (
    AcniError,
    Busy,
    NotPermitted,
    PluginError,
    PluginFailed,
    PluginKilled,
    TryAgain,
    printable,
)
from acni.spec.planning import Step
from acni.spec.result import parse_result

_MAX_CAUSE: Final = 500


@define(kw_only=True)
class Dels:
    """The DELs of a chain.

    Attributes:
        chain: The chain.
        previous: The text of the final result, or None.
        has_stand_ins: No namespace can be passed, and what the plugins left on the host may still
            be there.
    """

    chain: Chain
    previous: str | None
    has_stand_ins: bool

    async def run(self, step: Step) -> None:
        """Run one, and once more where its failure is known to pass.

        Raises:
            PluginNotFound: its executable is missing.
            PluginError: it failed.
            Busy: there is no room for a stand-in.
        """
        try:
            await self._run_once(step)
        except PluginError as error:
            if not is_transient(error) or anyio.current_time() >= self.chain.deadline:
                raise
            first = cause_of(error)
        else:
            return
        try:
            await self._run_once(step, first)
        except AcniError as error:
            error.add_note(f"it was run again after {first}")
            raise

    def needs_stand_in(self, step: Step) -> bool:
        """Tell whether a plugin gets a stand-in."""
        habit = habit_of(step.plugin.type)
        is_without = not self.chain.parameters.netns
        return (self.has_stand_ins and habit.needs_stand_in) or (
            is_without and habit.fails_without_namespace
        )

    async def _run_once(self, step: Step, first_error: str | None = None) -> None:
        with StandIn() as stand_in:
            netns = await self._make(stand_in, step) if self.needs_stand_in(step) else None
            await self.chain.run(step, self.previous, netns=netns, first_error=first_error)

    async def _make(self, stand_in: StandIn, step: Step) -> str:
        engine, ifname = self.chain.operation.engine, self.chain.parameters.ifname
        try:
            return await engine.in_thread(stand_in.make, ifname, self._addresses())
        except NotPermitted as error:  # for good: it must not keep the plugin from what it can do
            engine.warn([f"there is no stand-in for namespaces that are gone: {error.message}"])
            return ""
        except Busy as error:
            error.learn(plugin=step.plugin.type, index=step.index)
            raise

    def _addresses(self) -> tuple[Address, ...]:
        """Return the addresses that the container's interface had, those that are told of no
        interface included.
        """
        if self.previous is None:
            return ()
        result = parse_result(self.previous, self.chain.network.cni_version)
        own = {
            place
            for place, interface in enumerate(result.interfaces)
            if interface.sandbox and interface.name == self.chain.parameters.ifname
        }
        return tuple(ip.ip for ip in result.ips if ip.interface is None or ip.interface in own)


def is_transient(error: PluginError) -> bool:
    """Tell whether a DEL that failed is worth another one at once."""
    if isinstance(error, TryAgain | PluginKilled):
        return True
    return isinstance(error, PluginFailed) and habit_of(error.plugin or "").retries


def cause_of(error: BaseException) -> str:
    """Say in one line why a DEL failed: the class, what the plugin's error object says, and the
    stable word for it.

    Nothing else of what a plugin printed: the line goes into events and listings.
    """
    said = [type(error).__name__]
    if isinstance(error, AcniError):
        said += [error.plugin or "", f"code {error.code}" if error.code else "", error.msg or ""]
        said += [f"({error.reason})" if error.reason else ""]
    return printable(" ".join(" ".join(filter(None, said)).split()))[:_MAX_CAUSE]
