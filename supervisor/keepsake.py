"""The keepsake: what the next supervisor must know of a generation, kept by that generation's master in a memory file.

It is written anew at every transition, so that a supervisor that is killed at any
moment leaves behind what its successor goes by. Environments are in it: it never
touches a disk. Versioned, and tolerant both ways: unknown keys are passed over, and
missing ones have defaults; what cannot be understood at all raises KeepsakeError.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import os
from typing import Any

from releve.config.settings import Settings, from_wire, to_wire
from releve.supervisor import capabilities
from releve.supervisor.listeners import Listener
from releve.supervisor.packing import pack_listener, pack_pin, unpack_listener, unpack_pin
from releve.supervisor.release import Pin

VERSION = 1


class KeepsakeError(Exception):
    """A keepsake cannot be understood."""


class Role(enum.Enum):
    """What a generation is to the service."""

    CANDIDATE = "candidate"  # not switched to yet, or not completely
    TRIAL = "trial"  # switched to, and not committed
    ACTIVE = "active"
    STANDBY = "standby"


@dataclasses.dataclass(frozen=True, slots=True)
class Keepsake:
    """One generation's, and with it the service as it was at the last transition."""

    role: Role
    revision: int
    pin: Pin
    listeners: tuple[Listener, ...]  # without sockets: those come from the master; also those that are only just being opened
    standby_until: float | None  # CLOCK_MONOTONIC, which all processes of a host share
    scaled: int | None
    last_number: int
    hello: dict[str, Any]
    started: float  # CLOCK_MONOTONIC
    coming: Settings | None = None  # of the next revision, when its switch may be under way


def write(kept: Keepsake, revive: dict[str, Any]) -> int:
    """A memory file with a keepsake, owned by the caller. ``revive`` and ``uid`` are for the guard (``server/guard.py``)."""
    data = {
        "version": VERSION,
        "role": kept.role.value,
        "uid": -1 if capabilities.exceeds(kept.pin.identity) else os.geteuid(),  # only who may do what we may can start another one of us
        "revive": revive,
        "revision": kept.revision,
        "pin": pack_pin(kept.pin),
        "listeners": [pack_listener(one) for one in kept.listeners],
        "standby_until": kept.standby_until,
        "scaled": kept.scaled,
        "last_number": kept.last_number,
        "hello": kept.hello,
        "started": kept.started,
        "coming": None if kept.coming is None else to_wire(kept.coming),
    }
    fd = os.memfd_create("releve-keepsake", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(json.dumps(data, separators=(",", ":")).encode())
    return fd


def read(fd: int) -> Keepsake:
    """What is in the memory file. Raises KeepsakeError."""
    try:
        data = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
        return Keepsake(
            role=Role(data["role"]),
            revision=int(data.get("revision", 1)),
            pin=unpack_pin(data["pin"]),
            listeners=tuple(unpack_listener(one, None) for one in data.get("listeners", [])),  # the master has the sockets
            standby_until=data.get("standby_until"),
            scaled=data.get("scaled"),
            last_number=int(data.get("last_number", 0)),
            hello=dict(data.get("hello", {})),
            started=float(data.get("started", 0.0)),
            coming=None if data.get("coming") is None else from_wire(data["coming"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise KeepsakeError(f"cannot understand the keepsake of a generation: {error!r}") from error
