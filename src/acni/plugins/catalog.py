"""The plugins that acni brings along, by type.

Each is loaded when it is first asked for: whoever has executables pays for none of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import field, frozen

from acni.errors import PluginNotFound
from acni.skel.call import Verbs


@frozen
class Catalog(Mapping[str, Verbs]):
    """Plugins by type, in modules of which each has its ``VERBS``.

    Attributes:
        modules: The modules' names by type.
    """

    modules: Mapping[str, str]
    _loaded: dict[str, Verbs] = field(factory=dict[str, Verbs], init=False, repr=False, eq=False)

    def __getitem__(self, plugin_type: str) -> Verbs:
        """Load a plugin.

        Raises:
            PluginNotFound: it cannot be loaded: there is no descriptor left to read it, say.
            KeyError: there is none of this type.
        """
        if (loaded := self._loaded.get(plugin_type)) is not None:
            return loaded
        name = self.modules[plugin_type]
        try:
            module: Any = importlib.import_module(name)
        except (ImportError, OSError) as error:
            raise PluginNotFound(
                f"the built-in plugin cannot be loaded: {error}",
                plugin=plugin_type,
                expected="all of acni, and descriptors to read it",
            ) from error
        verbs: Verbs = module.VERBS
        self._loaded[plugin_type] = verbs
        return verbs

    def __contains__(self, plugin_type: object) -> bool:
        return plugin_type in self.modules  # Mapping's own would load it

    def __iter__(self) -> Iterator[str]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)


BUILT_IN: Final = Catalog(
    {
        "bandwidth": "acni.plugins.bandwidth",
        "bridge": "acni.plugins.bridge",
        "firewall": "acni.plugins.firewall",
        "host-local": "acni.plugins.host_local",
        "ipvlan": "acni.plugins.ipvlan",
        "loopback": "acni.plugins.loopback",
        "macvlan": "acni.plugins.macvlan",
        "ptp": "acni.plugins.ptp",
        "portmap": "acni.plugins.portmap",
        "static": "acni.plugins.static",
        "tuning": "acni.plugins.tuning",
        "vlan": "acni.plugins.vlan",
    }
)
