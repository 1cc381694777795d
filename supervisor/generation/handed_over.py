"""A living generation, as it is handed over from one supervisor to the next."""

from __future__ import annotations

import socket

from releve.config.frozen import dataclass
from releve.server.shared.link import Message
from releve.supervisor.channels.door import Door
from releve.supervisor.channels.master import Reached
from releve.supervisor.generation.states import GenerationState


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A living generation, from its master (an adoption) or from the program that was here before us.

    Owned, descriptors and all.
    """

    master: Reached
    hello: Message
    revision: int
    state: GenerationState
    preloaded: bool | None
    receive: socket.socket  # of its exchange
    send: socket.socket
    board: int
    crash: int
    door: Door | None
    counted: bool = False  # whoever has it knows its workers; else its master tells of them
    diverts: bool = False  # its workers pass new connections on, to a canary


@dataclass(frozen=True, slots=True)
class Descriptors:
    """What a generation holds open, by number; still its own.

    ``link`` is -1 where its master has gone, ``pidfd`` where nobody has it.
    """

    link: int
    pidfd: int  # of its master
    receive: int
    send: int
    board: int
    crash: int
