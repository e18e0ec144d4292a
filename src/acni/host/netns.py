"""Network namespaces: made, opened, identified, entered for a moment, removed.

Rule 1: a namespace's identity is not its inode, which the kernel uses again (5 distinct in 6). It
is the kernel's own number (NS_GET_ID, Linux 6.18), else the network namespace cookie (Linux 5.12),
else device and inode.
Rule 2: only threads of our own ever enter another namespace, and end there or come back; no thread
    of the host program is left in one.

(specification, section 3, "Lifecycle & Ordering": the runtime creates the namespace and cleans it
up)
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
import struct
from collections.abc import Callable, Sequence
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from attrs import define, frozen

from acni.errors import Busy, InvalidName, machine_error
from acni.host.libc import (
    CLONE_NEWNET,
    MNT_DETACH,
    MS_BIND,
    MS_REC,
    MS_SHARED,
    UMOUNT_NOFOLLOW,
    mount,
    setns,
    unmount,
    unshare,
)
from acni.spec.names import MAX_FILE_NAME, parse_netns_path

if TYPE_CHECKING:
    import subprocess

NAMED: Final = "/run/netns"

_NS_GET_NSTYPE: Final = 0xB703
_NS_GET_ID: Final = 0x8008B70D  # _IOR(0xb7, 13, __u64), include/uapi/linux/nsfs.h
_SO_NETNS_COOKIE: Final = 71
_SIOCGIFINDEX: Final = 0x8933
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_COMPONENT: Final = re.compile(r"[^/\0\ud800-\udfff]+")
_EXPECTED: Final = "a network namespace other than the runtime's own"
# What the machine could not say is not what it said.
_SAYS_NOTHING: Final = frozenset(
    {
        errno.EIO,
        errno.EINTR,
        errno.EAGAIN,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EMFILE,
        errno.ENFILE,
    }
)
_OPEN: Final = "a namespace that is not closed yet, or a path that leads to it"

# More than anybody stacks at one name.
_MOST_MOUNTS: Final = 100

T = TypeVar("T")


@frozen
class NetnsIdentity:
    """What tells a network namespace from every other of this boot.

    Attributes:
        kind: Where the number comes from: "id", "cookie" or "inode".
        id: The number; for "inode" device and inode.

    Example:
        >>> with netns.anonymous() as one, netns.anonymous() as other:
        ...     one.identity() == other.identity()
        False
    """

    kind: str
    id: str


@define(eq=False)
class Namespace:
    """An open network namespace; as a context manager it is closed, and the name or the pin that
    was made for it goes, too.

    Attributes:
        path: Where others, plugins for instance, can open it as long as it is open here.
        fd: Our descriptor; it keeps the namespace alive.

    Example:
        >>> with netns.create("box") as box:
        ...     print(box.path)
        /run/netns/box
    """

    path: str
    fd: int
    _pin: str | None = None

    def identity(self) -> NetnsIdentity:
        """Ask the kernel for its identity.

        Returns:
            What tells it from every other of this boot.

        Raises:
            InvalidName: it is closed.
            NotPermitted: this process may not enter namespaces, which kernels before 6.18 ask for.

        Example:
            >>> with netns.anonymous() as box, netns.open(box.path) as again:
            ...     box.identity() == again.identity()
            True
        """
        try:
            number = struct.unpack("Q", fcntl.ioctl(_fd_of(self), _NS_GET_ID, bytes(8)))[0]
        except OSError as error:
            # ENOTTY before Linux 6.18; any other error is no reason to take another number.
            if error.errno not in (errno.ENOTTY, errno.EINVAL):
                raise machine_error(error, f"the identity of {self.path}") from error
            return self._older_identity()
        return NetnsIdentity("id", str(number))

    def has_interface(self, ifname: str) -> bool:
        """Tell whether an interface of that name exists in it.

        Args:
            ifname: The interface's name.

        Raises:
            InvalidName: it is closed.
            NotPermitted: this process may not enter namespaces.

        Example:
            >>> with netns.anonymous() as box:
            ...     box.has_interface("lo"), box.has_interface("eth0")
            (True, False)
        """
        return self.call(lambda: interface_exists(ifname))

    def call(self, function: Callable[[], T]) -> T:
        """Call a function inside the namespace, in a thread that ends with the call, and wait for
        it.

        Args:
            function: What is called, without arguments.

        Returns:
            What the function returned; what it raises is raised here.

        Raises:
            InvalidName: it is closed; the function was not called.
            NotPermitted: this process may not enter namespaces; the function was not called.

        Example:
            >>> import socket
            >>> with netns.anonymous() as box:
            ...     box.call(socket.if_nameindex)
            [(1, 'lo')]
        """
        fd = _fd_of(self)

        def inside() -> T:
            enter(fd, self.path)
            return function()

        return _in_thread(inside)

    def close(self) -> None:
        """Close the descriptor; a namespace without a name or a process then ends. A second
        call does nothing.

        Example:
            >>> box = netns.anonymous()
            >>> box.close()
            >>> box.close()
            >>> box.fd
            -1
        """
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)

    def _older_identity(self) -> NetnsIdentity:
        try:
            return NetnsIdentity("cookie", str(self.call(_cookie)))
        except OSError as error:
            if error.errno not in (errno.ENOPROTOOPT, errno.EINVAL):  # before Linux 5.12
                raise machine_error(error, f"the identity of {self.path}") from error
            status = os.fstat(self.fd)
            return NetnsIdentity("inode", f"{status.st_dev}:{status.st_ino}")

    def _remove_pin(self, path: str) -> None:
        directory, name = os.path.split(path)
        if directory == NAMED:
            delete(name)
        else:
            unpin(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if self._pin is not None:
            with contextlib.suppress(InvalidName):  # somebody else removed it
                self._remove_pin(self._pin)


def open(path: str | os.PathLike[str]) -> Namespace:  # noqa: A001 (read as netns.open)
    """Open a network namespace by path.

    Args:
        path: An absolute path, such as "/run/netns/box".

    Returns:
        The namespace; closing it is the caller's.

    Raises:
        InvalidName: the path is missing or leads to something that is no network namespace.
        Busy: this process, or the machine, has no descriptor left, or cannot say what is there.

    Example:
        >>> with netns.open(attachment.netns) as box:
        ...     box.has_interface("lo")
        True
    """
    parsed = parse_netns_path(path)
    try:
        # O_NONBLOCK: a FIFO in the way must not make us wait.
        fd = os.open(parsed, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        _require_an_answer(error, parsed)
        raise InvalidName(
            f"{parsed}: {error.strerror}", place="netns", expected=_EXPECTED
        ) from error
    try:
        _require_netns(fd, parsed)
    except BaseException:
        os.close(fd)
        raise
    return Namespace(parsed, fd)


def from_pid(pid: int) -> Namespace:
    """Open the network namespace of a process. Its path leads there as long as the process
    lives.

    Args:
        pid: The ID of the process.

    Returns:
        The namespace; closing it is the caller's.

    Raises:
        InvalidName: there is no such process.
        Busy: this process, or the machine, has no descriptor left.

    Example:
        >>> import os
        >>> with netns.from_pid(os.getpid()) as own:
        ...     print(own.path)
        /proc/.../ns/net
    """
    return open(f"/proc/{pid}/ns/net")


def own() -> Namespace:
    """Open the calling thread's own network namespace."""
    return open("/proc/thread-self/ns/net")


