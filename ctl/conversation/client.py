"""One conversation with a supervisor: a request, events, a result."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from releve.instance.protocol import LINE_MAX_BYTES, Event, ProtocolError, decode, encode, request

READ_BYTES = 65536


class ConversationLost(Exception):
    """The supervisor ended the conversation, or broke the protocol, before there was a result."""


class TimedOut(Exception):
    """There was no result in time; what was asked for goes on."""


def converse(
    sock: socket.socket, verb: str, arguments: dict[str, Any], show: Callable[[Event], None], timeout_s: float | None
) -> Event:
    """Ask for ``verb``, hand each event to ``show``, and return the result.

    Raises ConversationLost, or TimedOut after ``timeout_s`` in all (None: never). Closing the socket stops nothing: the
    supervisor carries out what it was asked for.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    try:
        _limit(sock, deadline)
        sock.sendall(encode(request(verb, arguments)))
        for line in _lines(sock, deadline):
            event = decode(line)
            if event.get("event") == "result":
                return _checked(event)
            show(event)
    except TimeoutError as error:
        raise TimedOut(f"no result in {timeout_s:g} s") from error
    except OSError as error:
        raise ConversationLost(
            f"the connection to the supervisor broke: {(error.strerror or str(error)).lower()}"
        ) from error
    except ProtocolError as error:
        raise ConversationLost(f"the answer is not one of a supervisor: {error}") from error
    raise ConversationLost("the supervisor closed the connection without a result")


def supervisor_pidfd(sock: socket.socket) -> int | None:
    """A pidfd of whoever listens on the control socket; None if it is not to be seen from here."""
    from releve.server.shared import system  # here: it takes as long as all the rest of ctl, and few verbs need it

    try:
        return system.open_peer(sock.fileno())
    except OSError:
        return None


def has_ended(pidfd: int, timeout_s: float) -> bool:
    """Wait until the process has ended, at most ``timeout_s``."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _lines(sock: socket.socket, deadline: float | None) -> Iterator[bytes]:
    """Whole lines until the end; an unfinished last line is no message."""
    pending = b""
    while True:
        _limit(sock, deadline)
        data = sock.recv(READ_BYTES)
        if not data:
            return
        *lines, pending = (pending + data).split(b"\n")
        yield from lines
        if len(pending) > LINE_MAX_BYTES:
            raise ProtocolError(f"a message is longer than {LINE_MAX_BYTES} bytes")


def _limit(sock: socket.socket, deadline: float | None) -> None:
    """Let the next system call on ``sock`` take until the deadline. Raises TimeoutError after it."""
    if deadline is not None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)


def _checked(event: Event) -> Event:
    status = event.get("status")
    if isinstance(status, bool) or not isinstance(status, int) or not 0 <= status <= 255:
        raise ProtocolError(f"the result has no exit status: {status!r}")
    return event
