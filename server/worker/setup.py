"""What a worker is given at its fork."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from releve.config.frozen import dataclass
from releve.config.settings.settings import Settings
from releve.server.scoreboard.scoreboard import Scoreboard
from releve.server.shared.link import Link
from releve.server.shared.native import socket

Application = Callable[..., Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker is given at its fork. It owns the descriptors from then on."""

    number: int  # within its generation, from 1, never reused
    slot: int  # of the scoreboard
    generation: int
    revision: int
    settings: Settings
    listeners: tuple[tuple[str, socket.socket], ...]  # name (str(Address)) and listening socket
    exchange_receive: int
    exchange_send: int
    board: Scoreboard
    control: Link
    application: Application | None  # None: the worker imports it
    load: Callable[[], Application]  # raises BootError
    early: tuple[str, ...] = ()  # threads that the master had before it imported anything of the application's
    astray: Callable[[], list[str]] = list  # files that ``load`` has loaded through a link that deploys move
    access: int = -1  # descriptor of the access log; -1: there is none
    release: str = ""  # its folder, for the log
    service: str = ""  # its name, for the title of the process
