"""The mark of an open file: by it a descriptor that comes from somebody else is known for one that we had before."""

from __future__ import annotations

import os
import socket
import stat
import struct

Mark = tuple[int, ...]

_SO_COOKIE = 57  # asm-generic/socket.h


def mark(fd: int) -> Mark:
    """Device and inode; of a socket also its cookie, which no other socket of this host ever has (SO_COOKIE,
    socket(7)). Raises OSError.
    """
    seen = os.fstat(fd)
    cookie = (_cookie(fd),) if stat.S_ISSOCK(seen.st_mode) else ()
    return (seen.st_dev, seen.st_ino, *cookie)


def _cookie(fd: int) -> int:
    """0 where the kernel does not tell."""
    # whatever it is: nothing but an option is read of it
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fd)
    try:
        return int(struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8))[0])
    except OSError:
        return 0
    finally:
        sock.detach()
