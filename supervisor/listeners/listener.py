"""The listeners: sockets that the service is reached on, opened once and kept over all generations.

Generations share the open file description of each (no ``SO_REUSEPORT``, no
``shutdown``), so nothing that waits in an accept queue is lost between them. A
change of addresses is a ``Plan``: new ones are bound before the switch, dropped
ones are closed after the commit.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import secrets
import socket
import stat
from collections.abc import Iterable, Mapping, Sequence

from releve.config import kernel
from releve.config.frozen import dataclass
from releve.config.settings import Address
from releve.instance import paths
from releve.instance.paths import Folder
from releve.server.shared.link import has_ended
from releve.supervisor.host import system
from releve.supervisor.listeners import stored

UNIX_PATH_MAX_BYTES = 107  # sun_path of unix(7) less its closing zero byte
_TRIES = 100  # random names, until a free one is found
FIRST_INHERITED_FD = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)

_ADVICE = {
    errno.EADDRINUSE: "another process listens there (ss -ltnp shows which): stop it, or change listen",
    errno.EADDRNOTAVAIL: "this host has no such address: change listen",
    errno.EAFNOSUPPORT: "this host has no IPv6: change listen",
}
_ADVICE_UNIX = {
    errno.ENOENT: "its folder does not exist: create it, or let systemd do so with RuntimeDirectory=",
    errno.ENOTDIR: "its folder is not a folder: change listen",
    errno.EACCES: "this user may not write to its folder: change its owner, or change listen",
    errno.EROFS: "choose a folder that can be written to",
    errno.ELOOP: "use the path without the link, or a folder that only root may write in",
}
_ADVICE_PORT = (
    "ports below 1024 need root, AmbientCapabilities=CAP_NET_BIND_SERVICE or a socket unit (fd:NAME); or "
    "choose a higher port"
)


class ListenError(Exception):
    """An address cannot be listened on; whatever was opened on the way is closed again."""


@dataclass(slots=True, eq=False)
class Listener:
    """One listening socket: non-blocking, close-on-exec. ``name`` is its address as written.

    Compared by identity: an address that was dropped and bound anew is another listener.
    """

    name: str
    address: Address
    socket: socket.socket
    inherited: bool  # from systemd: its path and backlog are not ours
    inode: tuple[int, int] | None  # device and inode of the Unix socket file that we bound
    aside: str | None = None  # where that file is while nobody shall connect

    def bound(self) -> str:
        """Where it really listens: the port that the kernel chose for port 0, the path of an inherited one."""
        if self.address.kind == "unix":
            return self.name
        where = self.socket.getsockname()
        if isinstance(where, tuple):
            return str(Address("tcp", host=where[0], port=where[1]))
        return f"unix:{where if isinstance(where, str) else where.decode(errors='replace')}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What changes from the listeners held to the addresses wanted. Nothing held is touched before ``commit``."""

    keep: list[Listener]
    added: list[Listener]
    dropped: list[Listener]
    all: list[Listener]  # kept and added, in the order wanted
    wanted: list[Address]  # of ``all``, in the same order
    backlog: int

    def abandon(self) -> None:
        """Close what was opened for this plan; the held listeners are as they were."""
        for listener in self.added:
            close_listener(listener)

    def commit(self) -> list[str]:
        """Give the kept listeners their new mode, owner and backlog; what could not be done, as texts.

        Closing the dropped ones is left to the caller: only after no generation accepts from them.
        """
        problems = []
        for listener, address in zip(self.all, self.wanted, strict=True):
            if listener in self.added or listener.inherited:
                continue
            try:
                listener.socket.listen(self.backlog)
                if address != listener.address:
                    apply_mode(listener, address)
            except (OSError, ListenError) as error:
                problems.append(str(error))
        return problems


def inherited_sockets(environ: Mapping[str, str], pid: int) -> dict[str, socket.socket]:
    """The sockets that systemd (or whoever started us) passed on, by name; sd_listen_fds_with_names(3).

    The second socket of a name is called ``NAME:2``, and so on. Empty when the
    variables are addressed to another process. Raises ListenError for nonsense.
    """
    if environ.get("LISTEN_PID") != str(pid):
        return {}
    count = environ.get("LISTEN_FDS", "")
    if not count.isdigit():
        raise ListenError(
            f"cannot take over sockets: LISTEN_FDS is {count!r}, not a number; start the service by its socket unit"
        )
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    found: dict[str, socket.socket] = {}
    for index in range(int(count)):
        fd = FIRST_INHERITED_FD + index
        name = names[index] if index < len(names) and names[index] else "unknown"
        try:
            os.set_inheritable(fd, False)
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                continue
        except OSError as error:
            raise ListenError(
                f"cannot take over sockets: descriptor {fd} ({name}) is not open; start the service by its socket unit"
            ) from error
        number = 1 + sum(1 for other in found if other.partition(":")[0] == name)
        found[name if number == 1 else f"{name}:{number}"] = socket.socket(fileno=fd)
    return found


