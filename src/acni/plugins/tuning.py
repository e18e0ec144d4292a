"""``tuning``: sets what a container's kernel heeds, and what its interface is.

    ADD  what was before, written down -> settings of the namespace -> the interface
    DEL  the same as they were before -> forgotten

Configuration and results are the reference's, and so is the file in which it is written down what
was before (:mod:`acni.plugins.tuning_backup`): what one of them changed the other one puts back.
What it does otherwise, each for a reason:

* Settings are put back, too; the reference leaves them to the end of the namespace.
* A failed ADD undoes what it changed.
* DEL removes the file also where the container, or its interface, is gone; the reference leaves it
  for whoever has that name next.
* CHECK says nothing of what is not configured: the reference wants an interface that somebody else
  made promiscuous not to be.
* GC, which the reference has not, removes the files of attachments that are gone.

(the reference's plugins/meta/tuning)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final, TypeVar

from acni.host import netns
from acni.host.host import this_host
from acni.host.visits import Stranded, visit
from acni.netlink.links import Link, find_link
from acni.netlink.lookup import has_link
from acni.netlink.sockets import Netlink
from acni.plugins import tuning_backup
from acni.plugins.bridge_refusals import differs, doing
from acni.plugins.containerlinks import open_container
from acni.plugins.lease_refusals import NOT_WRITABLE, working_in
from acni.plugins.owners import Owner
from acni.plugins.passing import require_previous, with_changes
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
from acni.spec.attachment import AttachmentId
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
    data_dir = settings.data_dir
    backup = tuning_backup.save(data_dir, _remember(call, settings), _owner(call))
    with ExitStack() as undo:
        undo.callback(_undo, lambda: tuning_backup.forget(data_dir, _owner(call)))
        undo.callback(_undo, lambda: _put_back(call, data_dir, backup))
        try:
            _tune(call, settings)
        except Stranded:  # in the container's namespace; whoever undoes the ADD puts it back
            undo.pop_all()
            raise
        undo.pop_all()
    return with_changes(previous, call.ifname, settings.traits.told())


def _delete(call: Call) -> None:
    """Put back what was before, in any configuration and as far as it is there (P3)."""
    data_dir, owner = parse_data_dir(call), _owner(call)
    with working_in(data_dir):
        backup = tuning_backup.load(data_dir, owner)
    if backup is not None and is_of_another(backup, owner):
        return
    if backup is not None and call.netns is not None:
        _put_back(call, data_dir, backup)
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


def _gc(call: Call) -> None:
    """Remove the files of attachments of this network that are not valid."""
    if call.valid is None:
        return
    failures: list[PluginError] = []
    for failure in tuning_backup.collect(parse_data_dir(call), call.network, call.valid):
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


def _remember(call: Call, settings: Settings) -> Backup:
    """Look at what is before."""
    container, owner = _netns_of(call), _owner(call)
    sysctls = _inside(call, lambda: read_all(one.path for one in settings.sysctls))
    if sysctls:
        held = held_by_others(settings.data_dir, owner)
        sysctls = {path: held.get(path, value) for path, value in sysctls.items()}
    traits = Traits()
    if not settings.traits.are_none:
        link = _find_link(call)
        if link is None:
            message = f"there is no {call.ifname} in the container"
            raise PluginError(Code.INVALID_CONFIG, message, reason="interface-missing")
        traits = traits_of(link).of_those(settings.traits)
    namespace = _identity(container.path)
    return Backup(owner=owner, namespace=namespace, traits=traits, sysctls=sysctls)


def _identity(path: str) -> str:
    """Return what tells a namespace from all others, those of other boots included."""
    namespace = netns.identity(path)
    return f"{this_host().boot} {namespace.kind} {namespace.id}"


def _tune(call: Call, settings: Settings) -> None:
    if settings.sysctls:
        values = [(one.path, one.value) for one in settings.sysctls]
        _inside(call, lambda: write_all(values))
        call.bounds.check()
    if not settings.traits.are_none:
        with open_container(_netns_of(call)) as inside:
            for what, message in changes(call.ifname, settings.traits):
                with doing(what):
                    inside.request(message)


def _put_back(call: Call, data_dir: str, backup: Backup) -> None:
    """Let all be as it was before, as far as it is there. What the kernel refuses is only told: the
    container goes on, or goes.

    Raises:
        PluginError: by the next try it may succeed.
    """
    if backup.sysctls:
        held = held_by_others(data_dir, _owner(call))
        values = [(path, value) for path, value in backup.sysctls.items() if path not in held]
        for refused in _inside(call, lambda: put_back_all(values)):
            call.warn(f"not put back: {refused}")
    if not backup.traits.are_none:
        with open_container(_netns_of(call)) as inside:
            if has_link(inside, call.ifname):
                _restore(call, inside, backup.traits)


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
    with open_container(_netns_of(call)) as inside, doing(f"looking for {call.ifname}"):
        return find_link(inside, call.ifname)


def _inside(call: Call, function: Callable[[], Answer]) -> Answer:
    container = _netns_of(call)
    return visit(container.fd, function, path=container.path)


def _undo(function: Callable[[], object]) -> None:
    """Undo a step of an ADD that failed; the first error is what is told."""
    with suppress(Exception):
        function()


def _owner(call: Call) -> Owner:
    return Owner(call.network, AttachmentId(call.container_id, call.ifname))


def _netns_of(call: Call) -> OpenNetns:
    if call.netns is None:
        raise AssertionError("the verbs that need a namespace have one")
    return call.netns


VERBS: Final = make_verbs()
