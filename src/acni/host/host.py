"""Which host this is, as records name it: this boot, and the network namespace that plugins run
in.
"""

from __future__ import annotations

from attrs import frozen

from acni.errors import InvalidName, machine_error
from acni.host import netns
from acni.host.netns import NetnsIdentity


@frozen(kw_only=True)
class Host:
    """The host of a runtime.

    Attributes:
        boot: The kernel's boot ID.
        netns: The identity of the network namespace in which plugins run.
        assumes_reboot: What was attached from another namespace of this boot counts as of an
            earlier boot: a person says that namespace is gone.
    """

    boot: str
    netns: NetnsIdentity
    assumes_reboot: bool = False

    def is_here(self, boot: str, host_netns: NetnsIdentity) -> bool:
        """Tell whether what was made in a boot, from a namespace, still counts as of this boot."""
        is_elsewhere = host_netns != self.netns
        return boot == self.boot and not (self.assumes_reboot and is_elsewhere)

    def has(self, path: str, recorded: NetnsIdentity | None) -> bool:
        """Tell whether a namespace stands behind a path that is the recorded one, where that is
        known, and not the host's.
        """
        if not path:
            return False
        try:
            identity = netns.identity(path)
        except InvalidName:
            return False
        return identity != self.netns and recorded in (None, identity)


def this_host() -> Host:
    """Ask the kernel which host this is.

    Raises:
        Busy, NotPermitted: the kernel does not say.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        with netns.own() as own:
            return Host(boot=boot, netns=own.identity())
    except OSError as error:
        raise machine_error(error, "the host's boot and namespace") from error