def anonymous() -> Namespace:
    """Make a network namespace without a name; it ends when it is closed and nothing runs in it.

    Returns:
        The namespace, in which even the loopback is down; closing it is the caller's.

    Raises:
        NotPermitted: this process may not make namespaces.
        Busy: this process, or the machine, has no room for one more.

    Example:
        >>> with netns.anonymous() as box:
        ...     result = call("add", network, acni.Attachment(container_id="c1", netns=box))
        >>> str(result.ipv4)
        '192.0.2.7'
    """
    fd = _in_thread(_fresh)
    return Namespace(f"/proc/{os.getpid()}/fd/{fd}", fd)


def create(name: str) -> Namespace:
    """Make a network namespace at ``/run/netns/<name>``, where ``ip netns`` sees it too.

    Args:
        name: One path component that is free.

    Returns:
        The namespace; as a context manager it is closed and deleted at the end of the block,
        :meth:`Namespace.close` alone leaves the name.

    Raises:
        InvalidName: the name is no path component, or is taken.
        NotPermitted, Busy: as by :func:`anonymous`, or this process may not write or mount in
            ``/run/netns``; the name is still free.

    Example:
        >>> box = netns.create("box")
        >>> box.path
        '/run/netns/box'
        >>> box.close()  # the namespace stays, by its name
        >>> netns.delete("box")
    """
    path = _named_path(name)
    try:
        os.makedirs(NAMED, mode=0o755, exist_ok=True)
        _share_names()
    except OSError as error:
        raise machine_error(error, NAMED) from error
    with anonymous() as made:
        return pin(made, path)


