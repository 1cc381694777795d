"""systemd's journal: its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), its streams, and whether a descriptor
leads there.

One datagram is one entry. journald adds by itself who sent it (``_PID``, ``_UID``, ``_SYSTEMD_UNIT``).
"""

from __future__ import annotations

import array
import errno
import fcntl
import struct
from collections.abc import Mapping

from releve.server.shared.native import os, socket

ADDRESS = "/run/systemd/journal/socket"
STREAMS = "/run/systemd/journal/stdout"
VARIABLE = "JOURNAL_STREAM"  # systemd.exec(5): device and inode of the stream that systemd has connected
SEND_S = 1.0  # how long a journald that does not read may hold a process up, for each entry

_TOO_LONG = (errno.EMSGSIZE, errno.ENOBUFS)
_BUSY = (errno.EAGAIN, errno.EINTR)


def leads_there(fd: int, environ: Mapping[str, str]) -> bool:
    """Whether a descriptor is the stream to the journal that systemd has connected, and not something it was redirected
    to since.
    """
    device, _, inode = environ.get(VARIABLE, "").partition(":")
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def open_stream(identifier: str, priority: int, address: str = STREAMS) -> int:
    """A new stream to the journal, of which each line is an entry with this SYSLOG_IDENTIFIER and PRIORITY.

    The descriptor is the caller's, close-on-exec and non-blocking. sd_journal_stream_fd(3). Raises OSError.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        sock.connect(address)
        sock.shutdown(socket.SHUT_RD)
        # identifier, unit, priority, whether lines begin with theirs, and what else they are forwarded to
        sock.sendall(f"{identifier}\n\n{priority}\n0\n0\n0\n0\n".encode())
        return sock.detach()


def encode(fields: Mapping[str, object]) -> bytes:
    """One entry.

    A value with a line break is written with its length; names are upper case letters, digits and underscores.
    """
    parts = []
    for name, value in fields.items():
        data = str(value).encode("utf-8", "backslashreplace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


class Journal:
    """The socket of journald, as one process and its forks send to it.

    Not connected: a journald that is started anew is found.
    """

    def __init__(self, address: str = ADDRESS) -> None:
        self.lost = 0  # entries that a journald which does not read has cost
        self._address = address
        self._socket: socket.socket | None = None

    def send(self, fields: Mapping[str, object]) -> bool:
        """Send one entry; False if there is no journald to be reached, and another way must be taken. Never raises."""
        data = encode(fields)
        try:
            if self._socket is None:
                self._socket = _open()
            try:
                self._socket.sendto(data, socket.MSG_NOSIGNAL, self._address)
            except OSError as error:
                if error.errno not in _TOO_LONG:
                    raise
                self._send_file(self._socket, data)
        except OSError as error:
            if error.errno not in _BUSY:
                return False
            self.lost += 1  # the stream is read by the same journald: it would wait there for ever
        return True

    def _send_file(self, sock: socket.socket, data: bytes) -> None:
        """An entry that is too long for a datagram, as a sealed memory file. Raises OSError."""
        fd = os.memfd_create("releve-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(data)
            fcntl.fcntl(
                fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            )
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            sock.sendmsg([b""], rights, socket.MSG_NOSIGNAL, self._address)
        finally:
            os.close(fd)


def _open() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    seconds = int(SEND_S)
    sock.settimeout(None)  # whatever the application's socket.setdefaulttimeout() is
    # Not another one: that would poll before each send, and make the socket non-blocking for every fork.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", seconds, int((SEND_S - seconds) * 1e6)))
    return sock
