"""The keepsake: what the next supervisor must know of a generation.

It is written anew at every transition, so that a supervisor that is killed at any
moment leaves behind what its successor goes by. The master keeps it in a sealed memory
file, and starts that successor by it. A master that may do less than its supervisor
could not, and is not to be believed: it gets no more than its role, and the keepsake is
a record that only the supervisor can write (``record.py``). Versioned, and tolerant both
ways: unknown keys are passed over, and missing ones have defaults; what cannot be
understood at all raises KeepsakeError.

Masters tell the rest at their doors: their workers and when some of them were lost (``takeover/inventory.py``). What
is in neither does not survive: the operation under way and whoever waits for it, a generation that has not served,
since when the service runs, the words about lost workers and crashes, what was degraded, which files are mixed.
``ctl reexec`` hands over all of that (``takeover/succession.py``).
"""

from __future__ import annotations

import dataclasses
import enum
import json
import os
from collections.abc import Iterable
from typing import Any

from releve.config.frozen import dataclass
from releve.config.settings.settings import Settings
from releve.config.settings.wire import from_wire, to_keep
from releve.supervisor.host import memory
from releve.supervisor.host.mark import Mark, mark
from releve.supervisor.keepsake.packing import pack_listener, pack_pin, unpack_listener, unpack_pin
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.release.release import Pin

VERSION = 1
READ_MAX_BYTES = 16 * 1024 * 1024
_NAME = "releve-keepsake"


class KeepsakeError(Exception):
    """A keepsake cannot be understood."""


class Role(enum.Enum):
    """What a generation is to the service."""

    CANDIDATE = "candidate"  # not switched to yet, or not completely
    TRIAL = "trial"  # switched to, and not committed
    ACTIVE = "active"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class Held:
    """What a master holds of ours: its process, and the marks of the descriptors that it was given."""

    pid: int
    born: int  # ticks since the boot: with the pid, its name for ever
    receive: Mark
    send: Mark
    board: Mark
    crash: Mark
    sockets: tuple[Mark | None, ...]  # of `Keepsake.listeners`, in their order; None: it was closed


@dataclass(frozen=True, slots=True)
class Keepsake:
    """One generation's, and with it the service as it was at the last transition."""

    role: Role
    revision: int
    pin: Pin
    settings: Settings  # of that revision
    # without sockets: those come from the master; also those that are only just being opened
    listeners: tuple[Listener, ...]
    standby_until: float | None  # CLOCK_MONOTONIC, which all processes of a host share
    scaled: int | None
    last_number: int
    hello: dict[str, Any]
    started: float  # CLOCK_MONOTONIC
    coming: Settings | None = None  # of the next revision, when its switch may be under way
    held: Held | None = None  # None: nobody has noted it
    # CLOCK_MONOTONIC of `ctl drain`, 0: the host is not drained; None: nobody has noted it
    drained_ns: int | None = None


def write(kept: Keepsake, revive: dict[str, Any]) -> int:
    """A memory file with a keepsake, owned by the caller.

    ``revive`` and ``uid`` are for the guard (``server/master/guard.py``).
    """
    return memory.written(_NAME, {**_pack(kept), "uid": os.geteuid(), "revive": revive})


def role_only(role: Role) -> int:
    """The same for a master that cannot start a supervisor, and is not believed."""
    return memory.written(_NAME, {"version": VERSION, "role": role.value, "uid": -1})


def record(kept: Keepsake) -> bytes:
    """A keepsake for a file of our own."""
    return json.dumps(_pack(kept), separators=(",", ":")).encode()


def marks_of(listeners: Iterable[Listener]) -> tuple[Mark | None, ...]:
    """The marks of their sockets."""
    found: list[Mark | None] = []
    for one in listeners:
        try:
            found.append(mark(one.socket.fileno()))
        except OSError:
            found.append(None)
    return tuple(found)


def _pack(kept: Keepsake) -> dict[str, Any]:
    return {
        "version": VERSION,
        "role": kept.role.value,
        "revision": kept.revision,
        "pin": pack_pin(kept.pin, kept.settings),
        "listeners": [pack_listener(one) for one in kept.listeners],
        "standby_until": kept.standby_until,
        "scaled": kept.scaled,
        "last_number": kept.last_number,
        "hello": kept.hello,
        "started": kept.started,
        "coming": None if kept.coming is None else to_keep(kept.coming),
        "held": None if kept.held is None else dataclasses.asdict(kept.held),
        "drained_ns": kept.drained_ns,
    }


def read(fd: int) -> Keepsake:
    """What is in the memory file. Raises KeepsakeError."""
    try:
        return understand(os.pread(fd, READ_MAX_BYTES, 0))
    except OSError as error:
        raise KeepsakeError(f"cannot read the keepsake of a generation: {error!r}") from error


def understand(written: bytes) -> Keepsake:
    """A keepsake again. Raises KeepsakeError."""
    try:
        data = json.loads(written)
        pin, settings = unpack_pin(data["pin"])
        return Keepsake(
            role=Role(data["role"]),
            revision=int(data.get("revision", 1)),
            pin=pin,
            settings=settings,
            # the master has the sockets
            listeners=tuple(unpack_listener(one, None) for one in data.get("listeners", [])),
            standby_until=data.get("standby_until"),
            scaled=data.get("scaled"),
            last_number=int(data.get("last_number", 0)),
            hello=dict(data.get("hello", {})),
            started=float(data.get("started", 0.0)),
            coming=None if data.get("coming") is None else from_wire(data["coming"]),
            held=None if data.get("held") is None else _held(data["held"]),
            drained_ns=data.get("drained_ns"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise KeepsakeError(f"cannot parse the keepsake of a generation: {error!r}") from error


def _held(packed: dict[str, Any]) -> Held:
    return Held(
        pid=int(packed["pid"]),
        born=int(packed["born"]),
        **{name: tuple(map(int, packed[name])) for name in ("receive", "send", "board", "crash")},
        sockets=tuple(None if one is None else tuple(map(int, one)) for one in packed["sockets"]),
    )
