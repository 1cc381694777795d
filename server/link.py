"""The link: one JSON object per message, and descriptors beside it, over ``SOCK_SEQPACKET``.

The same class serves the link between supervisor and master and the control pair
of each worker. The two sides are different releases by definition, so unknown
message types and keys are ignored by whoever receives them (``docs/protocol.md``
has the table of messages); only ``hello`` compares versions.

A message larger than the send buffer would be refused by the kernel (EMSGSIZE),
so ``MESSAGE_MAX_BYTES`` bounds it and long texts are clipped by ``clip``.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
from typing import Any

LINK_VERSION = 1
EXCHANGE_VERSION = 1
MESSAGE_MAX_BYTES = 160 * 1024  # the default send buffer holds one message of 212,960 bytes
FDS_MAX = 253  # SCM_MAX_FD of the kernel
TEXT_MAX = 16 * 1024
ORPHAN_S = 30.0  # how long a worker serves on when master and supervisor have gone: the service may be started again meanwhile
# Has masters and workers that have not answered write where each of their threads is (`ctl dump`): the first that they try to take,
# away from both ends, where libraries take theirs.
STACKS_SIGNAL = int(signal.SIGRTMAX) - 8

Message = dict[str, Any]


class LinkError(Exception):
    """The peer broke the protocol, or takes no more messages; the link is of no more use."""


class Link:
    """One end of a link. Owns its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.setblocking(False)

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self.socket.fileno()

    def send(self, message: Message, fds: tuple[int, ...] | list[int] = ()) -> None:
        """Send one message; it arrives whole or not at all.

        Raises LinkError if the peer is gone or has not read for a long time.
        """
        data = json.dumps(message, separators=(",", ":")).encode()
        if len(data) > MESSAGE_MAX_BYTES:
            raise LinkError(f"cannot send {message.get('type')}: {len(data)} bytes, at most {MESSAGE_MAX_BYTES}")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.socket.sendmsg([data], rights, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError as error:
            raise LinkError(f"cannot send {message.get('type')}: {error.strerror or error}") from error

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message and its descriptors (close-on-exec, owned by the caller).

        Returns None at the end (the peer is gone). Raises BlockingIOError when
        there is nothing to read now, LinkError on what is not a message.
        """
        space = socket.CMSG_SPACE(4 * FDS_MAX)
        flags = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        try:
            data, ancillary, got, _ = self.socket.recvmsg(MESSAGE_MAX_BYTES + 1, space, flags)
        except ConnectionResetError:  # said once, before its last words, where the peer left with something of ours unread
            data, ancillary, got, _ = self.socket.recvmsg(MESSAGE_MAX_BYTES + 1, space, flags)
        fds = array.array("i")
        for level, kind, rights in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
        if not data and not fds:
            return None
        try:
            if got & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise LinkError("cannot read a message: it was truncated (too long, or no free descriptors)")
            message = json.loads(data)
            if not isinstance(message, dict):
                raise LinkError("cannot read a message: not a JSON object")
        except (ValueError, RecursionError, LinkError) as error:
            for fd in fds:
                os.close(fd)
            raise error if isinstance(error, LinkError) else LinkError(f"cannot read a message: {error}") from error
        return message, list(fds)

    def close(self) -> None:
        """Close this end."""
        self.socket.close()


def pair() -> tuple[Link, Link]:
    """Two connected links (close-on-exec, non-blocking)."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Link(one), Link(other)


def clip(text: str, limit: int = TEXT_MAX) -> str:
    """The end of a long text (a traceback says most in its last lines)."""
    return text if len(text) <= limit else "…" + text[-limit:]