def delete(name: str) -> None:
    """Remove the name of a network namespace; it ends when nothing runs in it.

    Args:
        name: The name that :func:`create` or ``ip netns add`` gave it.

    Raises:
        InvalidName: there is none of that name.
        NotPermitted: this process may not unmount or remove it.

    Example:
        >>> netns.create("box").close()
        >>> netns.delete("box")
        >>> try:
        ...     netns.delete("box")
        ... except acni.InvalidName as error:
        ...     print(error.message)
        /run/netns/box does not exist
    """
    path = _named_path(name)
    if os.path.isdir(path) and not os.path.islink(path):
        raise InvalidName(
            f"{path} is a directory", place="netns name", expected="the name of a namespace"
        )
    try:
        _unmount(path)
        os.unlink(path)
    except FileNotFoundError:
        raise InvalidName(
            f"{path} does not exist", place="netns name", expected="the name of a namespace"
        ) from None
    except OSError as error:
        raise machine_error(error, f"deleting {path}") from error


def pin(namespace: Namespace | str | os.PathLike[str], path: str | os.PathLike[str]) -> Namespace:
    """Hold a network namespace at a path of its own, where it outlives its processes and whatever
    else led to it: from an ADD to the end of its DEL, for instance.

    Args:
        namespace: The namespace, or a path that leads to it.
        path: Where: an absolute path that is free, in a directory that exists.

    Returns:
        The namespace at that path; as a context manager it is closed and unpinned at the end of the
        block, :meth:`Namespace.close` alone leaves the pin.

    Raises:
        InvalidName: the path is not absolute, taken, or in no directory; or the namespace is none,
            or closed.
        NotPermitted: this process may not write or mount there.
        Busy: this process, or the machine, has no descriptor left.

    Example:
        >>> with netns.anonymous() as box, netns.pin(box, f"{conf_dir}/pinned") as pinned:
        ...     pinned.identity() == box.identity(), pinned.path == f"{conf_dir}/pinned"
        (True, True)
    """
    target = parse_netns_path(os.fspath(path))
    if not isinstance(namespace, Namespace):
        with open(namespace) as opened:
            return pin(opened, target)
    fd = _duplicate(namespace)
    try:
        _make_pin(target, f"/proc/self/fd/{fd}")
    except BaseException:
        os.close(fd)
        raise
    return Namespace(target, fd, target)


def unpin(path: str | os.PathLike[str]) -> None:
    """Remove the pin of a network namespace; it ends when nothing else holds it.

    Args:
        path: The path that :func:`pin` was given.

    Raises:
        InvalidName: there is no pin of a network namespace at that path.
        NotPermitted: this process may not unmount it.

    Example:
        >>> with netns.anonymous() as box:
        ...     netns.pin(box, f"{conf_dir}/pinned").close()  # the pin stays
        >>> netns.unpin(f"{conf_dir}/pinned")
    """
    target = parse_netns_path(path)
    open(target).close()  # nothing else is unmounted, and no file but a pin is removed
    try:
        if not _unmount(target):
            raise InvalidName(f"{target} is no pin", place="path", expected="a pin")
        os.unlink(target)
    except OSError as error:
        raise machine_error(error, f"unpinning {target}") from error


