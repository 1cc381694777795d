"""The first messages on a link: ``hello`` out, ``boot`` in."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import releve
from releve.config.frozen import dataclass
from releve.config.grammar import counted
from releve.config.settings.settings import Settings, key_names
from releve.config.settings.wire import from_wire
from releve.server.process.messages import FILES, MalformedOrder, files_of, names_of
from releve.server.scoreboard import header
from releve.server.shared.link import EXCHANGE_VERSION, EXTRAS, LINK_VERSION, Link, Message, close_all
from releve.server.shared.native import os, select, socket

# after the listeners: exchange receive end, exchange send end, scoreboard, crash file; then those of EXTRAS
_MORE_FDS = 4
_STANDARD_OUTPUT, _STANDARD_ERROR = 1, 2


@dataclass(frozen=True, slots=True)
class Revision:
    """One set of settings that a generation runs with, and the listeners and the log files that go with it (owned)."""

    number: int
    settings: Settings
    listeners: tuple[tuple[str, socket.socket], ...]
    access: int = -1  # where the access log goes; -1: there is none
    log: int = -1  # where the log, standard output and error go; -1: where they led from the beginning

    def reopen(self, files: Mapping[str, int]) -> None:
        """Have what is forked from now on write to other files (``access``, ``log``), which stay the caller's."""
        for name, fd in files.items():
            mine = getattr(self, name)
            if mine > _STANDARD_ERROR:
                os.dup2(fd, mine, inheritable=False)

    def close(self) -> None:
        """Close this process's copies of the listeners; others go on accepting from them."""
        for _, sock in self.listeners:
            sock.close()
        for fd in (self.access, self.log):
            if fd > _STANDARD_ERROR:
                os.close(fd)


@dataclass(frozen=True, slots=True)
class Boot:
    """What a master is started with. Owns the descriptors."""

    generation: int
    app: str
    directory: str
    preload: bool | None
    revision: Revision
    exchange_receive: int
    exchange_send: int
    board: int
    crash: int
    door: int = -1  # a listening socket, at which the next supervisor finds this generation; -1: there is none
    service: str = ""  # its name, for the titles of processes; an older supervisor does not say it
    keepsake: int = -1  # what that supervisor must know; opaque to this release, but for what `guard.py` reads


def hello(lent: bool) -> Message:
    """What this release is and knows; the first message on the link."""
    return {
        "type": "hello",
        "link": LINK_VERSION,
        "exchange": EXCHANGE_VERSION,
        "scoreboard": header.VERSION,
        "releve": getattr(releve, "__version__", ""),
        "python": sys.version.partition(" ")[0],
        "prefix": sys.prefix,
        "pid": os.getpid(),
        "settings": list(key_names()),
        # What this release can do beyond the first link version.
        "features": ["door", "canary", "reopen", "replace", "stacks", "requests", "readiness", "new_door"],
        "lent": lent,
    }


def await_boot(link: Link) -> tuple[Message, list[int]] | None:
    """Wait for ``boot``, passing over what this release does not know; None if the link ends first.

    Raises LinkError.
    """
    poll = select.poll()
    poll.register(link, select.POLLIN)
    while True:
        poll.poll()
        try:
            received = link.receive()
        except BlockingIOError:
            continue
        if received is None or received[0].get("type") == "boot":
            return received
        close_all(received[1])


def read_boot(message: Message, fds: list[int]) -> Boot:
    """Make sense of ``boot``. Raises MalformedOrder."""
    if message.get("link") != LINK_VERSION:
        raise MalformedOrder(
            f"cannot boot: the supervisor speaks link version {message.get('link')!r}, this release {LINK_VERSION}"
        )
    try:
        names = names_of(message)
        more = len(names) + _MORE_FDS
        announced = [key for key in EXTRAS if message.get(key)]
        if len(fds) != more + len(announced):
            raise MalformedOrder(f"cannot boot: {_came(fds, names)}")
        receive, send, board, crash = fds[len(names) : more]
        extras = dict(zip(announced, fds[more:], strict=True))
        preload = message.get("preload")
        return Boot(
            generation=int(message["generation"]),
            app=str(message["app"]),
            directory=str(message["directory"]),
            preload=None if preload is None else bool(preload),
            revision=read_revision(message, [*fds[: len(names)], *(extras[key] for key in FILES if key in extras)]),
            exchange_receive=receive,
            exchange_send=send,
            board=board,
            crash=crash,
            service=str(message.get("service", "")),
            door=extras.get("door", -1),
            keepsake=extras.get("keepsake", -1),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedOrder(f"cannot boot: the order is malformed ({type(error).__name__}: {error})") from error


def _came(fds: list[int], names: list[str]) -> str:
    """How many descriptors a message brought, and for how many listeners."""
    return f"{counted(len(fds), 'descriptor')} for {counted(len(names), 'listener')}"


def read_revision(message: Message, fds: list[int]) -> Revision:
    """The revision in a ``boot`` or ``reload``; takes ``fds`` over. Raises MalformedOrder, or what odd types raise."""
    names = names_of(message)
    files = files_of(message)
    if len(fds) != len(names) + len(files):
        raise MalformedOrder(f"cannot {message.get('type')}: {_came(fds, names)}")
    number, settings = int(message["revision"]), from_wire(message["settings"])
    if settings.workers < 1:
        raise MalformedOrder(f"cannot {message.get('type')}: {counted(settings.workers, 'worker')}")
    sockets: list[socket.socket] = []
    try:
        for fd in fds[: len(names)]:
            sockets.append(socket.socket(fileno=fd))
            sockets[-1].setblocking(False)
    except OSError as error:
        for sock in sockets:
            sock.detach()
        raise MalformedOrder(f"cannot {message.get('type')}: a listener is not a socket ({error.strerror})") from error
    given = dict(zip(files, fds[len(names) :], strict=True))
    access = given.get("access", _STANDARD_OUTPUT if settings.log.access == "-" else -1)
    return Revision(number, settings, tuple(zip(names, sockets, strict=True)), access, given.get("log", -1))
