"""The door of a generation: a socket in the runtime directory, held by its master, at which the next supervisor finds
it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from releve.instance import paths
from releve.server.shared.runtime import DOOR_NAME, door_name
from releve.supervisor.keepsake import record


class Door:
    """Its path, and the listening end until the master has it.

    The file goes with the generation, and the record beside it.
    """

    def __init__(self, path: Path, sock: socket.socket | None) -> None:
        self.path = path
        self.socket = sock
        self._inode = paths.inode(path)
        self._noted = record.beside(path).exists()

    @property
    def missing(self) -> bool:
        """Whether its file has gone, so that nobody finds the generation."""
        return self._inode is None or paths.inode(self.path) != self._inode

    @property
    def record_missing(self) -> bool:
        """Whether there was a record beside it, and has gone."""
        return self._noted and not record.beside(self.path).exists()

    def close(self) -> None:
        """Remove the file; the master's descriptor is its own."""
        with suppress(OSError):
            paths.remove(self.path)
        self.forget()
        self.shut()

    def note(self, written: bytes) -> None:
        """Put up what the next supervisor must know of who is behind the door. Raises OSError."""
        record.write(record.beside(self.path), written)
        self._noted = True

    def forget(self) -> None:
        """No supervisor that comes later shall take it over."""
        record.remove(record.beside(self.path))
        self._noted = False

    def shut(self) -> None:
        """Let go of the listening end: the master has its own."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def open_door(runtime: Path, number: int) -> Door:
    """Make the door of a generation. Raises OSError."""
    path = runtime / door_name(number)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with paths.folder(runtime) as folder:
            with suppress(FileNotFoundError):
                folder.remove(path.name)  # a dead one's: the lock of the runtime directory is held
            folder.bind(sock, path.name, str(path))
        sock.listen(4)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    record.remove(record.beside(path))
    return Door(path, sock)


def doors(runtime: Path) -> Iterator[tuple[int, Path]]:
    """Number and path of every door in the runtime directory, oldest first."""
    found = (
        (DOOR_NAME.fullmatch(path.name), path)
        for path in runtime.iterdir()
        if path.is_socket() and not path.is_symlink()
    )
    yield from sorted((int(match[1]), path) for match, path in found if match)
