"""Addresses that tests listen on, and whether anybody answers there."""

from __future__ import annotations

import socket
from pathlib import Path

from releve.config.settings.address import Address


def unix(path: Path, **more: object) -> Address:
    """That of a Unix socket; ``more``: its mode, owner, group."""
    return Address("unix", path=str(path), **more)  # type: ignore[arg-type]


def tcp(port: int = 0, host: str = "127.0.0.1") -> Address:
    """That of a port; 0: any free one."""
    return Address("tcp", host=host, port=port)


def answers(where: str | tuple[str, int]) -> bool:
    """Whether a client is taken, at a path or a host and port."""
    with socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET) as client:
        client.settimeout(2)
        try:
            client.connect(where)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True
