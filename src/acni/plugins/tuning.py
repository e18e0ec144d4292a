"""``tuning``: sets what a container's kernel heeds, and what its interface is.

    ADD  what was before, written down -> settings of the namespace -> the interface
    DEL  the same as they were before -> forgotten

Configuration and results are the reference's, and so is the file in which it is written down what
was before (:mod:`acni.plugins.tuning_backup`): what one of them changed the other one puts back.
What it does otherwise, each for a reason:

* Settings are put back, too; the reference leaves them to the end of the namespace.
* A failed ADD undoes what it changed, and no more: an earlier one of the same attachment stays.
* What was before is put back into the namespace where it was, and into no other of its name. Its
  path is written down, for a DEL without CNI_NETNS: so a runtime undoes an ADD to an interface that
  was there.
* DEL removes the file also where the container, or its interface, is gone; the reference leaves it
  for whoever has that name next.
* CHECK says nothing of what is not configured: the reference wants an interface that somebody else
  made promiscuous not to be.
* GC, which the reference has not, removes the files of attachments that are gone, once their
  namespace is.

(the reference's plugins/meta/tuning)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, TypeVar

from attrs import evolve

from acni.errors import Busy, InvalidName
from acni.host import netns
from acni.host.host import this_host
from acni.host.netns import Namespace
from acni.host.visits import Stranded, visit
from acni.netlink.links import Link, find_link
from acni.netlink.lookup import has_link
from acni.netlink.sockets import Netlink
from acni.plugins import tuning_backup
from acni.plugins.attaching import netns_of, owner_of, undo_with
from acni.plugins.containerlinks import open_container
from acni.plugins.lease_refusals import NOT_WRITABLE, working_in
from acni.plugins.owners import Owner
from acni.plugins.passing import require_previous, with_changes
from acni.plugins.refusals import differs, doing
from acni.plugins.sysctls import (
    ALLOW_LIST,
    is_same,
    put_back_all,
    read_all,
    require_allowed,
    write_all,
)
from acni.plugins.tuning_backup import Backup, held_by_others, is_of_another
from acni.plugins.tuning_settings import Settings, parse_data_dir, parse_settings
from acni.plugins.tuning_traits import Traits, changes, traits_of
from acni.skel.call import Call, OpenNetns, Verbs
from acni.skel.errors import Code, PluginError
from acni.spec.result import Result

Answer = TypeVar("Answer")


def make_verbs(allow_list: str = ALLOW_LIST) -> Verbs:
    """Make the plugin.

    Args:
        allow_list: Where the administrator says which settings may be set.
    """
    return Verbs(
        add=lambda call: _add(call, allow_list),
        delete=_delete,
        check=_check,
        gc=_gc,
        status=lambda call: _status(call, allow_list),
    )


def _add(call: Call, allow_list: str) -> Result:
    """Tune a container; when this raises, all is as it was."""
    settings = parse_settings(call)
    require_allowed(settings.sysctls, allow_list)
    previous = require_previous(call)
    if settings.change_nothing:
        return previous
    data_dir, owner = settings.data_dir, owner_of(call)
    present = _look(call, settings)
    with working_in(data_dir):
        earlier = tuning_backup.load(data_dir, owner)
        held = held_by_others(data_dir, owner, present.namespace)
    sysctls = {path: held.get(path, value) for path, value in present.sysctls.items()}
    tuning_backup.save(data_dir, evolve(present, sysctls=sysctls), owner)
    with ExitStack() as undo:
        undo_with(undo, lambda: _forget_this(data_dir, earlier, owner))
        undo_with(undo, lambda: _put_back(call, present))
        try:
            _tune(call, settings)
        except Stranded:  # in the container's namespace; whoever undoes the ADD puts it back
            undo.pop_all()
            raise
        undo.pop_all()
    return with_changes(previous, call.ifname, settings.traits.told())


def _delete(call: Call) -> None:
    """Put back what was before, in any configuration and as far as it is there (P3)."""
    data_dir, owner = parse_data_dir(call), owner_of(call)
    with working_in(data_dir):
        backup = tuning_backup.load(data_dir, owner)
    if backup is not None and is_of_another(backup, owner):
        return
    if backup is not None:
        with ExitStack() as opened:
            place = _place_of(call, backup, opened)
            if place is not None:
                with working_in(data_dir):
                    held = held_by_others(data_dir, owner, backup.namespace)
                alone = {key: old for key, old in backup.sysctls.items() if key not in held}
                _put_back(evolve(call, netns=place), evolve(backup, sysctls=alone))
    with working_in(data_dir):
        tuning_backup.forget(data_dir, owner)


def _check(call: Call) -> None:
    """Raise where something is not as the ADD left it."""
    settings = parse_settings(call)
    require_previous(call)
    found = _inside(call, lambda: read_all(one.path for one in settings.sysctls))
    for sysctl in settings.sysctls:
        value = found.get(sysctl.path)
        if value is not None and not is_same(value, sysctl.value):
            message = f"net/{sysctl.path} is {value!a}, not as it is configured"
            raise differs(message, "sysctl-differs")
    link = _find_link(call)
    if link is None:
        raise differs(f"there is no {call.ifname} in the container", "interface-missing")
    for name, present, wanted in traits_of(link).differences(settings.traits):
        raise differs(f"{name} of {call.ifname} is {present}, not {wanted}", "interface-differs")
    if not settings.change_nothing:
        _require_backup(call, settings.data_dir)


def _require_backup(call: Call, data_dir: str) -> None:
    """Raise where a DEL would not find what was before."""
    owner = owner_of(call)
    with working_in(data_dir):
        backup = tuning_backup.load(data_dir, owner)
    if backup is not None and not is_of_another(backup, owner):
        here = _identity(_opened(netns_of(call)))
        if backup.namespace in (None, here):  # the reference's says nothing
            return
    message = f"what was before is not written down in {data_dir}"
    raise differs(message, "backup-missing")


def _gc(call: Call) -> None:
    """Remove the files of attachments of this network that are not valid."""
    if call.valid is None:
        return
    failures: list[PluginError] = []
    data_dir, network, valid = parse_data_dir(call), call.network, call.valid
    for failure in tuning_backup.collect(data_dir, network, valid, is_alive=_is_alive):
        call.bounds.check()
        failures.append(failure)
    if failures:
        raise failures[0]


def _status(call: Call, allow_list: str) -> None:
    """Raise where an ADD could not succeed."""
    settings = parse_settings(call)
    try:
        require_allowed(settings.sysctls, allow_list)
    except PluginError as error:
        raise PluginError(Code.NOT_AVAILABLE, error.msg, reason=error.reason) from error
    if not settings.change_nothing and not tuning_backup.is_writable(settings.data_dir):
        message = f"nothing can be written to {settings.data_dir}"
        raise PluginError(Code.NOT_AVAILABLE, message, reason=NOT_WRITABLE)


def _look(call: Call, settings: Settings) -> Backup:
    """Look at what is before."""
    container = netns_of(call)
    sysctls = _inside(call, lambda: read_all(one.path for one in settings.sysctls))
    traits = Traits()
    if not settings.traits.are_none:
        link = _find_link(call)
        if link is None:
            message = f"there is no {call.ifname} in the container"
            raise PluginError(Code.INVALID_CONFIG, message, reason="interface-missing")
        traits = traits_of(link).of_those(settings.traits)
    return Backup(
        owner=owner_of(call),
        namespace=_identity(_opened(container)),
        netns=container.path,
        traits=traits,
        sysctls=sysctls,
    )


def _forget_this(data_dir: str, earlier: Backup | None, owner: Owner) -> None:
    """Let the file be as it was before the ADD."""
    if earlier is None:
        tuning_backup.forget(data_dir, owner)
    else:
        tuning_backup.replace(data_dir, earlier, owner)


def _place_of(call: Call, backup: Backup, opened: ExitStack) -> OpenNetns | None:
    """Find the namespace of which something is written down; None where it is gone."""
    if backup.namespace is None:  # the reference's, which says nothing
        return call.netns
    if call.netns is not None and _identity(_opened(call.netns)) == backup.namespace:
        return call.netns
    found = _reopened(backup, opened)
    return None if found is None else OpenNetns(path=found.path, fd=found.fd)


def _is_alive(backup: Backup) -> bool:
    with ExitStack() as opened:
        return _reopened(backup, opened) is not None


def _reopened(backup: Backup, opened: ExitStack) -> Namespace | None:
    """Open the namespace where it was; None where it is not there."""
    if backup.netns is None:
        return None
    try:
        namespace = opened.enter_context(netns.open(backup.netns))
    except InvalidName:
        return None
    except Busy as error:
        message = f"{backup.netns} cannot be opened: {error.message}"
        raise PluginError(Code.TRY_AGAIN, message) from error
    with netns.own() as own:
        is_own = namespace.identity() == own.identity()
    # Nobody who can write a file decides what becomes of the host.
    return namespace if _identity(namespace) == backup.namespace and not is_own else None


def _opened(container: OpenNetns) -> Namespace:
    return Namespace(container.path, container.fd)


def _identity(namespace: Namespace) -> str:
    """Return what tells a namespace from all others, those of other boots included."""
    found = namespace.identity()
    return f"{this_host().boot} {found.kind} {found.id}"


def _tune(call: Call, settings: Settings) -> None:
    if settings.sysctls:
        values = [(one.path, one.value) for one in settings.sysctls]
        _inside(call, lambda: write_all(values))
        call.bounds.check()
    if not settings.traits.are_none:
        with open_container(netns_of(call)) as inside:
            for what, message in changes(call.ifname, settings.traits):
                with doing(what):
                    inside.request(message)


def _put_back(call: Call, before: Backup) -> None:
    """Let all be as it was before, as far as it is there. What the kernel refuses is only told: the
    container goes on, or goes.

    Raises:
        PluginError: by the next try it may succeed.
    """
    if before.sysctls:
        for refused in _inside(call, lambda: put_back_all(before.sysctls.items())):
            call.warn(f"not put back: {refused}")
    if not before.traits.are_none:
        with open_container(netns_of(call)) as inside:
            if has_link(inside, call.ifname):
                _restore(call, inside, before.traits)


def _restore(call: Call, inside: Netlink, traits: Traits) -> None:
    for what, message in changes(call.ifname, traits):
        try:
            with doing(what):
                inside.request(message)
        except PluginError as error:
            if error.code == Code.TRY_AGAIN:
                raise
            call.warn(f"not put back: {error.msg}")


def _find_link(call: Call) -> Link | None:
    with open_container(netns_of(call)) as inside, doing(f"looking for {call.ifname}"):
        return find_link(inside, call.ifname)


def _inside(call: Call, function: Callable[[], Answer]) -> Answer:
    container = netns_of(call)
    return visit(container.fd, function, path=container.path)


VERBS: Final = make_verbs()