def expand(wanted: Iterable[Address], inherited: Mapping[str, socket.socket]) -> list[Address]:
    """``fd:NAME`` stands for all inherited sockets of that name (a socket unit may have several)."""
    addresses: list[Address] = []
    for address in wanted:
        addresses.append(address)
        if address.kind == "fd" and ":" not in address.name:
            addresses += [Address("fd", name=name) for name in inherited if name.startswith(address.name + ":")]
    return addresses


def unclaimed(wanted: Iterable[Address], inherited: Mapping[str, socket.socket]) -> list[str]:
    """Names of inherited sockets that no address uses: their clients would wait for ever."""
    claimed = {address.name for address in expand(wanted, inherited) if address.kind == "fd"}
    return [name for name in inherited if name not in claimed and not stored.is_ours(name)]


def open_listener(address: Address, backlog: int, inherited: Mapping[str, socket.socket]) -> Listener:
    """Listen on an address. Raises ListenError with what the user can change; then nothing stays open."""
    if address.kind == "fd":
        return _open_inherited(address, inherited)
    if (listener := _open_stored(address, inherited)) is not None:
        return listener
    return _open_unix(address, backlog) if address.kind == "unix" else _open_tcp(address, backlog)


def plan(
    held: Sequence[Listener], wanted: Sequence[Address], backlog: int, inherited: Mapping[str, socket.socket]
) -> Plan:
    """Open what is wanted and not held; what is held stays untouched.

    A held Unix listener whose file was removed or replaced, or that a process which shares it has shut down for ever,
    counts as not held: it is bound anew. Raises ListenError if any address cannot be opened; what this call had opened
    is then closed.
    """
    addresses = expand(wanted, inherited)
    if len(addresses) > kernel.LISTENERS_MAX:
        raise ListenError(
            f"cannot listen: {len(addresses)} sockets, and the kernel passes on {kernel.LISTENERS_MAX} "
            "at once; use fewer"
        )
    usable = {listener.name: listener for listener in held if _reachable(listener)}
    keep: list[Listener] = []
    added: list[Listener] = []
    every: list[Listener] = []
    try:
        for address in addresses:
            listener = usable.get(str(address))
            if listener is None:
                listener = open_listener(address, backlog, inherited)
                added.append(listener)
            else:
                keep.append(listener)
            every.append(listener)
    except ListenError:
        for listener in added:
            close_listener(listener)
        raise
    dropped = [listener for listener in held if listener not in keep]
    return Plan(keep, added, dropped, every, addresses, backlog)


def apply_mode(listener: Listener, address: Address) -> None:
    """Give a Unix listener that is held the mode and owner of ``address``.

    Raises ListenError; no other kind has any.
    """
    if address.kind == "unix" and paths.inode(address.path) == listener.inode:
        try:
            with paths.parent(address.path) as (folder, name):
                _give(folder, name, address, listener.inode)
        except OSError as error:
            raise _refusal(address, error, _ADVICE_UNIX.get(error.errno or 0, "change listen")) from error
    listener.address = address


def set_aside(listener: Listener) -> None:
    """Refuse new clients on a listener that may be wanted again (``bring_back``). Never raises.

    Closing would not do: a generation that stands by holds it too, and clients would
    wait in its queue for ever. A TCP listener stops listening but stays bound, a Unix
    one has its file renamed; an inherited one is left to whoever passed it on.
    """
    with contextlib.suppress(OSError):
        if listener.inherited or listener.aside is not None:
            return
        if listener.inode is None:
            # Once only: on a socket that does not listen it would stick, and shut what is accepted later.
            if listener.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                listener.socket.shutdown(socket.SHUT_RD)
        else:
            with paths.parent(listener.address.path) as (folder, name):
                if folder.holds(name, listener.inode):
                    aside = _beside(folder, name)
                    folder.rename(name, aside)
                    listener.aside = os.path.join(os.path.dirname(listener.address.path), aside)


def bring_back(listener: Listener, backlog: int) -> None:
    """Accept clients again on a listener that was set aside. Raises ListenError if its place was taken meanwhile."""
    if listener.inherited:
        return
    try:
        if listener.aside is not None:
            _refuse_live(listener.address)
            with paths.parent(listener.address.path) as (folder, name):
                folder.rename(os.path.basename(listener.aside), name)
            listener.aside = None
        listener.socket.listen(backlog)
    except OSError as error:
        raise _refusal(listener.address, error, _ADVICE.get(error.errno or 0, "ctl upgrade binds it anew")) from error


def close_listener(listener: Listener, *, unlink: bool = True) -> None:
    """Close our descriptor, and remove the Unix socket file if it is still the one we bound. Never raises."""
    if unlink:
        remove_file(listener)
    listener.socket.close()


def remove_file(listener: Listener) -> None:
    """Remove the file of a Unix socket if it is still the one that was bound. Never raises."""
    if listener.inode is not None:
        with contextlib.suppress(OSError), paths.parent(listener.aside or listener.address.path) as (folder, name):
            if folder.holds(name, listener.inode):
                folder.remove(name)


