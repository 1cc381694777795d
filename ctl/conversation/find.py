"""Which instance a command means, and a connection to it.

In this order: ``--socket``; ``-c FILE``; ``$RELEVE_SOCKET``; the instance that was started in this folder, or whose
configuration file lies here; the only running one of this user. An instance runs if its control socket accepts.
"""

from __future__ import annotations

import contextlib
import grp
import os
import re
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from releve.config.frozen import dataclass
from releve.instance import holders
from releve.instance.cards import Card, closed, scan
from releve.instance.instances import (
    PLACES,
    USUAL_FILE,
    InstanceError,
    Places,
    absolute,
    instance_name,
    runtime_directory,
    unit_name,
    working_folder,
)
from releve.instance.protocol import Status
from releve.server.shared.runtime import DOOR_NAME, SOCKET_NAME

SOCKET_VARIABLE = "RELEVE_SOCKET"
CONNECT_TIMEOUT_S = 5.0
MADE_AGAIN_S = 10.0  # for a socket that was removed; its supervisor looks every 5 s
_LOOK_S = 0.1


class FindError(Exception):
    """No instance, or not exactly one, can be asked; ``status`` is the exit status."""

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Found:
    """A connection to the one instance meant. ``guessed``: nothing but its being the only one points to it."""

    socket: socket.socket
    path: str
    card: Card | None = None
    guessed: bool = False

    @property
    def label(self) -> str:
        """How to name it to the user."""
        return self.path if self.card is None else label(self.card)


def label(card: Card) -> str:
    """An instance in one line."""
    return f"{card.config or card.folder} (pid {card.pid})"


def find(
    told_socket: str | None, told_config: str | None, environ: Mapping[str, str], uid: int, places: Places = PLACES
) -> Found:
    """Connect to the instance meant. Raises FindError, with what to do."""
    folder = working_folder(environ)
    if told_socket is None and told_config is None:
        told_socket = environ.get(SOCKET_VARIABLE) or None
    if told_socket is not None:
        return _ask_path(str(absolute(told_socket, folder)), "nothing listens there; is the service started?")
    cards = scan(environ, uid, places)
    if told_config is not None:
        return _by_config(absolute(told_config, folder), cards, environ, uid, places)
    here = {str(folder), os.path.realpath(folder)}
    mine = _reachable(
        card for card in cards if card.folder in here or (card.config and os.path.dirname(card.config) in here)
    )
    if mine:
        return _only(mine, "several services were started in this folder")
    if (folder / USUAL_FILE).exists():
        return _by_config(folder / USUAL_FILE, cards, environ, uid, places)
    with contextlib.suppress(InstanceError):
        own = runtime_directory(None, instance_name(folder, None), {**environ, "RUNTIME_DIRECTORY": ""}, uid, places)
        if own.is_dir() or holders.listening(str(own / SOCKET_NAME)):  # one was started here: no other one is meant
            return _ask_path(
                str(own / SOCKET_NAME),
                "the service of this folder does not run; for another one: ctl -c FILE",
            )
    running = _reachable(cards)
    hidden = closed(uid, places)
    if not running and hidden:
        raise _may_not_enter(hidden[0])
    return _only(running, "several services run, and none was started in this folder", guessed=True)


