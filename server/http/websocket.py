"""In the thread that owns a connection: WebSocket handshakes, which the application gets as plain requests and cannot
accept.

The libraries that try (simple-websocket, which Flask-Sock and Flask-SocketIO use, eventlet, and others like them) look
in the environ for the socket, under the name that Werkzeug's, gunicorn's or eventlet's server gives it; without one
they raise, and the framework answers 500 with a traceback for each client that comes. So the environ of a handshake,
and no other, has something under these names: whoever uses it as a socket ends the request, with status 501 and one
line of the log. ``docs/adr/0041-what-moves-from-gunicorn.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Self

from releve.server.shared.native import socket

_NAMES = ("werkzeug.socket", "gunicorn.socket", "eventlet.input")
_MEMBERS = frozenset(name for name in dir(socket.socket) if not name.startswith("_")) | {"get_socket"}

STATUS = 501
REASON = "WebSocket is not supported"
ADVICE = f'{REASON}; see "WebSocket clients" in docs/troubleshooting.md'


class NoWebSocket(BaseException):
    """A library wants to accept a handshake.

    No Exception: frameworks make those into a 500 page, and a traceback in the log.
    """


class NoSocket:
    """In place of the socket of one handshake.

    What only looks at an environ, to show or copy it, meets an ordinary object.

    ``used``: somebody has tried to accept. A client can send a handshake anywhere, but cannot have an application do
    that.
    """

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used = False

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        """All that a socket can do; called, it raises NoWebSocket."""
        if name in _MEMBERS:
            return self._refuse
        raise AttributeError(name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Of the same handshake."""
        return self

    def _refuse(self, *arguments: object, **named: object) -> NoReturn:
        self.used = True
        raise NoWebSocket(REASON)


def mark(environ: dict[str, Any]) -> None:
    """Have the attempt refused, if a request is a handshake (RFC 6455, 4.2.1)."""
    if "HTTP_UPGRADE" not in environ:  # as in nearly every request
        return
    if environ["HTTP_UPGRADE"].lower() == "websocket" and "upgrade" in _options(environ.get("HTTP_CONNECTION", "")):
        environ.update(dict.fromkeys(_NAMES, NoSocket()))


def socket_of(environ: dict[str, Any]) -> NoSocket | None:
    """What a handshake was marked with; None: the request is none."""
    return next((found for name in _NAMES if isinstance(found := environ.get(name), NoSocket)), None)


def _options(value: str) -> list[str]:
    return [option.strip(" \t") for option in value.lower().split(",")]