def _open_tcp(address: Address, backlog: int) -> Listener:
    family, where = _resolve(address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        advice = (
            _ADVICE_PORT
            if error.errno in (errno.EACCES, errno.EPERM)
            else _ADVICE.get(error.errno or 0, "change listen")
        )
        raise _refusal(address, error, advice) from error
    return Listener(str(address), address, sock, inherited=False, inode=None)


def _resolve(address: Address) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Family and numeric address. A host with both gets IPv4: one address is one socket."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ListenError(
            f"cannot listen on {address}: {reason.lower()}; write a numeric address, as in 127.0.0.1:8000 or [::]:80"
        ) from error
    choice = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return choice[0], choice[4]  # type: ignore[return-value]  # an IPv6 one has four parts


def _open_unix(address: Address, backlog: int) -> Listener:
    """Bind beside the path and rename over it, so that the path never names a socket that nobody serves."""
    path = address.path
    if len(os.fsencode(path)) > UNIX_PATH_MAX_BYTES:
        raise ListenError(
            f"cannot listen on {address}: the path has more than {UNIX_PATH_MAX_BYTES} bytes; choose a shorter one"
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    system.take_no_rights(sock)
    try:
        sock.setblocking(False)
        _refuse_live(address)
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
        raise _refusal(address, error, _ADVICE_UNIX.get(error.errno or 0, "change listen")) from error
    return Listener(str(address), address, sock, inherited=False, inode=inode)


def _refuse_live(address: Address) -> None:
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
            f"cannot listen on {address}: there is a file that is not a socket, and it is left alone; "
            "remove it or change listen"
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
        f"cannot listen on {address}: another server is alive on it, and goes on; stop it (ss -lxp "
        "shows it) or change listen"
    ) from OSError(errno.EADDRINUSE, "address already in use")


def _bind_beside(sock: socket.socket, folder: Folder, name: str, path: str) -> tuple[str, tuple[int, int]]:
    """Bind to another name in the folder of a path; that name, and device and inode."""
    for _ in range(_TRIES):
        temporary = _beside(folder, name)
        try:
            return temporary, folder.bind(sock, temporary, os.path.join(os.path.dirname(path), temporary))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "no free name beside it")


def _beside(folder: Folder, name: str) -> str:
    """A free name, no longer than another one, so that the limit on paths holds for both."""
    hidden = "." if len(os.fsencode(name)) > 2 else ""
    names = ((hidden + secrets.token_hex(4))[: len(os.fsencode(name))] for _ in range(_TRIES))
    return next((other for other in names if folder.free(other)), name)


def _give(folder: Folder, name: str, address: Address, inode: tuple[int, int] | None) -> None:
    """Set owner, group and mode of a socket file of ours. Raises ListenError."""
    try:
        uid = -1 if address.owner is None else _user_id(address.owner)
        gid = -1 if address.group is None else _group_id(address.group)
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
        raise _refusal(address, error, what) from error


def _user_id(name: str) -> int:
    if name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise KeyError(f"there is no user {name}") from None


def _group_id(name: str) -> int:
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise KeyError(f"there is no group {name}") from None


def _open_inherited(address: Address, inherited: Mapping[str, socket.socket]) -> Listener:
    """A duplicate of an inherited socket, so that an address that is dropped can come back later."""
    given = inherited.get(address.name)
    if given is None:
        names = ", ".join(name for name in inherited if not stored.is_ours(name)) or "none"
        raise ListenError(
            f"cannot listen on {address}: no such socket was passed on (passed on: {names}); "
            "start the service by a socket unit with FileDescriptorName=, or change listen"
        )
    stream = given.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
    if not stream or not given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ListenError(
            f"cannot listen on {address}: it is not a listening stream socket; use ListenStream= and "
            "Accept=no in its unit"
        )
    sock = given.dup()
    sock.setblocking(False)
    return Listener(str(address), address, sock, inherited=True, inode=None)


def _open_stored(address: Address, inherited: Mapping[str, socket.socket]) -> Listener | None:
    """What systemd has kept for us over a restart, if it still is what clients of the address reach."""
    found = stored.find(str(address), inherited)
    if found is None or (address.kind == "unix" and found[1] != paths.inode(address.path)):
        return None
    if not found[0].getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return None
    sock = found[0].dup()
    sock.setblocking(False)
    return Listener(str(address), address, sock, inherited=False, inode=found[1])


def _reachable(listener: Listener) -> bool:
    """Whether clients come to it. A TCP listener that was shut down does again once it listens (`Plan.commit`)."""
    return listener.inode is None or (
        paths.inode(listener.address.path) == listener.inode and not has_ended(listener.socket)
    )


def _refusal(address: Address, error: OSError, advice: str) -> ListenError:
    return ListenError(f"cannot listen on {address}: {(error.strerror or str(error)).lower()}; {advice}")
