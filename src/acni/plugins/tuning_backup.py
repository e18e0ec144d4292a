"""What ``tuning`` writes down of what was before, so that DEL puts it back.

A file for each attachment: ``<dataDir>/<container ID>_<interface>.json``, with the reference's
members, and beside them one of ours: whose it is, and the settings, which the reference does not
put back. So each finds what the other one changed. There is no better place: the record has what an
ADD returned, and one that was killed returned nothing.

Rule 1: it is written before anything is changed, and is there with all that it says or not at all.
    One that a power cut tore is as good as none: the namespace went as well.
Rule 2: a file of that name that another attachment wrote is that one's: ``a_b`` and ``c`` have the
    same as ``a`` and ``b_c``.
Rule 3: a setting that another interface of the container holds as well is put back with the last of
    them, as it was before the first.
Rule 4: of what an attachment changes twice in one namespace, as two plugins of a chain do, it is
    what was before the first.
Rule 5: only files that say the network are collected: others may be another network's. Where their
    namespace still lives they are not: they are all that is known of what was before.
Rule 6: it is of one namespace. What has its path, or its container's ID, later on is another one.

(the reference's plugins/meta/tuning, createBackup)
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from attrs import evolve, field, frozen

from acni.host.files import close_all, read_regular, upwards, write_at
from acni.plugins.hardwareaddresses import mac_text, parse_hardware_address
from acni.plugins.lease_refusals import io_failure
from acni.plugins.owners import Owner
from acni.plugins.tuning_traits import Traits
from acni.skel.errors import Code, PluginError
from acni.skel.reading import Fields
from acni.spec.attachment import AttachmentId
from acni.spec.jsontext import JsonError, decode, dump, object_members

_OURS: Final = "acni"
_SUFFIX: Final = ".json"
_NEW: Final = ".new"
_MOST_BYTES: Final = 1 << 20
_MOST: Final = (1 << 32) - 1
_WRITING: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_TRUNC
    | os.O_NOFOLLOW
    | os.O_NONBLOCK
    | os.O_NOCTTY
    | os.O_CLOEXEC
)
# There is none, or something that nobody wrote down: a link, a pipe, a directory, a huge file.
_NO_FILE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.EFBIG})


@frozen(kw_only=True)
class Backup:
    """What was before.

    Attributes:
        owner: Whose it is; None where the reference wrote it.
        namespace: What tells the container's namespace from all others, or None.
        netns: Where that namespace was, or None.
        traits: Of the interface.
        sysctls: Settings, by their paths below ``/proc/sys/net``.
    """

    owner: Owner | None
    namespace: str | None = None
    netns: str | None = None
    traits: Traits
    sysctls: Mapping[str, str] = field(factory=dict[str, str])


def save(data_dir: str, backup: Backup, owner: Owner) -> Backup:
    """Write down what was before.

    Returns:
        What is written there now: with what was before an earlier change.

    Raises:
        PluginError: it cannot be written, or the place is another attachment's.
    """
    path = _path(data_dir, owner.attachment)
    there = load(data_dir, owner)
    if there is not None and is_of_another(there, owner):
        message = f"{path} is another attachment's: {there.owner}"
        raise PluginError(Code.IO_FAILURE, message, reason="backup-of-another")
    if there is not None and there.namespace and there.namespace == backup.namespace:
        traits, sysctls = there.traits.over(backup.traits), {**backup.sysctls, **there.sysctls}
        backup = evolve(backup, traits=traits, sysctls=sysctls)
    replace(data_dir, backup, owner)
    return backup


def replace(data_dir: str, backup: Backup, owner: Owner) -> None:
    """Write down this, whatever is written there.

    Raises:
        PluginError: it cannot be written.
    """
    try:
        os.makedirs(data_dir, mode=0o700, exist_ok=True)
        _write(_path(data_dir, owner.attachment), dump(_written(backup)).encode())
    except OSError as error:
        raise io_failure(data_dir, error) from error


def load(data_dir: str, owner: Owner) -> Backup | None:
    """Read what was before; None where nothing was written down, or nothing that can be read.

    Raises:
        OSError: it is there and cannot be read.
    """
    return _read(_path(data_dir, owner.attachment))


def forget(data_dir: str, owner: Owner) -> None:
    """Remove what was written down of an attachment.

    Raises:
        OSError: it cannot be removed.
    """
    path = _path(data_dir, owner.attachment)
    _unlink(path + _NEW)
    _unlink(path)


def is_of_another(backup: Backup, owner: Owner) -> bool:
    """Tell whether what was written down is another attachment's."""
    return backup.owner is not None and backup.owner.attachment != owner.attachment


