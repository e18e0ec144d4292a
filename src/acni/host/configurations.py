"""Reading a configuration directory: which files there are, which network each holds, and what is
wrong with the rest.

Order and endings are libcni's: ``*.conflist`` sorted by name, then ``*.conf`` and ``*.json`` with
one plugin each; the first file of a name wins; drop-ins are ``<directory>/<name>/*.conf``, sorted.
Unlike libcni a broken file stops only
the network that it holds: it is reported, and the good ones still load.

(specification, section 1, "Network configuration format"; rules R4, R5, R54)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from acni.errors import AcniError, ConfigError, NetworkNotFound
from acni.host.files import read_regular
from acni.spec.configuration import NetworkConfig, parse_network, parse_single
from acni.spec.jsontext import JsonError, decode, object_members
from acni.spec.names import parse_network_name

# A list with a hundred plugins has some 100 KiB.
MAX_CONFIG_BYTES: Final = 1 << 20

_LIST: Final = ".conflist"
_SINGLE: Final = (".conf", ".json")


@frozen(kw_only=True)
class Configurations:
    """What a configuration directory holds.

    Attributes:
        directory: The directory.
        networks: The networks by name; of files with one name the first.
        lost: The files whose name an earlier one has, in order: path and name.
        broken: The files that could not be read, in order: path and error.
    """

    directory: str
    networks: dict[str, NetworkConfig]
    lost: tuple[tuple[str, str], ...]
    broken: tuple[tuple[str, AcniError], ...]

    def network(self, name: str) -> NetworkConfig:
        """Return the network of that name.

        Raises:
            NetworkNotFound: no file has it; names the broken files, one of which may be the one
                that was meant.
        """
        if name in self.networks:
            return self.networks[name]
        for path, error in self.broken:
            if _holds(path, name):
                raise error
        known = (
            f"there are: {', '.join(sorted(self.networks))}" if self.networks else "there is none"
        )
        broken = (
            f"; not readable: {', '.join(path for path, _ in self.broken)}" if self.broken else ""
        )
        raise NetworkNotFound(
            f"no configuration of that name in {self.directory}; {known}{broken}",
            network=name,
            expected="the name of a network configuration",
        )

    def warnings(self, name: str) -> Iterator[str]:
        """Iterate over what a person should know of the network of that name, a line each."""
        for path, lost in self.lost:
            if lost == name:
                yield f"{path} is not used: {self.networks[name].source} is network {name}, too"


def load_configurations(directory: str | os.PathLike[str]) -> Configurations:
    """Read a configuration directory whole.

    Raises:
        ConfigError: the directory cannot be listed.
    """
    directory = os.fspath(directory)
    networks: dict[str, NetworkConfig] = {}
    lost: list[tuple[str, str]] = []
    broken: list[tuple[str, AcniError]] = []
    for path in _files(directory):
        try:
            network = _load(directory, path)
        except AcniError as error:
            broken.append((path, error))
        else:
            if networks.setdefault(network.name, network) is not network:
                lost.append((path, network.name))
    return Configurations(
        directory=directory, networks=networks, lost=tuple(lost), broken=tuple(broken)
    )


def load_network(directory: str | os.PathLike[str], name: str) -> NetworkConfig:
    """Load the network of that name from a configuration directory (specification, section 1,
    "Network configuration format").

    Args:
        directory: The directory; the first file that holds the name wins, ``*.conflist`` first.
        name: The network's name.

    Returns:
        The network, its drop-ins from ``<directory>/<name>/*.conf`` included.

    Raises:
        ConfigError: the directory cannot be listed, or the file that holds the network is broken.
        InvalidName: the name is not allowed, or one in the file that holds the network.
        VersionUnsupported: the file that holds the network is broken.
        NetworkNotFound: no file holds it.

    Example:
        >>> network = acni.load_network(conf_dir, "dbnet")
        >>> network.source == f"{conf_dir}/dbnet.conflist"
        True
    """
    return load_configurations(directory).network(parse_network_name(name))


def _files(directory: str) -> Iterator[str]:
    names = _listed(directory)
    for endings in ((_LIST,), _SINGLE):
        for name in names:
            path = f"{directory}/{name}"
            if name.endswith(endings) and not os.path.isdir(path):
                yield path


def _load(directory: str, path: str) -> NetworkConfig:
    raw = _read(path)
    if not path.endswith(_LIST):
        return parse_single(raw, source=path)
    return parse_network(raw, source=path, drop_ins=_drop_ins(directory, _name(raw)))


def _drop_ins(directory: str, name: str) -> Iterator[tuple[str, bytes]]:
    """Iterate over a network's drop-ins; read only where the list lets others be loaded."""
    folder = f"{directory}/{name}"
    if not name or "/" in name or name in (".", "..") or not os.path.isdir(folder):
        return
    for entry in _listed(folder):
        path = f"{folder}/{entry}"
        if entry.endswith(".conf") and not os.path.isdir(path):
            yield path, _read(path)


def _listed(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError as error:
        raise ConfigError(
            f"cannot be listed: {error.strerror}",
            place=directory,
            expected="a directory of configurations",
        ) from error


def _read(path: str) -> bytes:
    try:
        return read_regular(path, max_bytes=MAX_CONFIG_BYTES, follow=True)
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}",
            place=path,
            expected=f"a regular file of at most {MAX_CONFIG_BYTES} bytes",
        ) from error


def _holds(path: str, name: str) -> bool:
    """Tell whether a broken file is the one of that name, as far as it can be read."""
    try:
        return _name(_read(path)) == name
    except ConfigError:
        return False


def _name(raw: bytes) -> str:
    """Read a configuration's name before anything else of it; empty where there is none."""
    try:
        member = object_members(decode(raw)).get("name")
    except JsonError:
        return ""
    return member.value if member is not None and isinstance(member.value, str) else ""
