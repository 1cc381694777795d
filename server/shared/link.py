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
import itertools
import json
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from releve.server.shared.native import os, select, signal, socket, time

LINK_VERSION = 1
EXCHANGE_VERSION = 1
MESSAGE_MAX_BYTES = 160 * 1024  # the default send buffer holds one message of 212,960 bytes
FDS_MAX = 253  # SCM_MAX_FD of the kernel
# Room for the descriptors, and for what else the kernel puts there if somebody has asked for it: credentials and a
# pidfd.
ANCILLARY_BYTES = socket.CMSG_SPACE(4 * FDS_MAX) + socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4)
EXTRAS = ("access", "door", "keepsake", "log")  # descriptors that a message announces by a key each, in this order
TEXT_MAX = 16 * 1024
# Exit statuses of masters and workers, which the supervisor reads too.
EXIT_BOOT = 3  # after `failed` was sent
EXIT_INTERNAL = 70  # EX_SOFTWARE of sysexits.h: an error of ours
# how long a worker serves on when master and supervisor have gone: the service may be started again meanwhile
ORPHAN_S = 30.0
LOST_S = 1.0  # so soon after the end of its control pair a worker has ended, or it is ended
LOST_TERM_S = 5.0  # between SIGTERM and SIGKILL to it
LOST_WORDS = "closed its control pair or became another program; terminating it"
# Has masters and workers that have not answered write where each of their threads is (`ctl dump`): the first that they
# try to take, away from both ends, where libraries take theirs.
STACKS_SIGNAL = int(signal.SIGRTMAX) - 8
# Marks in the crash file: the application has asked faulthandler for the stacks of all threads, on standard error, or
# in another file.
WANTS_ALL, ELSEWHERE = b"\nthe application wants all threads\n", b"\nthe application has a file of its own\n"

_RECEIVE = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
_SCM_PIDFD = 4  # linux/socket.h, from 6.5 on

Message = dict[str, Any]


class LinkError(Exception):
    """The peer broke the protocol, or takes no more messages; the link is of no more use."""


class Garbled(LinkError):
    """What came is no message. It was one packet; the next one is whole."""


class Link:
    """One end of a link. Owns its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.discard: Callable[[Iterable[int]], None] = close_all  # gets the descriptors of what is no message
        # pid of the process that sent what was received last, by the kernel's word; 0: it was not asked (`vouch`)
        self.sender = 0
        self.ended = False  # `messages` has come to the end: nothing will be received any more
        self.trouble = ""  # why, if it is not that the peer has gone
        sock.setblocking(False)

    def vouch(self) -> None:
        """Have the kernel say who sends what comes from now on (SO_PASSCRED, unix(7)): others may have got hold of the
        other end.
        """
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

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
        there is nothing to read now, Garbled on what is not a message.
        """
        try:
            data, ancillary, got, _ = self.socket.recvmsg(MESSAGE_MAX_BYTES + 1, ANCILLARY_BYTES, _RECEIVE)
        # said once, before its last words, where the peer left with something of ours unread
        except ConnectionResetError:
            data, ancillary, got, _ = self.socket.recvmsg(MESSAGE_MAX_BYTES + 1, ANCILLARY_BYTES, _RECEIVE)
        fds, self.sender = rights(ancillary)
        if not data and not fds and not self.sender and has_ended(self.socket):
            return None
        try:
            if got & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise Garbled("a message that was truncated (too long, or no free descriptors)")
            message = json.loads(data)
            if not isinstance(message, dict):
                raise Garbled("a message that is not a JSON object")
        except (ValueError, RecursionError, Garbled) as error:
            self.discard(fds)
            raise error if isinstance(error, Garbled) else Garbled(f"a message that is not JSON: {error}") from error
        return message, fds

    def messages(
        self,
        garbled: Callable[[Garbled], None] | None = None,
        most: int | None = None,
        until: float | None = None,
    ) -> Iterator[tuple[Message, list[int]]]:
        """What can be read now, each message with its descriptors (close-on-exec, owned by the caller).

        ``garbled`` hears of what is no message: it was one packet, the next one is whole. Without it, that ends the
        link. ``most``: so many packets are read at most, those among them. ``until``: after that moment (monotonic) no
        more packets are read, but one is in any case: a large one takes milliseconds, whether it is a message or not.

        Stops as well at the end of the link, which ``ended`` and ``trouble`` tell, and once it is closed.
        """
        for place in itertools.count() if most is None else range(most):
            if self.ended or self.socket.fileno() < 0:
                return
            if place and until is not None and time.monotonic() >= until:
                return  # there may be more, for the next turn
            try:
                received = self.receive()
            except BlockingIOError:
                return
            except OSError as error:
                self.ended, self.trouble = True, str(error)
            except Garbled as error:
                if garbled is None:
                    self.ended, self.trouble = True, str(error)
                else:
                    garbled(error)
            else:
                if received is None:
                    self.ended = True
                else:
                    yield received

    def close(self) -> None:
        """Close this end."""
        self.socket.close()


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)


def pair() -> tuple[Link, Link]:
    """Two connected links (close-on-exec, non-blocking)."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Link(one), Link(other)


def rights(ancillary: Iterable[tuple[int, int, bytes]]) -> tuple[list[int], int]:
    """What came beside a message (recvmsg(2)): descriptors, owned by the caller, and the pid of the sender if the
    kernel says it, else 0.

    Any process that shares the socket may have asked for more of it (SO_PASSPIDFD): nothing else is taken for a
    descriptor, and none is left open.
    """
    fds, sender = array.array("i"), 0
    for level, kind, data in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        whole = data[: len(data) - len(data) % fds.itemsize]
        if kind == socket.SCM_RIGHTS:
            fds.frombytes(whole)
        elif kind == socket.SCM_CREDENTIALS and len(whole) >= fds.itemsize:
            sender = max(0, struct.unpack_from("=i", whole)[0])
        elif kind == _SCM_PIDFD:
            for fd in array.array("i", whole):
                if fd >= 0:
                    os.close(fd)
    return list(fds), sender


def has_ended(sock: socket.socket | int) -> bool:
    """Whether nobody can send to this socket any more: where nothing was read, that tells the end from an empty
    message.
    """
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def clip(text: str, limit: int = TEXT_MAX) -> str:
    """The end of a long text (a traceback says most in its last lines)."""
    return text if len(text) <= limit else "…" + text[-limit:]