def connect(path: str) -> socket.socket | None:
    """A connection to a control socket, or None if nobody accepts there.

    Raises FindError if this user may not connect, or if it accepts nothing for ``CONNECT_TIMEOUT_S``.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Where the accept queue is full, a non-blocking connect fails at once, and a blocking one waits for this long:
    # unix(7).
    _set_send_timeout(sock, CONNECT_TIMEOUT_S)
    try:
        sock.connect(path)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        sock.close()
        return None
    except PermissionError as error:
        sock.close()
        raise FindError(
            Status.UNEXPECTED,
            (
                f"cannot connect to {path}: permission denied; use the user that runs the service, or "
                f"root{_or_group(path)}"
            ),
        ) from error
    except BlockingIOError as error:
        sock.close()
        raise FindError(
            Status.INTERRUPTED,
            f"cannot connect to {path}: it accepts no connection; the supervisor hangs or is stopped",
        ) from error
    except OSError as error:
        sock.close()
        raise FindError(
            Status.UNEXPECTED, f"cannot connect to {path}: {(error.strerror or str(error)).lower()}"
        ) from error
    _set_send_timeout(sock, 0)
    return sock


def _or_group(path: str) -> str:
    """The control group of a socket, for the end of a refusal; how to have one, where there is none; empty where it
    cannot be seen.
    """
    try:
        seen = os.stat(path)
        if seen.st_mode & 0o060 != 0o060:
            return "; the setting control_group lets the members of a group use ctl"
        return f", or a member of {grp.getgrgid(seen.st_gid).gr_name} (groups are those of your login)"
    except (OSError, KeyError):
        return ""


def _set_send_timeout(sock: socket.socket, seconds: float) -> None:
    """SO_SNDTIMEO, 0 for none: socket(7)."""
    sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
    )


def _ask_path(path: str, hint: str) -> Found:
    """Connect to this one. Raises FindError.

    Where the socket has been removed and a supervisor listens on it all the same, that one makes it again after a few
    seconds. Where the supervisor was killed and a generation serves, another one follows as soon.
    """
    limit = time.monotonic() + MADE_AGAIN_S
    while (sock := connect(path)) is None:
        pid = holders.listening(path)
        orphaned = pid is None and holders.listens_beside(path, DOOR_NAME)
        if pid is None and not orphaned:
            if (sock := connect(path)) is not None:  # made while it was looked for
                break
            raise FindError(Status.NOT_RUNNING, f"not running: {path}: {hint}")
        if time.monotonic() > limit:
            why = (
                "the workers serve, but the supervisor was killed and no other one has started yet"
                if orphaned
                else f"the supervisor runs (pid {pid}), but {path} was removed and not recreated"
            )
            raise FindError(Status.UNEXPECTED, f"cannot reach the service: {why}; see its log")
        time.sleep(_LOOK_S)
    return Found(sock, path)


def _by_config(config: Path, cards: list[Card], environ: Mapping[str, str], uid: int, places: Places) -> Found:
    """The instance whose card names this file, else whoever is in the folder that the file names."""
    named = [card for card in cards if card.config == str(config)]
    real = os.path.realpath(config)
    named += [
        card
        for card in cards
        if card.config is not None and card not in named and os.path.realpath(card.config) == real
    ]
    for card in named:
        reachable = _reachable([card])
        if reachable:
            return _only(reachable, "")
    try:
        os.stat(config)
        if not os.access(config, os.R_OK):
            raise PermissionError
    except PermissionError as error:
        raise _hidden(config, uid, places) or FindError(
            Status.UNEXPECTED, f"cannot read {config}: permission denied; use the user that runs the service, or root"
        ) from error
    except OSError as error:
        raise FindError(
            Status.USAGE, f"cannot read {config}: no such file, and no running service was started with it"
        ) from error
    try:
        (told, ports), name = _told(config, environ), instance_name(config.parent, config)
        directory = runtime_directory(told, name, environ, uid, places)
    except InstanceError as error:
        raise FindError(Status.USAGE, str(error)) from error
    if told is None and (hidden := _hidden(config, uid, places)) is not None:
        raise hidden
    return _ask_path(str(directory / SOCKET_NAME), _taken(ports) or f"start it with: releve -c {config}")


def _hidden(config: Path, uid: int, places: Places) -> FindError | None:
    """Why this user cannot tell whether a configuration is served: by the folder of its unit, or any in which a service
    listens.

    The latter not for a file of the user's own: that it is served by somebody else, under another name, is unlikely.
    """
    folders = closed(uid, places)
    unit = unit_name(config.stem)
    names = (instance_name(config.parent, config), unit, f"releve@{unit}")
    mine = [folder for folder in folders if folder.name in names]
    if not mine and not _belongs(config, uid):
        mine = [folder for folder in folders if _somebody_listens(folder)]
    return _may_not_enter(mine[0]) if mine else None


def _belongs(config: Path, uid: int) -> bool:
    try:
        return os.stat(config).st_uid == uid
    except OSError:
        return False


def _somebody_listens(folder: Path) -> bool:
    return holders.anybody_listens(str(folder / SOCKET_NAME))


def _taken(ports: Iterable[int]) -> str:
    """Who listens where the service would; empty if nobody does."""
    for port in ports:
        pid = holders.at_port(port)
        if pid is not None:
            return f"nothing listens there, but pid {pid} listens on its port {port}: {holders.command(pid)}"
    return ""


def _may_not_enter(folder: Path) -> FindError:
    unknown = "" if _somebody_listens(folder) else ", so ctl cannot tell whether the service runs"
    advice = "use the user that runs the service, root, or a member of its control_group"
    return FindError(
        Status.UNEXPECTED,
        f"cannot look into {folder}: permission denied{unknown}; {advice}",
    )


def _told(config: Path, environ: Mapping[str, str]) -> tuple[str | None, list[int]]:
    """``runtime_directory`` of a configuration file, and the ports that it listens on. Raises FindError.

    A file that has become invalid must not hide the service that still runs: then the line itself is looked for.
    """
    from releve.config.errors import ConfigError
    from releve.config.reading import load, sources

    try:
        loaded = load.load(config, sources.overrides({}, environ))
        return loaded.settings.runtime_directory, [address.port for address in loaded.settings.listen if address.port]
    except ConfigError as error:
        line = _line_of_runtime_directory(config)
        if line is None:
            raise FindError(Status.USAGE, str(error)) from error
        return str(absolute(line.replace("%(here)s", str(config.parent)), config.parent)), []


def _line_of_runtime_directory(config: Path) -> str | None:
    try:
        line = re.search(
            r"^runtime_directory[ \t]*[:=][ \t]*[\"']?([^\s\"'#]+)", config.read_text(errors="replace"), re.MULTILINE
        )
    except OSError:
        return None
    return None if line is None or line[1] == "auto" else line[1]


def _reachable(cards: Iterable[Card]) -> list[tuple[Card, socket.socket | FindError]]:
    """Those whose socket accepts, or might for somebody else."""
    found: list[tuple[Card, socket.socket | FindError]] = []
    for card in cards:
        try:
            sock = connect(card.socket)
        except FindError as error:
            found.append((card, error))
            continue
        if sock is not None:
            found.append((card, sock))
    return found


def _only(found: list[tuple[Card, socket.socket | FindError]], several: str, guessed: bool = False) -> Found:
    """The one that can be asked; the others are closed. Raises FindError unless there is exactly one."""
    open_ones = [(card, sock) for card, sock in found if isinstance(sock, socket.socket)]
    if len(open_ones) == 1:
        card, sock = open_ones[0]
        return Found(sock, card.socket, card, guessed)
    for _, sock in open_ones:
        sock.close()
    if open_ones:
        lines = "".join(f"\n  ctl {choice(card)}" for card, _ in open_ones)
        raise FindError(Status.USAGE, f"cannot choose: {several}; name one:{lines}")
    for _, error in found:
        if isinstance(error, FindError):
            raise error
    raise FindError(
        Status.NOT_RUNNING,
        (
            "not running: no service of this user runs; start one with releve, or name it: ctl -c FILE "
            "VERB, ctl --socket PATH VERB"
        ),
    )


def choice(card: Card) -> str:
    """The option by which ``ctl`` can be told to mean this instance."""
    return f"-c {card.config}" if card.config is not None else f"--socket {card.socket}"
