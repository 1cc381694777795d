"""Readiness: what a load balancer is told that asks whether to send clients here.

While `ctl drain` lasts, or a stop, the answer is 503; requests are served as ever. Asked is `readiness`, which is
answered here and never by the application, or else the path of `upgrade.check`, which is the application's own but for
that. The supervisor's own check comes by a private connection, and always hears the application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

from releve.config.settings.settings import Settings
from releve.server.scoreboard.scoreboard import Scoreboard

Application = Callable[..., Iterable[bytes]]

READY, DRAINING = "200 OK", "503 Service Unavailable"


class Readiness:
    """In the worker: which paths are asked, and who answers."""

    def __init__(self, settings: Settings, board: Scoreboard) -> None:
        check = settings.upgrade.check
        checked = None if check is None else _path(check.path)
        asked = checked if settings.readiness is None else _path(settings.readiness)
        self.paths: frozenset[str] = frozenset() if asked is None else frozenset({asked})
        self._passes_on = asked == checked  # while it is ready, the application says so itself
        self._board = board

    def application(self, private: bool) -> Application | None:
        """What answers a request to one of the paths; None: the application."""
        if private or not self.paths:
            return None
        if not self._board.ready:
            return _draining
        return None if self._passes_on else _ready


def _path(target: str) -> str:
    """A target as PATH_INFO has it."""
    return unquote_to_bytes(target.partition("?")[0].encode("utf-8")).decode("latin-1")


def _ready(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    return _answer(start_response, READY, b"ready\n")


def _draining(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    return _answer(start_response, DRAINING, b"draining\n")


def _answer(start_response: Callable[..., Any], status: str, body: bytes) -> list[bytes]:
    start_response(
        status, [("Content-Type", "text/plain"), ("Cache-Control", "no-store"), ("Content-Length", str(len(body)))]
    )
    return [body]