def held_by_others(data_dir: str, owner: Owner, namespace: str | None) -> Mapping[str, str]:
    """Return the settings that other interfaces of a container hold in a namespace, as they were
    before.

    Raises:
        OSError: the directory, or a file, cannot be read.
    """
    held: dict[str, str] = {}
    for path, other in _all(data_dir, prefix=f"{owner.attachment.container_id}_"):
        whose = other.owner
        if whose is None or path == _path(data_dir, owner.attachment):
            continue
        if other.namespace != namespace:  # what is left of an earlier one
            continue
        if whose.attachment.container_id == owner.attachment.container_id:
            held = {**other.sysctls, **held}
    return held


def collect(
    data_dir: str,
    network: str,
    valid: frozenset[AttachmentId],
    *,
    is_alive: Callable[[Backup], bool],
) -> Iterator[PluginError]:
    """Remove what was written down of attachments of a network that are not valid.

    Args:
        data_dir: Where it is written down.
        network: The network.
        valid: The attachments that are.
        is_alive: Tells whether the namespace of one still lives.

    Yields:
        What could not be removed.
    """
    for path, backup in _all(data_dir):
        owner = backup.owner
        if owner is not None and owner.network == network and owner.attachment not in valid:
            try:
                if not is_alive(backup):
                    _unlink(path)
            except OSError as error:
                yield io_failure(data_dir, error)


def is_writable(data_dir: str) -> bool:
    """Tell whether something can be written down."""
    there = next(one for one in upwards(data_dir) if os.path.lexists(one))
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)


def _path(data_dir: str, attachment: AttachmentId) -> str:
    return f"{data_dir}/{attachment.container_id}_{attachment.ifname}{_SUFFIX}"


def _all(data_dir: str, prefix: str = "") -> Iterator[tuple[str, Backup]]:
    try:
        names = os.listdir(data_dir)
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith(prefix) and name.endswith(_SUFFIX):
            path = f"{data_dir}/{name}"
            if (backup := _read(path)) is not None:
                yield path, backup


def _write(path: str, content: bytes) -> None:
    new = path + _NEW
    fd = os.open(new, _WRITING, 0o600)
    try:
        try:
            write_at(fd, content)
        finally:
            close_all(fd)
        os.rename(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            _unlink(new)
        raise


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path)


def _written(backup: Backup) -> Mapping[str, object]:
    traits = backup.traits
    told = {
        "mac": None if traits.mac is None else mac_text(traits.mac),
        "promisc": traits.promiscuous,
        "mtu": traits.mtu,
        "allmulti": traits.all_multicast,
        "txQLen": traits.queue_length,
    }
    written: dict[str, object] = {key: value for key, value in told.items() if value is not None}
    if (owner := backup.owner) is not None:
        written[_OURS] = {
            "network": owner.network,
            "containerID": owner.attachment.container_id,
            "ifname": owner.attachment.ifname,
            "namespace": backup.namespace,
            "netns": backup.netns,
            "sysctl": dict(backup.sysctls),
        }
    return written


def _read(path: str) -> Backup | None:
    try:
        raw = read_regular(path, max_bytes=_MOST_BYTES)
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise
    try:
        members = object_members(decode(raw))
        return _parse(Fields({key: member.value for key, member in members.items()}))
    except (JsonError, PluginError):
        return None


def _parse(fields: Fields) -> Backup:
    owner = namespace = path = None
    sysctls: dict[str, str] = {}
    if fields.has(_OURS):
        ours = fields.inner(_OURS)
        namespace, path = ours.text("namespace"), ours.text("netns")
        attachment = AttachmentId(ours.required_text("containerID"), ours.required_text("ifname"))
        owner = Owner(ours.required_text("network"), attachment)
        said = ours.inner("sysctl").value.items()
        sysctls = {path: value for path, value in said if isinstance(value, str)}
    traits = Traits(
        mac=fields.parsed("mac", parse_hardware_address, "a hardware address"),
        promiscuous=fields.flag("promisc") if fields.has("promisc") else None,
        mtu=fields.number("mtu", least=0, most=_MOST) or None,
        all_multicast=fields.flag("allmulti") if fields.has("allmulti") else None,
        queue_length=fields.number("txQLen", least=0, most=_MOST),
    )
    return Backup(owner=owner, namespace=namespace, netns=path, traits=traits, sysctls=sysctls)
