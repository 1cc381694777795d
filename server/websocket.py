"""In the thread that owns a connection: WebSocket handshakes, which the application gets as plain requests and cannot accept.

The libraries that try (simple-websocket, which Flask-Sock and Flask-SocketIO use, and others like it) look in the environ for the
socket, under the name that Werkzeug's or gunicorn's server gives it; without one they raise, and the framework answers 500 with a
traceback for each client that comes. So the environ of a handshake, and no other, has something under these names: whoever uses
it as a socket ends the request, with status 501 and one line of the log. ``docs/adr/0041-what-moves-from-gunicorn.md``.
"""

from __future__ import annotations

import socket
from typing import Any, NoReturn

_NAMES = ("werkzeug.socket", "gunicorn.socket")
_MEMBERS = frozenset(name for name in dir(socket.socket) if not name.startswith("_"))

STATUS = 501
REASON = "no WebSocket is served here"
ADVICE = f'{REASON}; see "WebSocket clients" in docs/troubleshooting.md'


class NoWebSocket(BaseException):
    """A library wants to accept a handshake. No Exception: frameworks make those into a 500 page, and a traceback in the log."""


class NoSocket:
    """In place of the socket. What only looks at an environ, to show or copy it, meets an ordinary object."""

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        """Raises NoWebSocket for all that a socket has."""
        if name in _MEMBERS:
            raise NoWebSocket(REASON)
        raise AttributeError(name)


NO_SOCKET = NoSocket()


def mark(environ: dict[str, Any]) -> None:
    """Have the attempt refused, if a request is a handshake (RFC 6455, 4.2.1)."""
    if environ.get("HTTP_UPGRADE", "").lower() == "websocket" and "upgrade" in _options(environ.get("HTTP_CONNECTION", "")):
        environ.update(dict.fromkeys(_NAMES, NO_SOCKET))


def is_handshake(environ: dict[str, Any]) -> bool:
    """Whether a request was marked as one."""
    return any(environ.get(name) is NO_SOCKET for name in _NAMES)


def is_refusal(error: BaseException) -> bool:
    """Whether an application failed since it tried to accept a handshake."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        if isinstance(at, NoWebSocket):
            return True
        seen.add(id(at))
        at = at.__cause__ or at.__context__
    return False


def _options(value: str) -> list[str]:
    return [option.strip(" \t") for option in value.lower().split(",")]
