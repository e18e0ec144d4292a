"""A directory that nobody but root may write to, made writable in a mount namespace of one's own:
a file system in memory is mounted over it, and all that was in it is mounted there again.

What others add to the directory itself afterwards is not seen; what they change below it is.
"""

from __future__ import annotations

import os
import stat

from acni.host.libc import MS_BIND, MS_REC, mount


def mirror(directory: str) -> None:
    """Make a directory writable that way.

    Raises:
        OSError: the kernel lets nothing be mounted there.
    """
    below = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        names = os.listdir(directory)
        mount("tmpfs", directory, "tmpfs", options="mode=0755")
        for name in names:
            try:
                _show(below, name, f"{directory}/{name}")
            except FileNotFoundError:  # gone since it was listed
                continue
    finally:
        os.close(below)


def _show(below: int, name: str, path: str) -> None:
    mode = os.stat(name, dir_fd=below, follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(name, dir_fd=below), path)
        return
    if stat.S_ISDIR(mode):
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    # With all that is mounted below: the kernel shows no user what a mount of root's covers.
    mount(f"/proc/self/fd/{below}/{name}", path, flags=MS_BIND | MS_REC)
