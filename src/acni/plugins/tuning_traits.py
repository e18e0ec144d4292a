"""What ``tuning`` changes of an interface, and what it was before.

(include/uapi/linux/if_link.h; the reference's plugins/meta/tuning)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import asdict, frozen

from acni.netlink import links
from acni.netlink.links import Link
from acni.netlink.messages import Message
from acni.plugins.hardwareaddresses import mac_text


@frozen(kw_only=True)
class Traits:
    """What of an interface is changed, or was before; None is not.

    Attributes:
        mac: Its hardware address.
        promiscuous: Whether it takes in what is for others.
        mtu: Bytes of its largest packet.
        all_multicast: Whether it takes in what is for any group.
        queue_length: How many packets its queue holds.
    """

    mac: bytes | None = None
    promiscuous: bool | None = None
    mtu: int | None = None
    all_multicast: bool | None = None
    queue_length: int | None = None

    @property
    def are_none(self) -> bool:
        """Whether nothing of the interface is changed."""
        return self == Traits()

    def of_those(self, asked: Traits) -> Traits:
        """Return only what of it is asked for, too."""
        present = asdict(self)
        wanted = {name for name, value in asdict(asked).items() if value is not None}
        return Traits(**{name: present[name] for name in wanted})

    def over(self, others: Traits) -> Traits:
        """Return it, with what others say beside it."""
        said = {name: value for name, value in asdict(self).items() if value is not None}
        return Traits(**{**asdict(others), **said})

    def told(self) -> Mapping[str, object]:
        """Return what a result tells of it."""
        told: dict[str, object] = {} if self.mac is None else {"mac": mac_text(self.mac)}
        return told if self.mtu is None else told | {"mtu": self.mtu}

    def differences(self, wanted: Traits) -> Iterator[tuple[str, str, str]]:
        """Return what is not as it is wanted: its name, how it is, and how it should be."""
        present = asdict(self)
        for name, value in asdict(wanted).items():
            if value is not None and value != present[name]:
                yield name.replace("_", " "), _shown(present[name]), _shown(value)


def traits_of(link: Link) -> Traits:
    """Return what an interface is."""
    return Traits(
        mac=link.mac,
        promiscuous=link.is_promiscuous,
        mtu=link.mtu,
        all_multicast=link.is_all_multicast,
        queue_length=link.queue_length,
    )


def changes(ifname: str, traits: Traits) -> Iterator[tuple[str, Message]]:
    """Return what makes an interface so: what each does, for errors, and its message."""
    if traits.mac is not None:
        yield f"the hardware address of {ifname}", links.change(ifname, mac=traits.mac)
    if traits.promiscuous is not None:
        yield f"promisc of {ifname}", links.change(ifname, promiscuous=traits.promiscuous)
    if traits.mtu is not None:
        yield f"the mtu of {ifname}", links.change(ifname, mtu=traits.mtu)
    if traits.all_multicast is not None:
        yield f"allmulti of {ifname}", links.change(ifname, all_multicast=traits.all_multicast)
    if traits.queue_length is not None:
        yield f"txQLen of {ifname}", links.change(ifname, queue_length=traits.queue_length)


def _shown(value: object) -> str:
    return mac_text(value) if isinstance(value, bytes) else str(value).lower()