def _fd_of(namespace: Namespace) -> int:
    if namespace.fd < 0:
        raise InvalidName(f"{namespace.path} was closed", place="netns", expected=_OPEN)
    return namespace.fd


def _duplicate(namespace: Namespace) -> int:
    try:
        return fcntl.fcntl(_fd_of(namespace), fcntl.F_DUPFD_CLOEXEC, 0)
    except OSError as error:
        raise machine_error(error, namespace.path) from error


def _unmount(path: str) -> bool:
    """Unmount all that is mounted at a path, where somebody may have mounted again; tell whether
    there was anything.
    """
    for number in range(_MOST_MOUNTS):
        try:
            unmount(path, MNT_DETACH | UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return number > 0
    return True


def _make_pin(path: str, source: str) -> None:
    """Bind a namespace to a new file; of what fails nothing is left."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    except FileExistsError:
        raise InvalidName(f"{path} exists", place="path", expected="a path that is free") from None
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE):
            raise machine_error(error, f"pinning at {path}") from error
        expected = "a path in a directory that exists"
        raise InvalidName(f"{path}: {error.strerror}", place="path", expected=expected) from None
    try:
        mount(source, path, flags=MS_BIND)
    except OSError as error:
        os.unlink(path)
        raise machine_error(error, f"pinning at {path}") from error


def identity(namespace: Namespace | str | os.PathLike[str]) -> NetnsIdentity:
    """Ask for the identity of a namespace, given open or by path.

    Args:
        namespace: The namespace, open or by path.

    Raises:
        InvalidName: the path is missing or leads to something that is no network namespace.
        NotPermitted: as by :meth:`Namespace.identity`.

    Example:
        >>> netns.identity(attachment.netns) == netns.identity("/proc/self/ns/net")
        False
    """
    if isinstance(namespace, Namespace):
        return namespace.identity()
    with open(namespace) as opened:
        return opened.identity()


def run(
    namespace: Namespace | str | os.PathLike[str], argv: Sequence[str], *, timeout: float
) -> subprocess.CompletedProcess[bytes]:
    """Run a program inside a namespace and wait for it.

    Args:
        namespace: The namespace, open or by path.
        argv: The program and its arguments.
        timeout: Seconds after which it is killed.

    Returns:
        The finished process with ``returncode``, ``stdout`` and ``stderr``.

    Raises:
        subprocess.TimeoutExpired: it was killed.
        InvalidName: the path is missing or leads to something that is no network namespace.
        NotPermitted: this process may not enter namespaces; nothing ran.
        OSError: the program is missing or cannot be run.

    Example:
        >>> done = netns.run(attachment.netns, ["ip", "-brief", "link"], timeout=5)
        >>> done.returncode, done.stdout.split()[:2]
        (0, [b'lo', b'DOWN'])
    """
    if not isinstance(namespace, Namespace):
        with open(namespace) as opened:
            return run(opened, argv, timeout=timeout)
    import subprocess  # noqa: PLC0415 (a plugin's executable needs none)

    # A child starts in the namespace of the thread that makes it.
    return namespace.call(
        lambda: subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    )


def set_up(namespace: Namespace, ifname: str) -> None:
    """Set an interface of a namespace up."""
    namespace.call(lambda: switch_interface(ifname, is_up=True))


def _named_path(name: str) -> str:
    # Encoded only when it matched: a surrogate cannot be.
    if not _COMPONENT.fullmatch(name) or name in (".", "..") or len(name.encode()) > MAX_FILE_NAME:
        raise InvalidName(
            f"{ascii(name)[:80]} is not allowed", place="netns name", expected="one path component"
        )
    return f"{NAMED}/{name}"


def _require_an_answer(error: OSError, path: str) -> None:
    """Refuse an error that says nothing of the path: "the namespace is gone" would be the wrong
    conclusion, and a delete that draws it leaves there what is only there.
    """
    if error.errno in _SAYS_NOTHING:
        expected = "a machine that can say what is there"
        raise Busy(f"{error.strerror}", place=path, expected=expected) from error


def _require_netns(fd: int, path: str) -> None:
    try:
        kind = fcntl.ioctl(fd, _NS_GET_NSTYPE)
    except OSError as error:
        _require_an_answer(error, path)
        raise InvalidName(f"{path} is no namespace", place="netns", expected=_EXPECTED) from None
    if kind != CLONE_NEWNET:
        raise InvalidName(f"{path} is another kind of namespace", place="netns", expected=_EXPECTED)


def _share_names() -> None:
    """Make the directory of names a shared mount, as ``ip netns`` does: what one mount namespace
    adds or removes there is added or removed in all, and neither tool hides the other's names.
    """
    try:
        mount("none", NAMED, flags=MS_SHARED | MS_REC)
    except OSError:  # no mount point yet
        mount(NAMED, NAMED, flags=MS_BIND | MS_REC)
        mount("none", NAMED, flags=MS_SHARED | MS_REC)


def _fresh() -> int:
    try:
        unshare(CLONE_NEWNET)
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise machine_error(error, "making a network namespace") from error


def enter(fd: int, path: str) -> None:
    """Enter the namespace behind a descriptor, in the calling thread, which is to end or come back.

    Raises:
        NotPermitted: this process may not enter namespaces.
    """
    try:
        setns(fd, CLONE_NEWNET)
    except OSError as error:
        raise machine_error(error, f"entering {path}") from error


def interface_exists(ifname: str) -> bool:
    """Tell whether an interface of that name exists in the calling thread's namespace."""
    # Not socket.if_nametoindex: until Python 3.12 its error has no errno, and "no descriptor left"
    # looks like "no interface".
    try:
        with _probe() as probe:
            fcntl.ioctl(probe, _SIOCGIFINDEX, _interface_request(ifname))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return False
        raise machine_error(error, f"looking for {ifname}") from error
    return True


def is_interface_up(ifname: str) -> bool:
    """Tell whether an interface of the calling thread's namespace is up.

    Raises:
        OSError: there is none of that name.
    """
    with _probe() as probe:
        return bool(_flags(probe, ifname) & _IFF_UP)


def switch_interface(ifname: str, *, is_up: bool) -> None:
    """Set an interface of the calling thread's namespace up or down.

    Raises:
        OSError: there is none of that name, or this process may not.
    """
    with _probe() as probe:
        flags = _flags(probe, ifname)
        wanted = flags | _IFF_UP if is_up else flags & ~_IFF_UP
        request = _interface_request(ifname)[:16] + struct.pack("H", wanted).ljust(24, b"\0")
        fcntl.ioctl(probe, _SIOCSIFFLAGS, request)


def _flags(probe: socket.socket, ifname: str) -> int:
    answer = fcntl.ioctl(probe, _SIOCGIFFLAGS, _interface_request(ifname))
    return int(struct.unpack_from("H", answer, 16)[0])


def _interface_request(ifname: str) -> bytes:
    return ifname.encode().ljust(40, b"\0")


def _probe() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)


def _cookie() -> int:
    with _probe() as probe:
        return int(struct.unpack("Q", probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8))[0])


def _in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread that ends with it: whatever namespace it enters, nobody else is
    in it afterwards.
    """
    returned: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(function())
        except BaseException as error:  # noqa: ASYNC103, BLE001 (raised below)
            raised.append(error)

    # No executor: none works while the interpreter ends, and an undo may have to.
    thread = Thread(target=run, name="acni-netns")
    try:
        thread.start()
    except RuntimeError as error:
        raise Busy("this machine has no thread to give", expected="room for one more") from error
    thread.join()
    if raised:
        raise raised.pop()
    return returned[0]
