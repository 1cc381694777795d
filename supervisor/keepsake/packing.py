"""Pins and listeners as plain JSON values, for the next supervisor: unknown keys are passed over, missing ones have
defaults.

Raise KeyError, TypeError, ValueError, AttributeError or IndexError for what cannot be understood.
"""

from __future__ import annotations

import dataclasses
import socket
from typing import Any

from releve.config.settings.address import Address
from releve.config.settings.settings import Settings
from releve.config.settings.wire import from_wire, to_keep
from releve.supervisor.host.identity import Identity
from releve.supervisor.listeners.listener import Listener
from releve.supervisor.release.release import Pin

Packed = dict[str, Any]

_IDENTITY = ("user", "group", "groups", "umask")


def pack_pin(pin: Pin, settings: Settings) -> Packed:
    """A pin, and in it the settings that the generation runs with: that is where every version looks for them."""
    plain = {field.name: getattr(pin, field.name) for field in dataclasses.fields(Pin)}
    return {
        **plain,
        "settings": to_keep(settings),
        "identity": {name: getattr(pin.identity, name) for name in _IDENTITY},
    }


def unpack_pin(packed: Packed) -> tuple[Pin, Settings]:
    """The pin again, and the settings that came in it."""
    fields = {field.name for field in dataclasses.fields(Pin)}
    known = {name: value for name, value in packed.items() if name in fields}
    identity = {name: value for name, value in (packed.get("identity") or {}).items() if name in _IDENTITY}
    if identity.get("groups") is not None:
        identity["groups"] = tuple(identity["groups"])
    return Pin(**{**known, "identity": Identity(**identity)}), from_wire(packed["settings"])


def pack_listener(listener: Listener) -> Packed:
    """A listener without its socket."""
    return {
        "name": listener.name,
        "address": dataclasses.asdict(listener.address),
        "inherited": listener.inherited,
        "inode": listener.inode,
        "aside": listener.aside,
    }


def unpack_listener(packed: Packed, sock: socket.socket | None) -> Listener:
    """The listener again. Without a socket it is only a record of one."""
    known = {field.name for field in dataclasses.fields(Address)}
    inode = packed.get("inode")
    return Listener(
        name=str(packed["name"]),
        address=Address(**{name: value for name, value in packed["address"].items() if name in known}),
        socket=sock,  # type: ignore[arg-type]
        inherited=bool(packed.get("inherited")),
        inode=None if inode is None else (int(inode[0]), int(inode[1])),
        aside=packed.get("aside"),
    )
