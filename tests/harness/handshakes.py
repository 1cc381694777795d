"""The application of the tests with WebSocket clients: does with the environ what the libraries do, each under a path
of its own.
"""

from __future__ import annotations

import contextlib
import copy
import pprint
from collections.abc import Iterable
from typing import Any

from flask import Flask, request

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
NAMES = ("werkzeug.socket", "gunicorn.socket", "eventlet.input")
site = Flask("handshakes")


def take(environ: dict[str, Any]) -> Any:
    """The socket, as simple-websocket 1.1 looks for it (``ws.py``, ``Server.__init__``)."""
    for name in ("werkzeug.socket", "gunicorn.socket"):
        if name in environ:
            return environ.get(name)
    raise RuntimeError("Cannot obtain socket from WSGI environment.")


@site.route("/flask", websocket=True)
def flask() -> str:
    take(request.environ).send(ACCEPTED)
    return "accepted"


@site.route("/wrapped", websocket=True)
def wrapped() -> str:
    try:
        take(request.environ).send(ACCEPTED)
    except BaseException as error:
        raise ValueError("cannot talk") from error
    return "accepted"


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    match environ["PATH_INFO"]:
        case "/raw":
            take(environ).send(ACCEPTED)
        case "/eventlet":  # engineio's driver for it
            environ["eventlet.input"].get_socket().send(ACCEPTED)
        case "/answered":
            with contextlib.suppress(BaseException):
                take(environ).send(ACCEPTED)
            start_response("503 Service Unavailable", [])
            return [b"no"]
        case "/late":
            start_response("200 OK", [])(b"begun")
            take(environ).send(ACCEPTED)
        case "/broken":
            raise RuntimeError("broken view")
        case "/plain":
            start_response("200 OK", [])
            return [b"plain"]
        case "/shown":
            copied = copy.deepcopy({name: environ[name] for name in NAMES})
            words = pprint.pformat(environ), hasattr(take(copied), "as_view"), hasattr(take(copied), "close")
            start_response("200 OK", [])
            return [" ".join(map(str, words)).encode()]
        case "/copied":
            take({name: copy.deepcopy(environ[name]) for name in NAMES}).send(ACCEPTED)
        case "/names":
            start_response("200 OK", [])
            return [",".join(name for name in NAMES if name in environ).encode()]
        case _:
            return site(environ, start_response)
    return []
