"""Listeners that systemd has kept: the name under which each is stored says what it is. Pure."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from urllib.parse import quote, unquote

PREFIX = "releve."
NAME_MAX = 255  # of systemd, which allows ASCII without colons and control characters


def name_of(address: str, inode: tuple[int, int] | None) -> str | None:
    """The name to store a listener under; None if it would be too long for one."""
    where = "" if inode is None else f";{inode[0]}.{inode[1]}"
    name = f"{PREFIX}{quote(address, safe='/[]')}{where}"
    return name if len(name) <= NAME_MAX else None


def is_ours(name: str) -> bool:
    """Whether an inherited socket was stored by a supervisor."""
    return name.startswith(PREFIX)


def find(address: str, inherited: Mapping[str, socket.socket]) -> tuple[socket.socket, tuple[int, int] | None] | None:
    """The stored listener of an address, and the file it was bound to."""
    for name, sock in inherited.items():
        if is_ours(name):
            text, _, where = name.removeprefix(PREFIX).partition(";")
            device, _, number = where.partition(".")
            if unquote(text) == address and (not where or (device.isdigit() and number.isdigit())):
                return sock, (int(device), int(number)) if where else None
    return None
