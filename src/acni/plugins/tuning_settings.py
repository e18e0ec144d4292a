"""What ``tuning`` is configured with, parsed once.

Rule: what ``args.cni`` says comes before what the runtime asks for, that before CNI_ARGS, and that
    before the configuration, as with the reference.

(the reference's plugins/meta/tuning; CONVENTIONS.md, "args in network config", "CNI_ARGS")
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import field, frozen

from acni.plugins.addressing import known_args, parse_path, parsed_argument
from acni.plugins.hardwareaddresses import MAC_EXPECTED, parse_hardware_address
from acni.plugins.sysctls import Sysctl, parse_sysctl
from acni.plugins.tuning_traits import Traits
from acni.skel.call import Call
from acni.skel.errors import PluginError
from acni.skel.reading import Fields

DEFAULT_DATA_DIR: Final = "/run/cni/tuning"

_MAC: Final = "MAC"
_MOST: Final = (1 << 31) - 1
_MOST_QUEUE: Final = (1 << 32) - 1


@frozen(kw_only=True)
class Settings:
    """What ``tuning`` is to do.

    Attributes:
        sysctls: What is written below ``/proc/sys/net``, in this order.
        traits: What the interface becomes.
        data_dir: Where it is written down what was before.
    """

    sysctls: tuple[Sysctl, ...] = field(repr=False)
    traits: Traits
    data_dir: str

    @property
    def change_nothing(self) -> bool:
        """Whether there is nothing to be done."""
        return not self.sysctls and self.traits.are_none


def parse_settings(call: Call) -> Settings:
    """Parse the configuration.

    Raises:
        PluginError: a member is not what was expected; names the place.
    """
    fields = call.fields
    asked = fields.inner("args").inner("cni")
    return Settings(
        sysctls=tuple(_parse_sysctls(call, fields, asked)),
        traits=Traits(
            mac=_parse_mac(call, fields, asked),
            # False is no wish, as with the reference.
            promiscuous=_flag("promisc", asked, fields) or None,
            mtu=_number("mtu", asked, fields, most=_MOST) or None,
            all_multicast=_flag("allmulti", asked, fields),
            queue_length=_number("txQLen", asked, fields, most=_MOST_QUEUE),
        ),
        data_dir=_parse_data_dir(fields),
    )


def parse_data_dir(call: Call) -> str:
    """Parse where a DEL finds what was before, in any configuration (P3)."""
    try:
        return _parse_data_dir(call.fields)
    except PluginError:
        return DEFAULT_DATA_DIR


def _parse_sysctls(call: Call, fields: Fields, asked: Fields) -> Iterator[Sysctl]:
    """Parse those of the configuration, and those that are asked for in their place or besides; of
    two spellings of one the last counts.
    """
    given: dict[str, Sysctl] = {}
    for place in (fields.inner("sysctl"), asked.inner("sysctl")):
        for key, value in place.value.items():
            if not isinstance(value, str):
                raise place.error(key, "no text", "text")
            sysctl = parse_sysctl(place, key, value, call.ifname)
            given[sysctl.path] = sysctl
    yield from given.values()


def _parse_mac(call: Call, fields: Fields, asked: Fields) -> bytes | None:
    argument = known_args(call, (_MAC,)).get(_MAC)
    for place in (asked, fields.inner("runtimeConfig")):
        mac = place.parsed("mac", parse_hardware_address, MAC_EXPECTED)
        if mac is not None:
            return mac
    if argument:
        return parsed_argument(_MAC, argument, parse_hardware_address, MAC_EXPECTED)
    return fields.parsed("mac", parse_hardware_address, MAC_EXPECTED)


def _parse_data_dir(fields: Fields) -> str:
    return fields.parsed("dataDir", parse_path, "a path") or DEFAULT_DATA_DIR


def _flag(key: str, *places: Fields) -> bool | None:
    """Read a flag where it is said first."""
    return next((place.flag(key) for place in places if place.has(key)), None)


def _number(key: str, *places: Fields, most: int) -> int | None:
    """Read a number where it is said first."""
    said = (place.number(key, least=0, most=most) for place in places if place.has(key))
    return next(said, None)
