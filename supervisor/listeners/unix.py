"""Listeners at a path: the file of a Unix socket, its mode and its owner.

A socket is bound beside its path and renamed over it, so that the path never names a socket that nobody serves. The
file of a server that lives is left alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable

from releve.config.kernel import UNIX_PATH_MAX_BYTES
from releve.config.settings.address import Address
from releve.instance import paths
from releve.instance.folder import Folder
from releve.supervisor.host import system
from releve.supervisor.host.identity import group_number, user_number
from releve.supervisor.listeners.listener import Listener, ListenError, refusal

_TRIES = 100  # random names, until a free one is found

_ADVICE = {
    errno.ENOENT: "its folder does not exist: create it, or let systemd do so with RuntimeDirectory=",
    errno.ENOTDIR: "its folder is not a folder: change listen",
    errno.EACCES: "this user may not write to its folder: change its owner, or change listen",
    errno.EROFS: "choose a writable folder",
    errno.ELOOP: "use the path without the symlink, or a folder that only root may write to",
}


def open_unix(address: Address, backlog: int) -> Listener:
    """Bind, give the file its mode and owner, listen, and only then put it at its path.

    Raises ListenError; then nothing stays open, and nothing lies there that did not before.
    """
    path = address.path
    if len(os.fsencode(path)) > UNIX_PATH_MAX_BYTES:
        raise ListenError(
            f"cannot listen on {address}: the path has more than {UNIX_PATH_MAX_BYTES} bytes; choose a shorter one"
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    system.take_no_rights(sock)
    try:
        sock.setblocking(False)
        refuse_live(address)
        with paths.parent(path) as (folder, name):
            temporary, inode = _bind_beside(sock, folder, name, path)
            try:
                _give(folder, temporary, address, inode)
                sock.listen(backlog)
                folder.rename(temporary, name)
            except (OSError, ListenError):
                with contextlib.suppress(OSError):
                    folder.remove(temporary)
                raise
    except (OSError, ListenError) as error:
        sock.close()
        if isinstance(error, ListenError):
            raise
        raise refusal(address, error, _ADVICE.get(error.errno or 0, "change listen")) from error
    return Listener(str(address), address, sock, inherited=False, inode=inode)


def apply_mode(listener: Listener, address: Address) -> None:
    """Give a listener that is held the mode and owner of ``address``; one that is at no path has none.

    Raises ListenError.
    """
    if address.kind == "unix" and paths.inode(address.path) == listener.inode:
        try:
            with paths.parent(address.path) as (folder, name):
                _give(folder, name, address, listener.inode)
        except OSError as error:
            raise refusal(address, error, _ADVICE.get(error.errno or 0, "change listen")) from error
    listener.address = address


def refuse_live(address: Address) -> None:
    """Raise ListenError unless the path is free, or the socket file of a dead server.

    A connect that does not block tells: only ECONNREFUSED means that nobody
    listens any more; a live server with a full queue answers EAGAIN.
    """
    try:
        mode = os.lstat(address.path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(
            f"cannot listen on {address}: a file that is not a socket is there; remove it or change listen"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except PermissionError as error:
            raise ListenError(
                f"cannot listen on {address}: the socket file there belongs to another user; remove it or change listen"
            ) from error
        except OSError:
            pass
    raise ListenError(
        f"cannot listen on {address}: another server listens there; stop it (ss -lxp shows it) or change listen"
    ) from OSError(errno.EADDRINUSE, "address already in use")


def free_name(folder: Folder, name: str) -> str:
    """A free name, no longer than another one, so that the limit on paths holds for both."""
    hidden = "." if len(os.fsencode(name)) > 2 else ""
    names = ((hidden + os.urandom(4).hex())[: len(os.fsencode(name))] for _ in range(_TRIES))
    return next((other for other in names if folder.free(other)), name)


def _bind_beside(sock: socket.socket, folder: Folder, name: str, path: str) -> tuple[str, tuple[int, int]]:
    """Bind to another name in the folder of a path; that name, and device and inode."""
    for _ in range(_TRIES):
        temporary = free_name(folder, name)
        try:
            return temporary, folder.bind(sock, temporary, os.path.join(os.path.dirname(path), temporary))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "no free name beside it")


def _give(folder: Folder, name: str, address: Address, inode: tuple[int, int] | None) -> None:
    """Set owner, group and mode of a socket file of ours. Raises ListenError."""
    try:
        uid = -1 if address.owner is None else _id("user", address.owner, user_number)
        gid = -1 if address.group is None else _id("group", address.group, group_number)
        folder.change(name, address.mode, uid, gid, inode)
    except KeyError as error:
        raise ListenError(
            f"cannot listen on {address}: {error.args[0]}; change its owner or group, or create it"
        ) from error
    except OSError as error:
        whom = " and ".join(
            filter(None, (address.owner and f"owner {address.owner}", address.group and f"group {address.group}"))
        )
        what = (
            f"to give it {whom or f'mode {address.mode:04o}'}, run as root or be a member"
            if whom
            else "choose another folder"
        )
        raise refusal(address, error, what) from error


def _id(kind: str, name: str, number_of: Callable[[str], int]) -> int:
    """The number of a user or group. Raises KeyError, with words."""
    try:
        return number_of(name)
    except KeyError:
        raise KeyError(f"there is no {kind} {name}") from None
